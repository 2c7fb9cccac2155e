"""The folder of a run: log, settings, model and report, written as the events arrive.

- ``log.csv``: a row per step and per validation, on the disk at once;
- ``config.json``: the settings; equal for two runs with the same settings;
- ``run.json``: the results;
- ``model.safetensors`` and, if there is a best model besides the last, ``best.safetensors``;
- ``report.html``: a report in one file;
- ``checkpoint.safetensors``: only as long as the run has not ended, to go on with it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_unet.control import Control
from napari_unet.data.writers import write_atomically
from napari_unet.model import TrainedModel
from napari_unet.runs.csv_log import CsvLog
from napari_unet.runs.pictures import RGB
from napari_unet.runs.report import report
from napari_unet.runs.state import INTERRUPTED, RunState, Sources
from napari_unet.runs.tensorboard import Board, check_tensorboard
from napari_unet.training.events import Finished, Started, TrainingEvent, Warned

LOG = "log.csv"
CONFIG = "config.json"
FACTS = "run.json"
REPORT = "report.html"
MODEL = "model.safetensors"
BEST = "best.safetensors"
CHECKPOINT = "checkpoint.safetensors"

Samples = Callable[[TrainedModel], Iterable[tuple[str, RGB]]]
"""Renders predictions of a model: yields captions and pictures, uint8 with axes (y, x, 3)."""

ENDS = {"budget": "finished", "no gain": "finished early: no gain"}
"""Status of a run by the reason of its end; other reasons are the status themselves."""


def record(
    events: Iterable[TrainingEvent],
    folder: Path,
    *,
    task: str = "segment",
    options: Mapping[str, Any] | None = None,
    sources: Sources = (),
    samples: Samples | None = None,
    tensorboard: bool = False,
    control: Control | None = None,
    resumed: Path | None = None,
) -> Iterator[TrainingEvent]:
    """Write a training run into a folder of its own, and pass its events on unchanged.

    The folder is made when the training starts. If it cannot be written, one `Warned` follows,
    and the training goes on without being recorded. After Ctrl-C, an error, or a caller that does
    not read all events, the status in the folder says so.

    Parameters
    ----------
    events : iterable of TrainingEvent
        From `napari_unet.train`.
    folder : Path
        Folder of all runs, in which this run makes its own; created if it does not exist.
    task : str
        Name of the task.
    options : mapping, optional
        Options of the training, as plain JSON; by default those in the model.
    sources : sequence
        Origins of the training data, for the command that reproduces the model.
    samples : callable, optional
        Called once with the finished model, for the pictures in the report.
    tensorboard : bool
        Also write event files for TensorBoard.
    control : Control, optional
        Of the training: it is told where to write checkpoints.
    resumed : Path, optional
        The checkpoint of another run that this one goes on with; it is moved into the new folder.

    Yields
    ------
    TrainingEvent
        The same events, and a `Warned` if the folder cannot be written.

    Raises
    ------
    InputError
        If TensorBoard is requested and not installed.
    """
    if tensorboard:
        check_tensorboard()
    run = _Recorder(folder, RunState(task, options or {}, sources), samples, tensorboard)
    run.control = control
    run.resumed = resumed
    try:
        for event in events:
            warning = run.feed(event)
            if warning is None:
                yield event
            # Callers that wait for the model stop reading at `Finished`, so the warning is first.
            elif isinstance(event, Finished):
                yield from (warning, event)
            else:
                yield from (event, warning)
    except GeneratorExit:
        run.end(INTERRUPTED)
        raise
    except BaseException as error:
        run.end(f"failed: {str(error) or type(error).__name__}")
        raise
    if (warning := run.end("ended without a model")) is not None:
        yield warning


class _Recorder:
    """Writes the files of a run; after the first error it writes nothing more."""

    def __init__(
        self, parent: Path, state: RunState, samples: Samples | None, tensorboard: bool
    ) -> None:
        self.parent = parent
        self.state = state
        self.samples = samples
        self.tensorboard = tensorboard
        self.board: Board | None = None
        self.folder: Path | None = None
        self.log: CsvLog | None = None
        self.control: Control | None = None
        self.resumed: Path | None = None
        self.closed = False

    def feed(self, event: TrainingEvent) -> Warned | None:
        """Write an event; return a warning if that is not possible."""
        if self.closed:
            return None
        self.state.feed(event)
        return self._attempt(lambda: self._write(event))

    def end(self, status: str) -> Warned | None:
        """Write the final status, once; return a warning if that is not possible."""
        if self.closed or self.folder is None:
            return None
        self.state.end(status)
        return self._attempt(self._write_end)

    def _attempt(self, write: Callable[[], None]) -> Warned | None:
        try:
            write()
        except Exception as error:  # noqa: BLE001 - a training must not fail by its record
            self._close()
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            where = self.folder or self.parent
            return Warned(
                f"The run is no longer recorded, because {where} cannot be written: {reason}."
            )
        return None

    def _write(self, event: TrainingEvent) -> None:
        if isinstance(event, Started) and self.folder is None:
            self._begin()
        if self.log is not None:
            self.log.feed(event)
        if self.board is not None:
            self.board.feed(event, self.state)
        if isinstance(event, Finished):
            if self._can_go_on():
                self.state.end(INTERRUPTED)
                self._write_end()
                return
            self.state.end(ENDS.get(event.reason, event.reason))
            self._write_models(event)
            self._write_end(list(self._pictures()))
            if self.folder is not None:
                (self.folder / CHECKPOINT).unlink(missing_ok=True)

    def _can_go_on(self) -> bool:
        """Tell whether the training was left with a checkpoint, when the program ended."""
        left = self.control is not None and self.control.left
        return left and self.folder is not None and (self.folder / CHECKPOINT).is_file()

    def _begin(self) -> None:
        self.folder = new_folder(self.parent, self.state.task, self.state.began)
        self.log = CsvLog(self.folder / LOG)
        if self.resumed is not None and self.resumed.is_file():
            shutil.move(self.resumed, self.folder / CHECKPOINT)
        if self.control is not None:
            self.control.checkpoint = self.folder / CHECKPOINT
        if self.tensorboard:
            self.board = Board(self.folder)
        self._write_facts(self.folder)

    def _write_models(self, event: Finished) -> None:
        if self.folder is None or not event.step:
            return
        event.model.save(self.folder / MODEL)
        if event.best is not None:
            event.best.save(self.folder / BEST)

    def _write_end(self, pictures: Sequence[tuple[str, RGB]] = ()) -> None:
        if self.board is not None:
            self.board.show(pictures, self.state.step)
        folder = self.folder
        self._close()
        if folder is not None:
            self._write_facts(folder)
            page = report(self.state, folder.name, pictures)
            write_atomically(folder / REPORT, page.encode())

    def _write_facts(self, folder: Path) -> None:
        write_atomically(folder / CONFIG, _json(self.state.config()))
        write_atomically(folder / FACTS, _json(self.state.facts()))

    def _pictures(self) -> Iterator[tuple[str, RGB]]:
        """Render the samples; an error becomes a warning, so that the model is saved."""
        model = self.state.model
        if self.samples is None or model is None or not self.state.step:
            return
        try:
            yield from list(self.samples(model))
        except Exception as error:  # noqa: BLE001 - any callable may be passed
            self.state.feed(Warned(f"The sample pictures could not be made: {error}"))

    def _close(self) -> None:
        self.closed = True
        for writer in (self.log, self.board):
            # Rows that could not be written are still in the buffer, and closing tries again.
            with contextlib.suppress(OSError):
                if writer is not None:
                    writer.close()


def new_folder(parent: Path, task: str, began: datetime) -> Path:
    """Make a new folder whose name begins with the time, and return it.

    Parameters
    ----------
    parent : Path
        Folder in which it is made; created if it does not exist.
    task : str
        Second part of its name.
    began : datetime
        Start of the run, in UTC.

    Returns
    -------
    Path
    """
    parent.mkdir(parents=True, exist_ok=True)
    name = f"{began:%Y-%m-%dT%H-%M-%SZ}-{task}"
    number = 1
    while True:
        folder = parent / (name if number == 1 else f"{name}-{number:02}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def _json(facts: Mapping[str, Any]) -> bytes:
    text = json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()
