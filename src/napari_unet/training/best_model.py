"""The best weights of a training so far, and whether more steps still improve them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from math import inf

from torch import nn

from napari_unet.training.events import Validated
from napari_unet.training.schedule import MIN_IMPROVEMENT


@dataclass(frozen=True)
class Best:
    """Averaged weights, not yet calibrated, and how they were validated.

    Parameters
    ----------
    network : Module
        A copy that holds the weights.
    result : Validated
        Their validation.
    elapsed : float
        Seconds of training, without pauses, after which they were validated.
    """

    network: nn.Module
    result: Validated
    elapsed: float


class BestWeights:
    """Keeps the weights with the least validation loss; tells when to stop early.

    Parameters
    ----------
    stop_after : int, optional
        Validations in a row without an improvement after which to stop; None: never.

    Attributes
    ----------
    best : Best or None
        The best weights so far.
    least_loss : float
        Their loss; infinite where nothing was validated.
    without_gain : int
        Validations in a row without an improvement.
    """

    def __init__(self, stop_after: int | None) -> None:
        self.stop_after = stop_after
        self.reset()

    def reset(self) -> None:
        """Forget earlier validations: the labels have changed, so losses cannot be compared."""
        self.best: Best | None = None
        self.least_loss = inf
        self.without_gain = 0

    def update(self, result: Validated, network: nn.Module, elapsed: float) -> None:
        """Compare a validation with the best so far.

        Parameters
        ----------
        result : Validated
            The validation.
        network : Module
            The averaged weights that were validated; copied where they are the best so far.
        elapsed : float
            Seconds of training, without pauses.
        """
        self.without_gain += 1
        if result.loss < self.least_loss * (1 - MIN_IMPROVEMENT):
            self.without_gain = 0
        if result.loss < self.least_loss:
            self.least_loss = result.loss
            self.best = Best(copy.deepcopy(network), result, elapsed)

    @property
    def should_stop(self) -> bool:
        """Whether there were `stop_after` validations in a row without an improvement."""
        return self.stop_after is not None and self.without_gain >= self.stop_after
