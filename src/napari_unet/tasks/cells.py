"""An image in cells about as wide as a brush: what they look like, and how far apart they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

LEAST = 0.02
"""Differences far below the noise of a normalised image mean nothing."""


def mean_of_cells(x: NDArray[Any], cell: tuple[int, ...]) -> Floats:
    """Return the mean of each cell.

    Parameters
    ----------
    x : ndarray, shape (channels, *spatial)
    cell : tuple of int
        Shape of a cell, in voxels; what is left over at the end of an axis is dropped.

    Returns
    -------
    ndarray, shape (channels, *cells)

    Examples
    --------
    >>> mean_of_cells(np.array([[1, 3, 5, 7, 9]]), (2,))
    array([[2., 6.]])
    """
    grid = [n // c for n, c in zip(x.shape[1:], cell, strict=True)]
    whole = x[(slice(None), *(slice(0, n * c) for n, c in zip(grid, cell, strict=True)))]
    split = [part for n, c in zip(grid, cell, strict=True) for part in (n, c)]
    means: Floats = whole.reshape(len(x), *split).mean(tuple(range(2, len(split) + 1, 2)))
    return means


def looks_of(x: NDArray[np.float32], cell: tuple[int, ...]) -> Floats:
    """Describe cells by brightness, contrast and steepness, the last two on a logarithmic scale.

    Parameters
    ----------
    x : ndarray, shape (channels, *spatial)
        Normalised pixels, y and x last.
    cell : tuple of int
        Shape of a cell, in voxels.

    Returns
    -------
    ndarray, shape (3 * channels, *cells)
    """
    level = mean_of_cells(x, cell)
    contrast = np.sqrt(np.maximum(mean_of_cells(x * x, cell) - level * level, 0))
    steps = sum(np.abs(np.diff(x, axis=a, prepend=x.take([0], a))) for a in (-2, -1))
    steep = mean_of_cells(np.asarray(steps), cell)
    return np.concatenate([level, np.log(contrast + LEAST), np.log(steep + LEAST)])


def unlike(looks: Floats, known: Floats, patches: NDArray[np.int64]) -> Floats:
    """Return how unlike all that is known each cell is.

    Parameters
    ----------
    looks : ndarray, shape (n, features)
        What cells look like.
    known : ndarray, shape (m, features)
        What painted cells look like.
    patches : ndarray of int, shape (m,)
        In which patch each was seen. How far one painted cell usually lies from those of other
        patches is the measure for all distances.

    Returns
    -------
    ndarray, shape (n,)
        From 0 (just like something painted) to 1; a half at twice the usual distance.
    """
    spread = np.concatenate([looks, known]).std(0)
    spread[spread == 0] = 1
    looks, known = looks / spread, known / spread
    usual = float(np.median([_elsewhere(known, patches, i) for i in np.unique(patches)]))
    squared = nearest(looks, known) ** 2
    return squared / (squared + max(2 * usual, LEAST) ** 2)


def _elsewhere(known: Floats, patches: NDArray[np.int64], patch: int) -> float:
    """Return the median distance of the cells of one patch to the nearest of the others."""
    here = patches == patch
    return 0.0 if here.all() else float(np.median(nearest(known[here], known[~here])))


def nearest(points: Floats, others: Floats) -> Floats:
    """Return the distance of each point (n, axes) to the nearest of others (m, axes).

    Infinite where there are no others.
    """
    from scipy.spatial import cKDTree

    if not len(others) or not len(points):
        return np.full(len(points), np.inf)
    distance: Floats = cKDTree(others).query(points)[0]
    return distance
