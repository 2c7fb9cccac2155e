"""The command that compares a prediction with the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

import napari_unet
from napari_unet.cli.commands import Image, Model, app
from napari_unet.cli.describe import rounded
from napari_unet.cli.options import with_options
from napari_unet.cli.show import OUT
from napari_unet.data.grid import read_grid
from napari_unet.data.source import open_source
from napari_unet.tasks.evaluate import Evaluation
from napari_unet.tasks.segment_options import SegmentOptions


@app.command()
@with_options(SegmentOptions, names=("device", "threads", "channel_axis", "axes", "rgb"))
def evaluate(
    model: Model,
    image: Image,
    truth: Annotated[Path, typer.Argument(help="Labels, or the image as it should be.")],
    options: dict[str, Any],
    mask: Annotated[
        Path | None,
        typer.Option(help="For a model that fills in: not 0 where pixels are missing."),
    ] = None,
    data_range: Annotated[
        float | None,
        typer.Option(help="Images: darkest to brightest (default: 255 for bytes, else the span)."),
    ] = None,
) -> None:
    """Predict an image and say how near that comes to the truth.

    Labels: accuracy, IoU and Dice per class. Images: PSNR and SSIM.
    """
    source = open_source(image)
    options = {"axes": read_grid(image, len(source.shape)).axes, **options}
    trained = napari_unet.load_model(model)
    found = napari_unet.evaluate(
        trained, source, truth, mask=mask, data_range=data_range, **options
    )
    OUT.print(_as_table(found))


def _as_table(found: Evaluation) -> Table:
    like, table = found.likeness, Table(box=None)
    if like is not None:
        for name in ("PSNR", "SSIM", "data range"):
            table.add_column(name, justify="right")
        table.add_row(f"{like.psnr:.2f} dB", f"{like.ssim:.4f}", f"{like.data_range:.6g}")
        return table
    table.add_column("class")
    for name in ("IoU", "Dice", "pixels"):
        table.add_column(name, justify="right")
    counts = [sum(row) for row in found.confusion]
    rows = zip(found.model.classes, found.iou, found.dice, counts, strict=True)
    for info, iou, dice, count in rows:
        table.add_row(Text(str(info)), rounded(iou), rounded(dice), f"{count:,}")
    table.add_row("accuracy", "", rounded(found.accuracy), f"{found.pixels:,}", style="bold")
    return table
