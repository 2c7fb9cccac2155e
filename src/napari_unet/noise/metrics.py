"""Image quality metrics against a reference: PSNR and structural similarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError

SIGMA = 1.5
"""Standard deviation of the Gaussian window (Wang et al. 2004), in voxels.

doi:10.1109/TIP.2003.819861
"""

LEAST = 11
"""Least side of an image, in voxels, so that the window fits into it."""


@dataclass(frozen=True, slots=True)
class ImageSimilarity:
    """How similar an image is to its reference.

    Parameters
    ----------
    psnr : float
        Peak signal-to-noise ratio in dB; infinite where there is no difference.
    ssim : float
        Mean structural similarity, at most 1.
    data_range : float
        Range of grey values that both refer to.
    """

    psnr: float
    ssim: float
    data_range: float


def data_range_of(reference: NDArray[Any]) -> float:
    """Return the data range of a reference: 255 for uint8, else maximum minus minimum.

    Raises
    ------
    InputError
        If the reference is constant, or not finite.
    """
    span = 255.0 if reference.dtype == np.uint8 else float(np.ptp(reference.astype(np.float64)))
    if not (np.isfinite(span) and span > 0):
        raise InputError("The data range has to be larger than 0", got=span)
    return span


def image_similarity(
    reference: NDArray[Any],
    result: NDArray[Any],
    data_range: float | None = None,
    channel_axis: int | None = None,
) -> ImageSimilarity:
    """Compare an image with its reference, with scikit-image.

    Parameters
    ----------
    reference, result : ndarray
        Shape (y, x) or (z, y, x), with or without a channel axis; the same for both.
    data_range : float, optional
        Range of grey values; by default :func:`data_range_of` the reference.
    channel_axis : int, optional
        The axis that holds channels, over which the structural similarity is averaged.

    Returns
    -------
    similarity : ImageSimilarity

    Raises
    ------
    InputError
        If the shapes differ, the image is too small, or the reference is constant.
    """
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    if reference.shape != result.shape:
        raise InputError(
            "The reference has another shape", got=reference.shape, expected=result.shape
        )
    space = [n for axis, n in enumerate(reference.shape) if axis != channel_axis]
    if min(space) < LEAST:
        raise InputError(
            "The image is too small to be compared with a reference",
            got=f"{tuple(space)}",
            expected=f"at least {LEAST} voxels along each axis",
        )
    span = data_range_of(reference) if data_range is None else data_range
    expected = reference.astype(np.float64)
    found = result.astype(np.float64)
    ssim = structural_similarity(
        expected,
        found,
        data_range=span,
        channel_axis=channel_axis,
        gaussian_weights=True,
        sigma=SIGMA,
        use_sample_covariance=False,
    )
    with np.errstate(divide="ignore"):  # without any difference it is infinite
        psnr = peak_signal_noise_ratio(expected, found, data_range=span)
    return ImageSimilarity(float(psnr), float(ssim), span)
