"""The events of a training, for whoever follows it: a widget, a command line, a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_unet.control import Previewed, PreviewedImage
from napari_unet.model import TrainedModel
from napari_unet.training.metrics import accuracy, dice, mean


@dataclass(frozen=True, slots=True)
class Preparing:
    """What is done before the training starts, as it may take a while; it ends with the next event.

    `progress` is the part of it that is done, 0 to 1; None where that is not known.
    """

    message: str
    progress: float | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The training is about to take its first step.

    `steps` and `seconds` are the budget (None: no limit); `patch` is the spatial shape of the
    network's input and `core` that of its output in voxels; `counts` are the labelled pixels per
    class, and `class_values` the label values of the classes; both are empty where the output is
    an image. `plan` is the training's plan as plain JSON, see
    `napari_unet.tasks.plan.TrainingPlan.to_dict`.
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
    """One step was taken.

    `elapsed` and `remaining` are seconds without pauses; `progress` is the part of the budget
    that is used, 0 to 1. Without a budget, `progress` and `remaining` are None.
    """

    step: int
    loss: float
    learning_rate: float
    elapsed: float
    remaining: float | None
    progress: float | None


@dataclass(frozen=True, slots=True)
class ClassesGrew:
    """A label was painted that is a new class; the network has an output for it now."""

    class_names: tuple[str, ...]
    counts: tuple[int, ...]
    class_values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StrokesChanged:
    """Labels were painted or erased; `counts` are the labelled pixels per class now."""

    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Validated:
    """The averaged weights were validated on what is held out.

    `scores` has one number per class (IoU, 0 to 1; None where too little of the class is held out);
    `pixels` is the number of held-out voxels. The tables count voxels, true classes by rows and
    predicted ones by columns: `confusion` of what is held out, `learned` of what the latest steps
    learned from (a moving average, so its numbers are fractions).

    `psnr` is the peak signal-to-noise ratio in dB, where targets are free of noise: the range of
    the targets is taken for the peak. None where there are no such targets.
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
        """Mean over the classes that have a score; None where these are too few to tell."""
        return mean(self.scores)

    @property
    def facts(self) -> dict[str, Any]:
        """What is stored of it in a model, as plain JSON."""
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
    """Where more labels would help most, the best place first.

    Each place is an index along the looped axes and then the spatial ones, in voxels, into the
    labels of image number `image_index`, from 0; empty where no place was found. `unsure` has for
    each place the label values of the two classes that the network is unsure between there, or
    None where the place was chosen because it is unlike everything labelled.
    """

    image_index: int
    places: tuple[tuple[int, ...], ...]
    unsure: tuple[tuple[int, int] | None, ...] = ()

    @property
    def pair(self) -> int:
        """The former name of `image_index`."""
        return self.image_index


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user should know, in one sentence."""

    message: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a `Warned` of before said holds no longer; it has the message of that one."""

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

    The model holds averaged weights: the last or the best, as the options say. `best` has those
    with the least validation loss; None where nothing was validated. The reason is "no gain"
    where `TrainingOptions.stop_after` validations in a row brought no improvement.
    """

    model: TrainedModel
    reason: Literal["budget", "stopped", "no gain"]
    step: int
    elapsed: float
    best: TrainedModel | None = None


TrainingEvent = (
    Preparing
    | Started
    | Stepped
    | Validated
    | Warned
    | Resolved
    | Decision
    | ClassesGrew
    | StrokesChanged
    | Previewed
    | PreviewedImage
    | Snapshot
    | Suggested
    | Finished
)
