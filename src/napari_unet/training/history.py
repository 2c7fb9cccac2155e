"""The moments of a training that one can go back to."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import inf, log1p
from typing import Any

from napari_unet.model import TrainedModel
from napari_unet.training.events import Kept
from napari_unet.training.metrics import mean

MAX_ITEMS, MAX_BYTES = 40, 256 * 2**20


@dataclass(frozen=True, slots=True)
class Grade:
    """How good a model was on the voxels held out from its training.

    `score` is the mean over the classes (None: the task has no score), `loss` the validation
    loss, and `ground` says what both rest on: grades on unlike ground cannot be compared.
    """

    metric: str
    score: float | None
    loss: float
    ground: tuple[Any, ...]

    @classmethod
    def of(cls, model: TrainedModel) -> Grade | None:
        """Read it from how the model was made; None where nothing was held out."""
        found = model.training.get("validation")
        if not found:
            return None
        metric = next((name for name in found if name not in ("loss", "pixels")), "")
        told = found.get(metric, ())
        # One per class, or one number for the whole image.
        scores = tuple(told) if isinstance(told, list | tuple) else (told,)
        return cls(metric, mean(scores), found["loss"], (len(scores), found["pixels"]))

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better: by the score, and by the loss where scores are level or missing."""
        return (-inf if self.score is None else self.score, -self.loss)


class History:
    """Kept weights in the order of time, bounded in number and bytes.

    Where there are too many, the one goes whose neighbours are closest on a logarithmic scale of
    time, so that early and late moments stay alike well covered. The first, the last, the best
    and the pinned ones stay, even if these alone exceed the bounds.

    Parameters
    ----------
    max_items : int
        How many to keep.
    max_bytes : int
        How much their weights may hold.

    Attributes
    ----------
    items : tuple of Kept
        In the order of their elapsed time.
    """

    def __init__(self, max_items: int = MAX_ITEMS, max_bytes: int = MAX_BYTES) -> None:
        self.max_items, self.max_bytes = max_items, max_bytes
        self.clear()

    def clear(self) -> None:
        """Forget all moments."""
        self.items: tuple[Kept, ...] = ()
        self._pinned: set[Kept] = set()

    @property
    def bytes(self) -> int:
        """What the weights hold in memory."""
        return sum(_size(item) for item in self.items)

    def add(self, kept: Kept) -> None:
        """Keep a moment; one of the same time and step is replaced by it."""
        items = list(self.items)
        place = bisect_left(items, (kept.elapsed, kept.step), key=_moment)
        if place < len(items) and _moment(items[place]) == _moment(kept):
            if items[place] in self._pinned:
                self._pinned = self._pinned - {items[place]} | {kept}
            items[place] = kept
        else:
            items.insert(place, kept)
        self.items = tuple(items)
        self._thin()

    def pin(self, item: Kept) -> None:
        """Let an item of the history stay, whatever comes."""
        self._pinned.add(item)

    def unpin(self, item: Kept) -> None:
        """Let an item go when its turn comes."""
        self._pinned.discard(item)

    @property
    def best(self) -> Kept | None:
        """The item with the best score, among those that were tested like the newest one.

        New strokes change what is held out: an earlier score on other voxels says nothing. None
        where the newest was not tested.
        """
        newest = Grade.of(self.items[-1].model) if self.items else None
        if newest is None:
            return None
        grades = ((item, Grade.of(item.model)) for item in self.items)
        alike = [(item, g) for item, g in grades if g is not None and g.ground == newest.ground]
        return max(alike, key=lambda pair: pair[1].rank)[0]

    def _thin(self) -> None:
        while len(self.items) > self.max_items or self.bytes > self.max_bytes:
            best = self.best
            times = [log1p(item.elapsed) for item in self.items]
            gaps = {
                place: times[place + 1] - times[place - 1]
                for place in range(1, len(times) - 1)
                if self.items[place] not in self._pinned and self.items[place] is not best
            }
            if not gaps:
                return
            drop = min(gaps, key=lambda place: gaps[place])
            self.items = (*self.items[:drop], *self.items[drop + 1 :])


def _moment(item: Kept) -> tuple[float, int]:
    return item.elapsed, item.step


def _size(item: Kept) -> int:
    return sum(array.nbytes for array in item.model.weights.values())
