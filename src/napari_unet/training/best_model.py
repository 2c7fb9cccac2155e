"""Which weights were best so far, and whether more training still brings anything."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from math import inf

from torch import nn

from napari_unet.training.events import Validated
from napari_unet.training.schedule import LEAST_GAIN


@dataclass(frozen=True)
class Best:
    """Averaged weights, before their last touch, and what their test said."""

    network: nn.Module
    result: Validated
    elapsed: float


class BestWeights:
    """Keeps the weights with the least loss on what is held out.

    Parameters
    ----------
    stop_after : int, optional
        Tests in a row without a gain after which it is enough.

    Attributes
    ----------
    best : Best or None
        The best weights so far.
    least : float
        Their loss.
    waited : int
        Tests in a row without a gain.
    """

    def __init__(self, stop_after: int | None) -> None:
        self.stop_after = stop_after
        self.start_over()

    def start_over(self) -> None:
        """Forget what was, for there is something else to learn now."""
        self.best: Best | None = None
        self.least, self.waited = inf, 0

    def take(self, result: Validated, network: nn.Module, elapsed: float) -> None:
        """Take note of a test of averaged weights, and keep a copy where they are the best."""
        self.waited += 1
        if result.loss < self.least * (1 - LEAST_GAIN):
            self.waited = 0
        if result.loss < self.least:
            self.least = result.loss
            self.best = Best(copy.deepcopy(network), result, elapsed)

    @property
    def is_enough(self) -> bool:
        """Whether further training seems to bring nothing."""
        return self.stop_after is not None and self.waited >= self.stop_after
