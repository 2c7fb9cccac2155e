"""Residual learning: whether a network's output is added to the image that it reads.

Where an image is nearly right the residual is small, and learned in few steps: with pairs of BSD68
a minute of residual learning gives what takes many minutes without. But where a blur of one pixel
would remove most of the error, an output that is not added to anything is smooth from the start,
and that is learned even faster.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_unet.data.image import ImageView
from napari_unet.geometry.region import Region

MAX_SIDE = 512
"""Side in pixels of the part of a plane that is compared, at most."""

MAX_PLANES = 8
"""Number of planes of an image that are compared, at most."""

MAX_RESIDUAL_VARIANCE = 0.5
"""Mean squared error, relative to the target's variance, below which a residual is learned.

Image and target are then correlated by more than 0.75.
"""

BLUR_SIGMA = 1.0
"""Standard deviation in pixels of the blur that is tried."""

MIN_BLURRED_ERROR = 0.25
"""Part of the error that the blur must leave for a residual to be learned."""


def some_planes(view: ImageView) -> list[NDArray[Any]]:
    """Return the middles (channel, y, x) of planes spread evenly over an image."""
    number = prod(view.loop_shape)
    picks = np.linspace(0, number - 1, min(MAX_PLANES, number) + 2)[1:-1].round().astype(int)
    return [_middle(view, tuple(map(int, np.unravel_index(k, view.loop_shape)))) for k in picks]


def middle_plane(view: ImageView, offset: int = 0) -> NDArray[Any]:
    """Return the middle of an image's middle plane, not normalised.

    Parameters
    ----------
    view : ImageView
        The image.
    offset : int
        Number of planes by which to go on from the middle one, along the last looped axis.

    Returns
    -------
    ndarray, shape (channel, y, x)
        Without context planes.
    """
    loop = [n // 2 for n in view.loop_shape]
    if offset:
        loop[-1] += offset
    return _middle(view, tuple(loop))


def _middle(view: ImageView, loop: tuple[int, ...]) -> NDArray[Any]:
    *depths, height, width = view.spatial_shape
    sides = [min(height, MAX_SIDE), min(width, MAX_SIDE)]
    start = [n // 2 for n in depths] + [(height - sides[0]) // 2, (width - sides[1]) // 2]
    region = Region.of(start, [1] * len(depths) + sides)
    return view.read_raw(loop, region)[view.centre_channels].reshape(-1, *region.shape[-2:])


def learns_residual(
    image: NDArray[np.float32], target: NDArray[np.float32], noise: float = 0.0
) -> bool:
    """Tell whether an image is so near to its target that learning the residual is better.

    Parameters
    ----------
    image, target : ndarray, shape (channel, y, x)
        The image and what it should be, both normalised.
    noise : float
        Variance of the target's own noise.
    """
    counts = np.isfinite(image) & np.isfinite(target)
    if image.shape != target.shape or not counts.any():
        return False
    blurred = gaussian_filter(np.nan_to_num(image), (0, BLUR_SIGMA, BLUR_SIGMA))
    error = float(np.mean((image - target)[counts] ** 2)) - noise
    blurred_error = float(np.mean((blurred - target)[counts] ** 2)) - noise
    variance = float(np.var(target[counts])) - noise
    is_near = error < MAX_RESIDUAL_VARIANCE * variance
    return is_near and blurred_error > MIN_BLURRED_ERROR * error
