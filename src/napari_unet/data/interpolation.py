"""Filling a class in between two planes that it was painted in."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError

MARGIN = 2
"""Pixels around what is painted that are worked on, too."""


def find_gap(data: Any, value: int, index: tuple[int, ...]) -> tuple[int, int]:
    """Return the two planes, painted with a label, between which a plane lies.

    Where the plane is painted itself, it is one of the two.

    Parameters
    ----------
    data : array of int
        The labels; the planes are the last two axes, stacked along the one before.
    value : int
        The label.
    index : tuple of int
        The plane, along all axes but the last two.

    Raises
    ------
    InputError
        Where there are no two such planes with at least one between them; it says why.
    """
    if len(data.shape) < 3:
        raise InputError(
            "Filling needs a stack of planes", got="a single plane", todo="Open a stack"
        )
    before, at = index[:-1], index[-1]
    painted = [z for z in range(data.shape[-3]) if _is_painted(data[(*before, z)], value)]
    if len(painted) < 2:
        found = f"in plane {painted[0]} only" if painted else "in no plane"
        raise InputError(
            f"Label {value} is painted {found}",
            todo="Choose a label, paint it in two planes, and go to a plane between them",
        )
    gaps = [(a, b) for a, b in pairwise(painted) if b - a > 1]
    if not gaps:
        raise InputError(
            f"No plane is missing between those where label {value} is painted",
            got=f"planes {painted[0]} to {painted[-1]}",
        )
    inside = [(a, b) for a, b in gaps if a <= at <= b]
    if not inside:
        where = ", ".join(f"{a} and {b}" for a, b in gaps[:3])
        raise InputError(
            f"Plane {at} is not between two planes where label {value} is painted",
            todo=f"Go to a plane between {where}",
        )
    return inside[-1]


def fill_between(
    first: NDArray[np.bool_], last: NDArray[np.bool_], count: int
) -> NDArray[np.bool_]:
    """Interpolate between two masks by their signed distances from the border.

    If each is a single piece, the pieces are moved onto each other on the way, so that what lies
    obliquely in the stack is followed.

    Parameters
    ----------
    first, last : ndarray of bool, shape (y, x)
        Neither is empty.
    count : int
        Number of planes in between.

    Returns
    -------
    ndarray of bool, shape (count, y, x)
    """
    from scipy.ndimage import center_of_mass, label, shift

    rows, columns = (np.flatnonzero((first | last).any(axis)) for axis in (1, 0))
    box = tuple(
        slice(max(0, int(where[0]) - MARGIN), int(where[-1]) + 1 + MARGIN)
        for where in (rows, columns)
    )
    masks = [mask[box] for mask in (first, last)]
    distances = [_signed_distance(mask) for mask in masks]
    way = np.zeros(2)
    if all(label(mask, np.ones((3, 3)))[1] == 1 for mask in masks):
        way = np.subtract(*(center_of_mass(mask) for mask in reversed(masks)))
    filled = np.zeros((count, *first.shape), bool)
    for i in range(count):
        t = (i + 1) / (count + 1)
        moved = [
            shift(distance, offset, order=1, mode="nearest")
            for distance, offset in zip(distances, (t * way, (t - 1) * way), strict=True)
        ]
        filled[i][box] = (1 - t) * moved[0] + t * moved[1] > 0
    return filled


def _is_painted(plane: Any, value: int) -> bool:
    return bool((np.asarray(plane) == value).any())


def _signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the distance from the border in pixels, negative outside."""
    from scipy.ndimage import distance_transform_edt

    # What fills the whole box would have no border.
    inside = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    outside = distance_transform_edt(~mask)
    return np.asarray(inside - outside, np.float64)
