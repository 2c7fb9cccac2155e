"""The separate strokes of a label array: each is one class, and all its pixels are connected."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from napari_unet.geometry.region import Region

Index = tuple[int, ...]
"""Index of a plane along all axes but the last two."""

LabelledPlane = tuple[NDArray[Any], NDArray[np.int64]]
"""The labels of a plane, and the numbers of their connected parts, from 1 on."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """Connected pixels of one label value.

    Parameters
    ----------
    value : int
        The label.
    pixels : int
        How many there are.
    region : Region
        Their bounding box, over all axes of the labels.
    place : tuple of int
        One of them, in the plane that holds most of them.
    """

    value: int
    pixels: int
    region: Region
    place: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class PlaneStrokes:
    """The connected parts of one plane; part ``i`` is described by row ``i`` of each array.

    Parameters
    ----------
    values, pixels : ndarray of int, shape (parts,)
        Label value and number of pixels.
    boxes : ndarray of int, shape (parts, 2, 2)
        First row and column, and one past the last.
    places : ndarray of int, shape (parts, 2)
        Row and column of one of the pixels.
    links : ndarray of int, shape (n, 2)
        A part here, and one of the plane before that it continues.
    checksum : int
        Of the labels of the plane.
    """

    values: NDArray[np.int64]
    pixels: NDArray[np.int64]
    boxes: NDArray[np.int64]
    places: NDArray[np.int64]
    links: NDArray[np.int64]
    checksum: int


@dataclass(frozen=True, eq=False)
class StrokeIndex:
    """All strokes of a label array.

    In a plane (the last two axes), pixels are connected over sides and corners; from a plane to
    the next one, where one lies upon the other.

    Parameters
    ----------
    strokes : tuple of Stroke
        In the order of their first pixels.
    planes : mapping of Index to PlaneStrokes
        The planes with anything painted.
    """

    strokes: tuple[Stroke, ...] = ()
    planes: Mapping[Index, PlaneStrokes] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        data: Any,
        *,
        stacked: bool,
        before: StrokeIndex | None = None,
        only: Collection[int] | None = None,
    ) -> StrokeIndex:
        """Find the strokes, plane by plane; never more than two planes are in memory.

        Parameters
        ----------
        data : array of int
            The labels, of at least two axes; what slicing returns is turned into numpy arrays.
        stacked : bool
            Whether strokes go on along the third axis from the last; not where that is time.
        before : StrokeIndex, optional
            The earlier strokes of the same array: planes that are as they were are not worked
            out again.
        only : collection of int, optional
            The indices of the first axis to look at; all others are taken from `before`.
        """
        known: Mapping[Index, PlaneStrokes] = {} if before is None else before.planes
        planes: dict[Index, PlaneStrokes] = {}
        changed: set[Index | None] = set()
        last: tuple[Index, LabelledPlane] | None = None
        for index in product(*map(range, data.shape[:-2])):
            above = (*index[:-1], index[-1] - 1) if stacked and index and index[-1] else None
            old = known.get(index)
            if only is not None and index[0] not in only and above not in changed:
                planes |= {} if old is None else {index: old}
                continue
            labels = np.ascontiguousarray(data[index])
            checksum = crc32(labels.tobytes()) if labels.any() else None
            if checksum != (old and old.checksum):
                changed.add(index)
            elif above not in changed:
                planes |= {} if old is None else {index: old}
                continue
            if checksum is None:
                continue
            plane = labels, _parts(labels)
            under = last[1] if last is not None and last[0] == above else None
            if under is None and above in planes:
                labels = np.asarray(data[above])
                under = labels, _parts(labels)
            planes[index] = _plane_strokes(*plane, checksum, under)
            last = index, plane
        return cls(tuple(_joined(planes)), planes)


def pixels_of(data: Any, stroke: Stroke, *, stacked: bool) -> tuple[NDArray[np.intp], ...]:
    """Return where the pixels of a stroke are, as an index of the labels.

    Parameters
    ----------
    data : array of int
        The labels, which may have changed since the stroke was found.
    stroke : Stroke
        The stroke.
    stacked : bool
        As for `StrokeIndex.of`.

    Returns
    -------
    tuple of ndarray of int
        One per axis; empty arrays where its place is no longer of its label.
    """
    from scipy.ndimage import label

    box = stroke.region
    same = np.asarray(data[box.slices]) == stroke.value
    connected = np.zeros((3,) * same.ndim, bool)
    connected[(1,) * (same.ndim - 2)] = True
    if stacked and same.ndim > 2:
        connected[(1,) * (same.ndim - 3) + (slice(None), 1, 1)] = True
    parts, _ = label(same, connected)
    wanted = parts[tuple(p - a for p, a in zip(stroke.place, box.start, strict=True))]
    found = np.nonzero((parts == wanted) & (parts > 0))
    return tuple(axis + start for axis, start in zip(found, box.start, strict=True))


def _plane_strokes(
    labels: NDArray[Any],
    parts: NDArray[np.int64],
    checksum: int,
    above: LabelledPlane | None,
) -> PlaneStrokes:
    """Describe the parts of a plane, and find which parts of the plane before they continue."""
    from scipy.ndimage import find_objects

    flat = parts.ravel()
    painted = np.flatnonzero(flat)
    painted = painted[np.argsort(flat[painted], kind="stable")]
    pixels = np.bincount(flat)[1:]
    middle = painted[np.cumsum(pixels) - pixels + pixels // 2]
    boxes = [[[s.start for s in box], [s.stop for s in box]] for box in find_objects(parts)]
    links = np.zeros((0, 2), np.int64)
    if above is not None:
        continued = (labels != 0) & (labels == above[0])
        pairs = np.stack([parts[continued], above[1][continued]], 1) - 1
        links = np.unique(pairs, axis=0)
    return PlaneStrokes(
        labels.ravel()[middle].astype(np.int64),
        pixels,
        np.array(boxes, np.int64),
        np.stack(np.unravel_index(middle, labels.shape), 1),
        links,
        checksum,
    )


def _parts(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return the numbers of the connected parts of a plane, from 1 on."""
    from skimage.measure import label

    numbers: NDArray[np.int64] = label(labels, background=0, connectivity=2)
    return numbers


def _joined(planes: Mapping[Index, PlaneStrokes]) -> Iterator[Stroke]:
    """Join parts of successive planes to strokes."""
    if not planes:
        return
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    counts = [len(plane.values) for plane in planes.values()]
    offsets = dict(zip(planes, np.cumsum([0, *counts]).tolist(), strict=False))
    pairs = [
        plane.links + np.array([offsets[index], offsets[*index[:-1], index[-1] - 1]])
        for index, plane in planes.items()
        if len(plane.links)
    ]
    links = np.concatenate(pairs) if pairs else np.zeros((0, 2), np.int64)
    total = sum(counts)
    graph = coo_array((np.ones(len(links), bool), tuple(links.T)), (total, total))
    _, members = connected_components(graph, directed=False)
    parts = [(index, plane, i) for index, plane in planes.items() for i in range(len(plane.values))]
    order = np.argsort(members, kind="stable")
    ends = np.flatnonzero(np.diff(members[order])) + 1
    for group in np.split(order, ends):
        yield _stroke([parts[i] for i in group])


def _stroke(parts: list[tuple[Index, PlaneStrokes, int]]) -> Stroke:
    """Return the stroke that is made of these parts, of successive planes."""
    pixels = [int(plane.pixels[i]) for _, plane, i in parts]
    index, plane, part = parts[int(np.argmax(pixels))]
    starts = [(*at, *p.boxes[i, 0].tolist()) for at, p, i in parts]
    stops = [(*(a + 1 for a in at), *p.boxes[i, 1].tolist()) for at, p, i in parts]
    region = Region(
        tuple(map(min, zip(*starts, strict=True))), tuple(map(max, zip(*stops, strict=True)))
    )
    place = (*index, *plane.places[part].tolist())
    return Stroke(int(plane.values[part]), sum(pixels), region, place)
