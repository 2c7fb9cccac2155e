"""Tells strokes, finished masks and numbered objects apart by a look at a part of the labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LabelKind = Literal["strokes", "mask", "objects"]
"""Strokes: 0 is unlabelled. A finished mask: 0 is background. Objects: the same, and each label is
the number of one object."""

WINDOWS = 4
"""Greatest number of windows that are looked at."""

WINDOW_SIDE = 768
"""Greatest side of a window along the last two axes, in pixels; along others it is 1."""

LABELS_EXAMINED = 40
"""Greatest number of labels of a window whose shapes are looked at."""

MANY_LABELS = 8
"""From so many labels on, each of them connected, they are the numbers of objects."""

SOME_LABELS = 4
"""From so many compact labels on they may be."""

CONNECTED = 0.8
"""Least share of labels that have to be connected for that."""

COMPACT = 0.5
"""Least compactness of objects; lines and scribbles have less."""


@dataclass(frozen=True)
class LabelSurvey:
    """What was seen of labels.

    Parameters
    ----------
    kind : {"strokes", "mask", "objects"}
        What they probably are; strokes where nothing speaks against it.
    values : int
        Number of labels above 0 that were seen.
    labelled : float
        Share of the pixels with a label above 0.
    """

    kind: LabelKind = "strokes"
    values: int = 0
    labelled: float = 0.0


@dataclass(frozen=True)
class _Shapes:
    """The shapes of some labels: how many parts in all, how many are connected, how compact."""

    parts: int
    connected: float
    compact: float


def survey_labels(labels: Any) -> LabelSurvey:
    """Look at a few windows of labels, and tell what they probably are.

    It reads at most `WINDOWS` windows, so it takes a fraction of a second for any size.

    Parameters
    ----------
    labels : array of int
        The labels, with at least two axes; numpy, dask or zarr.

    Examples
    --------
    >>> mask = np.zeros((64, 64), int)
    >>> mask[10:50, 8:40] = 1
    >>> survey_labels(mask)
    LabelSurvey(kind='mask', values=1, labelled=0.3125)
    """
    windows = list(_windows(labels))
    values = np.unique(np.concatenate([np.unique(window) for window in windows]))
    values = values[values > 0]
    labelled = float(sum(map(np.count_nonzero, windows))) / max(1, sum(w.size for w in windows))
    if not values.size:
        return LabelSurvey()
    kind = _kind(len(values), labelled, _examine(windows))
    return LabelSurvey(kind, len(values), labelled)


def _kind(values: int, labelled: float, shapes: _Shapes) -> LabelKind:
    """Decide; where nothing is unlabelled, there is nothing to ask about 0."""
    connected, compact = shapes.connected >= CONNECTED, shapes.compact >= COMPACT
    if values >= MANY_LABELS and connected:
        return "objects"
    if values >= SOME_LABELS and connected and compact and labelled >= 0.05:
        return "objects"
    if labelled == 1:
        return "strokes"
    if values == 1:
        scattered = shapes.parts >= 5 and compact and labelled >= 0.01
        return "mask" if labelled >= 0.15 or scattered else "strokes"
    return "mask" if labelled >= 0.3 else "strokes"


def _windows(labels: Any) -> Iterator[NDArray[Any]]:
    """Yield windows of the last two axes, evenly spread over all axes."""
    shape = tuple(int(n) for n in labels.shape)
    sides = [min(n, WINDOW_SIDE if a >= len(shape) - 2 else 1) for a, n in enumerate(shape)]
    grid = [max(1, n // max(1, side)) for n, side in zip(shape, sides, strict=True)]
    number = min(WINDOWS, prod(grid))
    chosen = [(2 * k + 1) * prod(grid) // (2 * number) for k in range(number)]
    for index in (np.unravel_index(k, grid) for k in chosen):
        span = zip(index, sides, strict=True)
        part = np.asarray(labels[tuple(slice(int(i) * n, (int(i) + 1) * n) for i, n in span)])
        yield part.reshape(part.shape[-2:])


def _examine(windows: list[NDArray[Any]]) -> _Shapes:
    parts = 0
    whole: list[bool] = []
    measured: list[float] = []
    for window in windows:
        values, compact = np.unique(window, return_inverse=True)
        numbered = compact.reshape(window.shape) + 1  # find_objects leaves out 0
        boxes = ndimage.find_objects(numbered.astype(np.int32))
        labels = [k for k, value in enumerate(values.tolist()) if value]
        step = max(1, len(labels) // LABELS_EXAMINED)
        for k in labels[::step]:
            sizes, compactness = _parts(numbered[boxes[k]] == k + 1)
            parts += len(sizes)
            whole.append(bool(sizes.max() >= 0.9 * sizes.sum()))
            measured.extend(compactness.tolist())
    return _Shapes(parts, float(np.mean(whole)), float(np.median(measured)))


def _parts(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return sizes and compactness of the connected parts of a label.

    The compactness is the radius of the largest disc that fits in, by that of a disc of the same
    area: 1 for a disc, 0.3 for a line ten times as long as wide.
    """
    padded = np.pad(mask, 1)
    numbered, number = ndimage.label(padded)
    index = np.arange(1, number + 1)
    sizes = np.bincount(numbered.ravel(), minlength=number + 1)[1:]
    inner = ndimage.maximum(ndimage.distance_transform_edt(padded), numbered, index)
    return sizes, np.minimum(1.0, np.asarray(inner) / np.sqrt(sizes / np.pi))
