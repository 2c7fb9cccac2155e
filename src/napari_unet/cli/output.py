"""Output in the terminal: messages, and the progress of trainings and predictions."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain, islice
from types import FrameType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.text import Text

from napari_unet.control import Control
from napari_unet.display import score_text
from napari_unet.inference.request import PredictionEvent, PredictionStarted, TileDone
from napari_unet.training.advice import Adviser
from napari_unet.training.events import (
    Decision,
    Preparing,
    Started,
    Stepped,
    TrainingEvent,
    Validated,
    Warned,
)

INTERRUPTED = 130
"""Exit status of a program that was ended by Ctrl-C."""

OUT = Console(highlight=False)
"""Standard output, for results."""

ERR = Console(stderr=True, highlight=False)
"""Standard error, for messages and progress."""

Event = TypeVar("Event", bound=TrainingEvent | PredictionEvent)


def say(message: str, style: str = "") -> None:
    """Write a message to standard error.

    Parameters
    ----------
    message : str
        One line.
    style : str
        Style of rich, such as a colour.
    """
    ERR.print(Text(message, style=style), soft_wrap=True)


def follow(title: str, events: Iterable[Event]) -> Iterator[Event]:
    """Show a progress bar for the events of a training or a prediction, and advice.

    Parameters
    ----------
    title : str
        Text before the bar.
    events : iterable
        Events of a training or a prediction.

    Yields
    ------
    event
        The same events.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[loss]}", style="cyan"),
        TextColumn("{task.fields[score]}", style="green"),
    )
    iterator = iter(events)
    adviser = Adviser()
    # Errors in the input are raised here, before the bar is drawn.
    first: list[Event] = []
    while not first or isinstance(first[-1], Preparing):
        following = list(islice(iterator, 1))
        if not following:
            break
        first += following
    with Progress(*columns, console=ERR) as bar:
        task = bar.add_task(title, total=1.0, left="", loss="", score="")
        for event in chain(first, iterator):
            _draw(bar, task, event)
            for advice in adviser.feed(event):
                say(advice.message, "yellow" if advice.kind == "warning" else "cyan")
            yield event


def _draw(bar: Progress, task: TaskID, event: TrainingEvent | PredictionEvent) -> None:
    match event:
        case Preparing() if event.progress is not None:
            bar.update(task, completed=event.progress)
        case Started():
            net = f"{event.parameters:,} parameters, patches of {times(event.patch)}"
            say(f"Training on {event.device}, {event.threads} threads: {net}.")
        case Warned():
            say(f"Warning: {event.message}", "yellow")
        case Decision():
            say(event.message, "cyan")
        case Stepped():
            left = _time_left(event.remaining)
            loss = f"loss {event.loss:.3f}"
            bar.update(task, completed=event.progress, left=left, loss=loss)
        case Validated() if event.scores:
            bar.update(task, score=f"{event.metric} {score_text(event.mean, 3)}")
        case Validated() if event.psnr is not None:
            bar.update(task, score=f"PSNR {event.psnr:.1f} dB")
        case PredictionStarted():
            tiles = f"{event.tiles} tiles of {times(event.tile_shape)}"
            say(f"Predicting on {event.device}: {tiles}.")
        case TileDone():
            left = _time_left(event.remaining)
            bar.update(task, completed=event.done / event.tiles, left=left)


@contextmanager
def stopping_on_interrupt(control: Control) -> Iterator[None]:
    """Context manager in which the first Ctrl-C stops `control`; a second one ends the program."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        control.stop()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def times(shape: Iterable[object]) -> str:
    """Return a shape as text, such as ``176 x 176``."""
    return " x ".join(map(str, shape))


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{timedelta(seconds=max(0, round(seconds)))} left"
