"""What a training does besides its steps, each within its share of the time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from napari_unet.training.budget import Share
from napari_unet.training.events import TrainingEvent

if TYPE_CHECKING:
    from napari_unet.training.trainer import Loop

FIRST_VALIDATION, FIRST_TEST = 1.0, 20
"""Seconds and steps before there is anything to test: batch norm's statistics begin anywhere."""

FIRST_KEPT, KEPT_GROWTH = 5.0, 1.25
"""Seconds before weights are worth keeping, and how the intervals grow from there."""

VALIDATION_SHARE, PREVIEW_SHARE, KEEPING_SHARE = 0.08, 0.15, 0.03
"""Parts of the time that may go into validation, previews and keeping weights."""


class Besides:
    """Tests, shows, keeps and saves the weights now and then.

    Parameters
    ----------
    loop : Loop
        Whose weights they are; it has a budget.
    spent : float
        Seconds that an earlier part of the training took.
    """

    def __init__(self, loop: Loop, spent: float) -> None:
        self._loop, budget, every = loop, loop.budget, loop.options.checkpoint_seconds
        self._testing = Share(budget, FIRST_VALIDATION, 1.0, VALIDATION_SHARE)
        self._showing = Share(budget, 0.0, 2.0, PREVIEW_SHARE)
        self._keeping = Share(budget, FIRST_KEPT, 1.0, KEEPING_SHARE, KEPT_GROWTH)
        self._saving = Share(budget, spent + every, every, KEEPING_SHARE)

    def after_step(self) -> Iterator[TrainingEvent]:
        """Do what is due."""
        loop, options = self._loop, self._loop.options
        if options.test_every:
            if loop.step % options.test_every == 0:
                yield from loop.validate()
        elif loop.step >= FIRST_TEST:
            yield from self._testing.spend(loop.validate)
        if loop.can_show:
            yield from self._showing.spend(loop.preview)
        if options.keep_history:
            yield from self._keeping.spend(loop.keep)
        if options.checkpoint:
            yield from self._saving.spend(loop.save)
