"""Simulated scribbles: a few strokes of every class on some slices of a volume."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.filters import gaussian
from skimage.graph import route_through_array
from skimage.measure import label

Point = tuple[float, float]
"""y and x, in pixels."""


def paint(
    shape: tuple[int, int], lines: Iterable[Sequence[Point]], width: float
) -> NDArray[np.bool_]:
    """Return the pixels that a round brush covers along lines.

    Parameters
    ----------
    shape : tuple of int
        Size of the image, ``(y, x)``, in pixels.
    lines : iterable of sequences of (y, x)
        Points of each line, in pixels; a single point is a dot.
    width : float
        Diameter of the brush, in pixels.

    Returns
    -------
    ndarray of bool
        The covered pixels, axes ``(y, x)``, inside the image.

    Examples
    --------
    >>> paint((3, 5), [[(1, 1), (1, 3)]], width=1).astype(int)
    array([[0, 0, 0, 0, 0],
           [0, 1, 1, 1, 0],
           [0, 0, 0, 0, 0]])
    """
    covered = np.zeros(shape, dtype=bool)
    for line in lines:
        corners = np.asarray(line, dtype=float)
        for start, end in zip(corners, corners[[*range(1, len(corners)), -1]], strict=True):
            _paint_segment(covered, start, end, width / 2)
    return covered


def _paint_segment(
    covered: NDArray[np.bool_],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    radius: float,
) -> None:
    """Set in place the pixels whose centres lie within `radius` of a segment."""
    low = np.floor(np.minimum(start, end) - radius).clip(0).astype(int)
    high = np.ceil(np.maximum(start, end) + radius).clip(-1).astype(int) + 1
    box = covered[low[0] : high[0], low[1] : high[1]]
    pixels = np.moveaxis(np.indices(box.shape), 0, -1) + low - start
    along = end - start
    length = float(along @ along)
    share = (pixels @ along / length).clip(0, 1) if length else np.zeros(box.shape)
    box |= ((pixels - share[..., None] * along) ** 2).sum(-1) <= radius**2


WIDTH = 3.0
"""Width of the brush, in pixels."""

STROKES_PER_CLASS = 6
"""Number of strokes per class and slice."""

REACH = 12
"""Greatest distance of a stroke from its start along y and x, in pixels."""


def paint_slices(
    truth: NDArray[np.uint8], slices: Iterable[int], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Paint strokes of every class on some slices of a labelled volume.

    A stroke starts at a random pixel of its class, ends at another one nearby, and follows the
    middle of the class in between, like a stroke by hand. Pixels of other classes are left out,
    so every painted voxel is right.

    Parameters
    ----------
    truth : ndarray of uint8
        Label value of every voxel, axes ``(z, y, x)``, from 1.
    slices : iterable of int
        Indices along z of the slices to paint on.
    rng : numpy.random.Generator
        Source of all draws.

    Returns
    -------
    ndarray of uint8
        The strokes, with the shape of `truth`; 0 is "not painted".
    """
    strokes = np.zeros_like(truth)
    for z in slices:
        for value in np.unique(truth[z]):
            mask = truth[z] == value
            for _ in range(STROKES_PER_CLASS):
                strokes[z][_stroke(mask, rng)] = value
    return strokes


def _stroke(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return the pixels of one stroke within `mask`, axes ``(y, x)``."""
    depth = gaussian(mask.astype(np.float32), sigma=2.0)
    # Pixels far from the edge are more probable starts, as for a person.
    weights = (depth * mask).astype(float).ravel()
    start = np.unravel_index(rng.choice(mask.size, p=weights / weights.sum()), mask.shape)
    window = tuple(slice(max(0, int(a) - REACH), int(a) + REACH + 1) for a in start)
    corner = np.array([side.start for side in window])
    route = _route(mask[window], depth[window], np.array(start) - corner, rng) + corner
    covered = paint((mask.shape[0], mask.shape[1]), [[tuple(point)] for point in route], WIDTH)
    return covered & mask


def _route(
    mask: NDArray[np.bool_],
    depth: NDArray[np.floating],
    start: NDArray[np.intp],
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Return the pixels of a path from `start` to a random end in the same part of `mask`."""
    part = label(mask, connectivity=2)
    ends = rng.choice(np.argwhere(part == part[tuple(start)]), 4)
    end = ends[np.abs(ends - start).max(1).argmax()]  # people draw lines, not dots
    cost = np.where(mask, 1 / depth.clip(0.02), 1e6)
    route, _ = route_through_array(cost, start, end, geometric=True)
    return np.array(route)
