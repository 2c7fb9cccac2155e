"""Commands about networks and models: sizes, evaluate, export, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer
from pydantic import ValidationError
from rich.table import Table
from rich.text import Text

import napari_unet
from napari_unet.cli import describe
from napari_unet.cli.commands import Image, Mask, Model, app
from napari_unet.cli.options import sizes_of, with_options
from napari_unet.cli.output import OUT, say
from napari_unet.data.metadata import read_axes_metadata
from napari_unet.data.source import open_source
from napari_unet.data.writers import check_output
from napari_unet.display import score_text
from napari_unet.errors import InputError
from napari_unet.model import SUFFIX, load_model
from napari_unet.network.architecture import Architecture
from napari_unet.network.presets import PRESETS
from napari_unet.network.registry import preset
from napari_unet.network.unet_config import Size, UNetConfig
from napari_unet.tasks.evaluate import Evaluation
from napari_unet.tasks.segmentation.options import SegmentOptions


@app.command()
def sizes(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME_OR_MODEL",
            help=f"A published network ({', '.join(PRESETS)}) or a model file ({SUFFIX}); "
            "by default a U-Net of --size.",
        ),
    ] = None,
    published: Annotated[
        str | None, typer.Option("--preset", help="The same as NAME_OR_MODEL.")
    ] = None,
    size: Annotated[Size, typer.Option(help="Size of the U-Net if no name is given.")] = "medium",
    ndim: Annotated[
        int | None, typer.Option(min=2, max=3, help="Spatial dimensions (default: its own, or 2).")
    ] = None,
    input_shape: Annotated[
        Any,
        typer.Option(
            "--input",
            parser=sizes_of,
            metavar="INT,...",
            help="Input per spatial axis in voxels (default: a small one that fits).",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images per training step.")] = 1,
) -> None:
    """List the layers of a network, the sizes that it accepts, and its cost."""
    if name and published:
        raise typer.BadParameter("Give NAME_OR_MODEL or --preset, not both.")
    config = _config(name or published, size, ndim)
    # Not wrapped at the width of the terminal, because a wrapped table is unreadable.
    OUT.print(describe.network(config, input_shape, batch), soft_wrap=True)


def _config(name: str | None, size: Size, ndim: int | None) -> Architecture:
    if name is None:
        return UNetConfig.sized(size, cast(Any, ndim or 2))
    if name in PRESETS:
        try:
            return preset(name, **({} if ndim is None else {"ndim": ndim}))
        except ValidationError as error:
            raise InputError(
                f"{name} does not exist for this number of dimensions", got=f"--ndim {ndim}"
            ) from error
    if Path(name).suffix == SUFFIX:
        return load_model(name).config
    raise InputError(
        "There is no preset of this name, and it is not a model file",
        got=repr(name),
        expected=f"{' or '.join(sorted(PRESETS))}, or a {SUFFIX}",
    )


@app.command()
@with_options(SegmentOptions, names=("device", "threads", "channel_axis", "axes", "rgb"))
def evaluate(
    model: Model,
    image: Image,
    truth: Annotated[
        Path, typer.Argument(help="Correct labels (ground truth), or the target image.")
    ],
    options: dict[str, Any],
    mask: Mask = None,
    data_range: Annotated[
        float | None,
        typer.Option(help="Images: range of grey values (default: 255 for bytes, else max - min)."),
    ] = None,
) -> None:
    """Predict an image, and compare the result with the truth.

    Labels: accuracy, IoU and Dice per class. Images: PSNR and SSIM.
    """
    source = open_source(image)
    options = {"axes": read_axes_metadata(image, len(source.shape)).axes, **options}
    trained = napari_unet.load_model(model)
    evaluation = napari_unet.evaluate(
        trained, source, truth, mask=mask, data_range=data_range, **options
    )
    OUT.print(_evaluation_table(evaluation))


def _evaluation_table(evaluation: Evaluation) -> Table:
    table = Table(box=None)
    similarity = evaluation.likeness
    if similarity is not None:
        for name in ("PSNR", "SSIM", "data range"):
            table.add_column(name, justify="right")
        table.add_row(
            f"{similarity.psnr:.2f} dB", f"{similarity.ssim:.4f}", f"{similarity.data_range:.6g}"
        )
        return table
    table.add_column("class")
    for name in ("IoU", "Dice", "pixels"):
        table.add_column(name, justify="right")
    counts = [sum(row) for row in evaluation.confusion]
    rows = zip(evaluation.model.classes, evaluation.iou, evaluation.dice, counts, strict=True)
    for info, iou, dice, count in rows:
        table.add_row(Text(str(info)), score_text(iou, 3), score_text(dice, 3), f"{count:,}")
    table.add_row(
        "accuracy", "", score_text(evaluation.accuracy, 3), f"{evaluation.pixels:,}", style="bold"
    )
    return table


@app.command("export")
def export_package(
    model: Model,
    package: Annotated[Path, typer.Argument(help="Package to write (.zip).")],
    image: Annotated[
        Path | None, typer.Option(help="Image whose centre becomes the example in the package.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the package.")] = None,
    author: Annotated[
        list[str] | None, typer.Option(help="Author of the model; can be repeated.")
    ] = None,
    description: Annotated[
        str | None, typer.Option(help="Description of the model, in a sentence.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="SPDX identifier of a licence, such as CC-BY-4.0.")
    ] = None,
    cover: Annotated[Path | None, typer.Option(help="Cover image of the package (PNG).")] = None,
) -> None:
    """Write a model as a BioImage.IO package, for Fiji, QuPath, ilastik and others."""
    from napari_unet.bioimageio.export import export_bioimageio

    check_output(package, (), [model, *([image] if image else []), *([cover] if cover else [])])
    written = export_bioimageio(
        load_model(model),
        package,
        image=image,
        name=name,
        authors=author or (),
        description=description,
        licence=licence,
        cover=cover,
    )
    say(f"Wrote {written}.", "green")


@app.command("import")
def import_package(
    package: Annotated[Path, typer.Argument(help="BioImage.IO package: a .zip or a folder.")],
    model: Annotated[Path, typer.Argument(help="Model to write (.safetensors).")],
    torchscript: Annotated[
        bool,
        typer.Option("--torchscript", help="Allow TorchScript; only from authors whom you trust."),
    ] = False,
    task: Annotated[
        Literal["auto", "segment", "restore"],
        typer.Option(help="Kind of the output: classes (segment) or an image (restore)."),
    ] = "auto",
) -> None:
    """Convert a BioImage.IO package to a model for `predict`; it cannot be trained further."""
    from napari_unet.bioimageio.load import import_bioimageio

    check_output(model, (), [package])
    imported = import_bioimageio(package, allow_torchscript=torchscript, task=task)
    say(f"{imported.config.title}; saved {imported.save(model)}.", "green")
