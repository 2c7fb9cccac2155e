"""Correlation of noise, similarity of images, and saturation: what a denoising method needs."""

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

_SMOOTHEST = 0.3
"""Share of an image, its smoothest part, in which the noise is measured."""

_SPIKE = 4.0
"""Standard deviations at which values are clipped before they are multiplied."""


def noise_autocorrelation(
    planes: Sequence[ArrayLike],
    lags: int = 3,
    *,
    same_scene: bool = False,
    noise: NoiseModel | None = None,
) -> NDArray[np.float64]:
    """Estimate the autocorrelation of the noise from noisy images.

    It is measured in the smoothest part of the variance-stabilised image. The correlation along
    one axis is measured after a second difference along the other axis. That removes smooth
    structure, and does not change a correlation that is separable in y and x, nor the offsets of
    whole rows or columns.

    Parameters
    ----------
    planes : sequence of array_like
        Images taken in the same way, each with axes (y, x) and at least 16 pixels along both.
    lags : int
        Greatest distance, in pixels.
    same_scene : bool
        Whether the planes show the same scene one after the other. Then the differences of
        consecutive planes are measured, which hold no structure.
    noise : NoiseModel, optional
        Of the planes, if it is already known; not used with `same_scene`.

    Returns
    -------
    autocorrelation : ndarray, (2, lags)
        Along y and along x, at distances 1 to `lags`. About 0 for white noise; high along x and
        about 0 along y for row noise; positive along both for blurred noise.

    Raises
    ------
    InputError
        If a plane is too small or not finite, or `same_scene` is set for one plane alone.
    """
    images = [as_plane(p, least=16) for p in planes]
    if same_scene:
        images = _differences(images)
        noise = None
    noise = noise or fit_noise(images)
    stabilise = Stabiliser.of(noise).forward
    clipped = [(p == noise.floor) | (p == noise.ceiling) for p in images]
    sums = [_products(stabilise(p), c, lags) for p, c in zip(images, clipped, strict=True)]
    total = np.sum(sums, axis=0)
    return np.asarray(total[:, 1:] / np.where(total[:, :1] > 0, total[:, :1], 1.0))


def _differences(images: list[Plane]) -> list[Plane]:
    if len(images) < 2:
        raise InputError(
            "A single plane has no neighbour to be compared with",
            got=len(images),
            expected="at least 2 planes",
        )
    return [after - before for before, after in pairwise(images)]


def _products(stable: Plane, clipped: NDArray[np.bool_], lags: int) -> NDArray[np.float64]:
    """Return the mean products of pixels at distances 0 to `lags`, along y and along x."""
    rough = roughness(stable)
    # Clipped parts are smooth, but say nothing about the noise.
    usable = uniform_filter(clipped.astype(np.float64), 9) <= 0.5
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
    limited = np.clip(detail, -limit, limit)
    products = []
    for lag in range(lags + 1):
        end = limited.shape[1] - lag
        both = smooth[:, :end] & smooth[:, lag:]
        product = limited[:, :end] * limited[:, lag:]
        products.append(float(product[both].mean()) if both.any() else 0.0)
    return products


def share_of_high_pass(autocorrelation: NDArray[np.float64]) -> float:
    """Return the share of the noise's variance that passes the high-pass of the fit.

    See :func:`~napari_unet.noise.poisson_gauss.fit_noise`.

    Parameters
    ----------
    autocorrelation : ndarray, (2, lags)
        From :func:`noise_autocorrelation`, with at least two lags.

    Returns
    -------
    share : float
        1 for white noise, less where neighbours are correlated; at least 0.05. A fitted variance
        is divided by it.
    """
    along = 1.0 - 4.0 / 3.0 * autocorrelation[:, 0] + autocorrelation[:, 1] / 3.0
    return max(0.05, float(np.prod(np.clip(along, 0.0, None))))


def structure_similarity(a: ArrayLike, b: ArrayLike, noise: NoiseModel) -> float:
    """Return the share of their structure that two noisy images have in common.

    Parameters
    ----------
    a, b : array_like
        Noisy images of one shape, axes (y, x).
    noise : NoiseModel
        Of both images.

    Returns
    -------
    similarity : float
        1 if the difference is only noise, or if there is no structure; 0 if the variance of the
        difference is that of two unrelated images, or more.

    Raises
    ------
    InputError
        If an image is too small or not finite, or the shapes differ.
    """
    first, second = _checked(a, b)
    noise_part = _noise_variance(first, noise) + _noise_variance(second, noise)
    structure = first.var() + second.var() - noise_part
    changed = (first - second).var() - noise_part
    # Four standard errors of the variance of white noise: less is no structure.
    if structure <= 4.0 * noise_part / np.sqrt(first.size):
        return 1.0
    return float(np.clip(1.0 - changed / structure, 0.0, 1.0))


def normalised_difference(a: ArrayLike, b: ArrayLike, noise: NoiseModel) -> float:
    """Return the variance of the difference of two images, relative to that by noise.

    Where there is little noise, images of a high :func:`structure_similarity` can differ by far
    more than the noise. One image can be the training target of the other only if this ratio is
    near 1.

    Parameters
    ----------
    a, b : array_like
        Noisy images of one shape, axes (y, x).
    noise : NoiseModel
        Of both images.

    Returns
    -------
    ratio : float
        1 if the images differ only by noise.

    Raises
    ------
    InputError
        If an image is too small or not finite, or the shapes differ.
    """
    first, second = _checked(a, b)
    by_noise = _noise_variance(first, noise) + _noise_variance(second, noise)
    return float((first - second).var() / by_noise)


def _checked(a: ArrayLike, b: ArrayLike) -> tuple[Plane, Plane]:
    first = as_plane(a)
    second = as_plane(b)
    if first.shape != second.shape:
        raise InputError(
            "Images of different shapes cannot be compared", got=second.shape, expected=first.shape
        )
    return first, second


def _noise_variance(plane: Plane, noise: NoiseModel) -> float:
    return float(noise.variance(gaussian_filter(plane, 2.0)).mean())


def saturation(plane: ArrayLike) -> float:
    """Return the share of saturated pixels: those at the ends of the range of grey values.

    Parameters
    ----------
    plane : array_like
        Axes (y, x). For integers, the least and the greatest value of the type count, too.

    Returns
    -------
    share : float
        From 0 to 1.

    Raises
    ------
    InputError
        If it is too small or not finite.
    """
    values = as_plane(plane)
    kind = np.asarray(plane).dtype
    ends = {end for end in clipping_limits([values]) if end is not None}
    if np.issubdtype(kind, np.integer):
        ends |= {float(np.iinfo(kind).min), float(np.iinfo(kind).max)}
    return float(np.isin(values, sorted(ends)).mean())
