"""The learning rate over a training."""

from __future__ import annotations

from math import cos, inf, pi
from typing import Any

from napari_unet.training.options import TrainingOptions

WARM_UP = 0.2
"""One cycle: part of the budget over which the learning rate rises to its peak."""

START = 0.05
"""One cycle: learning rate at the beginning, relative to its peak."""

END = 0.01
"""One cycle: learning rate at the end, relative to its peak, where none is set."""

STEADY_WARM_UP = 30
"""All other schedules: steps over which the learning rate rises to its peak."""

MIN_IMPROVEMENT = 1e-4
"""Part of the best validation loss that another has to be lower to count as an improvement."""


class Schedule:
    """The learning rate at each step of one training, relative to its peak.

    All but the one-cycle policy, which has a slow rise of its own, are multiplied by a warm-up
    over the first steps: the optimiser's statistics rest on too few gradients then.

    Parameters
    ----------
    options : TrainingOptions
        The kind of schedule, and its parameters. ``"auto"`` is ``"one_cycle"`` with a budget, and
        ``"constant"`` without.
    """

    def __init__(self, options: TrainingOptions) -> None:
        self.options = options
        self.kind: str = options.schedule
        if self.kind == "auto":
            self.kind = "constant" if options.open_ended else "one_cycle"
        self.reset()

    def rate(self, step: int, progress: float) -> float:
        """Return the relative learning rate.

        Parameters
        ----------
        step : int
            Steps that were taken already.
        progress : float
            Part of the budget that is used, from 0 to 1; only the one-cycle policy looks at it.
        """
        lowest = self.options.lowest_rate
        if self.kind == "one_cycle":
            return one_cycle(progress, lowest)
        return steady(step) * max(lowest, self._shape(step))

    def record_loss(self, loss: float) -> None:
        """Record the loss of a validation; only the plateau schedule depends on it."""
        self._plateau.record_loss(loss)

    def reset(self) -> None:
        """Forget earlier validations: the labels have changed, so losses cannot be compared."""
        self._plateau = Plateau(self.options.decay_factor, self.options.patience)

    def state(self) -> list[float | None]:
        """Return the state that depends on validations, as plain JSON: rate, best loss, waited."""
        plateau = self._plateau
        best = None if plateau.best == inf else plateau.best
        return [plateau.rate, best, plateau.waited]

    def restore(self, state: list[Any]) -> None:
        """Resume from what `state` returned."""
        rate, best = state[0], state[1]
        self._plateau.rate = rate
        self._plateau.best = inf if best is None else best
        self._plateau.waited = state[2]

    def _shape(self, step: int) -> float:
        o = self.options
        match self.kind:
            case "step":
                return step_decay(step, o.decay_every, o.decay_factor)
            case "warm_restarts":
                return warm_restarts(step, o.first_cycle, o.cycle_growth, o.lowest_rate)
            case "plateau":
                return self._plateau.rate
        return 1.0


def one_cycle(progress: float, lowest: float = END) -> float:
    """Return the learning rate, relative to its peak, at a progress from 0 to 1.

    It rises over the first fifth and falls along a cosine to `lowest`: the one-cycle policy of
    Smith and Topin 2018, arXiv:1708.07120. It is a function of progress, not of steps, so that
    it serves a budget of seconds, too.

    Parameters
    ----------
    progress : float
        Part of the budget that is used; above 1 it counts as 1.
    lowest : float
        Learning rate at the end, relative to the peak.

    Examples
    --------
    >>> [round(one_cycle(p), 3) for p in (0, 0.2, 0.6, 1)]
    [0.05, 1.0, 0.505, 0.01]
    """
    if progress < WARM_UP:
        return _blend(START, 1.0, progress / WARM_UP)
    return _blend(1.0, lowest, (min(progress, 1.0) - WARM_UP) / (1 - WARM_UP))


def steady(step: int) -> float:
    """Return the relative learning rate of a training without an end: a warm-up, then the peak.

    It need not fall: the average of the weights, whose horizon grows, has the effect of annealing,
    and labels that come late are learned as fast as the first.
    """
    return min(1.0, (step + 1) / STEADY_WARM_UP)


def step_decay(step: int, every: int, factor: float) -> float:
    """Return the relative learning rate that is multiplied by a factor every so many steps.

    Parameters
    ----------
    step : int
        Steps that were taken already.
    every : int
        Steps from one multiplication to the next.
    factor : float
        The factor.

    Examples
    --------
    >>> [step_decay(step, every=100, factor=0.5) for step in (0, 99, 100, 250)]
    [1.0, 1.0, 0.5, 0.25]
    """
    return float(factor ** (step // every))


def warm_restarts(step: int, first: int, growth: float, lowest: float) -> float:
    """Return the relative learning rate that falls along a cosine, in ever longer cycles.

    With ``T_cur`` the steps since the last restart and ``T_i`` the length of the present cycle,
    ``lowest + (1 - lowest) / 2 * (1 + cos(pi * T_cur / T_i))``: Loshchilov and Hutter 2017,
    arXiv:1608.03983, equation 5.

    Parameters
    ----------
    step : int
        Steps that were taken already.
    first : int
        Length of the first cycle in steps.
    growth : float
        How much longer each cycle is than the one before; 1 or more.
    lowest : float
        Learning rate at the end of a cycle, relative to the peak.

    Examples
    --------
    >>> [round(warm_restarts(s, first=10, growth=2, lowest=0), 3) for s in (0, 5, 9, 10, 20, 30)]
    [1.0, 0.5, 0.024, 1.0, 0.5, 1.0]
    """
    if growth == 1:
        return _blend(1.0, lowest, step % first / first)
    since, length = float(step), float(first)
    while since >= length:
        since, length = since - length, length * growth
    return _blend(1.0, lowest, since / length)


class Plateau:
    """A relative learning rate that falls whenever validation has not improved for a while.

    Parameters
    ----------
    factor : float
        The rate is multiplied by it.
    patience : int
        Validations in a row without an improvement after which the rate falls.

    Attributes
    ----------
    rate : float
        The relative learning rate.
    best : float
        Least validation loss; infinite before the first.
    waited : int
        Validations in a row without an improvement, since the rate fell.
    """

    def __init__(self, factor: float, patience: int) -> None:
        self.factor = factor
        self.patience = patience
        self.rate = 1.0
        self.best = inf
        self.waited = 0

    def record_loss(self, loss: float) -> None:
        """Record the loss of a validation; one that is not a number is no improvement."""
        if loss < self.best * (1 - MIN_IMPROVEMENT):
            self.best = loss
            self.waited = 0
            return
        self.waited += 1
        if self.waited == self.patience:
            self.rate *= self.factor
            self.waited = 0


def _blend(a: float, b: float, t: float) -> float:
    return b + (a - b) * (1 + cos(pi * t)) / 2
