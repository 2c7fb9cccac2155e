"""Statistics of the residual (noisy minus denoised image) that tell noise from structure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, gaussian_filter
from scipy.stats import norm

from napari_unet.noise.filters import SECOND_DIFFERENCE, Plane, high_pass, roughness
from napari_unet.noise.poisson_gauss import NoiseModel

_SCALES = (1.5, 2.5, 4.0)
"""Standard deviations of the Gaussians that average the residual, in pixels."""

_FALSE_ALARM = 0.01
"""Probability of a false mark in all images together."""

_MARGIN = 1.1
"""Factor on the threshold, because the noise is not known exactly."""

_SEGMENTS = 6
"""Number of segments of a row that have to agree on its shift."""

_SMOOTHEST = 0.4
"""Share of the pixels, those with the least structure, at which remaining noise is measured."""

_TRACE = 0.1
"""Strength of the details, as a share of the noise, below which they are but a trace of it."""


@dataclass(frozen=True, slots=True)
class ResidualMarks:
    """Where the residual of one image is not noise, axes (y, x).

    Parameters
    ----------
    unsupported : ndarray of float32
        Local mean of the residual as a multiple of the threshold, where the denoised image has
        structure that the data contradicts; 0 elsewhere.
    lost : ndarray of bool
        Where the data has structure that the denoised image lacks.
    """

    unsupported: NDArray[np.float32]
    lost: NDArray[np.bool_]


def standardise(noisy: Plane, denoised: Plane, noise: NoiseModel) -> Plane:
    """Return the residual in standard deviations of the noise.

    Parameters
    ----------
    noisy, denoised : ndarray
        Axes (y, x).
    noise : NoiseModel
        Evaluated at the slightly smoothed `denoised`, so that errors in it matter less.

    Returns
    -------
    residual : ndarray
        Same shape; of mean 0 and variance 1 where only noise was removed.
    """
    return (noisy - denoised) / np.sqrt(_steady_variance(denoised, noise))


def _steady_variance(denoised: Plane, noise: NoiseModel) -> Plane:
    # In photon counts a single photon in the dark must not stand out by hundreds of standard
    # deviations: below a quarter of a quantum the variance is that of a quarter.
    variance = noise.variance(gaussian_filter(denoised, 1.0))
    return np.maximum(variance, 0.25 * noise.gain**2)


def variance_ratio(residual: Plane, denoised: Plane, noise: NoiseModel) -> float:
    """Compare the variance of the residual with that of the noise.

    Parameters
    ----------
    residual : ndarray
        From :func:`standardise`.
    denoised : ndarray
        Same shape.
    noise : NoiseModel
        Of the noisy image.

    Returns
    -------
    ratio : float
        1 if only noise was removed, more if structure was removed, too.
    """
    variance = noise.variance(gaussian_filter(denoised, 1.0))
    expected = float((variance / _steady_variance(denoised, noise)).mean())
    return float(np.square(residual).mean()) / expected


def residual_marks(
    residual: Plane, denoised: Plane, noise: NoiseModel, tests: int
) -> ResidualMarks:
    """Find where the local mean of the residual is further from 0 than noise explains.

    Gaussian averages of several sizes are compared with their standard error: that of white
    noise, or the spread of the averages themselves if that is greater, because noise need not be
    white. Where the denoised image is brighter than the data, or has a structure of the opposite
    sign and the same size, it shows unsupported structure; elsewhere structure was lost. On a
    slope the two cannot be distinguished.

    Parameters
    ----------
    residual : ndarray
        From :func:`standardise`.
    denoised : ndarray
        Same shape.
    noise : NoiseModel
        Of the noisy image.
    tests : int
        Number of pixels of all images that are analysed together. The threshold keeps the
        probability of a false mark among all of them at 0.01 (Bonferroni).

    Returns
    -------
    marks : ResidualMarks
    """
    limit = _MARGIN * float(norm.isf(_FALSE_ALARM / (2.0 * tests * len(_SCALES))))
    sigma = np.sqrt(_steady_variance(denoised, noise))
    unsupported = np.zeros(residual.shape)
    lost = np.zeros(residual.shape, dtype=np.bool_)
    for scale in _SCALES:
        mean, score = _local_mean(residual, scale)
        excess = np.abs(score) / limit
        band = (gaussian_filter(denoised, scale) - gaussian_filter(denoised, 3.0 * scale)) / sigma
        against = (np.sign(band) == -np.sign(mean)) & (np.abs(band) >= 0.5 * np.abs(mean))
        unsupported_here = (excess > 1.0) & (against | (mean < 0))
        unsupported = np.maximum(unsupported, np.where(unsupported_here, excess, 0.0))
        lost |= (excess > 1.0) & ~unsupported_here
    return ResidualMarks(unsupported.astype(np.float32), lost)


def _local_mean(residual: Plane, scale: float) -> tuple[Plane, Plane]:
    """Return Gaussian averages, in grey values and in standard errors.

    Standard errors are greater at the borders, where fewer pixels are averaged.
    """
    inside = np.ones_like(residual)
    total = gaussian_filter(residual, scale, mode="constant")
    squares = gaussian_filter(inside, scale / math.sqrt(2.0), mode="constant")
    score = total * (2.0 * scale * math.sqrt(math.pi)) / np.sqrt(squares)
    mean = total / gaussian_filter(inside, scale, mode="constant")
    return mean, score / max(1.0, _spread(score))


def _spread(values: Plane) -> float:
    """Return a robust estimate of the standard deviation (from the median absolute deviation)."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def autocorrelation(residual: Plane, lags: int = 3) -> NDArray[np.float64]:
    """Return the autocorrelation of a residual.

    Parameters
    ----------
    residual : ndarray
        Axes (y, x).
    lags : int
        Greatest distance, in pixels.

    Returns
    -------
    autocorrelation : ndarray, (2, lags)
        Along y and along x, at distances 1 to `lags`.
    """
    clipped = np.clip(residual - residual.mean(), -5.0, 5.0)
    power = float(np.square(clipped).mean()) or 1.0
    return np.array(
        [
            [float((a[:-lag] * a[lag:]).mean()) / power for lag in range(1, lags + 1)]
            for a in (clipped, clipped.T)
        ]
    )


def structure_correlation(residual: Plane, denoised: Plane, noise: NoiseModel) -> float:
    """Correlate the residual with the details of the denoised image, where that has structure.

    Parameters
    ----------
    residual, denoised : ndarray
        Axes (y, x).
    noise : NoiseModel
        Of the noisy image.

    Returns
    -------
    correlation : float
        Between -1 and 1. Positive if details were removed with the noise, negative if the
        denoised image shows more of them than the data. 0 where its details are so weak that they
        are but a trace of the noise.
    """
    rough = roughness(denoised)
    structured = rough >= np.quantile(rough, 0.75)
    detail = (gaussian_filter(denoised, 1.0) - gaussian_filter(denoised, 4.0))[structured]
    removed = (gaussian_filter(residual, 1.0) - gaussian_filter(residual, 4.0))[structured]
    if np.square(detail).mean() < _TRACE**2 * noise.variance(denoised[structured]).mean():
        return 0.0
    size = float(np.sqrt(np.square(detail).mean() * np.square(removed).mean()))
    return float((detail * removed).mean()) / size if size > 1e-12 else 0.0


def left_over(denoised: Plane, noise: NoiseModel) -> float:
    """Estimate the share of the noise that is left, where the denoised image is smooth.

    Parameters
    ----------
    denoised : ndarray
        Axes (y, x).
    noise : NoiseModel
        Of the noisy image.

    Returns
    -------
    share : float
        Of the variance. Measured by a high-pass, so only noise from pixel to pixel counts.
    """
    rough = roughness(denoised)
    smooth = rough <= np.quantile(rough, _SMOOTHEST)
    left = np.square(high_pass(denoised)[smooth]).mean()
    return float(left / noise.variance(denoised[smooth]).mean())


@dataclass(frozen=True, slots=True)
class LineNoise:
    """Offsets of whole rows in grey value.

    Parameters
    ----------
    amplitude : float
        Standard deviation of the offsets, in grey values.
    significance : float
        Variance of the offsets, in its standard errors.
    offsets : ndarray, (rows,)
        Offset of each row against its neighbours, in grey values.
    """

    amplitude: float
    significance: float
    offsets: NDArray[np.float64]


def line_noise(image: Plane) -> LineNoise:
    """Measure by how much whole rows are brighter or darker than their neighbours.

    Each row is divided into segments. The offset of a row appears in all of them; structure and
    noise do not. So the covariance between the offsets of segments is an unbiased estimate of
    the variance of the row offsets.

    Parameters
    ----------
    image : ndarray
        Axes (y, x); pass the transposed image for columns.

    Returns
    -------
    lines : LineNoise
    """
    detail = correlate1d(image, SECOND_DIFFERENCE, axis=0, mode="mirror")
    pieces = np.array_split(detail, _SEGMENTS, axis=1)
    offsets = np.stack([_limited(np.median(piece, axis=1)) for piece in pieces])
    total = offsets.sum(axis=0)
    # The sum over all pairs of different segments, row by row.
    pairs = (np.square(total) - np.square(offsets).sum(axis=0)) / (_SEGMENTS * (_SEGMENTS - 1))
    variance = float(pairs.mean())
    within = float(np.square(offsets).mean()) - max(variance, 0.0)
    # Neighbouring rows share values of the second difference: two of three are independent.
    error = within * math.sqrt(2.0 / (_SEGMENTS * (_SEGMENTS - 1)) / (pairs.size / 1.5)) + 1e-30
    return LineNoise(math.sqrt(max(variance, 0.0)), variance / error, total / _SEGMENTS)


def _limited(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Clip outliers, so that a few long edges do not look like offsets of many rows."""
    limit = 3.0 * 1.4826 * np.median(np.abs(values)) + 1e-30
    return np.clip(values, -limit, limit)
