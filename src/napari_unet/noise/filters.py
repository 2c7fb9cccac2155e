"""Linear filters that separate noise from structure, and the grey values an image is clipped at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import correlate1d, gaussian_filter

from napari_unet.errors import InputError

Plane = NDArray[np.float64]

SECOND_DIFFERENCE = np.array([1.0, -2.0, 1.0]) / np.sqrt(6.0)
"""Kernel of the second difference; its squares sum to 1, so white noise keeps its variance."""


def as_plane(values: ArrayLike, *, least: int = 8) -> Plane:
    """Check one plane and return it in double precision.

    Parameters
    ----------
    values : array_like
        Axes (y, x).
    least : int
        Least number of pixels along either axis.

    Returns
    -------
    plane : ndarray of float64

    Raises
    ------
    InputError
        If it does not have two axes, is too small, or holds values that are not finite.
    """
    plane = np.asarray(values, dtype=np.float64)
    if plane.ndim != 2 or min(plane.shape) < least:
        raise InputError(
            "The noise of this image cannot be measured",
            got=f"shape {plane.shape}",
            expected=f"two axes (y, x) of at least {least} pixels each",
        )
    if not np.isfinite(plane).all():
        raise InputError(
            "The image holds values that are not finite",
            got=f"{int((~np.isfinite(plane)).sum())} such values",
            todo="Replace NaN and infinite values first",
        )
    return plane


def high_pass(plane: Plane) -> Plane:
    """Take the second difference along y and then along x.

    It removes what changes linearly along either axis, and straight edges along an axis; white
    noise keeps its variance (Immerkaer 1996, doi:10.1006/cviu.1996.0060).

    Parameters
    ----------
    plane : ndarray
        Axes (y, x).

    Returns
    -------
    detail : ndarray
        Same shape. At the borders the image is continued by mirroring.
    """
    along_y = correlate1d(plane, SECOND_DIFFERENCE, axis=0, mode="mirror")
    return np.asarray(correlate1d(along_y, SECOND_DIFFERENCE, axis=1, mode="mirror"))


def seen_by_high_pass(plane: Plane) -> Plane:
    """Average the image with the squared weights of :func:`high_pass`.

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
    """Return how much structure there is around each pixel.

    It is the local energy of a frequency band below the one that :func:`high_pass` passes, so
    that a choice of pixels by it does not bias the values of the high-pass.

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


def clipping_limits(images: Sequence[Plane]) -> tuple[float | None, float | None]:
    """Find the grey values at which the images were clipped.

    The histogram of a clipped image ends in a peak: its last value is more frequent than those
    next to it. Counts of less than one quantum per pixel have such a peak at 0, too.

    Parameters
    ----------
    images : sequence of ndarray
        Axes (y, x).

    Returns
    -------
    floor, ceiling : float or None
        None where there is no such peak, for instance in an image of one value.
    """
    values = np.concatenate([p.ravel() for p in images])
    floor = _end_peak(values)
    ceiling = _end_peak(-values)
    return floor, None if ceiling is None else -ceiling


def _end_peak(values: NDArray[np.float64]) -> float | None:
    """Return the least value if it is far more frequent than the values just above it."""
    least, low, middle = np.quantile(values, [0.0, 0.01, 0.5])
    at_least = int((values == least).sum())
    if at_least < max(8, 1e-5 * values.size) or least == middle == values.max():
        return None
    # The comparison interval would hold a fiftieth of the darker half if that were uniform; it
    # reaches at least the next grey value.
    above = values[values > least]
    step = max((middle - low) / 50, above.min() - least)
    just_above = int((above <= least + step).sum())
    return float(least) if at_least > 1.3 * just_above else None
