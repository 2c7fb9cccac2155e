"""Steps that several commands share: train on files, and write a prediction."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import napari_unet
from napari_unet.cli import describe
from napari_unet.cli.launch import launch_processes
from napari_unet.cli.output import INTERRUPTED, follow, say, stopping_on_interrupt, times
from napari_unet.control import Control
from napari_unet.data.metadata import AxesMetadata
from napari_unet.data.source import Source
from napari_unet.data.writers import new_image
from napari_unet.device import rank_and_size
from napari_unet.errors import ModelFileError
from napari_unet.model import SUFFIX, TrainedModel
from napari_unet.runs.csv_log import logged
from napari_unet.training.events import Finished, Started, TrainingEvent

if TYPE_CHECKING:
    from napari_unet.inference.request import Request
    from napari_unet.model import TrainedModel


Runs = Annotated[
    Path | None,
    typer.Option(
        help="Folder in which a new folder with model, log, settings and report of this training "
        "is created; `napari-unet runs` compares them."
    ),
]
Board = Annotated[
    bool, typer.Option("--tensorboard", help="Write files for TensorBoard there, too.")
]


def learn(
    image: object, other: object, model: Path | None, *, processes: int = 1, **options: Any
) -> dict[type, Any]:
    """Train while a progress bar is drawn; return the last event of each kind.

    Ctrl-C ends the training and keeps its model. Of several processes that train together, only
    the first returns.

    Parameters
    ----------
    image, other : object
        Image and labels as for `napari_unet.train`.
    model : path, optional
        Where the model will be saved: a log of the training is written beside it.
    processes : int
        Number of processes that train together.
    **options
        All other arguments of `napari_unet.train`.
    """
    launch_processes(processes, options.get("device", "auto"))
    control = Control()
    if rank_and_size()[0]:
        options |= {"runs": None, "tensorboard": False}
    events = napari_unet.train(image, other, control=control, **options)
    return watch(_saying_how_read(events, options), control, model)


def _saying_how_read(
    events: Iterable[TrainingEvent], options: Mapping[str, Any]
) -> Iterator[TrainingEvent]:
    """Yield the events of a training; say how the image is read when it starts."""
    for event in events:
        yield event
        if isinstance(event, Started) and event.plan and rank_and_size()[0] == 0:
            say(describe.reading(event, options.get("axes"), rgb=bool(options.get("rgb"))))


def watch(events: Iterable[TrainingEvent], control: Control, model: Path | None) -> dict[type, Any]:
    """Draw a progress bar while a training runs, which Ctrl-C ends; see `learn`.

    Parameters
    ----------
    events : iterable of TrainingEvent
        The training.
    control : Control
        Stops it.
    model : path, optional
        Where the model will be saved.
    """
    is_main = rank_and_size()[0] == 0
    with stopping_on_interrupt(control):
        if model is not None and is_main:
            events = logged(events, model.with_name(model.name.removesuffix(SUFFIX) + ".csv"))
        last: dict[type, Any] = {type(event): event for event in follow("Training", events)}
    finished: Finished = last[Finished]
    if not finished.step:
        say("Stopped before the first step: there is nothing to save.", "red")
        raise typer.Exit(INTERRUPTED)
    if not is_main:
        raise typer.Exit
    return last


def save_model(model: TrainedModel, output: Path) -> Path:
    """Save a model that was just trained; where its folder is gone or full, save it elsewhere.

    Parameters
    ----------
    model : TrainedModel
        The model.
    output : Path
        The file to write.

    Raises
    ------
    typer.Exit
        After the model was saved in a temporary folder instead, which is said.
    ModelFileError
        Where it cannot be saved there, either.
    """
    try:
        return model.save(output)
    except ModelFileError as error:
        spare = Path(tempfile.mkdtemp(prefix="napari-unet-")) / output.name
        say(f"{error} The model is kept: {model.save(spare)}.", "red")
        raise typer.Exit(1) from error


def write_prediction(
    trained: TrainedModel,
    source: Source,
    request: Request,
    output: Path,
    metadata: AxesMetadata,
    mask: object | None = None,
) -> None:
    """Write a prediction while a progress bar is drawn; the file appears when it is complete.

    Parameters
    ----------
    trained : TrainedModel
        The model.
    source : Source
        The image.
    request : Request
        How to read the image, and what to return.
    output : Path
        The file to write.
    metadata : AxesMetadata
        The image's axes.
    mask : object, optional
        Not 0 where pixels are missing.
    """
    from napari_unet.inference.predictor import predict_events
    from napari_unet.inference.request import PredictionFinished, find_missing, find_view

    request = request.with_output(trained)
    control = Control()
    view = find_view(trained, source, request)
    find_missing(trained, view, mask)
    result = describe.result_spec(trained, view, metadata, request.output)
    with stopping_on_interrupt(control), new_image(output, result) as target:
        events = predict_events(trained, source, request, mask=mask, out=target, control=control)
        for event in follow("Predicting", events):
            for message in event.warnings if isinstance(event, PredictionFinished) else ():
                say(f"Warning: {message}", "yellow")
        if control.stopped:
            say("Stopped: nothing was written.", "red")
            raise typer.Exit(INTERRUPTED)
    say(f"Wrote {output}: {times(result.shape)}, {result.dtype}.", "green")
