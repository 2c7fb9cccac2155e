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


def split_objects(
    mask: Mask, distance: float, spacing: tuple[float, ...], smallest: int = 0
) -> tuple[Regions, int]:
    """Give numbers to the objects of a mask, and split those that are several.

    Parameters
    ----------
    mask : ndarray of bool
        Of 2 or 3 axes.
    distance : float
        Least distance between two centres, in voxels of the finest axis.
    spacing : tuple of float
        Distance between voxels per axis, in any unit.
    smallest : int
        Pieces of fewer voxels go to the pieces beside them.

    Returns
    -------
    objects : ndarray of int32
        1, 2, …, each connected; 0 outside the mask.
    number : int
        How many there are.
    """
    parts, number = find_regions(mask)
    if number == 0 or mask.all():  # nothing has a distance to nowhere
        return parts, number
    from scipy import ndimage
    from skimage.segmentation import watershed

    steps = np.asarray(spacing) / min(spacing)
    heights = ndimage.distance_transform_edt(mask, sampling=steps)
    centres = _centres(heights, parts, distance, steps)
    pieces = np.asarray(watershed(-heights, centres, mask=mask), np.int32)
    return _without_small(pieces, parts, smallest)


def _centres(
    heights: NDArray[np.float64], parts: Regions, distance: float, steps: NDArray[np.float64]
) -> Regions:
    """Return the summits that stay as numbered markers."""
    from skimage.morphology import local_maxima

    # Connected over faces like the parts: so each part has a summit, and none has a share in two.
    peaks = local_maxima(heights, connectivity=1).astype(bool) & (parts > 0)
    summits, number = find_regions(peaks)
    where = np.nonzero(peaks)
    of_voxel = summits[where]
    first = np.unique(of_voxel, return_index=True)[1]
    count = np.bincount(of_voxel)[1:]
    points = np.stack(
        [
            step * np.bincount(of_voxel, at)[1:] / count
            for at, step in zip(where, steps, strict=True)
        ],
        -1,
    )
    keep = _highest(points, heights[where][first], parts[where][first], distance)
    numbers = np.zeros(number + 1, np.int32)
    numbers[1:][keep] = np.arange(1, keep.sum() + 1)
    return numbers[summits]


def _highest(
    points: NDArray[np.float64],
    heights: NDArray[np.float64],
    parts: Regions,
    distance: float,
) -> Mask:
    """Tell which points stay when the higher one keeps off all others of its part."""
    from scipy.spatial import cKDTree

    tree, keep = cKDTree(points), np.ones(len(points), bool)
    for i in np.argsort(-heights, kind="stable"):
        if keep[i]:
            near = np.array(tree.query_ball_point(points[i], distance))
            keep[near[parts[near] == parts[i]]] = False
            keep[i] = True
    return keep


def _without_small(pieces: Regions, parts: Regions, smallest: int) -> tuple[Regions, int]:
    """Give small pieces to their neighbours; of each part the largest piece stays."""
    number = int(pieces.max())
    sizes = sizes_of(pieces, number)
    keep = sizes >= smallest
    if not keep[1:].all():
        part_of = np.zeros(number + 1, np.int32)
        part_of[pieces.ravel()] = parts.ravel()
        by_size = np.argsort(sizes[1:], kind="stable")[::-1] + 1
        keep[by_size[np.unique(part_of[by_size], return_index=True)[1]]] = True
        pieces = give_away(pieces, keep)
    return consecutive(pieces, number)
