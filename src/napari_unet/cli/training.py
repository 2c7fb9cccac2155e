"""The commands whose result is an image, and `resume`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

import napari_unet
from napari_unet.api import CHANGEABLE
from napari_unet.cli.commands import Flips, Image, app, or_none
from napari_unet.cli.launch import Processes, launch_processes
from napari_unet.cli.options import with_options
from napari_unet.cli.output import OUT, say
from napari_unet.cli.work import Board, Runs, learn, save_model, watch, write_prediction
from napari_unet.control import Control
from napari_unet.data.metadata import AxesMetadata, read_axes_metadata
from napari_unet.data.source import Source, open_source
from napari_unet.data.writers import IMAGE_SUFFIXES, check_output
from napari_unet.model import TrainedModel
from napari_unet.tasks.images.options import DenoiseOptions, InpaintOptions, RestoreOptions
from napari_unet.training.events import Finished, Validated
from napari_unet.training.options import TrainingOptions

Result = Annotated[Path, typer.Argument(help="Image to write: .tif (OME-TIFF) or .zarr.")]
Keep = Annotated[
    Path | None, typer.Option("--model", help="File to save the model in, too (.safetensors).")
]
Missing = Annotated[
    Path,
    typer.Argument(
        help="Mask that is not 0 where pixels are missing; none: pixels that are NaN are missing."
    ),
]
Dimensions = Annotated[
    int | None,
    typer.Option(
        min=2,
        max=3,
        help="2: plane by plane; 3: in 3D (default: that of the given model or network, else 2).",
    ),
]
Start = Annotated[
    Path | None,
    typer.Option(help="Continue from this model of the same task, with its network."),
]


@app.command()
@with_options(DenoiseOptions)
def denoise(
    image: Image,
    output: Result,
    options: dict[str, Any],
    more: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGE OUTPUT", help="Further images and results."),
    ] = None,
    model: Keep = None,
    start: Start = None,
    ndim: Dimensions = None,
    flips: Flips = False,
    runs: Runs = None,
    tensorboard: Board = False,
    processes: Processes = 1,
) -> None:
    """Train on noisy images alone, all together, and write them denoised.

    The training takes 60 seconds unless --seconds or --steps is given; Ctrl-C ends it early.
    """
    files = _grouped([image, output, *(more or [])], ("an image", "what to write"))
    kept = {"runs": runs, "tensorboard": tensorboard, "processes": processes, "start": start}
    _learn_and_write("denoise", files, ndim, {**options, **kept}, model, flips)


@app.command()
@with_options(InpaintOptions)
def inpaint(
    image: Image,
    mask: Missing,
    output: Result,
    options: dict[str, Any],
    more: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGE MASK OUTPUT", help="Further images and results."),
    ] = None,
    model: Keep = None,
    start: Start = None,
    ndim: Dimensions = None,
    flips: Flips = False,
    runs: Runs = None,
    tensorboard: Board = False,
    processes: Processes = 1,
) -> None:
    """Train on the known pixels of images, and write the images with missing ones filled in.

    Known pixels are written as they are. The training takes 60 seconds unless --seconds or --steps
    is given; Ctrl-C ends it early.
    """
    given = [image, mask, output, *(more or [])]
    files = _grouped(given, ("an image", "a mask or none", "what to write"))
    kept = {"runs": runs, "tensorboard": tensorboard, "processes": processes, "start": start}
    _learn_and_write("inpaint", files, ndim, {**options, **kept}, model, flips)


@app.command()
@with_options(RestoreOptions)
def restore(
    image: Image,
    target: Annotated[
        Path, typer.Argument(help="The target image: what the result should look like.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model to write (.safetensors).")],
    options: dict[str, Any],
    more: Annotated[
        list[Path] | None, typer.Argument(metavar="IMAGE TARGET", help="Further pairs.")
    ] = None,
    start: Start = None,
    ndim: Dimensions = None,
    runs: Runs = None,
    tensorboard: Board = False,
    processes: Processes = 1,
) -> None:
    """Train a restoration on pairs of a degraded and a good image; apply it with `predict`.

    The training takes 60 seconds unless --seconds or --steps is given; Ctrl-C ends it and saves
    the model.
    """
    images, targets = [image, *(more or [])[::2]], [target, *(more or [])[1::2]]
    if len(images) != len(targets):
        raise typer.BadParameter(
            f"{images[-1]} has no target: give an image and its target for each pair."
        )
    check_output(output, (), [*images, *targets])
    metadata = read_axes_metadata(image, len(open_source(image).shape))
    kept = {"runs": runs, "tensorboard": tensorboard, "processes": processes, "start": start}
    _learn("restore", images, targets, metadata, ndim, {**options, **kept}, output)


@dataclass(frozen=True)
class _Files:
    """An image, its mask if it has one, and where the result goes."""

    image: Path
    mask: Path | None
    output: Path

    @property
    def inputs(self) -> list[Path]:
        """The files that are read."""
        return [self.image] if self.mask is None else [self.image, self.mask]


def _grouped(paths: Sequence[Path], kinds: Sequence[str]) -> list[_Files]:
    """Group files that are given alternately."""
    size = len(kinds)
    if len(paths) % size:
        each = ", ".join(kinds)
        raise typer.BadParameter(
            f"Too many or too few paths (the last one is {paths[-1]}): give {each} for every image."
        )
    groups = [paths[k : k + size] for k in range(0, len(paths), size)]
    masks = [or_none(group[1]) if size > 2 else None for group in groups]
    return [_Files(group[0], mask, group[-1]) for group, mask in zip(groups, masks, strict=True)]


def _learn_and_write(
    task: str,
    files: Sequence[_Files],
    ndim: int | None,
    options: dict[str, Any],
    model: Path | None,
    flips: bool,
) -> None:
    """Train on all images together; then write a result for each."""
    inputs = [path for each in files for path in each.inputs]
    outputs = [each.output for each in files]
    for output in outputs:
        check_output(output, IMAGE_SUFFIXES, inputs)
    if len({output.resolve() for output in outputs}) < len(outputs):
        raise typer.BadParameter("two results would be written to one file.")
    if model is not None:
        check_output(model, (), inputs)
    images, masks = [f.image for f in files], [f.mask for f in files]
    all_metadata = [read_axes_metadata(image, len(open_source(image).shape)) for image in images]
    others = masks if task == "inpaint" else None
    trained = _learn(task, images, others, all_metadata[0], ndim, options, model)
    for each, metadata in zip(files, all_metadata, strict=True):
        mask = None if each.mask is None else open_source(each.mask)
        _predict(trained, open_source(each.image), each.output, metadata, options, flips, mask)


def _learn(
    task: str,
    images: Sequence[Path],
    others: Sequence[Path | None] | None,
    metadata: AxesMetadata,
    ndim: int | None,
    options: dict[str, Any],
    output: Path | None,
) -> TrainedModel:
    settings = {"axes": metadata.axes, "spacing": metadata.spacing, **options}
    last = learn(images, others, output, task=task, ndim=ndim, **settings)
    finished: Finished = last[Finished]
    judged: Validated | None = last.get(Validated)
    if judged is not None:
        OUT.print(f"held-out loss {judged.loss:.4g} on {judged.pixels:,} pixels")
    say(f"Learned in {finished.step} steps, {finished.elapsed:.0f} s.", "green")
    if output is not None:
        say(f"Saved {save_model(finished.model, output)}.", "green")
    return finished.model


def _predict(
    trained: TrainedModel,
    source: Source,
    output: Path,
    metadata: AxesMetadata,
    options: dict[str, Any],
    flips: bool,
    mask: Source | None = None,
) -> None:
    from napari_unet.inference.request import Request

    names = ("device", "threads", "channel_axis", "axes", "rgb")
    settings = {"axes": metadata.axes, **{n: options[n] for n in names if n in options}}
    write_prediction(trained, source, Request(flips=flips, **settings), output, metadata, mask)


CHANGEABLE_HERE = tuple(
    name for name in CHANGEABLE if name not in ("open_ended", "keep_history", "make_way")
)


@app.command()
@with_options(TrainingOptions, names=CHANGEABLE_HERE)
def resume(
    state: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT", help="The checkpoint, as written by --checkpoint of a training."
        ),
    ],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE [OTHER]...",
            help="The images of the training in the same order, each followed by its labels, "
            "target or mask (or none), if the task has one.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model to write (.safetensors).")],
    options: dict[str, Any],
    processes: Processes = 1,
) -> None:
    """Continue an interrupted training, as if it had not been interrupted.

    The settings are those that it began with; a budget counts from its beginning.
    """
    check_output(output, (), [state, *files])
    alone = napari_unet.load_model(state).task == "denoise"
    images, others = (files, None) if alone else (files[::2], list(map(or_none, files[1::2])))
    if others is not None and len(images) != len(others):
        raise typer.BadParameter(f"{images[-1]} has no partner: give both files of each pair.")
    launch_processes(processes, options.get("device", "auto"))
    control = Control()
    events = napari_unet.resume(state, images, others, control=control, **options)
    finished: Finished = watch(events, control, output)[Finished]
    say(f"Saved {save_model(finished.model, output)} after {finished.step} steps in all.", "green")
