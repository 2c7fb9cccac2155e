"""What a run shows in the terminal: the same events as the panel."""

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
from napari_unet.inference.request import PredictionEvent, PredictionStarted, TileDone
from napari_unet.training.advice import Adviser
from napari_unet.training.events import Decision, Started, Stepped, TrainingEvent, Validated, Warned

INTERRUPTED = 130
"""Exit status of a program that Ctrl-C ended."""

OUT = Console(highlight=False)
ERR = Console(stderr=True, highlight=False)

Event = TypeVar("Event", bound=TrainingEvent | PredictionEvent)


def say(message: str, style: str = "") -> None:
    """Write one line to stderr, where it does not mix with results."""
    ERR.print(Text(message, style=style), soft_wrap=True)


def follow(title: str, events: Iterable[Event]) -> Iterator[Event]:
    """Draw a progress bar while the events of a training or a prediction pass by.

    What would help a training is said as it shows.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[loss]}", style="cyan"),
        TextColumn("{task.fields[score]}", style="green"),
    )
    iterator, adviser = iter(events), Adviser()
    # Bad input is found here, before anything is drawn.
    first = list(islice(iterator, 1))
    with Progress(*columns, console=ERR) as bar:
        task = bar.add_task(title, total=1.0, left="", loss="", score="")
        for event in chain(first, iterator):
            _draw(bar, task, event)
            for advice in adviser.feed(event):
                say(advice.message, "yellow" if advice.kind == "warning" else "cyan")
            yield event


def _draw(bar: Progress, task: TaskID, event: TrainingEvent | PredictionEvent) -> None:
    match event:
        case Started():
            net = f"{event.parameters:,} parameters, patches of {times(event.patch)}"
            say(f"Training on {event.device}, {event.threads} threads: {net}.")
        case Warned():
            say(f"Warning: {event.message}", "yellow")
        case Decision():
            say(event.message, "cyan")
        case Stepped():
            left, loss = _time_left(event.remaining), f"loss {event.loss:.3f}"
            bar.update(task, completed=event.progress, left=left, loss=loss)
        case Validated() if event.mean is not None:
            bar.update(task, score=f"{event.metric} {event.mean:.3f}")
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
    """Let the first Ctrl-C ask for an orderly end; a second one ends at once."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        control.stop()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def times(shape: Iterable[object]) -> str:
    """Return a shape for people: ``176 x 176``."""
    return " x ".join(map(str, shape))


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{timedelta(seconds=max(0, round(seconds)))} left"
