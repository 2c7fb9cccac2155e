"""Drawing batches in a thread of its own while the network computes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from queue import Full, Queue
from threading import Event, Lock, Thread

from napari_unet.training.events import Resolved, Warned
from napari_unet.training.task import Batch

STARVED = 0.3
"""Part of the time of a step that is spent waiting for data, above which it is reported."""

RECOVERED = 0.1
"""Part below which it is reported that data arrive in time again."""

STARVATION = (
    "The network waits for data: reading and preparing patches takes longer than training on "
    "them. Faster storage, larger chunks or less augmentation would help."
)
"""The warning."""

WAITING_DECAY = 0.9
"""Decay per step of the moving average of that part."""

POLL = 0.2
"""Seconds after which the waiting thread checks whether it was closed."""


class BatchPrefetcher:
    """Draws batches in a thread, a few ahead.

    There is one thread, so that random numbers are drawn in one order. It draws while it holds
    `lock`. Whoever changes what batches are drawn from must hold the lock, too, and call
    `discard`.

    Parameters
    ----------
    draw : callable
        Takes a number of patches, returns the next batch of so many.
    ahead : int
        Batches that wait at most; 0: no thread, each batch is drawn when it is asked for.

    Attributes
    ----------
    data_starved : bool
        Whether the network waits for data, as last reported by `starvation_change`.
    """

    def __init__(self, draw: Callable[[int], Batch], ahead: int) -> None:
        self.data_starved = False
        self._draw = draw
        self._ahead = ahead
        self._lock = Lock()
        self._drawn: Queue[tuple[tuple[int, int], Batch | Exception]] = Queue(max(1, ahead))
        self._closed = Event()
        self._thread: Thread | None = None
        self._size = 0
        self._generation = 0
        self._waiting_part = 0.0
        self._last_given = 0.0

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held by the thread while it draws."""
        return self._lock

    def next(self, size: int) -> Batch:
        """Return the next batch of `size` patches.

        Raises
        ------
        Exception
            Whatever was raised when the batch was drawn.
        """
        if not self._ahead:
            return self._draw(size)
        self._size = size
        if self._thread is None:
            self._last_given = time.monotonic()
            self._thread = Thread(target=self._run, name="patches", daemon=True)
            self._thread.start()
        began = time.monotonic()
        while True:
            drawn_for, batch = self._drawn.get()
            if drawn_for == (self._generation, size):  # else it was drawn before a change
                break
        self._measure_wait(began)
        if isinstance(batch, Exception):
            raise batch
        return batch

    def discard(self) -> None:
        """Discard all batches that were drawn ahead; the caller holds `lock`."""
        self._generation += 1

    def close(self) -> None:
        """End the thread, and wait for its end."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def starvation_change(self) -> Warned | Resolved | None:
        """Return a warning if the network has begun to wait for data, or that it has ceased."""
        if not self.data_starved and self._waiting_part > STARVED:
            self.data_starved = True
            return Warned(STARVATION)
        if self.data_starved and self._waiting_part < RECOVERED:
            self.data_starved = False
            return Resolved(STARVATION)
        return None

    def _measure_wait(self, began: float) -> None:
        """Average the part of the time since the last batch that was spent waiting."""
        now = time.monotonic()
        part = (now - began) / max(now - self._last_given, 1e-9)
        self._waiting_part = WAITING_DECAY * self._waiting_part + (1 - WAITING_DECAY) * part
        self._last_given = now

    def _run(self) -> None:
        while not self._closed.is_set():
            with self._lock:
                drawn_for = (self._generation, self._size)
                try:
                    batch: Batch | Exception = self._draw(self._size)
                except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
                    batch = error
            # The lock is free now: whoever waits for it may be the one who takes the batches.
            while not self._closed.is_set():
                with suppress(Full):
                    self._drawn.put((drawn_for, batch), timeout=POLL)
                    break
