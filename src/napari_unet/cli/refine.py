"""The command that makes other labels from probabilities: refine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import napari_unet
from napari_unet.cli.commands import app
from napari_unet.cli.options import numbers_of, sizes_of, with_options
from napari_unet.cli.output import say, times
from napari_unet.data.metadata import AxesMetadata, read_axes_metadata
from napari_unet.data.source import open_source
from napari_unet.data.writers import IMAGE_SUFFIXES, ImageSpec, check_output, new_image
from napari_unet.geometry.region import Region
from napari_unet.postprocessing.options import RefineOptions
from napari_unet.postprocessing.quantised import quantise


@app.command()
@with_options(RefineOptions, but=("output",), grouped=False)
def refine(
    probabilities: Annotated[
        Path, typer.Argument(help="Probabilities, as written by `predict --probabilities`.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Labels to write: .tif (OME-TIFF) or .zarr.")
    ],
    options: dict[str, Any],
    objects: Annotated[
        bool, typer.Option("--objects", help="One label per connected object, not per class.")
    ] = False,
    values: Annotated[
        Any,
        typer.Option(
            parser=sizes_of, metavar="INT,...", help="Label of each class (default: 1,2,...)."
        ),
    ] = None,
    spacing: Annotated[
        Any,
        typer.Option(
            parser=numbers_of,
            metavar="NUMBER,...",
            help="Size of a voxel per spatial axis (default: that of the file).",
        ),
    ] = None,
    spatial_ndim: Annotated[
        int | None,
        typer.Option(min=2, max=3, help="2: plane by plane; 3: in 3D (default: all axes)."),
    ] = None,
) -> None:
    """Make labels from probabilities: threshold, small objects, holes, touching objects.

    The panel does the same on its Predict page. Probabilities are rounded to steps of 1/255 as
    they are there, so that both give the same labels.
    """
    check_output(output, IMAGE_SUFFIXES, [probabilities])
    source = open_source(probabilities)
    metadata = read_axes_metadata(probabilities, len(source.shape))
    axis = metadata.axes.index("c") if "c" in metadata.axes else 0
    given = np.moveaxis(source.read(Region.whole(source.shape)), axis, 0)
    axes = metadata.without(axis)
    labels = napari_unet.refine(
        quantise(given) if given.dtype.kind == "f" else given,
        RefineOptions(**options, output="objects" if objects else "classes"),
        values=values,
        spacing=spacing or _spacing(axes),
        spatial_ndim=spatial_ndim,
    )
    with new_image(output, ImageSpec(labels.shape, labels.dtype, axes)) as target:
        target[...] = labels
    say(f"Wrote {output}: {times(labels.shape)}, {labels.dtype}.", "green")


def _spacing(axes: AxesMetadata) -> tuple[float, ...] | None:
    """Return the size of a voxel along all axes; None where the file does not say it of all."""
    sizes = tuple(size for size in axes.scale if size is not None)
    return sizes if len(sizes) == len(axes.scale) else None
