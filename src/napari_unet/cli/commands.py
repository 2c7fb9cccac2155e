"""The commands that train and apply a segmentation; each calls the Python API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer
from typer.core import TyperGroup

import napari_unet
from napari_unet._version import __version__
from napari_unet.cli import describe
from napari_unet.cli.launch import Processes, main_process_only
from napari_unet.cli.options import sizes_of, with_options
from napari_unet.cli.output import OUT, say
from napari_unet.cli.work import Board, Runs, learn, save_model, write_prediction
from napari_unet.data.metadata import read_axes_metadata
from napari_unet.data.source import open_source
from napari_unet.data.writers import IMAGE_SUFFIXES, check_output
from napari_unet.header import header_schema
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.training.events import Finished, Started, Validated

Image = Annotated[Path, typer.Argument(help="Image: a TIFF, an OME-Zarr or a .npy.")]
Flips = Annotated[
    bool,
    typer.Option(
        "--flips",
        help="For image results: average over eight flips and rotations; takes "
        "eight times as long.",
    ),
]
Mask = Annotated[
    Path | None,
    typer.Option(
        help="For models that fill in missing pixels: a mask that is not 0 where "
        "pixels are missing."
    ),
]
Model = Annotated[Path, typer.Argument(help="Model, as saved by `train` or the panel.")]


class Commands(TyperGroup):
    """Commands that report expected errors in one line, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        with main_process_only():
            return super().invoke(ctx)


app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


def _say_version(wanted: bool) -> None:
    if wanted:
        OUT.print(__version__)
        raise typer.Exit


@app.callback()
def about(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Interactive U-Nets: paint a few strokes, train, predict the whole volume."""


def or_none(path: Path) -> Path | None:
    """Return None where the word "none" is given in place of a file, else the file."""
    return None if str(path).lower() == "none" else path


@app.command()
@with_options(SegmentOptions, but=("class_colors",))
def train(
    image: Image,
    labels: Annotated[Path, typer.Argument(help="Painted labels: a file of integers.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model to write (.safetensors).")],
    options: dict[str, Any],
    more: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGE LABELS", help="Further images, each with its labels."),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(help="Continue from this model, with its network and its classes."),
    ] = None,
    ndim: Annotated[
        int | None,
        typer.Option(min=2, max=3, help="2: plane by plane; 3: in 3D (default: as painted)."),
    ] = None,
    runs: Runs = None,
    tensorboard: Board = False,
    processes: Processes = 1,
) -> None:
    """Train a segmentation on an image and painted labels, or on several such pairs.

    The training takes 60 seconds unless --seconds or --steps is given; Ctrl-C ends it and saves
    the model.
    """
    images, masks = [image, *(more or [])[::2]], [labels, *(more or [])[1::2]]
    if len(images) != len(masks):
        raise typer.BadParameter(
            f"{images[-1]} has no labels: give an image and its labels for each pair."
        )
    check_output(output, (), [*images, *masks])
    metadata = read_axes_metadata(image, len(open_source(image).shape))
    kept = {"runs": runs, "tensorboard": tensorboard, "processes": processes, "start": start}
    settings = {"axes": metadata.axes, "spacing": metadata.spacing, **kept, **options}
    last = learn(images, masks, output, ndim=cast(Literal[2, 3] | None, ndim), **settings)
    finished: Finished = last[Finished]
    path = save_model(finished.model, output)
    OUT.print(describe.validation(last[Started], last.get(Validated)))
    say(f"Saved {path} after {finished.step} steps in {finished.elapsed:.0f} s.", "green")


@app.command()
@with_options(SegmentOptions, names=("device", "threads", "channel_axis", "axes", "rgb"))
def predict(
    model: Model,
    image: Image,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Image to write: .tif (OME-TIFF) or .zarr.")
    ],
    options: dict[str, Any],
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities", help="Write probabilities: a channel per class, from 0 to 1."
        ),
    ] = False,
    tile: Annotated[
        Any,
        typer.Option(
            parser=sizes_of,
            metavar="INT,...",
            help="Largest input per spatial axis in voxels (default: what fits into memory).",
        ),
    ] = None,
    region: Annotated[
        Any,
        typer.Option(
            parser=sizes_of,
            metavar="INT,...",
            help="Predict only a part: for each axis except the channel axis, the first voxel "
            "and the one after the last, such as 0,10,64,320,64,320. Elsewhere labels "
            "are 0, and images are unchanged.",
        ),
    ] = None,
    mask: Mask = None,
    flips: Flips = False,
    keep_known: Annotated[
        bool,
        typer.Option(help="When missing pixels are filled in, keep all other pixels unchanged."),
    ] = True,
    comparable: Annotated[
        bool,
        typer.Option(
            "--comparable",
            help="Intensities mean the same as in the training: do not measure each image.",
        ),
    ] = False,
) -> None:
    """Predict a whole image, tile by tile, onto the disk.

    The output appears when it is complete; until then, and after Ctrl-C, an older one stays.
    """
    from napari_unet.inference.request import Request

    inputs = [path for path in (image, model, mask) if path is not None]
    check_output(output, IMAGE_SUFFIXES, inputs)
    trained, source = napari_unet.load_model(model), open_source(image)
    metadata = read_axes_metadata(image, len(source.shape))
    if probabilities:
        options["output"] = "probabilities"
    given = {"tile": tile, "region": region, "flips": flips, "keep_known": keep_known}
    given |= {"comparable": comparable, "spacing": metadata.spacing}
    request = Request(**{"axes": metadata.axes, **given, **options})
    write_prediction(trained, source, request, output, metadata, mask)


@app.command()
def info(
    model: Annotated[
        Path | None, typer.Argument(help="Model, as saved by `train` or the panel.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the header as JSON.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of the header instead.")
    ] = False,
) -> None:
    """Describe a model: network, training and scores."""
    if schema:
        OUT.print_json(data=header_schema())
        return
    if model is None:
        raise typer.BadParameter("Give a model, or --schema.")
    trained = napari_unet.load_model(model)
    if as_json:
        OUT.print_json(data=trained.header())
    else:
        OUT.print(describe.model(trained))
