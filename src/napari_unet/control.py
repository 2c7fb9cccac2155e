"""How the outside steers a loop that runs in another thread."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from napari_unet.geometry.region import Region


@dataclass(frozen=True, slots=True)
class Viewport:
    """What somebody looks at: `index` along the looped axes, `region` of the spatial ones."""

    index: tuple[int, ...]
    region: Region


class Control:
    """Stop, pause and resume, asked for in one thread and obeyed in another.

    The loop polls between steps, so all three answer within a step. Stopping ends a pause.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._go = threading.Event()
        self._go.set()
        self._view: Viewport | None = None

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

    def wait(self) -> float:
        """Wait while paused; return the seconds that took."""
        if self._go.is_set():
            return 0.0
        began = time.monotonic()
        self._go.wait()
        return time.monotonic() - began
