"""Which voxels of an image are kept for validation: decided by where they are, and a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unet.geometry.region import Region

_PRIMES = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1)


def held_out(
    loop: tuple[int, ...], region: Region, share: float, seed: int, cell: int = 1
) -> NDArray[np.bool_]:
    """Tell which voxels of a region are held out.

    The answer for a voxel does not depend on the region it is asked in, and needs no memory.

    Parameters
    ----------
    loop : tuple of int
        Which picture.
    region : Region
        In voxels.
    share : float
        Part of the cells that are held out.
    seed : int
        Another seed holds out other cells.
    cell : int
        Side of the cubes of voxels that are held out together.

    Returns
    -------
    ndarray of bool, shape region.shape
    """
    if share >= 1:
        return np.ones(region.shape, bool)
    salt = seed
    for index in loop:
        salt = salt * _PRIMES[3] + index + 1
    mixed = np.full((1,) * len(region.shape), salt % 2**64, np.uint64)
    with np.errstate(over="ignore"):
        for axis, (start, stop) in enumerate(zip(region.start, region.stop, strict=True)):
            cells = (np.arange(start, stop) // cell).astype(np.int64).view(np.uint64)
            shape = [1] * len(region.shape)
            shape[axis] = -1
            mixed = _mix(mixed ^ (cells.reshape(shape) * np.uint64(_PRIMES[axis])))
    return mixed < np.uint64(share * 2**64)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter numbers: the finaliser of Steele, Lea and Flood 2014 (SplitMix64)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
