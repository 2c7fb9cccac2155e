"""How alike an image and its reference are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError

SIGMA = 1.5
"""Of the Gaussian window of Wang et al. 2004, doi:10.1109/TIP.2003.819861, in voxels."""

LEAST = 11
"""Least side of what is compared, in voxels: the window must fit."""


@dataclass(frozen=True, slots=True)
class ImageSimilarity:
    """Peak signal-to-noise ratio in dB, structural similarity, and the data range of both."""

    psnr: float
    ssim: float
    data_range: float


def data_range_of(reference: NDArray[Any]) -> float:
    """Return the usual data range: 255 for bytes, else what the reference spans.

    Raises
    ------
    InputError
        Where the reference is constant, or not finite.
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
    """Compare an image with its reference, by scikit-image.

    Parameters
    ----------
    reference, result : ndarray, shape (y, x) or (z, y, x), with a channel axis or without
        As it should be, and as it is.
    data_range : float, optional
        From darkest to brightest; `data_range_of` the reference if not given.
    channel_axis : int, optional
        Which axis holds channels; their structural similarities are averaged.

    Raises
    ------
    InputError
        Where the shapes differ, the image is too small, or there is no range.
    """
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    if reference.shape != result.shape:
        raise InputError(
            "The reference has another shape", got=reference.shape, expected=result.shape
        )
    space = [n for axis, n in enumerate(reference.shape) if axis != channel_axis]
    if min(space) < LEAST:
        raise InputError(
            "The image is too small to be compared",
            got=f"{tuple(space)}",
            expected=f"at least {LEAST} voxels along each axis",
        )
    span = data_range_of(reference) if data_range is None else data_range
    clean, other = reference.astype(np.float64), result.astype(np.float64)
    ssim = structural_similarity(
        clean,
        other,
        data_range=span,
        channel_axis=channel_axis,
        gaussian_weights=True,
        sigma=SIGMA,
        use_sample_covariance=False,
    )
    with np.errstate(divide="ignore"):  # no difference at all: infinite
        psnr = peak_signal_noise_ratio(clean, other, data_range=span)
    return ImageSimilarity(float(psnr), float(ssim), span)
