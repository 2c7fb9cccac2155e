"""The state of a training run, gathered from its events."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import psutil

from napari_unet._version import __version__
from napari_unet.control import Previewed, PreviewedImage
from napari_unet.model import ClassInfo, TrainedModel
from napari_unet.runs.csv_log import unique_names
from napari_unet.runs.curve import Curve
from napari_unet.tasks.provenance import Origin, with_sources
from napari_unet.tasks.provenance import provenance as model_provenance
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

Sources = Sequence[tuple[Origin, ...]]
"""Training data: per image its origin and those of its labels or target; empty if unknown."""

RUNNING = "unfinished"
"""Status of a run that is going on, or whose process was ended."""

INTERRUPTED = "left before its end"
"""Status of a run whose events were not read to the end."""

BUDGETS = ("seconds", "steps")
"""Options that limit a training."""

MAX_MESSAGES = 100
"""Greatest number of warnings and notes that are kept."""


@dataclass
class RunState:
    """What is known of a run so far.

    Parameters
    ----------
    task : str
        Name of the task.
    options : mapping
        Options of the training, as plain JSON.
    sources : sequence
        Origins of the training data.
    began : datetime
        Start of the run, with a time zone.
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
    messages: list[tuple[str, str]] = field(default_factory=list)
    model: TrainedModel | None = None

    def feed(self, event: TrainingEvent) -> None:
        """Update the state by an event."""
        match event:
            case Started():
                self.started = event
                self._set_classes(event)
            case ClassesGrew():
                self._set_classes(event)
            case StrokesChanged():
                self.counts = event.counts
            case Stepped():
                self.step = event.step
                self.elapsed = event.elapsed
                self.loss.append(event.step, event.loss)
                self.rate.append(event.step, event.learning_rate)
            case Validated():
                self._add_validation(event)
            case Warned() | Decision():
                self._add_message("warning" if isinstance(event, Warned) else "note", event.message)
            case Previewed() | PreviewedImage():
                self.preview = event
            case Snapshot() | Finished():
                self._set_model(event)

    def end(self, status: str) -> None:
        """Set the final status, and the time of the end."""
        self.status = status
        self.ended = datetime.now(UTC)

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes of the model, or without one those that the events named."""
        if self.model is not None:
            return self.model.classes
        values = self.values or range(1, len(self.names) + 1)
        return tuple(map(ClassInfo, values, self.names))

    def by_class(self, numbers: Sequence[Any]) -> dict[str, Any]:
        """Return numbers, one per class, by the unique names of the classes."""
        if len(numbers) != len(self.names):
            return {}
        return dict(zip(unique_names(self.names, self.values), numbers, strict=True))

    @property
    def provenance(self) -> dict[str, Any]:
        """How the model was made, see `tasks.provenance.provenance`; empty without a model."""
        if self.model is None:
            return {}
        model = with_sources(self.model, self.sources) if self.sources else self.model
        image = self.sources[0][0] if self.sources else Origin("image")
        return model_provenance(model, image)

    def config(self) -> dict[str, Any]:
        """Return the settings as plain JSON; two runs with the same settings give the same."""
        facts = {} if self.model is None else self.model.training
        return _plain(
            {
                "task": self.task,
                "options": _without_unused_budgets(self.options or facts.get("options", {})),
                "seed": self.options.get("seed", facts.get("seed")),
                "network": self.model and self.model.config.model_dump(mode="json"),
                "classes": {str(c.value): str(c) for c in self.classes},
                "painted": self.by_class(self.counts),
                "strokes": facts.get("strokes"),
                "continued_from": facts.get("continued_from"),
                "sources": [
                    [origin.path or origin.name for origin in item] for item in self.sources
                ],
                "versions": facts.get("versions") or {"napari-unet-live": __version__},
            }
        )

    def facts(self) -> dict[str, Any]:
        """Return the results as plain JSON."""
        started = self.started
        last = self.last
        return _plain(
            {
                "format": 1,
                "task": self.task,
                "status": self.status,
                "began": self.began.isoformat(timespec="milliseconds"),
                "ended": self.ended and self.ended.isoformat(timespec="seconds"),
                "steps": self.step,
                "seconds": round(self.elapsed, 3),
                "process": _this_process(),
                "layers": [
                    [part.name for origin in item for part in origin.channels or (origin,)]
                    for item in self.sources
                ],
                "device": started and started.device,
                "threads": started and started.threads,
                "batch_size": started and started.batch_size,
                "patch": started and started.patch,
                "parameters": started and started.parameters,
                "plan": dict(started.plan) if started else None,
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
                "command": next(iter(self.provenance.get("commands", ())), None),
                "said": [f"{kind}: {message}" for kind, message in self.messages],
            }
        )

    def _set_classes(self, event: Started | ClassesGrew) -> None:
        self.names = event.class_names
        self.values = event.class_values
        self.counts = event.counts
        self.scores += [Curve() for _ in range(len(self.names) - len(self.scores))]

    def _add_validation(self, event: Validated) -> None:
        self.last = event
        self.held_out.append(event.step, event.loss)
        self.scores += [Curve() for _ in range(len(event.scores) - len(self.scores))]
        for curve, score in zip(self.scores, event.scores, strict=False):
            curve.append(event.step, score)

    def _set_model(self, event: Snapshot | Finished) -> None:
        self.model = event.model
        self.elapsed = event.elapsed
        self.step = event.step

    def _add_message(self, kind: str, message: str) -> None:
        if (kind, message) not in self.messages and len(self.messages) < MAX_MESSAGES:
            self.messages.append((kind, message))


def _without_unused_budgets(options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out budgets that were not set; what was trained is among the results."""
    return {k: v for k, v in options.items() if not (k in BUDGETS and v is None)}


def _this_process() -> list[float]:
    """Return what tells the process that trains from all others, at any time: id and start."""
    return [os.getpid(), psutil.Process().create_time()]


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in facts.items()}


def _plain_value(value: Any) -> Any:
    """Return a value as JSON can hold it: NaN and infinities become None."""
    if isinstance(value, Mapping):
        return {str(k): _plain_value(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_value(v) for v in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def last_scores(state: RunState) -> Iterator[tuple[ClassInfo, str, int | None, float | None]]:
    """Yield for each class: class, name, number of painted pixels, last score."""
    scores = state.last.scores if state.last else ()
    for k, info in enumerate(state.classes):
        count = state.counts[k] if k < len(state.counts) else None
        yield info, str(info), count, scores[k] if k < len(scores) else None
