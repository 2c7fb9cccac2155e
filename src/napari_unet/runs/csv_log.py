"""The log of a training as a table that any spreadsheet opens.

One row per step and one per validation, each on the disk as soon as it is known. The columns of
the classes come last, for classes may be painted that were not there before.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from napari_unet.training.events import (
    ClassesGrew,
    Started,
    Stepped,
    TrainingEvent,
    Validated,
    Warned,
)
from napari_unet.training.metrics import accuracy

COLUMNS = (
    "step", "seconds", "loss", "learning_rate",
    "held_out_loss", "held_out_pixels", "metric", "mean_score", "accuracy", "psnr",
)  # fmt: skip
"""What every log has; a column ``score: NAME`` per class follows."""

_TAIL = 4096


class CsvLog:
    """A log that is written while the events of a training pass by.

    Parameters
    ----------
    path : Path
        The file; made at the first event that tells something, an older one is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None
        self._classes: tuple[str, ...] = ()
        self._elapsed = 0.0

    def feed(self, event: TrainingEvent) -> None:
        """Write what an event tells.

        Raises
        ------
        OSError
            Where it cannot be written.
        """
        match event:
            case Started() | ClassesGrew():
                names = unique_names(event.class_names, event.class_values)
                self._begin(tuple(f"score: {name}" for name in names))
            case Stepped():
                self._elapsed = event.elapsed
                self._write(
                    event.step, f"{event.elapsed:.3f}", _digits(event.loss),
                    _digits(event.learning_rate),
                )  # fmt: skip
            case Validated():
                self._write(*_validated(event, self._elapsed))

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _begin(self, classes: tuple[str, ...]) -> None:
        """Write the heads of the columns; what was written already stays below them."""
        if self._file is not None and classes == self._classes:
            return
        rows = list(_rows(self.path)) if self._file is not None else []
        self.close()
        new = self.path.with_name(f".{self.path.name}.new")
        with new.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([(*COLUMNS, *classes), *rows[1:]])
        new.replace(self.path)
        self._file = self.path.open("a", encoding="utf-8", newline="")
        self._classes = classes

    def _write(self, *row: object) -> None:
        if self._file is None:
            self._begin(self._classes)
        assert self._file is not None
        width = len(COLUMNS) + len(self._classes)
        csv.writer(self._file).writerow((*row, *("",) * (width - len(row))))
        self._file.flush()


def logged(events: Iterable[TrainingEvent], path: Path) -> Iterator[TrainingEvent]:
    """Write a log while the events of a training pass by, unchanged.

    A file of that name is replaced if it is such a log; any other stays as it is, and one
    `Warned` says so, as it does where the disk refuses.

    Parameters
    ----------
    events : iterable of TrainingEvent
        From `napari_unet.train`.
    path : Path
        The file.
    """
    log: CsvLog | None = CsvLog(path)
    try:
        for event in events:
            said = ""
            if log is not None and isinstance(event, Started) and not _is_log(path):
                log, said = None, "there is another file of that name"
            if log is not None:
                said = _tried(log, event)
                if said:
                    _let_go(log)
                    log = None
            yield event
            if said:
                yield Warned(f"No log is written to {path}: {said}.")
    finally:
        if log is not None:
            _let_go(log)


def last_step(path: Path) -> tuple[int, float] | None:
    """Return the last step that a log tells of, and its seconds; None where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    for row in csv.reader(reversed(lines)):
        try:
            return int(row[0]), float(row[1])
        except (ValueError, IndexError):  # the head, or a line that was cut off
            continue
    return None


def unique_names(names: Sequence[str], values: Sequence[int]) -> tuple[str, ...]:
    """Return the names of classes; where two have one name, their labels tell them apart.

    Examples
    --------
    >>> unique_names(("a", "b", "a"), (1, 2, 5))
    ('a (label 1)', 'b', 'a (label 5)')
    """
    labels = values if len(values) == len(names) else range(1, 1 + len(names))
    return tuple(
        f"{name} (label {value})" if names.count(name) > 1 else name
        for name, value in zip(names, labels, strict=True)
    )


def _tried(log: CsvLog, event: TrainingEvent) -> str:
    """Write; return what hindered it."""
    try:
        log.feed(event)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _let_go(log: CsvLog) -> None:
    """Close a log; what could not be written before cannot be flushed now."""
    with suppress(OSError):
        log.close()


def _is_log(path: Path) -> bool:
    """Tell whether nothing is lost when a log is written there."""
    try:
        first = next(_rows(path), [])
    except FileNotFoundError:
        return True
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return tuple(first[: len(COLUMNS)]) == COLUMNS


def _rows(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.reader(file)


def _validated(event: Validated, elapsed: float) -> tuple[object, ...]:
    scores = [_digits(s) for s in event.scores]
    mean, right, psnr = map(_digits, (event.mean, accuracy(event.confusion), event.psnr))
    loss = _digits(event.loss)
    head = event.step, f"{elapsed:.3f}", "", "", loss, event.pixels, event.metric
    return (*head, mean, right, psnr, *scores)


def _digits(number: float | None) -> str:
    return "" if number is None else f"{number:.6g}"
