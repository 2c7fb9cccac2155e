"""The command that says what fits through a network, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer
from pydantic import ValidationError

from napari_unet.cli import describe
from napari_unet.cli.commands import app
from napari_unet.cli.options import sizes_of
from napari_unet.cli.show import OUT
from napari_unet.errors import InputError
from napari_unet.model import SUFFIX, load_model
from napari_unet.network.architecture import Architecture
from napari_unet.network.config import Size, UNetConfig
from napari_unet.network.kinds import preset
from napari_unet.network.presets import PRESETS


@app.command()
def sizes(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME_OR_MODEL",
            help=f"A published network ({', '.join(PRESETS)}) or a model file ({SUFFIX}); "
            "by default a network of ours.",
        ),
    ] = None,
    published: Annotated[
        str | None, typer.Option("--preset", help="The same as NAME_OR_MODEL.")
    ] = None,
    size: Annotated[Size, typer.Option(help="Size of a network of ours.")] = "medium",
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
    """List a network's layers, the sizes that fit through it, and what it costs."""
    if name and published:
        raise typer.BadParameter("Give NAME_OR_MODEL or --preset, not both.")
    config = _config(name or published, size, ndim)
    # As it is, whatever the width of the terminal: a table that is wrapped cannot be read.
    OUT.print(describe.network(config, input_shape, batch), soft_wrap=True)


def _config(name: str | None, size: Size, ndim: int | None) -> Architecture:
    if name is None:
        return UNetConfig.sized(size, cast(Any, ndim or 2))
    if name in PRESETS:
        try:
            return preset(name, **({} if ndim is None else {"ndim": ndim}))
        except ValidationError as error:
            raise InputError(
                f"{name} is not made for that number of dimensions", got=f"--ndim {ndim}"
            ) from error
    if Path(name).suffix == SUFFIX:
        return load_model(name).config
    raise InputError(
        "There is no such preset, and it is no model file",
        got=repr(name),
        expected=f"{' or '.join(sorted(PRESETS))}, or a {SUFFIX}",
    )
