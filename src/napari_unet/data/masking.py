"""Masking of pixels that a network learns to predict: blind spots, lines, and gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.image import ImageView
from napari_unet.geometry.region import Region

REACH = 2
"""Greatest distance of a replacement, in voxels along each axis."""

Replacement = Literal["neighbour", "median"]
"""How hidden pixels are replaced."""


def hide(
    pixels: NDArray[np.float32],
    hidden: NDArray[np.bool_],
    random: np.random.Generator,
    replacement: Replacement = "neighbour",
    line: int | None = None,
) -> NDArray[np.float32]:
    """Replace some pixels of an image by others nearby.

    From Noise2Void (Krull et al. 2019, arXiv:1811.10980); the median from N2V2 (Höck et al. 2022,
    arXiv:2211.08512); whole lines, for noise that is correlated along them, after Broaddus et
    al. 2020, doi:10.1109/ISBI45749.2020.9098336.

    Parameters
    ----------
    pixels : ndarray of float32, shape (channels, *spatial)
        The image.
    hidden : ndarray of bool, shape spatial
        Whether a pixel is replaced.
    random : Generator
        Source of all draws.
    replacement : {"neighbour", "median"}
        A random pixel of the surroundings, or their median.
    line : int, optional
        Spatial axis along which noise is correlated: replacements come from other lines.

    Returns
    -------
    ndarray of float32, the same shape
    """
    coords = np.argwhere(hidden)
    if not len(coords):
        return pixels
    offsets = _offsets(hidden.ndim, line)
    if replacement == "neighbour":
        offsets = offsets[random.integers(len(offsets), size=len(coords))][:, None]
    index = _reflected(coords[:, None] + offsets, hidden.shape)
    near = pixels[(slice(None), *np.moveaxis(index, -1, 0))]
    out = pixels.copy()
    out[(slice(None), *coords.T)] = np.median(near, axis=-1)
    return out


def choose_hidden(
    shape: Sequence[int], share: float, random: np.random.Generator, line: int | None = None
) -> NDArray[np.bool_]:
    """Draw which voxels are hidden: single ones, or whole lines.

    Parameters
    ----------
    shape : sequence of int
        Of the patch, in voxels.
    share : float
        Probability for each voxel or line.
    random : Generator
        Source of all draws.
    line : int, optional
        Spatial axis of the lines; without it single voxels are drawn.

    Returns
    -------
    ndarray of bool, shape `shape`
    """
    seeds = [1 if axis == line else n for axis, n in enumerate(shape)]
    return np.broadcast_to(random.random(seeds) < share, tuple(shape))


def _offsets(ndim: int, line: int | None) -> NDArray[np.int64]:
    """Return the offsets of possible replacements, without the pixel itself or its line."""
    # In 3D replacements come from the same plane, because planes may be far apart.
    reach = [0] * (ndim - 2) + [REACH] * 2
    grid = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), -1)
    offsets = grid.reshape(-1, ndim)
    across = offsets.copy()
    if line is not None:
        across[:, line] = 0
    return offsets[across.any(axis=1)]


def _reflected(index: NDArray[np.int64], shape: Sequence[int]) -> NDArray[np.int64]:
    """Return indices mirrored at the borders, so that all lie inside."""
    last = np.array(shape) - 1
    index = np.abs(index)
    return np.clip(np.where(index > last, 2 * last - index, index), 0, last)


TRIES = 24
"""Number of random locations at which a mask is searched for gaps."""

MAX_HIDDEN = 0.5
"""Greatest share of a patch that is hidden."""


def draw_gaps(
    missing: ImageView, shape: tuple[int, ...], random: np.random.Generator
) -> NDArray[np.bool_]:
    """Return gaps as they occur at a random location of a mask.

    Parameters
    ----------
    missing : ImageView
        Not 0 where pixels are missing.
    shape : tuple of int
        Of the patch, in voxels.
    random : Generator
        Source of all draws.

    Returns
    -------
    ndarray of bool, shape (planes, *shape)
        Whether a pixel is to be hidden; a random ball if no gap was found.
    """
    for _ in range(TRIES):
        loop = tuple(int(random.integers(n)) for n in missing.loop_shape)
        start = tuple(
            int(random.integers(-(n // 2), max(1, whole - n // 2)))
            for n, whole in zip(shape, missing.spatial_shape, strict=True)
        )
        region = Region.of(start, shape)
        gaps: NDArray[np.bool_] = missing.read_raw(loop, region) != 0
        if 0 < gaps.mean() <= MAX_HIDDEN:
            return gaps
    return np.broadcast_to(_random_ball(shape, random), (missing.context_planes, *shape))


def _random_ball(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.bool_]:
    """Return a ball of random size and position."""
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    radius = random.uniform(2, max(3, min(shape) / 6))
    centre = [random.uniform(0, n) for n in shape]
    squared_distance = sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True))
    ball: NDArray[np.bool_] = np.asarray(squared_distance) <= radius**2
    return ball
