"""The time and steps that a training may take, and the share of it that goes into other things."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from napari_unet.training.events import TrainingEvent

FIRST_VALIDATION = 1.0
"""Seconds before the first validation."""

VALIDATION_SHARE = 0.08
"""Part of the time that may go into validation."""

PREVIEW_SHARE = 0.15
"""Part of the time that may go into previews."""

PREVIEW_INTERVAL = 2.0
"""Seconds from one preview to the next, at least."""

FIRST_SNAPSHOT = 5.0
"""Seconds before the first snapshot: earlier weights are not worth looking back at."""

SNAPSHOT_GROWTH = 1.25
"""Ratio of the times of two snapshots, at least: their intervals grow as the training goes on."""

SAVING_SHARE = 0.03
"""Part of the time that may go into snapshots, and into checkpoints."""


class Budget:
    """The steps or seconds that a training may take, whichever are used up first.

    The clock runs from the creation on.

    Parameters
    ----------
    steps : int, optional
        Steps in all; None: no limit.
    seconds : float, optional
        Seconds in all, without pauses; None: no limit.
    """

    def __init__(self, steps: int | None, seconds: float | None) -> None:
        self.steps = steps
        self.seconds = seconds
        self.start()

    def start(self, elapsed: float = 0.0) -> None:
        """Start the clock, at the `elapsed` seconds that an earlier part of the training took."""
        self._began = time.monotonic() - elapsed

    def exclude(self, seconds: float) -> None:
        """Do not count the last `seconds`: they were a pause."""
        self._began += seconds

    @property
    def elapsed(self) -> float:
        """Seconds since the start, without pauses."""
        return time.monotonic() - self._began

    def progress(self, step: int) -> float:
        """Return the part of the budget that is used after `step` steps: 0 to 1, or more."""
        parts = [step / self.steps] if self.steps else []
        parts += [self.elapsed / self.seconds] if self.seconds else []
        return max(parts, default=0.0)

    def remaining(self, step: int) -> float | None:
        """Return the expected seconds to the end; None before the first step, or without an end."""
        progress = self.progress(step)
        return self.elapsed * (1 - progress) / progress if progress > 0 and step > 0 else None


class TimeShare:
    """The schedule of an action that may take no more than a share of the time.

    Parameters
    ----------
    budget : Budget
        Whose clock counts.
    first : float
        Seconds before the action is due for the first time.
    interval : float
        Seconds from one end of the action to when it is due again, at least.
    share : float
        Part of the time that the action may take; the slower it is, the rarer it becomes.
    growth : float
        Ratio of the times of one end and the next beginning, at least; above 1 the intervals
        grow with the time that has passed.
    """

    def __init__(
        self, budget: Budget, first: float, interval: float, share: float, growth: float = 1.0
    ) -> None:
        self.budget = budget
        self.due = first
        self.interval = interval
        self.share = share
        self.growth = growth

    def run(self, action: Callable[[], Iterator[TrainingEvent]]) -> Iterator[TrainingEvent]:
        """Carry the action out if it is due, and set the time when it is due again."""
        began = self.budget.elapsed
        if began < self.due:
            return
        yield from action()
        took = self.budget.elapsed - began
        now = self.budget.elapsed
        self.due = max(now + self.interval, now + took / self.share, now * self.growth)


class PeriodicActions:
    """What a trainer does between its steps, and when each of it is due.

    Parameters
    ----------
    budget : Budget
        Of the training; its clock has started.
    checkpoint_interval : float
        Seconds from one checkpoint to the next.
    first_checkpoint : float, optional
        Seconds from now to the first one; by default as many.

    Attributes
    ----------
    validation, preview, snapshot, checkpoint : TimeShare
        The schedules.
    """

    def __init__(
        self, budget: Budget, checkpoint_interval: float, first_checkpoint: float | None = None
    ) -> None:
        wait = checkpoint_interval if first_checkpoint is None else first_checkpoint
        self.validation = TimeShare(budget, FIRST_VALIDATION, 1.0, VALIDATION_SHARE)
        self.preview = TimeShare(budget, 0.0, PREVIEW_INTERVAL, PREVIEW_SHARE)
        self.snapshot = TimeShare(budget, FIRST_SNAPSHOT, 1.0, SAVING_SHARE, SNAPSHOT_GROWTH)
        first = budget.elapsed + wait
        self.checkpoint = TimeShare(budget, first, checkpoint_interval, SAVING_SHARE)
