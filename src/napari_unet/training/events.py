"""What a training tells whoever watches it: a widget, a command line, a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.control import Viewport
from napari_unet.model import TrainedModel


@dataclass(frozen=True, slots=True)
class Started:
    """The training is about to take its first step.

    `steps` and `seconds` are the budget (None: none of that kind); `patch` is the input's and
    `core` the output's spatial shape in voxels; `counts` the painted pixels per class.
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


@dataclass(frozen=True, slots=True)
class Previewed:
    """What the averaged weights say of the part that is looked at.

    `labels` are label values and `unsure` goes from 0 (one class is certain) to 1 (two are
    equally likely), both of the spatial shape of ``view.region``.
    """

    step: int
    view: Viewport
    labels: NDArray[Any]
    unsure: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Validated:
    """The averaged weights were tested on what is held out.

    `scores` has one number per class (IoU, 0 to 1; None where the class is not held out) or one
    for the whole image; `pixels` is the number of voxels that all of it rests on.
    """

    step: int
    loss: float
    metric: str
    scores: tuple[float | None, ...]
    pixels: int

    @property
    def mean(self) -> float | None:
        """Mean over the classes that have a score."""
        known = [s for s in self.scores if s is not None]
        return sum(known) / len(known) if known else None


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user should know, in one sentence."""

    message: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The training ended; the model holds the averaged weights."""

    model: TrainedModel
    reason: Literal["budget", "stopped"]
    step: int
    elapsed: float


TrainingEvent = Started | Stepped | Validated | Warned | ClassesGrew | Previewed | Finished
