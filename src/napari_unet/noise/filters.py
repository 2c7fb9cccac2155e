"""The high-pass through which the noise of a picture is looked at, and what is smooth in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import correlate1d, gaussian_filter

from napari_unet.errors import InputError

Plane = NDArray[np.float64]

SECOND_DIFFERENCE = np.array([1.0, -2.0, 1.0]) / np.sqrt(6.0)
"""Its squares sum to one, so it leaves the variance of white noise as it is."""


def as_plane(values: ArrayLike, *, least: int = 8) -> Plane:
    """Check one picture and give it in double precision.

    Parameters
    ----------
    values : array_like
        Axes (y, x).
    least : int
        Fewest pixels along either axis.

    Returns
    -------
    plane : ndarray of float64

    Raises
    ------
    InputError
        If it has not two axes, is too small, or holds values that are not finite.
    """
    plane = np.asarray(values, dtype=np.float64)
    if plane.ndim != 2 or min(plane.shape) < least:
        raise InputError(
            "This is no picture whose noise can be looked at",
            got=f"shape {plane.shape}",
            expected=f"two axes (y, x) of at least {least} pixels each",
        )
    if not np.isfinite(plane).all():
        raise InputError(
            "The picture has values that are not finite",
            got=f"{int((~np.isfinite(plane)).sum())} of them",
            todo="Replace NaN and infinite values first",
        )
    return plane


def high_pass(plane: Plane) -> Plane:
    """Take the second difference along y and then along x.

    Nothing is left of what changes linearly along either axis, of straight edges along an axis
    too; white noise keeps its variance (Immerkaer 1996, doi:10.1006/cviu.1996.0060).

    Parameters
    ----------
    plane : ndarray
        Axes (y, x).

    Returns
    -------
    detail : ndarray
        Same shape; the outermost pixels use a mirrored picture.
    """
    along_y = correlate1d(plane, SECOND_DIFFERENCE, axis=0, mode="mirror")
    return np.asarray(correlate1d(along_y, SECOND_DIFFERENCE, axis=1, mode="mirror"))


def seen_by_high_pass(plane: Plane) -> Plane:
    """Average the picture with the squared weights of :func:`high_pass`.

    Where the variance of the noise is a linear function of the signal, the expected energy of the
    high-pass is the same function of this average.

    Parameters
    ----------
    plane : ndarray
        Axes (y, x).

    Returns
    -------
    average : ndarray
        Same shape.
    """
    weights = np.square(SECOND_DIFFERENCE)
    return np.asarray(correlate1d(correlate1d(plane, weights, axis=0), weights, axis=1))


def roughness(plane: Plane) -> Plane:
    """Tell how much structure there is around each pixel.

    The energy of a band below the one that :func:`high_pass` lets through, so that choosing
    pixels by it does not choose among the values of the high-pass.

    Parameters
    ----------
    plane : ndarray
        Axes (y, x).

    Returns
    -------
    energy : ndarray
        Same shape, in squared units of intensity.
    """
    band = gaussian_filter(plane, 1.5) - gaussian_filter(plane, 4.0)
    return np.asarray(gaussian_filter(np.square(band), 3.0))


def clipping_limits(pictures: Sequence[Plane]) -> tuple[float | None, float | None]:
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
