"""Control of a running training from another thread, and what is asked of it there."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.geometry.region import Region


@dataclass(frozen=True, slots=True)
class Viewport:
    """The part of an image that is looked at.

    Parameters
    ----------
    index : tuple of int
        Index along the looped axes.
    region : Region
        Part of the spatial axes, in voxels.
    image_index : int
        Number of the image, from 0, where several are learned from.
    """

    index: tuple[int, ...]
    region: Region
    image_index: int = 0


@dataclass(frozen=True, slots=True)
class Previewed:
    """The prediction of a segmentation for the part that is looked at.

    Parameters
    ----------
    step : int
        Steps of the training that were taken.
    view : Viewport
        The part that is looked at.
    labels : ndarray
        Label values, of the spatial shape of ``view.region``.
    unsure : ndarray
        Uncertainty of the same shape: 0 where one class is certain, 1 where two are equally
        likely.
    """

    step: int
    view: Viewport
    labels: NDArray[Any]
    unsure: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PreviewedImage:
    """The prediction of an image task for the part that is looked at.

    Parameters
    ----------
    step : int
        Steps of the training that were taken.
    view : Viewport
        The part that is looked at.
    image : ndarray
        (channel, *spatial shape of ``view.region``), in intensity units.
    """

    step: int
    view: Viewport
    image: NDArray[Any]


Question = Literal["keep", "suggest", "preview"]
"""What can be asked of a training: "keep" for a snapshot of its weights, "suggest" for the places
where labels would help most, "preview" for a preview before the next one is due."""


class Control:
    """Stops, pauses and resumes a training from another thread, and asks questions.

    The training checks it between steps, so that it reacts within a step. A stop ends a pause.

    Attributes
    ----------
    checkpoint : Path, optional
        Where the training writes checkpoints, if its options name no file: whoever records it
        sets this, in the process that trains, once there is a folder.
    left : bool
        Whether the training was stopped by `leave`.
    """

    def __init__(self) -> None:
        self.checkpoint: Path | None = None
        self.left = False
        self._stop = threading.Event()
        self._go = threading.Event()
        self._go.set()
        self._view: Viewport | None = None
        self._questions: deque[Question] = deque()

    def ask(self, question: Question) -> None:
        """Ask a question; the answer is one of the events, also during a pause."""
        self._questions.append(question)

    def asked(self) -> Question | None:
        """Return the next question, each once; None where there is no further one."""
        return self._questions.popleft() if self._questions else None

    def look(self, view: Viewport | None) -> None:
        """Ask for previews of a part of the image; None: for none."""
        self._view = view

    @property
    def view(self) -> Viewport | None:
        """The part of the image that previews are asked for; None: no previews."""
        return self._view

    def stop(self) -> None:
        """End the training after the present step; what was learned is kept."""
        self._stop.set()
        self._go.set()

    def leave(self) -> None:
        """Stop because the program ends: the record says so, and it can be gone on with."""
        self.left = True
        self.stop()

    def pause(self) -> None:
        """Pause the training before the next step."""
        self._go.clear()
        # Checked last, so that a stop in another thread at the same moment ends this pause, too.
        if self._stop.is_set():
            self._go.set()

    def resume(self) -> None:
        """End a pause."""
        self._go.set()

    @property
    def stopped(self) -> bool:
        """Whether the training was stopped."""
        return self._stop.is_set()

    @property
    def paused(self) -> bool:
        """Whether the training is paused."""
        return not self._go.is_set()

    def wait(self, timeout: float | None = None) -> float:
        """Wait for the end of a pause, at most `timeout` seconds; return the seconds waited."""
        if self._go.is_set():
            return 0.0
        began = time.monotonic()
        self._go.wait(timeout)
        return time.monotonic() - began
