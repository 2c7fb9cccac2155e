"""Holes like those that are there: what a network that fills in practises on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.image import ImageView
from napari_unet.geometry.region import Region

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
        region = Region(start, tuple(a + n for a, n in zip(start, shape, strict=True)))
        holes: NDArray[np.bool_] = missing.read_raw(loop, region) != 0
        if 0 < holes.mean() <= MOST:
            return holes
    return np.broadcast_to(_blob(shape, random), (missing.planes, *shape))


def _blob(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.bool_]:
    """Return a ball of some size somewhere."""
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    radius = random.uniform(2, max(3, min(shape) / 6))
    centre = [random.uniform(0, n) for n in shape]
    away = sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True))
    ball: NDArray[np.bool_] = np.asarray(away) <= radius**2
    return ball
