"""Probabilities that are stored as bytes, a quarter of their size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FULL = 255
"""Byte that means a probability of 1."""


class QuantisedProbabilities:
    """An array that probabilities are assigned to, and that stores them as bytes.

    Parameters
    ----------
    shape : sequence of int
        Shape (class, ...).

    Attributes
    ----------
    array : ndarray of uint8, shape (class, ...)
        The probabilities, 0 to 255 for 0 to 1; 0 where nothing was assigned.

    Notes
    -----
    The error is at most half a step of 1/255. If two classes are rounded to the same step and the
    first of them is not the more probable one, the more probable one is raised by one step. So
    ``argmax`` over the classes does not change (unless both are within half a step of 1, which
    is impossible for probabilities that add up to 1).

    Examples
    --------
    >>> kept = QuantisedProbabilities((2, 3))
    >>> kept[:, 1:] = np.array([[0.2, 0.4999], [0.8, 0.5001]])
    >>> kept.array
    array([[  0,  51, 127],
           [  0, 204, 128]], dtype=uint8)
    """

    dtype = np.dtype(np.float32)
    """Type of the values that are assigned."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)
        self.array: NDArray[np.uint8] = np.zeros(self.shape, np.uint8)

    def __setitem__(self, key: Any, values: NDArray[Any]) -> None:
        self.array[key] = quantise(values)


def quantise(probabilities: NDArray[Any]) -> NDArray[np.uint8]:
    """Return probabilities as bytes with the same most probable class.

    See `QuantisedProbabilities`.

    Parameters
    ----------
    probabilities : ndarray of float, shape (class, ...)
        From 0 to 1.

    Returns
    -------
    ndarray of uint8, shape (class, ...)
    """
    steps: NDArray[np.uint8] = np.rint(np.clip(probabilities, 0, 1) * FULL).astype(np.uint8)
    best = probabilities.argmax(0)[None]
    wrong = steps.argmax(0)[None] != best
    if wrong.any():
        top = np.take_along_axis(steps, best, 0)
        np.put_along_axis(steps, best, top + (wrong & (top < FULL)).astype(np.uint8), 0)
    return steps
