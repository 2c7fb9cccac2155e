"""What happened in a training so far, gathered from its events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from statistics import fmean
from typing import Any

from napari_unet._version import __version__
from napari_unet.control import Previewed, PreviewedImage
from napari_unet.model import ClassInfo, TrainedModel
from napari_unet.runs.csv_log import unique_names
from napari_unet.tasks.provenance import Origin, provenance, with_sources
from napari_unet.training.events import (
    ClassesGrew,
    Decision,
    Finished,
    Snapshot,
    Started,
    Stepped,
    StrokesChanged,
    TrainingEvent,
    Validated,
    Warned,
)

MOST = 400
"""Points that a curve is made of, at the most."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Values in a row as one: their mean place and value, and how far they reach."""

    x: float
    y: float
    low: float
    high: float


class Curve:
    """Points of a curve, thinned as it grows: each stands for as many values in a row.

    Parameters
    ----------
    most : int
        How many points there are at the most; even.

    Examples
    --------
    >>> curve = Curve(most=4)
    >>> for x in range(8): curve.add(x, 10 * x)
    >>> [(p.x, p.y, p.low, p.high) for p in curve.points]
    [(0.5, 5.0, 0, 10), (2.5, 25.0, 20, 30), (4.5, 45.0, 40, 50), (6.5, 65.0, 60, 70)]
    """

    def __init__(self, most: int = MOST) -> None:
        self._most, self._each = most, 1
        self._whole: list[CurvePoint] = []
        self._rest: list[CurvePoint] = []

    def add(self, x: float, y: float | None) -> None:
        """Add a value; one that is missing or not finite is left out."""
        if y is None or not isfinite(y):
            return
        if len(self._whole) == self._most:
            pairs = zip(self._whole[::2], self._whole[1::2], strict=True)
            self._whole, self._each = [_as_one(pair) for pair in pairs], 2 * self._each
        self._rest.append(CurvePoint(x, y, y, y))
        if len(self._rest) >= self._each:
            self._whole.append(_as_one(self._rest))
            self._rest = []

    @property
    def points(self) -> list[CurvePoint]:
        """The points, from the first to the last."""
        return [*self._whole, *([_as_one(self._rest)] if self._rest else [])]


def smoothed(points: Sequence[CurvePoint], part: float = 0.06) -> list[tuple[float, float]]:
    """Return running means, each over so large a part of the points; few are left as they are."""
    reach = int(len(points) * part / 2)
    return [
        (point.x, fmean(p.y for p in points[max(0, k - reach) : k + reach + 1]))
        for k, point in enumerate(points)
    ]


def _as_one(points: Sequence[CurvePoint]) -> CurvePoint:
    return CurvePoint(
        fmean(p.x for p in points),
        fmean(p.y for p in points),
        min(p.low for p in points),
        max(p.high for p in points),
    )


Sources = Sequence[tuple[Origin, ...]]
"""What is learned from: images, each with what goes along; empty where that is not known."""

RUNNING, LEFT = "unfinished", "left before its end"
MOST_SAID = 100


@dataclass
class RunState:
    """What happened so far.

    Parameters
    ----------
    task : str
        What is learned.
    options : mapping
        What was set, as plain JSON.
    sources : sequence
        What it is learned from.
    began : datetime
        When, with a time zone.
    """

    task: str
    options: Mapping[str, Any] = field(default_factory=dict)
    sources: Sources = ()
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    status: str = RUNNING
    ended: datetime | None = None
    started: Started | None = None
    names: tuple[str, ...] = ()
    values: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    step: int = 0
    elapsed: float = 0.0
    loss: Curve = field(default_factory=Curve)
    rate: Curve = field(default_factory=Curve)
    held_out: Curve = field(default_factory=Curve)
    scores: list[Curve] = field(default_factory=list)
    last: Validated | None = None
    preview: Previewed | PreviewedImage | None = None
    said: list[tuple[str, str]] = field(default_factory=list)
    model: TrainedModel | None = None

    def feed(self, event: TrainingEvent) -> None:
        """Take note of an event."""
        match event:
            case Started():
                self.started = event
                self._classes(event)
            case ClassesGrew():
                self._classes(event)
            case StrokesChanged():
                self.counts = event.counts
            case Stepped():
                self.step, self.elapsed = event.step, event.elapsed
                self.loss.add(event.step, event.loss)
                self.rate.add(event.step, event.learning_rate)
            case Validated():
                self._validated(event)
            case Warned() | Decision():
                self._say("warning" if isinstance(event, Warned) else "note", event.message)
            case Previewed() | PreviewedImage():
                self.preview = event
            case Snapshot() | Finished():
                self._model(event)

    def end(self, status: str) -> None:
        """Take note of how it ended."""
        self.status, self.ended = status, datetime.now(UTC)

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes: the model's, or what is known of them without one."""
        if self.model is not None:
            return self.model.classes
        values = self.values or range(1, len(self.names) + 1)
        return tuple(map(ClassInfo, values, self.names))

    def by_class(self, numbers: Sequence[Any]) -> dict[str, Any]:
        """Return what there is one of for each class, by the names of the classes."""
        if len(numbers) != len(self.names):
            return {}
        return dict(zip(unique_names(self.names, self.values), numbers, strict=True))

    @property
    def made(self) -> dict[str, Any]:
        """How the model was made, see `provenance`; empty without one."""
        if self.model is None:
            return {}
        model = with_sources(self.model, self.sources) if self.sources else self.model
        image = self.sources[0][0] if self.sources else Origin("image")
        return provenance(model, image)

    def config(self) -> dict[str, Any]:
        """Return what was set, as plain JSON: the same for two runs that do the same."""
        facts = {} if self.model is None else self.model.training
        return _plain(
            {
                "task": self.task,
                "options": self.options or facts.get("options", {}),
                "seed": self.options.get("seed", facts.get("seed")),
                "network": self.model and self.model.config.model_dump(mode="json"),
                "classes": {str(c.value): str(c) for c in self.classes},
                "painted": self.by_class(self.counts),
                "strokes": facts.get("strokes"),
                "continued_from": facts.get("continued_from"),
                "sources": [
                    [origin.path or origin.name for origin in pair] for pair in self.sources
                ],
                "versions": facts.get("versions") or {"napari-unet-live": __version__},
            }
        )

    def facts(self) -> dict[str, Any]:
        """Return what came of it, as plain JSON."""
        started, last = self.started, self.last
        return _plain(
            {
                "format": 1,
                "task": self.task,
                "status": self.status,
                "began": self.began.isoformat(timespec="milliseconds"),
                "ended": self.ended and self.ended.isoformat(timespec="seconds"),
                "steps": self.step,
                "seconds": round(self.elapsed, 3),
                "device": started and started.device,
                "threads": started and started.threads,
                "batch_size": started and started.batch_size,
                "patch": started and started.patch,
                "parameters": started and started.parameters,
                "network": self.model and self.model.config.title,
                "held_out_loss": last and last.loss,
                "held_out_pixels": last and last.pixels,
                "metric": last and last.metric,
                "mean_score": last and last.mean,
                "psnr": last and last.psnr,
                "scores": self.by_class(last.scores) if last else {},
                "seed": self.options.get("seed"),
                "strokes": self.model and self.model.training.get("strokes"),
                "fingerprint": self.model and self.model.digest,
                "command": next(iter(self.made.get("commands", ())), None),
                "said": [f"{kind}: {message}" for kind, message in self.said],
            }
        )

    def _classes(self, event: Started | ClassesGrew) -> None:
        self.names, self.values = event.class_names, event.class_values
        self.counts = event.counts
        self.scores += [Curve() for _ in range(len(self.names) - len(self.scores))]

    def _validated(self, event: Validated) -> None:
        self.last = event
        self.held_out.add(event.step, event.loss)
        self.scores += [Curve() for _ in range(len(event.scores) - len(self.scores))]
        for curve, score in zip(self.scores, event.scores, strict=False):
            curve.add(event.step, score)

    def _model(self, event: Snapshot | Finished) -> None:
        self.model, self.elapsed = event.model, event.elapsed
        self.step = event.step

    def _say(self, kind: str, message: str) -> None:
        if (kind, message) not in self.said and len(self.said) < MOST_SAID:
            self.said.append((kind, message))


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in facts.items()}


def _plain_value(value: Any) -> Any:
    """Return the same without numbers that JSON does not know."""
    if isinstance(value, Mapping):
        return {str(k): _plain_value(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_value(v) for v in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def last_scores(story: RunState) -> Iterator[tuple[ClassInfo, str, int | None, float | None]]:
    """Iterate over the classes: class, name, painted pixels, last score."""
    scores = story.last.scores if story.last else ()
    for k, info in enumerate(story.classes):
        count = story.counts[k] if k < len(story.counts) else None
        yield info, str(info), count, scores[k] if k < len(scores) else None
