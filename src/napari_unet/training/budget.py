"""How long a training goes on, and what part of that goes into other things than steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from napari_unet.training.events import TrainingEvent


class Budget:
    """How far a training is, by steps or by seconds, whichever comes first."""

    def __init__(self, steps: int | None, seconds: float | None) -> None:
        self.steps, self.seconds = steps, seconds
        self.began = time.monotonic()

    def leave_out(self, seconds: float) -> None:
        """Do not count the last `seconds` (a pause)."""
        self.began += seconds

    @property
    def elapsed(self) -> float:
        """Seconds since the start, without pauses."""
        return time.monotonic() - self.began

    def progress(self, step: int) -> float:
        """Return the part of the budget that is used, 0 to 1 or more."""
        parts = [step / self.steps] if self.steps else []
        parts += [self.elapsed / self.seconds] if self.seconds else []
        return max(parts, default=0.0)

    def remaining(self, step: int) -> float | None:
        """Return the seconds left, if that can be told yet."""
        progress = self.progress(step)
        return self.elapsed * (1 - progress) / progress if progress > 0 and step > 0 else None


class TimeShare:
    """Sees that something is done now and then, and takes no more than its share of the time."""

    def __init__(
        self, budget: Budget, first: float, rest: float, share: float, growth: float = 1.0
    ) -> None:
        self.budget, self.due, self.rest, self.share = budget, first, rest, share
        self.growth = growth

    def spend(self, work: Callable[[], Iterator[TrainingEvent]]) -> Iterator[TrainingEvent]:
        """Do it if it is due; at the earliest `rest` seconds later it is due again.

        With a `growth` above 1 the intervals grow with the time that has passed.
        """
        began = self.budget.elapsed
        if began < self.due:
            return
        yield from work()
        took = self.budget.elapsed - began
        now = self.budget.elapsed
        self.due = max(now + self.rest, now + took / self.share, now * self.growth)
