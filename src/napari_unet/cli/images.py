"""The commands whose result is an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_unet.cli.commands import Flips, Image, app
from napari_unet.cli.options import with_options
from napari_unet.cli.show import OUT, say
from napari_unet.cli.together import Processes
from napari_unet.cli.work import Board, Runs, learn, write_prediction
from napari_unet.data.grid import Grid, read_grid
from napari_unet.data.output import PICTURES, check_output
from napari_unet.data.source import Source, open_source
from napari_unet.model import TrainedModel
from napari_unet.tasks.image_options import DenoiseOptions, InpaintOptions, RestoreOptions
from napari_unet.training.events import Finished, Validated

Result = Annotated[Path, typer.Argument(help="Picture to write: .tif (OME-TIFF) or .zarr.")]
Keep = Annotated[
    Path | None, typer.Option("--model", help="Also save the model there (.safetensors).")
]
Dimensions = Annotated[int, typer.Option(min=2, max=3, help="2: plane by plane; 3: in 3D.")]


@app.command()
@with_options(DenoiseOptions)
def denoise(
    image: Image,
    output: Result,
    options: dict[str, Any],
    model: Keep = None,
    ndim: Dimensions = 2,
    flips: Flips = False,
    runs: Runs = None,
    tensorboard: Board = False,
    processes: Processes = 1,
) -> None:
    """Learn to denoise an image from itself alone, and write it denoised.

    It learns for 60 seconds unless --seconds or --steps is given; Ctrl-C ends that early.
    """
    _check(output, model, [image])
    source = open_source(image)
    grid = read_grid(image, len(source.shape))
    kept = {"runs": runs, "tensorboard": tensorboard, "processes": processes}
    trained = _learn("denoise", [image], None, grid, ndim, {**options, **kept}, model)
    _predict(trained, source, output, grid, options, flips)


@app.command()
@with_options(InpaintOptions)
def inpaint(
    image: Image,
    mask: Annotated[Path, typer.Argument(help="Not 0 where pixels are missing.")],
    output: Result,
    options: dict[str, Any],
    model: Keep = None,
    ndim: Dimensions = 2,
    flips: Flips = False,
    runs: Runs = None,
    tensorboard: Board = False,
    processes: Processes = 1,
) -> None:
    """Learn to fill in what is missing of an image from the rest of it, and write it filled in.

    Known pixels are written as they are. It learns for 60 seconds unless --seconds or --steps is
    given; Ctrl-C ends that early.
    """
    _check(output, model, [image, mask])
    source, missing = open_source(image), open_source(mask)
    grid = read_grid(image, len(source.shape))
    kept = {"runs": runs, "tensorboard": tensorboard, "processes": processes}
    trained = _learn("inpaint", [image], [mask], grid, ndim, {**options, **kept}, model)
    _predict(trained, source, output, grid, options, flips, missing)


@app.command()
@with_options(RestoreOptions)
def restore(
    image: Image,
    target: Annotated[Path, typer.Argument(help="What it should look like.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model to write (.safetensors).")],
    options: dict[str, Any],
    more: Annotated[
        list[Path] | None, typer.Argument(metavar="IMAGE TARGET", help="Further pairs.")
    ] = None,
    ndim: Dimensions = 2,
    runs: Runs = None,
    tensorboard: Board = False,
    processes: Processes = 1,
) -> None:
    """Learn from pairs of images to make good ones out of such; apply it with `predict`.

    It takes 60 seconds unless --seconds or --steps is given; Ctrl-C ends it and saves the model.
    """
    images, targets = [image, *(more or [])[::2]], [target, *(more or [])[1::2]]
    if len(images) != len(targets):
        raise typer.BadParameter(f"{images[-1]} has no target: give both of each pair.")
    check_output(output, (), [*images, *targets])
    grid = read_grid(image, len(open_source(image).shape))
    kept = {"runs": runs, "tensorboard": tensorboard, "processes": processes}
    _learn("restore", images, targets, grid, ndim, {**options, **kept}, output)


def _check(output: Path, model: Path | None, inputs: list[Path]) -> None:
    check_output(output, PICTURES, inputs)
    if model is not None:
        check_output(model, (), inputs)


def _learn(
    task: str,
    images: Sequence[Path],
    others: Sequence[Path] | None,
    grid: Grid,
    ndim: int,
    options: dict[str, Any],
    output: Path | None,
) -> TrainedModel:
    settings = {"axes": grid.axes, "spacing": grid.spacing, **options}
    last = learn(images, others, output, task=task, ndim=ndim, **settings)
    finished: Finished = last[Finished]
    judged: Validated | None = last.get(Validated)
    if judged is not None:
        OUT.print(f"held-out loss {judged.loss:.4g} on {judged.pixels:,} pixels")
    say(f"Learned in {finished.step} steps, {finished.elapsed:.0f} s.", "green")
    if output is not None:
        say(f"Saved {finished.model.save(output)}.", "green")
    return finished.model


def _predict(
    trained: TrainedModel,
    source: Source,
    output: Path,
    grid: Grid,
    options: dict[str, Any],
    flips: bool,
    mask: Source | None = None,
) -> None:
    from napari_unet.inference.request import Request

    names = ("device", "threads", "channel_axis", "axes", "rgb")
    told = {"axes": grid.axes, **{n: options[n] for n in names if n in options}}
    write_prediction(trained, source, Request(flips=flips, **told), output, grid, mask)
