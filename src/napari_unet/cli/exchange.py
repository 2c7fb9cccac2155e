"""The commands that hand models to other programs, and take theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from napari_unet.cli.commands import Model, app
from napari_unet.cli.show import say
from napari_unet.data.output import check_output
from napari_unet.model import load_model


@app.command("export")
def export_package(
    model: Model,
    package: Annotated[Path, typer.Argument(help="Package to write (.zip).")],
    image: Annotated[
        Path | None, typer.Option(help="Its middle becomes the package's example.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the package.")] = None,
    author: Annotated[list[str] | None, typer.Option(help="Who made it; may be repeated.")] = None,
    description: Annotated[str | None, typer.Option(help="What it does, in a sentence.")] = None,
    licence: Annotated[
        str | None, typer.Option(help="SPDX identifier of a licence, such as CC-BY-4.0.")
    ] = None,
    cover: Annotated[Path | None, typer.Option(help="Picture for the package (PNG).")] = None,
) -> None:
    """Write a model as a BioImage.IO package, for Fiji, QuPath, ilastik and others."""
    from napari_unet.exchange.export import export_bioimageio

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
        typer.Option("--torchscript", help="Allow TorchScript, from authors that you trust."),
    ] = False,
    task: Annotated[
        Literal["auto", "segment", "restore"],
        typer.Option(help="What comes out: classes (segment) or an image (restore)."),
    ] = "auto",
) -> None:
    """Turn a BioImage.IO package into a model that `predict` takes; it cannot learn further."""
    from napari_unet.exchange.load import import_bioimageio

    check_output(model, (), [package])
    imported = import_bioimageio(package, allow_torchscript=torchscript, task=task)
    say(f"{imported.config.title}; saved {imported.save(model)}.", "green")
