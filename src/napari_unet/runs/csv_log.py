"""The log of a training as a CSV table.

It has one row per step and one per validation, each written to disk at once. The columns of the
classes come last, because classes can be added during a training.
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
"""Columns of every log; a column ``score: NAME`` per class follows."""

_TAIL = 4096
"""Number of bytes at the end of a log that are searched for its last step."""


class CsvLog:
    """Writer of a log, fed with the events of a training.

    Parameters
    ----------
    path : Path
        The file. It is created at the first event that is logged, and replaces an older one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None
        self._classes: tuple[str, ...] = ()
        self._elapsed = 0.0

    def feed(self, event: TrainingEvent) -> None:
        """Write the row of an event, if it has one.

        Raises
        ------
        OSError
            If the file cannot be written.
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
                self._write(*_validation_row(event, self._elapsed))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _begin(self, classes: tuple[str, ...]) -> None:
        """Write the header row for these classes; rows that are already written stay below it."""
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
    """Write a log of a training, and pass its events on unchanged.

    A file of that name is replaced only if it is a log; otherwise, and if the file cannot be
    written, no log is written and one `Warned` follows.

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
            failure = ""
            if log is not None and isinstance(event, Started) and not _is_log(path):
                log = None
                failure = "there is another file of that name"
            if log is not None:
                failure = _feed(log, event)
                if failure:
                    _close(log)
                    log = None
            yield event
            if failure:
                yield Warned(f"No log is written to {path}: {failure}.")
    finally:
        if log is not None:
            _close(log)


def last_step(path: Path) -> tuple[int, float] | None:
    """Return the last step in a log and its time in seconds; None if there is none."""
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
        except (ValueError, IndexError):  # the header, or an incomplete line
            continue
    return None


def unique_names(names: Sequence[str], values: Sequence[int]) -> tuple[str, ...]:
    """Return unique names of classes, by adding the label value to names that recur.

    Parameters
    ----------
    names : sequence of str
        Names of the classes.
    values : sequence of int
        Their label values; 1, 2, … are used if there are not as many as names.

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


def _feed(log: CsvLog, event: TrainingEvent) -> str:
    """Write an event; return the error message, or nothing."""
    try:
        log.feed(event)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _close(log: CsvLog) -> None:
    """Close a log; rows that could not be written are still buffered, and fail again."""
    with suppress(OSError):
        log.close()


def _is_log(path: Path) -> bool:
    """Return whether a path is free or holds a log, so that a log may be written there."""
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


def _validation_row(event: Validated, elapsed: float) -> tuple[object, ...]:
    scores = [_digits(s) for s in event.scores]
    return (
        event.step,
        f"{elapsed:.3f}",
        "",
        "",
        _digits(event.loss),
        event.pixels,
        event.metric,
        _digits(event.mean),
        _digits(accuracy(event.confusion)),
        _digits(event.psnr),
        *scores,
    )


def _digits(number: float | None) -> str:
    return "" if number is None else f"{number:.6g}"
