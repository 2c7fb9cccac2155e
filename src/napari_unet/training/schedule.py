"""The learning rate over a training."""

from __future__ import annotations

from math import cos, inf, pi
from typing import Any

from napari_unet.training.options import TrainingOptions

WARM_UP = 0.2
START, END = 0.05, 0.01
STEADY_WARM_UP = 30

LEAST_GAIN = 1e-4
"""Part of the best loss that a validation has to gain to count as better."""


class Schedule:
    """What the learning rate is at each step of one training, relative to its peak.

    All but the one-cycle policy, which rises slowly of itself, rise over the first steps: the
    optimiser knows too few gradients at first to go as far as it later can.

    Parameters
    ----------
    options : TrainingOptions
        Which schedule, and its parameters. ``"auto"`` is ``"one_cycle"`` with a budget, and
        ``"constant"`` without.
    """

    def __init__(self, options: TrainingOptions) -> None:
        self.options = options
        self.kind: str = options.schedule
        if self.kind == "auto":
            self.kind = "constant" if options.open_ended else "one_cycle"
        self.start_over()

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

    def judged(self, loss: float) -> None:
        """Take note of the loss of a validation."""
        self._plateau.judged(loss)

    def start_over(self) -> None:
        """Compare no longer with losses of before, for there is something else to learn now."""
        self._plateau = Plateau(self.options.decay_factor, self.options.patience)

    def state(self) -> list[float | None]:
        """Return what it remembers of the validations so far, as plain JSON."""
        p = self._plateau
        return [p.rate, None if p.best == inf else p.best, p.waited]

    def restore(self, state: list[Any]) -> None:
        """Remember what `state` returned."""
        p = self._plateau
        p.rate, p.best, p.waited = state[0], inf if state[1] is None else state[1], state[2]

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

    Rises over the first fifth and falls along a cosine to `lowest`: the one-cycle policy of
    Smith and Topin 2018, arXiv:1708.07120. A function of progress, not of steps, so that it
    serves a budget of seconds too.

    Examples
    --------
    >>> [round(one_cycle(p), 3) for p in (0, 0.2, 0.6, 1)]
    [0.05, 1.0, 0.505, 0.01]
    """
    if progress < WARM_UP:
        return _blend(START, 1.0, progress / WARM_UP)
    return _blend(1.0, lowest, (min(progress, 1.0) - WARM_UP) / (1 - WARM_UP))


def steady(step: int) -> float:
    """Return the learning rate of a training without an end: a warm-up, and then the peak.

    It need not fall: the average of the weights, whose horizon grows, does what annealing does,
    and strokes that come late are learned as fast as the first.
    """
    return min(1.0, (step + 1) / STEADY_WARM_UP)


def step_decay(step: int, every: int, factor: float) -> float:
    """Return the learning rate that is multiplied by a factor every so many steps.

    Examples
    --------
    >>> [step_decay(step, every=100, factor=0.5) for step in (0, 99, 100, 250)]
    [1.0, 1.0, 0.5, 0.25]
    """
    return float(factor ** (step // every))


def warm_restarts(step: int, first: int, growth: float, lowest: float) -> float:
    """Return the learning rate that falls along a cosine and begins anew, in ever longer cycles.

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
        Where a cycle ends, relative to the peak.

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
    """A learning rate that falls each time when validations have brought nothing for a while.

    Parameters
    ----------
    factor : float
        What the rate is multiplied by.
    patience : int
        Validations in a row without a better loss after which it falls.
    """

    def __init__(self, factor: float, patience: int) -> None:
        self.factor, self.patience = factor, patience
        self.rate, self.best, self.waited = 1.0, inf, 0

    def judged(self, loss: float) -> None:
        """Take note of the loss of a validation; one that is not a number is no better."""
        if loss < self.best * (1 - LEAST_GAIN):
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited == self.patience:
            self.rate, self.waited = self.rate * self.factor, 0


def _blend(a: float, b: float, t: float) -> float:
    return b + (a - b) * (1 + cos(pi * t)) / 2
