"""A simulated painter: sparse strokes that a careful person would draw on known truth.

A stroke is a geodesic path inside one class that prefers the middle of the structure, drawn a few
pixels wide and clipped to the class, so it follows membranes and never leaves what it marks.

The stack is ``vnc_sstem`` (Gerhard et al. 2013, figshare 856713): three classes, 1 membrane,
2 mitochondrion, 3 everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter
from skimage.graph import MCP_Geometric
from skimage.io import imread
from skimage.morphology import disk

CLASSES = ("membrane", "mitochondrion", "rest")
TEST_SLICES = (0, 7, 14)
_MITOCHONDRION_IN_LABELS = 191

Labels = NDArray[np.uint8]


def load_stack(folder: Path, *, repaired: bool = True) -> tuple[NDArray[np.uint8], Labels]:
    """Read image and truth of stack 1.

    The file of mitochondria is empty in slices 1, 7 and 18, where the combined label file does
    have them (its value 191; elsewhere the two agree but for a few edge pixels). Left as it is,
    every prediction scores 0 for mitochondria in slice 7.

    Parameters
    ----------
    folder : Path
        The folder ``vnc_sstem``.
    repaired : bool
        Take the mitochondria of those empty slices from the combined label file.

    Returns
    -------
    image, truth : ndarray of uint8, shape (20, 1024, 1024), axes z, y, x
        Grey values, and classes 1 to 3.
    """
    mitochondria = imread(folder / "stack1_mitochondria.tif") > 127
    if repaired:
        empty = ~mitochondria.any(axis=(1, 2))
        labels = imread(folder / "stack1_labels.tif")
        mitochondria[empty] = labels[empty] == _MITOCHONDRION_IN_LABELS
    truth = np.where(mitochondria, 2, 3).astype(np.uint8)
    truth[imread(folder / "stack1_membranes.tif") > 0] = 1
    return imread(folder / "stack1_raw.tif"), truth


def paint(
    truth: Labels,
    n_strokes: int = 8,
    length: int = 40,
    width: int = 3,
    seed: int = 0,
    *,
    slices: Sequence[int] = (0,),
    window: tuple[int, int, int, int] = (256, 256, 768, 768),
) -> Labels:
    """Paint ``n_strokes`` of every class inside a window, shared out over some slices.

    Strokes of one class keep a stroke's length apart while there is room, as a person's would.

    Parameters
    ----------
    truth : ndarray of uint8, shape (z, y, x)
        Classes from 1; 0 is no class.
    n_strokes : int
        Strokes per class, in all slices together; the first slices get the odd ones.
    length : int
        Pixels along a stroke; shorter where the structure is.
    width : int
        Diameter of the brush in pixels.
    seed : int
        The same seed paints the same strokes.
    slices : sequence of int
        Slices to paint on.
    window : tuple of int
        y start, x start, y stop, x stop.

    Returns
    -------
    ndarray of uint8, shape of ``truth``
        The class where painted, else 0.
    """
    rng = np.random.default_rng(seed)
    painted = np.zeros_like(truth)
    top, left, bottom, right = window
    for i, z in enumerate(slices):
        here = (z, slice(top, bottom), slice(left, right))
        share = (n_strokes - i + len(slices) - 1) // len(slices)
        for value in np.unique(truth[here][truth[here] > 0]):
            inside = truth[here] == value
            painted[here][_strokes(inside, share, length, width, rng)] = value
    return painted


def correct(
    truth: Labels,
    said: Labels,
    painted: Labels,
    turn: int = 0,
    length: int = 40,
    width: int = 3,
    seed: int = 0,
) -> Labels:
    """Paint where an answer is worst: one stroke of every class that is mistaken there.

    The worst place is where mistakes lie densest, of one class after the other, so that a class
    with little area gets its turn. What lies close to a stroke is not looked at: it is for the
    network to learn that. There, each class that was missed or named wrongly gets a stroke; it
    begins in the middle of the mistake.

    Parameters
    ----------
    truth, said, painted : ndarray of uint8, shape (z, y, x)
        Classes from 1, of what is to be corrected: the truth, the answer, and the strokes so
        far, 0 where there are none.
    turn : int
        Number of this correction, from 0; it says which class is looked at first.
    length, width : int
        Of a stroke, in pixels, as for `paint`. The neighbourhood reaches `length` to each side.
    seed : int
        The same seed and turn paint the same strokes.

    Returns
    -------
    ndarray of uint8, shape of ``truth``
        The new strokes: the class where painted, else 0; all 0 where nothing is wrong.
    """
    strokes = np.zeros_like(truth)
    place = _worst_place((truth != said) & (truth > 0), truth, painted, turn, length)
    if place is None:
        return strokes
    rng = np.random.default_rng((seed, turn))
    z, y, x = place
    here = (z, slice(max(0, y - length), y + length), slice(max(0, x - length), x + length))
    known, wrong = truth[here], (truth[here] != said[here]) & (truth[here] > 0)
    for value in np.union1d(known[wrong], said[here][wrong]):
        inside = known == value
        if value and inside.any():
            strokes[here][_stroke_on(inside & wrong, inside, length, width, rng)] = value
    return strokes


def _worst_place(
    wrong: NDArray[np.bool_], truth: Labels, painted: Labels, turn: int, length: int
) -> tuple[int, ...] | None:
    """Return where mistakes lie densest, of the class whose turn it is: z, y, x."""
    near = [distance_transform_edt(plane == 0) <= length / 4 for plane in painted if plane.any()]
    wrong = wrong.copy()
    wrong[painted.any(axis=(1, 2))] &= ~np.array(near, bool).reshape(-1, *wrong.shape[1:])
    classes = np.unique(truth[truth > 0])
    for value in np.roll(classes, -turn):
        mistakes = wrong & (truth == value)
        if mistakes.any():
            density = gaussian_filter(mistakes.astype(np.float32), (0, length / 4, length / 4))
            return tuple(int(i) for i in np.unravel_index(density.argmax(), density.shape))
    return None


def _stroke_on(
    mistake: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    length: int,
    width: int,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Draw a stroke inside a class from the middle of a mistake, or anywhere if there is none."""
    depth = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    core = distance_transform_edt(np.pad(mistake, 1))[1:-1, 1:-1]
    start = core == core.max() if mistake.any() else inside
    return _drawn(_path(depth, start, length, rng), inside, width)


def _strokes(
    inside: NDArray[np.bool_], number: int, length: int, width: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw ``number`` strokes inside one class of one slice: a mask of shape (y, x)."""
    depth = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    strokes = np.zeros_like(inside)
    free = inside.copy()
    for _ in range(number):
        path = _path(depth, free if free.any() else inside, length, rng)
        strokes |= _drawn(path, inside, width)
        free &= distance_transform_edt(~_drawn(path, inside, 1)) > length
    return strokes


def _drawn(path: NDArray[np.intp], inside: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Return the pixels of a class that a brush passes over on a path."""
    line = np.zeros_like(inside)
    line[tuple(path.T)] = True
    return np.asarray(binary_dilation(line, _brush(width)) & inside)


def _path(
    depth: NDArray[np.float64], free: NDArray[np.bool_], length: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Go from a random free pixel along the middle of its structure: shape (pixels, 2), y, x."""
    start = tuple(rng.choice(np.argwhere(free)))
    costs = np.where(depth > 0, 1 / np.maximum(depth, 1), -1)  # negative: never entered
    finder = MCP_Geometric(costs)
    reached, _ = finder.find_costs([start])
    row, column = np.indices(depth.shape)
    distance = np.hypot(row - start[0], column - start[1])
    ring = np.isfinite(reached) & (distance >= min(length, distance[np.isfinite(reached)].max()))
    end = tuple(rng.choice(np.argwhere(ring)))
    return np.asarray(finder.traceback(end)[:length])


def _brush(width: int) -> NDArray[np.bool_]:
    """Return a round brush of an odd diameter, or a square of an even one."""
    return disk(width // 2).astype(bool) if width % 2 else np.ones((width, width), dtype=bool)


def mean_iou(truth: Labels, predicted: Labels, classes: int = 3) -> NDArray[np.float64]:
    """Return the intersection over union of each class and slice; its mean is the score.

    A class that is neither in the truth nor predicted gives NaN: use ``numpy.nanmean``.

    Parameters
    ----------
    truth, predicted : ndarray of uint8, shape (z, y, x)
        Classes from 1 to ``classes``.
    classes : int
        Number of classes.

    Returns
    -------
    ndarray of float64, shape (z, classes)
        Between 0 and 1.
    """
    table = np.full((len(truth), classes), np.nan)
    for z, (known, said) in enumerate(zip(truth, predicted, strict=True)):
        for c in range(1, classes + 1):
            union = ((known == c) | (said == c)).sum()
            if union:
                table[z, c - 1] = ((known == c) & (said == c)).sum() / union
    return table
