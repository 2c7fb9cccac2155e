"""A round brush: what a hand leaves behind when it paints along a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]


def paint(
    shape: tuple[int, int], lines: Iterable[Sequence[Point]], width: float
) -> NDArray[np.bool_]:
    """Return the pixels that a round brush touches along some lines.

    Parameters
    ----------
    shape : tuple of int
        Size of the picture, ``(y, x)``, in pixels.
    lines : iterable of sequences of (y, x)
        The corners of each line, in pixels; a line of one point is a dab.
    width : float
        Diameter of the brush, in pixels.

    Returns
    -------
    ndarray of bool
        The touched pixels, axes ``(y, x)``; what falls outside the picture is cut off.

    Examples
    --------
    >>> paint((3, 5), [[(1, 1), (1, 3)]], width=1).astype(int)
    array([[0, 0, 0, 0, 0],
           [0, 1, 1, 1, 0],
           [0, 0, 0, 0, 0]])
    """
    touched = np.zeros(shape, dtype=bool)
    for line in lines:
        corners = np.asarray(line, dtype=float)
        for start, end in zip(corners, corners[[*range(1, len(corners)), -1]], strict=True):
            _paint_segment(touched, start, end, width / 2)
    return touched


def _paint_segment(
    touched: NDArray[np.bool_],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    radius: float,
) -> None:
    """Mark in place every pixel whose centre lies within `radius` of the segment."""
    low = np.floor(np.minimum(start, end) - radius).clip(0).astype(int)
    high = np.ceil(np.maximum(start, end) + radius).clip(-1).astype(int) + 1
    box = touched[low[0] : high[0], low[1] : high[1]]
    pixels = np.moveaxis(np.indices(box.shape), 0, -1) + low - start
    along = end - start
    length = float(along @ along)
    share = (pixels @ along / length).clip(0, 1) if length else np.zeros(box.shape)
    box |= ((pixels - share[..., None] * along) ** 2).sum(-1) <= radius**2
