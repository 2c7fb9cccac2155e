"""The command that goes on with a training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import napari_unet
from napari_unet.cli.commands import app, or_none
from napari_unet.cli.options import with_options
from napari_unet.cli.show import say
from napari_unet.cli.together import Processes, share_out
from napari_unet.cli.work import watch
from napari_unet.control import Control
from napari_unet.data.output import check_output
from napari_unet.resuming import CHANGEABLE
from napari_unet.training.events import Finished
from napari_unet.training.options import TrainingOptions

HERE = tuple(name for name in CHANGEABLE if name not in ("open_ended", "keep_history", "make_way"))


@app.command()
@with_options(TrainingOptions, names=HERE)
def resume(
    state: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="What --checkpoint of a training wrote.")
    ],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE [OTHER]...",
            help="What it learned from, in the same order: images, each with its labels, its "
            "target or its mask (or none), if there are such.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model to write (.safetensors).")],
    options: dict[str, Any],
    processes: Processes = 1,
) -> None:
    """Go on with a training that was interrupted, as if nothing had happened.

    Settings are those that it began with; a budget counts what was used of it before.
    """
    check_output(output, (), [state, *files])
    alone = napari_unet.load_model(state).task == "denoise"
    images, others = (files, None) if alone else (files[::2], list(map(or_none, files[1::2])))
    if others is not None and len(images) != len(others):
        raise typer.BadParameter(f"{images[-1]} comes alone: give both of each pair.")
    share_out(processes, options.get("device", "auto"))
    control = Control()
    events = napari_unet.resume(state, images, others, control=control, **options)
    finished: Finished = watch(events, control, output)[Finished]
    say(f"Saved {finished.model.save(output)} after {finished.step} steps in all.", "green")
