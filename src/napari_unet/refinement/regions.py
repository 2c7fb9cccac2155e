"""Connected regions: their sizes, their holes, and what becomes of the small ones.

Voxels of a region share faces. What is around it connects over edges and corners as well, so that
a line one voxel wide, drawn diagonally, still has two sides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Regions = NDArray[np.int32]
Mask = NDArray[np.bool_]


def find_regions(mask: Mask, *, corners: bool = False) -> tuple[Regions, int]:
    """Give numbers to the connected regions of a mask.

    Parameters
    ----------
    mask : ndarray of bool
        Of 2 or 3 axes.
    corners : bool
        Whether voxels connect over edges and corners too.

    Returns
    -------
    regions : ndarray of int32
        1, 2, … in the order of their first voxels; 0 outside the mask.
    number : int
        How many there are.
    """
    from scipy import ndimage

    structure = ndimage.generate_binary_structure(mask.ndim, mask.ndim if corners else 1)
    regions, number = ndimage.label(mask, structure, output=np.int32)
    return regions, int(number)


def sizes_of(regions: Regions, number: int) -> NDArray[np.intp]:
    """Return the voxels of each region; position 0 counts those outside."""
    return np.bincount(regions.ravel(), minlength=number + 1)


def drop_small(mask: Mask, smallest: int) -> Mask:
    """Return a mask without its regions of fewer than `smallest` voxels."""
    if smallest <= 1:
        return mask
    regions, number = find_regions(mask)
    keep = sizes_of(regions, number) >= smallest
    keep[0] = False
    return keep[regions]


def fill_holes(mask: Mask, largest: int) -> Mask:
    """Return a mask with its enclosed holes of at most `largest` voxels filled.

    What reaches the border of the picture is not enclosed.
    """
    if largest < 1:
        return mask
    holes, number = find_regions(~mask, corners=True)
    fill = sizes_of(holes, number) <= largest
    for axis in range(mask.ndim):
        for end in (0, -1):
            fill[holes.take(end, axis)] = False
    fill[0] = False
    return mask | fill[holes]


def give_away(regions: Regions, keep: Mask) -> Regions:
    """Let the regions that stay grow into those that do not.

    Parameters
    ----------
    regions : ndarray of int32
        Numbered from 1; 0 is outside and stays outside.
    keep : ndarray of bool, shape (number of regions + 1,)
        Which stay. Every connected part of what is not 0 needs one.

    Returns
    -------
    ndarray of int32
        Every voxel has gone to the region that reaches it by the fewest steps, so regions that
        were connected still are, and none has become smaller.
    """
    taken = ~keep[regions] & (regions > 0)
    if not taken.any():
        return regions
    from scipy import ndimage
    from skimage.segmentation import watershed

    # Flooding a flat landscape is growing step by step. Only the edge of what stays takes part.
    edge = ndimage.binary_dilation(taken) & (regions > 0)
    shores = np.where(taken, 0, regions)
    flooded = watershed(np.zeros(regions.shape, np.uint8), shores, mask=edge)
    return np.where(taken, flooded, regions).astype(np.int32, copy=False)


def merge_small(classes: NDArray[Any], smallest: int) -> NDArray[Any]:
    """Give regions of fewer than `smallest` voxels to the regions beside them.

    Parameters
    ----------
    classes : ndarray of int
        A class for each voxel.
    smallest : int
        Voxels that a region of one class needs. If none has as many, the largest takes all.

    Returns
    -------
    ndarray of int
        Like `classes`.
    """
    if smallest <= 1:
        return classes
    regions = np.zeros(classes.shape, np.int32)
    of_region = [np.zeros(1, classes.dtype)]
    for value in np.unique(classes):
        found, number = find_regions(classes == value)
        before = sum(map(len, of_region)) - 1
        regions += np.where(found > 0, found + np.int32(before), np.int32(0))
        of_region.append(np.full(number, value, classes.dtype))
    values = np.concatenate(of_region)
    sizes = sizes_of(regions, len(values) - 1)
    keep = sizes >= smallest
    keep[sizes[1:].argmax() + 1] = True
    return values[give_away(regions, keep)]


def consecutive(regions: Regions, number: int) -> tuple[Regions, int]:
    """Count regions from 1 without gaps, in the order that they have."""
    there = sizes_of(regions, number) > 0
    there[0] = False
    numbers = np.where(there, np.cumsum(there), 0).astype(np.int32)
    return numbers[regions], int(there.sum())
