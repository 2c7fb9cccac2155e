"""One folder per run: log, settings, model and a report, written while the events pass by.

- ``log.csv``: a row per step and per validation, on the disk at once;
- ``config.json``: what was set; the same for two runs that do the same;
- ``run.json``: what came of it;
- ``model.safetensors`` and, where it is told, ``best.safetensors``;
- ``report.html``: one file to show to somebody.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_unet.data.writers import write_whole
from napari_unet.model import TrainedModel
from napari_unet.runs.csv_log import CsvLog
from napari_unet.runs.pictures import RGB
from napari_unet.runs.report import report
from napari_unet.runs.state import LEFT, RunState, Sources
from napari_unet.runs.tensorboard import Board, check_tensorboard
from napari_unet.training.events import Finished, Started, TrainingEvent, Warned

LOG, CONFIG, FACTS, REPORT = "log.csv", "config.json", "run.json", "report.html"
MODEL, BEST = "model.safetensors", "best.safetensors"

Samples = Callable[[TrainedModel], Iterable[tuple[str, RGB]]]
"""Shows what a model does: captions and pictures (y, x, 3) of uint8."""

ENDS = {"budget": "finished", "no gain": "finished early: no gain"}
"""What a run is called that ended for a reason; others by the reason itself."""


def record(
    events: Iterable[TrainingEvent],
    folder: Path,
    *,
    task: str = "segment",
    options: Mapping[str, Any] | None = None,
    sources: Sources = (),
    samples: Samples | None = None,
    tensorboard: bool = False,
) -> Iterator[TrainingEvent]:
    """Keep a training in a folder of its own while its events pass by, unchanged.

    The folder is made when the training starts. Where the disk refuses, one `Warned` says so,
    and the training goes on without being recorded. Ctrl-C, errors and whoever stops listening
    leave a folder that says so.

    Parameters
    ----------
    events : iterable of TrainingEvent
        From `napari_unet.train`.
    folder : Path
        Where the folders of all runs are; made if need be.
    task : str
        What is learned.
    options : mapping, optional
        What was set, as plain JSON; by default what the model says.
    sources : sequence
        What it is learned from, for the command that makes the model again.
    samples : callable, optional
        Called once with the finished model, for the report's pictures.
    tensorboard : bool
        Also write what TensorBoard shows.

    Yields
    ------
    TrainingEvent
        Those that came in.

    Raises
    ------
    InputError
        Where TensorBoard is asked for and not installed.
    """
    if tensorboard:
        check_tensorboard()
    run = _Recorder(folder, RunState(task, options or {}, sources), samples, tensorboard)
    try:
        for event in events:
            warning = run.feed(event)
            if warning is None:
                yield event
            # Who waits for the model listens no longer once it is there.
            elif isinstance(event, Finished):
                yield from (warning, event)
            else:
                yield from (event, warning)
    except GeneratorExit:
        run.end(LEFT)
        raise
    except BaseException as error:
        run.end(f"failed: {str(error) or type(error).__name__}")
        raise
    if (warning := run.end("ended without a model")) is not None:
        yield warning


class _Recorder:
    """What is written, and that nothing more is once the disk has refused."""

    def __init__(
        self, parent: Path, story: RunState, samples: Samples | None, tensorboard: bool
    ) -> None:
        self.parent, self.story, self.samples = parent, story, samples
        self.tensorboard = tensorboard
        self.board: Board | None = None
        self.folder: Path | None = None
        self.log: CsvLog | None = None
        self.over = False

    def feed(self, event: TrainingEvent) -> Warned | None:
        """Write what an event tells; return what hindered it."""
        if self.over:
            return None
        self.story.feed(event)
        return self._tried(lambda: self._write(event))

    def end(self, status: str) -> Warned | None:
        """Write how it ended, unless that is done already; return what hindered it."""
        if self.over or self.folder is None:
            return None
        self.story.end(status)
        return self._tried(self._write_end)

    def _tried(self, write: Callable[[], None]) -> Warned | None:
        try:
            write()
        except Exception as error:  # noqa: BLE001 - a model is worth more than what is told of it
            self._close()
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            where = self.folder or self.parent
            return Warned(f"The run is not recorded any more: {where} cannot be written: {reason}.")
        return None

    def _write(self, event: TrainingEvent) -> None:
        if isinstance(event, Started) and self.folder is None:
            self._begin()
        if self.log is not None:
            self.log.feed(event)
        if self.board is not None:
            self.board.feed(event, self.story)
        if isinstance(event, Finished):
            self.story.end(ENDS.get(event.reason, event.reason))
            self._write_models(event)
            self._write_end(list(self._pictures()))

    def _begin(self) -> None:
        self.folder = new_folder(self.parent, self.story.task, self.story.began)
        self.log = CsvLog(self.folder / LOG)
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
            self.board.show(pictures, self.story.step)
        folder = self.folder
        self._close()
        if folder is not None:
            self._write_facts(folder)
            page = report(self.story, folder.name, pictures)
            write_whole(folder / REPORT, page.encode())

    def _write_facts(self, folder: Path) -> None:
        write_whole(folder / CONFIG, _json(self.story.config()))
        write_whole(folder / FACTS, _json(self.story.facts()))

    def _pictures(self) -> Iterator[tuple[str, RGB]]:
        """Let the samples be made; whatever goes wrong there is no reason to lose a model."""
        model = self.story.model
        if self.samples is None or model is None or not self.story.step:
            return
        try:
            yield from list(self.samples(model))
        except Exception as error:  # noqa: BLE001 - the function is somebody else's
            self.story.feed(Warned(f"There are no sample pictures: {error}"))

    def _close(self) -> None:
        self.over = True
        for open_ in (self.log, self.board):
            # What could not be written before cannot be flushed now.
            with contextlib.suppress(OSError):
                if open_ is not None:
                    open_.close()


def new_folder(parent: Path, task: str, began: datetime) -> Path:
    """Make a folder whose name sorts by time, and that nobody else has; return it.

    Parameters
    ----------
    parent : Path
        Where; made if need be.
    task : str
        The end of its name.
    began : datetime
        When the run began, in UTC.
    """
    parent.mkdir(parents=True, exist_ok=True)
    name, number = f"{began:%Y-%m-%dT%H-%M-%SZ}-{task}", 1
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
