"""The learning rate over a training."""

from __future__ import annotations

from math import cos, pi

WARM_UP = 0.2
START, END = 0.05, 0.01
STEADY_WARM_UP = 30


def one_cycle(progress: float) -> float:
    """Return the learning rate, relative to its peak, at a progress from 0 to 1.

    Rises over the first fifth and falls along a cosine to a hundredth: the one-cycle policy of
    Smith and Topin 2018, arXiv:1708.07120. A function of progress, not of steps, so that it
    serves a budget of seconds too.

    Examples
    --------
    >>> [round(one_cycle(p), 3) for p in (0, 0.2, 0.6, 1)]
    [0.05, 1.0, 0.505, 0.01]
    """
    if progress < WARM_UP:
        return _blend(START, 1.0, progress / WARM_UP)
    return _blend(1.0, END, (min(progress, 1.0) - WARM_UP) / (1 - WARM_UP))


def steady(step: int) -> float:
    """Return the learning rate of a training without an end: a warm-up, and then the peak.

    It need not fall: the average of the weights, whose horizon grows, does what annealing does,
    and strokes that come late are learned as fast as the first.
    """
    return min(1.0, (step + 1) / STEADY_WARM_UP)


def _blend(a: float, b: float, t: float) -> float:
    return b + (a - b) * (1 + cos(pi * t)) / 2
