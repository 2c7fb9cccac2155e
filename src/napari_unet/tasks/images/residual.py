"""Whether a network gives a result anew, or says what to add to the image that it reads.

What has to be said where an image is nearly right is little, and learned in few steps: with pairs
of BSD68 a minute of adding gives what takes many without. But where a blur of a pixel would do most
of it, a result that is given anew is smooth from the start, and that is learned even faster.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_unet.data.image import ImageView
from napari_unet.geometry.region import Region

SIDE = 512
"""Of the part of an image that is looked at, in pixels."""

PLANES = 8
"""That are looked at, at most."""

ALIKE = 0.5
"""Part of the good image's variance that the other may be off by; they are then correlated by more
than 0.75."""

BLUR, BLURRED = 1.0, 0.25
"""Standard deviation of a blur in pixels, and the part of the error that it must leave."""


def some_planes(view: ImageView) -> list[NDArray[Any]]:
    """Return the middles of some planes from all over an image, as `middle_plane` does."""
    number = prod(view.loop_shape)
    picks = np.linspace(0, number - 1, min(PLANES, number) + 2)[1:-1].round().astype(int)
    return [_middle(view, tuple(map(int, np.unravel_index(k, view.loop_shape)))) for k in picks]


def middle_plane(view: ImageView, beside: int = 0) -> NDArray[Any]:
    """Return the middle of an image's middle plane, in grey values.

    Parameters
    ----------
    view : ImageView
        The image.
    beside : int
        How many planes before or behind it, along the last looped axis.

    Returns
    -------
    ndarray, shape (channel, y, x)
        Without what is seen together with it.
    """
    loop = [n // 2 for n in view.loop_shape]
    if beside:
        loop[-1] += beside
    return _middle(view, tuple(loop))


def _middle(view: ImageView, loop: tuple[int, ...]) -> NDArray[Any]:
    shape = view.spatial_shape
    start, stop = [n // 2 for n in shape[:-2]], [n // 2 + 1 for n in shape[:-2]]
    for n in shape[-2:]:
        side = min(n, SIDE)
        start.append((n - side) // 2)
        stop.append((n - side) // 2 + side)
    region = Region(tuple(start), tuple(stop))
    return view.read_raw(loop, region)[view.centre_channels].reshape(-1, *region.shape[-2:])


def learns_residual(
    seen: NDArray[np.float32], good: NDArray[np.float32], noise: float = 0.0
) -> bool:
    """Tell whether an image is so near to what it should be that it is better added to.

    Parameters
    ----------
    seen, good : ndarray, shape (channel, y, x)
        The image, and what it should be; both normalised.
    noise : float
        Variance of the noise that the good one has of its own.
    """
    counts = np.isfinite(seen) & np.isfinite(good)
    if seen.shape != good.shape or not counts.any():
        return False
    blurred = gaussian_filter(np.nan_to_num(seen), (0, BLUR, BLUR))
    off, left = (float(np.mean((x - good)[counts] ** 2)) for x in (seen, blurred))
    alike = off - noise < ALIKE * (float(np.var(good[counts])) - noise)
    return alike and left - noise > BLURRED * (off - noise)
