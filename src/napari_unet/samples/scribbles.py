"""A simulated painter: a patient person who draws a few strokes of every class on some slices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.filters import gaussian
from skimage.graph import route_through_array
from skimage.measure import label

Point = tuple[float, float]


def paint(
    shape: tuple[int, int], lines: Iterable[Sequence[Point]], width: float
) -> NDArray[np.bool_]:
    """Return the pixels that a round brush touches along some lines.

    Parameters
    ----------
    shape : tuple of int
        Size of the picture, ``(y, x)``, in pixels.
    lines : iterable of sequences of (y, x)
        The corners of each line, in pixels; a line of one point is a dab.
    width : float
        Diameter of the brush, in pixels.

    Returns
    -------
    ndarray of bool
        The touched pixels, axes ``(y, x)``; what falls outside the picture is cut off.

    Examples
    --------
    >>> paint((3, 5), [[(1, 1), (1, 3)]], width=1).astype(int)
    array([[0, 0, 0, 0, 0],
           [0, 1, 1, 1, 0],
           [0, 0, 0, 0, 0]])
    """
    touched = np.zeros(shape, dtype=bool)
    for line in lines:
        corners = np.asarray(line, dtype=float)
        for start, end in zip(corners, corners[[*range(1, len(corners)), -1]], strict=True):
            _paint_segment(touched, start, end, width / 2)
    return touched


def _paint_segment(
    touched: NDArray[np.bool_],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    radius: float,
) -> None:
    """Mark in place every pixel whose centre lies within `radius` of the segment."""
    low = np.floor(np.minimum(start, end) - radius).clip(0).astype(int)
    high = np.ceil(np.maximum(start, end) + radius).clip(-1).astype(int) + 1
    box = touched[low[0] : high[0], low[1] : high[1]]
    pixels = np.moveaxis(np.indices(box.shape), 0, -1) + low - start
    along = end - start
    length = float(along @ along)
    share = (pixels @ along / length).clip(0, 1) if length else np.zeros(box.shape)
    box |= ((pixels - share[..., None] * along) ** 2).sum(-1) <= radius**2


WIDTH = 3.0  # of the brush, pixels
STROKES_PER_CLASS = 6
REACH = 12  # how far a stroke goes from its start along y and x, pixels


def paint_slices(
    truth: NDArray[np.uint8], slices: Iterable[int], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Paint some strokes of every class on some slices of a labelled volume.

    A stroke starts at a random pixel of its class, ends at another one near by and keeps to the
    middle of the class on its way, as a hand does that follows what the eye sees. What slips over
    an edge is wiped off, so every painted voxel is right.

    Parameters
    ----------
    truth : ndarray of uint8
        The class of every voxel, axes ``(z, y, x)``, from 1.
    slices : iterable of int
        The slices to paint on, as indices along z.
    rng : numpy.random.Generator
        Where chance comes from.

    Returns
    -------
    ndarray of uint8
        The strokes, shaped like `truth`; 0 is "not painted".
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
    # Deep pixels are likelier starts: nobody starts a stroke on the very edge.
    weights = (depth * mask).astype(float).ravel()
    start = np.unravel_index(rng.choice(mask.size, p=weights / weights.sum()), mask.shape)
    window = tuple(slice(max(0, int(at) - REACH), int(at) + REACH + 1) for at in start)
    corner = np.array([side.start for side in window])
    route = _route(mask[window], depth[window], np.array(start) - corner, rng) + corner
    touched = paint((mask.shape[0], mask.shape[1]), [[tuple(point)] for point in route], WIDTH)
    return touched & mask


def _route(
    mask: NDArray[np.bool_],
    depth: NDArray[np.floating],
    start: NDArray[np.intp],
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Return the pixels on a way from `start` to some end, all within the same part of `mask`."""
    part = label(mask, connectivity=2)
    ends = rng.choice(np.argwhere(part == part[tuple(start)]), 4)
    end = ends[np.abs(ends - start).max(1).argmax()]  # people draw lines rather than dabs
    cost = np.where(mask, 1 / depth.clip(0.02), 1e6)
    route, _ = route_through_array(cost, start, end, geometric=True)
    return np.array(route)
