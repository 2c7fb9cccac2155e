"""A simulated painter: a patient person who draws a few strokes of every class on some slices."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from skimage.filters import gaussian
from skimage.graph import route_through_array
from skimage.measure import label

from napari_unet.samples.brush import paint

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
