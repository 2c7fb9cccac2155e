"""Patches that are read and prepared while the network computes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from queue import Full, Queue
from threading import Event, Lock, Thread

from napari_unet.training.task import Batch

STARVING, RECOVERED = 0.3, 0.1
"""Parts of the time of a step that are spent waiting, above and below which it is told."""

MEMORY = 0.9
"""How much of the mean of that part is kept from step to step."""

POLL = 0.2
"""Seconds after which a waiting thread looks whether it is still wanted."""


class BatchPrefetcher:
    """Prepares batches in a thread of its own, a few ahead.

    One thread, so that random numbers are drawn in one order. The thread draws while it holds
    `lock`; whoever changes what is drawn from must hold it, too, and `drop` what was drawn
    before.

    Parameters
    ----------
    draw : callable
        Returns the next batch of a size.
    ahead : int
        Batches that wait at most; 0: no thread, each is drawn when it is asked for.
    """

    def __init__(self, draw: Callable[[int], Batch], ahead: int) -> None:
        self._draw, self._ahead = draw, ahead
        self._lock = Lock()
        self._ready: Queue[tuple[tuple[int, int], Batch | Exception]] = Queue(max(1, ahead))
        self._ended = Event()
        self._thread: Thread | None = None
        self._size, self._drops = 0, 0
        self._waiting, self._last, self.data_starved = 0.0, 0.0, False

    @property
    def lock(self) -> AbstractContextManager[object]:
        """What keeps the thread from drawing."""
        return self._lock

    def next(self, size: int) -> Batch:
        """Return the next batch.

        Raises
        ------
        Exception
            Whatever drawing it has raised.
        """
        if not self._ahead:
            return self._draw(size)
        self._size = size
        if self._thread is None:
            self._last = time.monotonic()
            self._thread = Thread(target=self._run, name="patches", daemon=True)
            self._thread.start()
        began = time.monotonic()
        while True:
            drawn_for, batch = self._ready.get()
            if drawn_for == (self._drops, size):  # else from before something changed
                break
        self._note(began)
        if isinstance(batch, Exception):
            raise batch
        return batch

    def drop(self) -> None:
        """Forget what was drawn ahead; the caller holds `lock`."""
        self._drops += 1

    def end(self) -> None:
        """Let the thread end, and wait for it."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def changed(self) -> str:
        """Return a sentence where the network has begun to wait for data, or no longer does."""
        if not self.data_starved and self._waiting > STARVING:
            self.data_starved = True
            return (
                "The network waits for data: reading and preparing patches takes longer than "
                "learning from them. Faster storage, larger chunks or less augmentation would help."
            )
        if self.data_starved and self._waiting < RECOVERED:
            self.data_starved = False
            return "Data arrive in time again."
        return ""

    def _note(self, began: float) -> None:
        """Remember which part of the time since the last batch was spent waiting."""
        now = time.monotonic()
        part = (now - began) / max(now - self._last, 1e-9)
        self._waiting, self._last = MEMORY * self._waiting + (1 - MEMORY) * part, now

    def _run(self) -> None:
        while not self._ended.is_set():
            with self._lock:
                wanted = (self._drops, self._size)
                try:
                    drawn: Batch | Exception = self._draw(self._size)
                except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
                    drawn = error
            # Not while it holds the lock: whoever waits for that may be who takes the batches.
            while not self._ended.is_set():
                with suppress(Full):
                    self._ready.put((wanted, drawn), timeout=POLL)
                    break
