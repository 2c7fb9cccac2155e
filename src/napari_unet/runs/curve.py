"""A curve that grows for as long as a training does, and stays small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean

MOST = 400
"""Points that a curve is made of, at the most."""


@dataclass(frozen=True, slots=True)
class Point:
    """Values in a row as one: their mean place and value, and how far they reach."""

    x: float
    y: float
    low: float
    high: float


class Curve:
    """Points of a curve, thinned as it grows: each stands for as many values in a row.

    Parameters
    ----------
    most : int
        How many points there are at the most; even.

    Examples
    --------
    >>> curve = Curve(most=4)
    >>> for x in range(8): curve.add(x, 10 * x)
    >>> [(p.x, p.y, p.low, p.high) for p in curve.points]
    [(0.5, 5.0, 0, 10), (2.5, 25.0, 20, 30), (4.5, 45.0, 40, 50), (6.5, 65.0, 60, 70)]
    """

    def __init__(self, most: int = MOST) -> None:
        self._most, self._each = most, 1
        self._whole: list[Point] = []
        self._rest: list[Point] = []

    def add(self, x: float, y: float | None) -> None:
        """Add a value; one that is missing or not finite is left out."""
        if y is None or not isfinite(y):
            return
        if len(self._whole) == self._most:
            pairs = zip(self._whole[::2], self._whole[1::2], strict=True)
            self._whole, self._each = [_as_one(pair) for pair in pairs], 2 * self._each
        self._rest.append(Point(x, y, y, y))
        if len(self._rest) >= self._each:
            self._whole.append(_as_one(self._rest))
            self._rest = []

    @property
    def points(self) -> list[Point]:
        """The points, from the first to the last."""
        return [*self._whole, *([_as_one(self._rest)] if self._rest else [])]


def smoothed(points: Sequence[Point], part: float = 0.06) -> list[tuple[float, float]]:
    """Return running means, each over so large a part of the points; few are left as they are."""
    reach = int(len(points) * part / 2)
    return [
        (point.x, fmean(p.y for p in points[max(0, k - reach) : k + reach + 1]))
        for k, point in enumerate(points)
    ]


def _as_one(points: Sequence[Point]) -> Point:
    return Point(
        fmean(p.x for p in points),
        fmean(p.y for p in points),
        min(p.low for p in points),
        max(p.high for p in points),
    )
