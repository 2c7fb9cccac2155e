"""How the outside steers a loop that runs in another thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.geometry.region import Region


@dataclass(frozen=True, slots=True)
class Viewport:
    """What somebody looks at: `index` along the looped axes, `region` of the spatial ones.

    `pair` is the number of the image, from 0, where several are learned from together.
    """

    index: tuple[int, ...]
    region: Region
    pair: int = 0


@dataclass(frozen=True, slots=True)
class Previewed:
    """What weights say of the part that is looked at.

    `labels` are label values and `unsure` goes from 0 (one class is certain) to 1 (two are
    equally likely), both of the spatial shape of ``view.region``.
    """

    step: int
    view: Viewport
    labels: NDArray[Any]
    unsure: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PreviewedImage:
    """What weights make of the part that is looked at, where the result is an image.

    `image` has shape (channel, *spatial of ``view.region``) and is in intensity units.
    """

    step: int
    view: Viewport
    image: NDArray[Any]


Question = Literal["keep", "suggest", "preview"]
"""What can be asked of a training: its weights as they are, where a stroke would help most, or a
preview that does not wait until one is due."""


class Control:
    """Stop, pause and resume, asked for in one thread and obeyed in another.

    The loop polls between steps, so all three answer within a step. Stopping ends a pause.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._go = threading.Event()
        self._go.set()
        self._view: Viewport | None = None
        self._questions: deque[Question] = deque()

    def ask(self, question: Question) -> None:
        """Ask something; the answer comes among the events, during a pause as well."""
        self._questions.append(question)

    def asked(self) -> Question | None:
        """Return what was asked and is not answered yet, each question once; None for nothing."""
        return self._questions.popleft() if self._questions else None

    def look(self, view: Viewport | None) -> None:
        """Ask for previews of a part of the image; None for none."""
        self._view = view

    @property
    def view(self) -> Viewport | None:
        """What previews are wanted of, if any."""
        return self._view

    def stop(self) -> None:
        """Ask the loop to end; what it has so far is kept."""
        self._stop.set()
        self._go.set()

    def pause(self) -> None:
        """Ask the loop to wait before its next step."""
        self._go.clear()
        # Looked at last, so that a stop at the same moment is not waited upon for ever.
        if self._stop.is_set():
            self._go.set()

    def resume(self) -> None:
        """Let the loop go on."""
        self._go.set()

    @property
    def stopped(self) -> bool:
        """Whether the loop was asked to end."""
        return self._stop.is_set()

    @property
    def paused(self) -> bool:
        """Whether the loop was asked to wait."""
        return not self._go.is_set()

    def wait(self, timeout: float | None = None) -> float:
        """Wait while paused, at most so many seconds; return the seconds that took."""
        if self._go.is_set():
            return 0.0
        began = time.monotonic()
        self._go.wait(timeout)
        return time.monotonic() - began
