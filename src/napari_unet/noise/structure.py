"""What is to be known of a picture before a way to denoise it is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import correlate1d, gaussian_filter, uniform_filter

from napari_unet.errors import InputError
from napari_unet.noise.filters import SECOND_DIFFERENCE, Plane, as_plane, clipping_limits, roughness
from napari_unet.noise.poisson_gauss import NoiseModel, fit_noise
from napari_unet.noise.variance_stabilising import Stabiliser

_SMOOTHEST = 0.3  # share of a picture in which its noise is looked at
_SPIKE = 4.0  # standard deviations beyond which a value counts as this much


def noise_autocorrelation(
    planes: Sequence[ArrayLike],
    lags: int = 3,
    *,
    same_scene: bool = False,
    noise: NoiseModel | None = None,
) -> NDArray[np.float64]:
    """Find how alike the noise of neighbouring pixels is, from the noisy picture itself.

    Looked at is the smoothest part of the stabilised picture. Correlation along one axis is
    measured after a second difference along the other one: that removes what is smooth, and leaves
    the correlation as it is where it is a product of one along y and one along x, and also where
    whole rows or columns are shifted.

    Parameters
    ----------
    planes : sequence of array_like
        Pictures taken in the same way, each with axes (y, x) and at least 16 pixels along both.
    lags : int
        Greatest distance, in pixels.
    same_scene : bool
        The planes show the same scene one after the other: their differences are looked at, which
        hold no structure.
    noise : NoiseModel, optional
        Of the planes, if it is known already; not used with `same_scene`.

    Returns
    -------
    autocorrelation : ndarray, (2, lags)
        Along y and along x, at distances 1 to `lags`. About 0 for white noise; high along x and
        about 0 along y where rows differ; positive both ways where the noise is blurred.

    Raises
    ------
    InputError
        If a plane is no picture, or one alone is said to show the same scene.
    """
    pictures = [as_plane(p, least=16) for p in planes]
    if same_scene:
        pictures, noise = _differences(pictures), None
    noise = noise or fit_noise(pictures)
    stabilise = Stabiliser.of(noise).forward
    cuts = [(p == noise.floor) | (p == noise.ceiling) for p in pictures]
    sums = [_products(stabilise(p), c, lags) for p, c in zip(pictures, cuts, strict=True)]
    total = np.sum(sums, axis=0)
    return np.asarray(total[:, 1:] / np.where(total[:, :1] > 0, total[:, :1], 1.0))


def _differences(pictures: list[Plane]) -> list[Plane]:
    if len(pictures) < 2:
        raise InputError(
            "One plane has no neighbour to compare it with", got=len(pictures), expected=">= 2"
        )
    return [after - before for before, after in pairwise(pictures)]


def _products(stable: Plane, cut: NDArray[np.bool_], lags: int) -> NDArray[np.float64]:
    """Give the mean products at distances 0 to `lags`, along y and along x."""
    rough = roughness(stable)
    # What is cut off is smooth without telling anything.
    usable = uniform_filter(cut.astype(np.float64), 9) <= 0.5
    usable |= not usable.any()
    smooth = usable & (rough <= np.quantile(rough[usable], _SMOOTHEST))
    return np.array(
        [
            _along_rows(correlate1d(stable, SECOND_DIFFERENCE, axis=1).T, smooth.T, lags),
            _along_rows(correlate1d(stable, SECOND_DIFFERENCE, axis=0), smooth, lags),
        ]
    )


def _along_rows(detail: Plane, smooth: NDArray[np.bool_], lags: int) -> list[float]:
    limit = _SPIKE * np.sqrt(np.mean(np.square(detail[smooth])))
    calm = np.clip(detail, -limit, limit)
    products = []
    for lag in range(lags + 1):
        end = calm.shape[1] - lag
        both = smooth[:, :end] & smooth[:, lag:]
        product = calm[:, :end] * calm[:, lag:]
        products.append(float(product[both].mean()) if both.any() else 0.0)
    return products


def share_of_high_pass(autocorrelation: NDArray[np.float64]) -> float:
    """Tell how much of the noise's variance :func:`~napari_unet.noise.fit_noise` can see.

    Parameters
    ----------
    autocorrelation : ndarray, (2, lags)
        As :func:`noise_autocorrelation` gives it, with at least two lags.

    Returns
    -------
    share : float
        Divide a fitted variance by it. 1 for white noise, less where neighbours are alike; at
        least 0.05.
    """
    along = 1.0 - 4.0 / 3.0 * autocorrelation[:, 0] + autocorrelation[:, 1] / 3.0
    return max(0.05, float(np.prod(np.clip(along, 0.0, None))))


def structure_similarity(a: ArrayLike, b: ArrayLike, noise: NoiseModel) -> float:
    """Tell how much of their structure two pictures share.

    Parameters
    ----------
    a, b : array_like
        Noisy pictures of one shape, axes (y, x).
    noise : NoiseModel
        Of both.

    Returns
    -------
    likeness : float
        1 where the difference is nothing but noise, or where there is no structure; 0 where the
        variance of the difference is that of two unrelated pictures, or more.

    Raises
    ------
    InputError
        If one is no picture, or their shapes differ.
    """
    one, other = _pair(a, b)
    noise_part = _noise_variance(one, noise) + _noise_variance(other, noise)
    structure = one.var() + other.var() - noise_part
    changed = (one - other).var() - noise_part
    # Of white noise alone, the variance is known no better than this.
    if structure <= 4.0 * noise_part / np.sqrt(one.size):
        return 1.0
    return float(np.clip(1.0 - changed / structure, 0.0, 1.0))


def normalised_difference(a: ArrayLike, b: ArrayLike, noise: NoiseModel) -> float:
    """Tell how much more than by their noise two pictures differ.

    A high :func:`structure_similarity` can still mean a change far above the noise, where there is
    little noise; one picture is a fair noisy target for the other only where this is near 1.

    Parameters
    ----------
    a, b : array_like
        Noisy pictures of one shape, axes (y, x).
    noise : NoiseModel
        Of both.

    Returns
    -------
    ratio : float
        Variance of the difference over what the noise alone would give it.

    Raises
    ------
    InputError
        If one is no picture, or their shapes differ.
    """
    one, other = _pair(a, b)
    by_noise = _noise_variance(one, noise) + _noise_variance(other, noise)
    return float((one - other).var() / by_noise)


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[Plane, Plane]:
    one, other = as_plane(a), as_plane(b)
    if one.shape != other.shape:
        raise InputError(
            "Pictures of different shapes cannot be compared", got=other.shape, expected=one.shape
        )
    return one, other


def _noise_variance(plane: Plane, noise: NoiseModel) -> float:
    return float(noise.variance(gaussian_filter(plane, 2.0)).mean())


def saturation(plane: ArrayLike) -> float:
    """Tell which share of the pixels says nothing but "at least" or "at most".

    Parameters
    ----------
    plane : array_like
        Axes (y, x). Of an integer type, also its least and greatest value count.

    Returns
    -------
    share : float
        From 0 to 1.

    Raises
    ------
    InputError
        If it is no picture.
    """
    values = as_plane(plane)
    kind = np.asarray(plane).dtype
    ends = {end for end in clipping_limits([values]) if end is not None}
    if np.issubdtype(kind, np.integer):
        ends |= {float(np.iinfo(kind).min), float(np.iinfo(kind).max)}
    return float(np.isin(values, sorted(ends)).mean())
