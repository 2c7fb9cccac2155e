"""Connected regions of masks: sizes, holes, removal and merging of small ones, splitting.

Voxels of a region are connected over faces. The background is connected over edges and corners,
too, so that a diagonal line of one voxel's width still has two sides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Regions = NDArray[np.int32]
"""Numbers of regions from 1; 0 is the background."""

Mask = NDArray[np.bool_]


def find_regions(mask: Mask, *, corners: bool = False) -> tuple[Regions, int]:
    """Label the connected regions of a mask with numbers.

    Parameters
    ----------
    mask : ndarray of bool
        With 2 or 3 axes.
    corners : bool
        Whether voxels are connected over edges and corners, too.

    Returns
    -------
    regions : ndarray of int32
        1, 2, … in the order of their first voxels; 0 outside the mask.
    number : int
        Number of regions.
    """
    from scipy import ndimage

    structure = ndimage.generate_binary_structure(mask.ndim, mask.ndim if corners else 1)
    regions, number = ndimage.label(mask, structure, output=np.int32)
    return regions, int(number)


def region_sizes(regions: Regions, number: int) -> NDArray[np.intp]:
    """Return the number of voxels of each region, at index 0 that of the background.

    Parameters
    ----------
    regions : ndarray of int32
        Numbered from 1.
    number : int
        Number of regions.

    Returns
    -------
    ndarray of int, shape (number + 1,)
    """
    return np.bincount(regions.ravel(), minlength=number + 1)


def drop_small(mask: Mask, smallest: int) -> Mask:
    """Remove small regions of a mask.

    Parameters
    ----------
    mask : ndarray of bool
        With 2 or 3 axes.
    smallest : int
        Number of voxels below which a region is removed.

    Returns
    -------
    ndarray of bool, the same shape
    """
    if smallest <= 1:
        return mask
    regions, number = find_regions(mask)
    keep = region_sizes(regions, number) >= smallest
    keep[0] = False
    return keep[regions]


def fill_holes(mask: Mask, largest: int) -> Mask:
    """Fill the enclosed holes of a mask; those that reach the border are not enclosed.

    Parameters
    ----------
    mask : ndarray of bool
        With 2 or 3 axes.
    largest : int
        Number of voxels up to which a hole is filled.

    Returns
    -------
    ndarray of bool, the same shape
    """
    if largest < 1:
        return mask
    holes, number = find_regions(~mask, corners=True)
    fill = region_sizes(holes, number) <= largest
    for axis in range(mask.ndim):
        for end in (0, -1):
            fill[holes.take(end, axis)] = False
    fill[0] = False
    return mask | fill[holes]


def merge_into_kept(regions: Regions, keep: Mask) -> Regions:
    """Merge regions into those that are kept, which grow into them.

    Parameters
    ----------
    regions : ndarray of int32
        Numbered from 1; 0 is the background, which does not change.
    keep : ndarray of bool, shape (number of regions + 1,)
        Whether a region is kept. Every connected part of the foreground needs one that is.

    Returns
    -------
    ndarray of int32
        Every voxel belongs to the kept region that reaches it in the fewest steps, so that these
        stay connected and do not become smaller.
    """
    merged = ~keep[regions] & (regions > 0)
    if not merged.any():
        return regions
    from scipy import ndimage
    from skimage.segmentation import watershed

    # A watershed on a constant image grows its markers step by step. Of the kept regions only
    # the border with the others is needed.
    mask = ndimage.binary_dilation(merged) & (regions > 0)
    markers = np.where(merged, 0, regions)
    grown = watershed(np.zeros(regions.shape, np.uint8), markers, mask=mask)
    return np.where(merged, grown, regions).astype(np.int32, copy=False)


def merge_small(classes: NDArray[Any], smallest: int) -> NDArray[Any]:
    """Merge small regions of a class map into the neighbouring regions.

    Parameters
    ----------
    classes : ndarray of int
        Class of each voxel.
    smallest : int
        Number of voxels below which a region is merged. If all are smaller, the largest is kept.

    Returns
    -------
    ndarray of int
        Class of each voxel.
    """
    if smallest <= 1:
        return classes
    regions = np.zeros(classes.shape, np.int32)
    region_values = [np.zeros(1, classes.dtype)]
    for value in np.unique(classes):
        found, number = find_regions(classes == value)
        before = sum(map(len, region_values)) - 1
        regions += np.where(found > 0, found + np.int32(before), np.int32(0))
        region_values.append(np.full(number, value, classes.dtype))
    values = np.concatenate(region_values)
    sizes = region_sizes(regions, len(values) - 1)
    keep = sizes >= smallest
    keep[sizes[1:].argmax() + 1] = True
    return values[merge_into_kept(regions, keep)]


def consecutive(regions: Regions, number: int) -> tuple[Regions, int]:
    """Renumber regions from 1 without gaps, in the same order.

    Parameters
    ----------
    regions : ndarray of int32
        Numbers from 1, not all of which need to occur.
    number : int
        The greatest number.

    Returns
    -------
    regions : ndarray of int32
    number : int
        Number of regions.
    """
    present = region_sizes(regions, number) > 0
    present[0] = False
    numbers = np.where(present, np.cumsum(present), 0).astype(np.int32)
    return numbers[regions], int(present.sum())


def split_objects(
    mask: Mask, distance: float, spacing: tuple[float, ...], smallest: int = 0
) -> tuple[Regions, int]:
    """Label the objects of a mask with numbers, and split touching ones (watershed).

    Parameters
    ----------
    mask : ndarray of bool
        With 2 or 3 axes.
    distance : float
        Least distance between the centres of two objects, in voxels of the finest axis.
    spacing : tuple of float
        Distance of voxels per axis, in any unit.
    smallest : int
        Number of voxels below which a piece is merged into the neighbouring ones.

    Returns
    -------
    objects : ndarray of int32
        1, 2, …, each of them connected; 0 outside the mask.
    number : int
        Number of objects.
    """
    parts, number = find_regions(mask)
    if number == 0 or mask.all():  # without background there is no distance to it
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
    """Return the numbered maxima of the distance that become centres of objects."""
    from skimage.morphology import local_maxima

    # Connected over faces like the parts: so each part has a maximum, and none lies in two parts.
    peaks = local_maxima(heights, connectivity=1).astype(bool) & (parts > 0)
    maxima, number = find_regions(peaks)
    coords = np.nonzero(peaks)
    of_voxel = maxima[coords]
    first = np.unique(of_voxel, return_index=True)[1]
    count = np.bincount(of_voxel)[1:]
    points = np.stack(
        [
            step * np.bincount(of_voxel, coord)[1:] / count
            for coord, step in zip(coords, steps, strict=True)
        ],
        -1,
    )
    keep = _highest(points, heights[coords][first], parts[coords][first], distance)
    numbers = np.zeros(number + 1, np.int32)
    numbers[1:][keep] = np.arange(1, keep.sum() + 1)
    return numbers[maxima]


def _highest(
    points: NDArray[np.float64],
    heights: NDArray[np.float64],
    parts: Regions,
    distance: float,
) -> Mask:
    """Return which points are kept if each suppresses lower ones of its part within `distance`."""
    from scipy.spatial import cKDTree

    tree = cKDTree(points)
    keep = np.ones(len(points), bool)
    for i in np.argsort(-heights, kind="stable"):
        if keep[i]:
            near = np.array(tree.query_ball_point(points[i], distance))
            keep[near[parts[near] == parts[i]]] = False
            keep[i] = True
    return keep


def _without_small(pieces: Regions, parts: Regions, smallest: int) -> tuple[Regions, int]:
    """Merge small pieces into their neighbours; of each part the largest piece is kept."""
    number = int(pieces.max())
    sizes = region_sizes(pieces, number)
    keep = sizes >= smallest
    if not keep[1:].all():
        part_of = np.zeros(number + 1, np.int32)
        part_of[pieces.ravel()] = parts.ravel()
        by_size = np.argsort(sizes[1:], kind="stable")[::-1] + 1
        keep[by_size[np.unique(part_of[by_size], return_index=True)[1]]] = True
        pieces = merge_into_kept(pieces, keep)
    return consecutive(pieces, number)
