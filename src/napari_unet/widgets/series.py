"""A curve that grows point by point and is drawn with few."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MEMORY = 0.93
"""How much of the running average stays at each point: about the last fifteen count."""


class Series:
    """Points (x, y), in the order of x, and their running average.

    Examples
    --------
    >>> series = Series()
    >>> for step in range(4):
    ...     series.append(step, 2.0)
    >>> series.points(limit=2)
    (array([0.5, 2.5]), array([2., 2.]))
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all points."""
        self._data: Floats = np.empty((3, 256))
        self._mean = 0.0
        self.size = 0

    def append(self, x: float, y: float) -> None:
        """Add a point at the end."""
        if self.size == self._data.shape[1]:
            self._data = np.concatenate([self._data, np.empty_like(self._data)], axis=1)
        # At first it forgets faster, for then the curve is steep.
        keep = min(MEMORY, self.size / (self.size + 4))
        self._mean = keep * self._mean + (1 - keep) * y
        self._data[:, self.size] = x, y, self._mean
        self.size += 1

    def points(self, limit: int = 1000) -> tuple[Floats, Floats]:
        """Return x and y; beyond `limit` points, the means of groups of equal size."""
        return self._grouped(1, limit)

    def smooth(self, limit: int = 1000) -> tuple[Floats, Floats]:
        """Return x and the running average of y, grouped alike."""
        return self._grouped(2, limit)

    def _grouped(self, row: int, limit: int) -> tuple[Floats, Floats]:
        group = -(-self.size // limit) or 1
        whole = self.size // group * group
        x, y = (self._data[i, :whole].reshape(-1, group).mean(1) for i in (0, row))
        if whole < self.size:  # the newest points are never left out
            x, y = (
                np.append(v, self._data[i, whole : self.size].mean()) for v, i in ((x, 0), (y, row))
            )
        return x, y
