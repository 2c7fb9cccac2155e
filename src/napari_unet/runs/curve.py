"""A curve of any number of points, thinned and smoothed for a plot of it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MEMORY = 0.93
"""Weight of the preceding average in a running average, which so covers about 15 points."""


class Curve:
    """Points (x, y), in the order of x, and their running average.

    Examples
    --------
    >>> curve = Curve()
    >>> for step in range(4):
    ...     curve.append(step, 2.0)
    >>> curve.points(limit=2)
    (array([0.5, 2.5]), array([2., 2.]))
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove all points."""
        self._data: Floats = np.empty((3, 256))  # rows: x, y, running average
        self._mean = 0.0
        self.size = 0

    def append(self, x: float, y: float | None) -> None:
        """Add a point at the end; without a finite `y` nothing is added.

        Parameters
        ----------
        x : float
            Not less than that of the point before.
        y : float, optional
            The value.
        """
        if y is None or not math.isfinite(y):
            return
        if self.size == self._data.shape[1]:
            self._data = np.concatenate([self._data, np.empty_like(self._data)], axis=1)
        # The first averages cover fewer points, because a loss is steep at first.
        keep = min(MEMORY, self.size / (self.size + 4))
        self._mean = keep * self._mean + (1 - keep) * y
        self._data[:, self.size] = x, y, self._mean
        self.size += 1

    def points(self, limit: int = 1000) -> tuple[Floats, Floats]:
        """Return x and y; beyond `limit` points, the means of groups of equal size."""
        return self._grouped(1, limit)

    def smooth(self, limit: int = 1000) -> tuple[Floats, Floats]:
        """Return x and the running average of y, in the same groups as :meth:`points`."""
        return self._grouped(2, limit)

    def _grouped(self, row: int, limit: int) -> tuple[Floats, Floats]:
        group = -(-self.size // limit) or 1
        full = self.size // group * group
        x, y = (self._data[i, :full].reshape(-1, group).mean(1) for i in (0, row))
        if full < self.size:  # the newest points are shown, even if they are fewer than a group
            x = np.append(x, self._data[0, full : self.size].mean())
            y = np.append(y, self._data[row, full : self.size].mean())
        return x, y
