"""Splitting objects that touch.

The watershed of the distance to the border (Vincent and Soille 1991): objects are split where they
are narrow. Centres are the highest points of the distance, none nearer to a higher one of the same
object than a given distance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unet.refinement.regions import (
    Mask,
    Regions,
    consecutive,
    find_regions,
    give_away,
    sizes_of,
)


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
