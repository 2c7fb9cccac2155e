"""Where a detector or a file format cut the grey values off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unet.noise.filters import Plane


def cut_off(pictures: Sequence[Plane]) -> tuple[float | None, float | None]:
    """Find the grey values at which the pictures were cut off.

    There the histogram ends in a pile: the last value is more frequent than those next to it. So
    it does in counts of less than one quantum a pixel.

    Parameters
    ----------
    pictures : sequence of ndarray
        Axes (y, x).

    Returns
    -------
    floor, ceiling : float or None
        None where there is no such pile, as in a picture of one value.
    """
    values = np.concatenate([p.ravel() for p in pictures])
    return _pile(values), _negated(_pile(-values))


def _negated(value: float | None) -> float | None:
    return None if value is None else -value


def _pile(values: NDArray[np.float64]) -> float | None:
    """Give the least value if many more have it than lie in an equal stretch above it."""
    least, low, middle = np.quantile(values, [0.0, 0.01, 0.5])
    piled = int((values == least).sum())
    if piled < max(8, 1e-5 * values.size) or least == middle == values.max():
        return None
    # A stretch that would hold a fiftieth of the darker half if that were evenly spread, and at
    # least the next grey value.
    above = values[values > least]
    step = max((middle - low) / 50, above.min() - least)
    beside = int((above <= least + step).sum())
    return float(least) if piled > 1.3 * beside else None
