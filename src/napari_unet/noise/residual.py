"""What was taken out of a noisy picture, looked at for what noise alone would not be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, gaussian_filter
from scipy.stats import norm

from napari_unet.noise.filters import SECOND_DIFFERENCE, Plane, high_pass, roughness
from napari_unet.noise.poisson_gauss import NoiseModel

_SCALES = (1.5, 2.5, 4.0)  # pixels; standard deviations of the Gaussians that average
_FALSE_ALARM = 0.01  # probability of one false mark in all pictures together
_MARGIN = 1.1  # the noise is not known exactly
_SEGMENTS = 6  # pieces of a row that have to agree
_SMOOTHEST = 0.4


@dataclass(frozen=True, slots=True)
class ResidualMarks:
    """Where the residual of one picture is no noise, axes (y, x).

    Parameters
    ----------
    unsupported : ndarray of float32
        Where the denoised picture has structure against the data: how many times the threshold
        the local mean of the residual is; 0 elsewhere.
    lost : ndarray of bool
        Where the data has structure that the denoised picture lacks.
    """

    unsupported: NDArray[np.float32]
    lost: NDArray[np.bool_]


def standardise(noisy: Plane, denoised: Plane, noise: NoiseModel) -> Plane:
    """Give the residual in standard deviations of the noise.

    Parameters
    ----------
    noisy, denoised : ndarray
        Axes (y, x).
    noise : NoiseModel
        Taken at the slightly smoothed `denoised`, so that what is wrong there counts less.

    Returns
    -------
    residual : ndarray
        Same shape; of mean 0 and variance 1 where nothing but noise was taken out.
    """
    return (noisy - denoised) / np.sqrt(_steady_variance(denoised, noise))


def _steady_variance(denoised: Plane, noise: NoiseModel) -> Plane:
    # Of counts a spot that lights up by chance must not stand out by hundreds: where there is less
    # than a quarter of a quantum the noise is taken to be that of a quarter.
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

    Returns
    -------
    ratio : float
        1 where nothing but noise was taken out, more where structure went too.
    """
    variance = noise.variance(gaussian_filter(denoised, 1.0))
    expected = float((variance / _steady_variance(denoised, noise)).mean())
    return float(np.square(residual).mean()) / expected


def residual_marks(
    residual: Plane, denoised: Plane, noise: NoiseModel, tests: int
) -> ResidualMarks:
    """Find where the local mean of the residual is further from 0 than noise lets it be.

    Averages over Gaussians of a few sizes are compared with their standard error. It is that of
    white noise, or what the averages themselves spread by if that is more, because noise need not
    be white. Where the denoised picture is brighter than the data, or has a structure of the
    opposite sign and the same size, something was made up; else something was lost. On a slope
    the one cannot be told from the other.

    Parameters
    ----------
    residual : ndarray
        From :func:`standardise`.
    denoised : ndarray
        Same shape.
    noise : NoiseModel
    tests : int
        Pixels in all the pictures that are examined together: the threshold keeps the chance of
        one false mark among them all at a hundredth (Bonferroni).

    Returns
    -------
    marks : Marks
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
        made_up = (excess > 1.0) & (against | (mean < 0))
        unsupported = np.maximum(unsupported, np.where(made_up, excess, 0.0))
        lost |= (excess > 1.0) & ~made_up
    return ResidualMarks(unsupported.astype(np.float32), lost)


def _local_mean(residual: Plane, scale: float) -> tuple[Plane, Plane]:
    """Average with a Gaussian; also in standard errors, which grow where the picture ends."""
    inside = np.ones_like(residual)
    total = gaussian_filter(residual, scale, mode="constant")
    squares = gaussian_filter(inside, scale / math.sqrt(2.0), mode="constant")
    score = total * (2.0 * scale * math.sqrt(math.pi)) / np.sqrt(squares)
    mean = total / gaussian_filter(inside, scale, mode="constant")
    return mean, score / max(1.0, _spread(score))


def _spread(values: Plane) -> float:
    """Estimate a standard deviation, without minding a few that are far off."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def autocorrelation(residual: Plane, lags: int = 3) -> NDArray[np.float64]:
    """Correlate the residual with itself.

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
    calm = np.clip(residual - residual.mean(), -5.0, 5.0)
    power = float(np.square(calm).mean()) or 1.0
    return np.array(
        [
            [float((a[:-lag] * a[lag:]).mean()) / power for lag in range(1, lags + 1)]
            for a in (calm, calm.T)
        ]
    )


def structure_correlation(residual: Plane, denoised: Plane) -> float:
    """Correlate the residual with the detail of the denoised picture, where it has structure.

    Parameters
    ----------
    residual, denoised : ndarray
        Axes (y, x).

    Returns
    -------
    correlation : float
        Between -1 and 1. Positive where detail was taken out with the noise, negative where there
        is more in the denoised picture than in the data.
    """
    rough = roughness(denoised)
    there = rough >= np.quantile(rough, 0.75)
    detail = (gaussian_filter(denoised, 1.0) - gaussian_filter(denoised, 4.0))[there]
    taken = (gaussian_filter(residual, 1.0) - gaussian_filter(residual, 4.0))[there]
    size = float(np.sqrt(np.square(detail).mean() * np.square(taken).mean()))
    return float((detail * taken).mean()) / size if size > 1e-12 else 0.0


def left_over(denoised: Plane, noise: NoiseModel) -> float:
    """Estimate which part of the noise is left, from the high-pass of the smoothest part.

    Parameters
    ----------
    denoised : ndarray
        Axes (y, x).
    noise : NoiseModel
        Of the noisy picture.

    Returns
    -------
    share : float
        Of the variance. Only noise from pixel to pixel is seen.
    """
    rough = roughness(denoised)
    smooth = rough <= np.quantile(rough, _SMOOTHEST)
    left = np.square(high_pass(denoised)[smooth]).mean()
    return float(left / noise.variance(denoised[smooth]).mean())


@dataclass(frozen=True, slots=True)
class LineNoise:
    """Rows that are shifted as a whole.

    Parameters
    ----------
    amplitude : float
        Standard deviation of the shifts, in grey values.
    significance : float
        The variance of the shifts in its standard errors.
    offsets : ndarray, (rows,)
        The shift of each row against its neighbours.
    """

    amplitude: float
    significance: float
    offsets: NDArray[np.float64]


def line_noise(picture: Plane) -> LineNoise:
    """Find how much whole rows are shifted against their neighbours.

    Each row is cut into segments. A shifted row is shifted in all of them; structure and noise are
    not. So the covariance between the segments' shifts is the variance of the rows', without a
    bias.

    Parameters
    ----------
    picture : ndarray
        Axes (y, x); give the transposed one for columns.

    Returns
    -------
    lines : LineNoise
    """
    detail = correlate1d(picture, SECOND_DIFFERENCE, axis=0, mode="mirror")
    pieces = np.array_split(detail, _SEGMENTS, axis=1)
    shifts = np.stack([_calm(np.median(piece, axis=1)) for piece in pieces])
    total = shifts.sum(axis=0)
    # The sum over all pairs of different segments, row by row.
    pairs = (np.square(total) - np.square(shifts).sum(axis=0)) / (_SEGMENTS * (_SEGMENTS - 1))
    variance = float(pairs.mean())
    own = float(np.square(shifts).mean()) - max(variance, 0.0)
    # Neighbouring rows share the second difference: two rows in three are news.
    error = own * math.sqrt(2.0 / (_SEGMENTS * (_SEGMENTS - 1)) / (pairs.size / 1.5)) + 1e-30
    return LineNoise(math.sqrt(max(variance, 0.0)), variance / error, total / _SEGMENTS)


def _calm(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw in what is far off: a few long edges must not look like a shift of many rows."""
    limit = 3.0 * 1.4826 * np.median(np.abs(values)) + 1e-30
    return np.clip(values, -limit, limit)
