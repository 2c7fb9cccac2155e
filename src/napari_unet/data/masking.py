"""Hiding pixels from a network, so that it learns to tell each from its surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.image import ImageView
from napari_unet.geometry.region import Region

REACH = 2
"""How far away a replacement may come from, in voxels."""

Replacement = Literal["neighbour", "median"]


def hide(
    pixels: NDArray[np.float32],
    hidden: NDArray[np.bool_],
    random: np.random.Generator,
    replacement: Replacement = "neighbour",
    line: int | None = None,
) -> NDArray[np.float32]:
    """Return a picture with some pixels replaced by others nearby.

    Noise2Void, Krull et al. 2019, arXiv:1811.10980; the median is N2V2's, Höck et al. 2022,
    arXiv:2211.08512; hiding what shares its noise is Broaddus et al. 2020,
    doi:10.1109/ISBI45749.2020.9098336, here whole lines.

    Parameters
    ----------
    pixels : ndarray, shape (channels, *spatial)
        The picture.
    hidden : ndarray of bool, shape spatial
        What is hidden.
    random : Generator
        Chooses the replacements.
    replacement : {"neighbour", "median"}
        One pixel at random out of the surroundings, or their median.
    line : int, optional
        Spatial axis along which the noise is alike: replacements then come from other lines.
    """
    where = np.argwhere(hidden)
    if not len(where):
        return pixels
    offsets = _offsets(hidden.ndim, line)
    if replacement == "neighbour":
        offsets = offsets[random.integers(len(offsets), size=len(where))][:, None]
    index = _reflected(where[:, None] + offsets, hidden.shape)
    near = pixels[(slice(None), *np.moveaxis(index, -1, 0))]
    out = pixels.copy()
    out[(slice(None), *where.T)] = np.median(near, axis=-1)
    return out


def choose_hidden(
    shape: Sequence[int], share: float, random: np.random.Generator, line: int | None = None
) -> NDArray[np.bool_]:
    """Return what shall be hidden: single voxels, or whole lines.

    Parameters
    ----------
    shape : sequence of int
        Of the patch, in voxels.
    share : float
        Of the voxels, or of the lines.
    random : Generator
        Chooses.
    line : int, optional
        The axis along which lines lie.
    """
    seeds = [1 if axis == line else n for axis, n in enumerate(shape)]
    return np.broadcast_to(random.random(seeds) < share, tuple(shape))


def _offsets(ndim: int, line: int | None) -> NDArray[np.int64]:
    """Return the steps to where a replacement may come from; never to the pixel, or its line."""
    # Planes may be far apart: in 3D a replacement comes out of the plane itself.
    reach = [0] * (ndim - 2) + [REACH] * 2
    grid = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), -1)
    steps = grid.reshape(-1, ndim)
    apart = steps.copy()
    if line is not None:
        apart[:, line] = 0
    return steps[apart.any(axis=1)]


def _reflected(index: NDArray[np.int64], shape: Sequence[int]) -> NDArray[np.int64]:
    """Return indices that lie inside, mirrored at the borders."""
    last = np.array(shape) - 1
    index = np.abs(index)
    return np.clip(np.where(index > last, 2 * last - index, index), 0, last)


TRIES = 24
"""How often a place with holes is looked for before one is made up."""

MOST = 0.5
"""No more than this part of a patch is hidden."""


def holes_like(
    missing: ImageView, shape: tuple[int, ...], random: np.random.Generator
) -> NDArray[np.bool_]:
    """Return holes taken from some other place of a mask.

    Parameters
    ----------
    missing : ImageView
        Not 0 where pixels are missing.
    shape : tuple of int
        Of the patch, in voxels.
    random : Generator
        Chooses the place.

    Returns
    -------
    ndarray of bool, shape (planes, *shape)
        True where a pixel shall be hidden.
    """
    for _ in range(TRIES):
        loop = tuple(int(random.integers(n)) for n in missing.loop_shape)
        start = tuple(
            int(random.integers(-(n // 2), max(1, whole - n // 2)))
            for n, whole in zip(shape, missing.spatial_shape, strict=True)
        )
        region = Region.of(start, shape)
        holes: NDArray[np.bool_] = missing.read_raw(loop, region) != 0
        if 0 < holes.mean() <= MOST:
            return holes
    return np.broadcast_to(_blob(shape, random), (missing.context_planes, *shape))


def _blob(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.bool_]:
    """Return a ball of some size somewhere."""
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    radius = random.uniform(2, max(3, min(shape) / 6))
    centre = [random.uniform(0, n) for n in shape]
    away = sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True))
    ball: NDArray[np.bool_] = np.asarray(away) <= radius**2
    return ball
