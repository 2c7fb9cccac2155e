"""What a training tells whoever watches it: a widget, a command line, a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_unet.control import Previewed, PreviewedImage
from napari_unet.model import TrainedModel
from napari_unet.training.metrics import accuracy, dice, mean


@dataclass(frozen=True, slots=True)
class Started:
    """The training is about to take its first step.

    `steps` and `seconds` are the budget (None: none of that kind); `patch` is the input's and
    `core` the output's spatial shape in voxels; `counts` the painted pixels per class, and
    `class_values` their label values, where the output are classes; `plan` is the training's plan
    as plain JSON, see `napari_unet.tasks.plan.TrainingPlan.to_dict`.
    """

    device: str
    threads: int
    parameters: int
    steps: int | None
    seconds: float | None
    batch_size: int
    patch: tuple[int, ...]
    core: tuple[int, ...]
    class_names: tuple[str, ...]
    counts: tuple[int, ...]
    class_values: tuple[int, ...] = ()
    plan: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stepped:
    """One step was taken; times in seconds without pauses, `progress` from 0 to 1.

    Without a budget, `progress` and `remaining` are None.
    """

    step: int
    loss: float
    learning_rate: float
    elapsed: float
    remaining: float | None
    progress: float | None


@dataclass(frozen=True, slots=True)
class ClassesGrew:
    """A class was painted that was not there before; the network has learned to name it."""

    class_names: tuple[str, ...]
    counts: tuple[int, ...]
    class_values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StrokesChanged:
    """Something was painted or erased; `counts` are the painted pixels per class now."""

    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Validated:
    """The averaged weights were tested on what is held out.

    `scores` has one number per class (IoU, 0 to 1; None where the class is not held out) or one
    for the whole image; `pixels` is the number of voxels that all of it rests on. The tables
    count voxels, truth by rows and answers by columns: `confusion` what is held out, `learned`
    what the latest steps learned from (older ones fade, so those are fractions of voxels).

    `psnr` is the peak signal-to-noise ratio in dB against targets that are no noisy images, with
    what those targets span for the data range; None where there are no such targets.
    """

    step: int
    loss: float
    metric: str
    scores: tuple[float | None, ...]
    pixels: int
    confusion: tuple[tuple[int, ...], ...] = ()
    learned: tuple[tuple[float, ...], ...] = ()
    psnr: float | None = None

    @property
    def mean(self) -> float | None:
        """Mean over the classes that have a score."""
        return mean(self.scores)

    @property
    def facts(self) -> dict[str, Any]:
        """What a model says of it, as plain JSON."""
        facts: dict[str, Any] = {self.metric: self.scores} if self.scores else {}
        if self.confusion:
            facts |= {"Dice": dice(self.confusion), "accuracy": accuracy(self.confusion)}
        if self.psnr is not None:
            facts["PSNR"] = self.psnr
        return {**facts, "loss": self.loss, "pixels": self.pixels}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The averaged weights at some moment of the training, as a model ready to predict with."""

    step: int
    elapsed: float
    model: TrainedModel


@dataclass(frozen=True, slots=True)
class Suggested:
    """Where the next strokes would help most, the best place first.

    Each place is an index along the looped axes and then the spatial ones, in voxels, as in the
    labels of pair number `pair`; none where nothing was found.
    """

    pair: int
    places: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user should know, in one sentence."""

    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that was decided automatically, and why, in one sentence."""

    message: str


Kept = Snapshot
"""The former name of `Snapshot`."""

Noted = Decision
"""The former name of `Decision`."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The training ended.

    The model holds averaged weights: the last ones, or the best, as the options say. `best` are
    those with the least loss on what is held out, None where nothing was tested. The reason is
    "no gain" where `TrainingOptions.stop_after` tests brought none.
    """

    model: TrainedModel
    reason: Literal["budget", "stopped", "no gain"]
    step: int
    elapsed: float
    best: TrainedModel | None = None


TrainingEvent = (
    Started
    | Stepped
    | Validated
    | Warned
    | Decision
    | ClassesGrew
    | StrokesChanged
    | Previewed
    | PreviewedImage
    | Snapshot
    | Suggested
    | Finished
)
