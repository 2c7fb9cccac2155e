"""Which part of an image the shapes of a Shapes layer enclose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer, Shapes
from numpy.typing import NDArray

from napari_unet.data.image import PartOfSource
from napari_unet.data.source import ArraySource
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region
from napari_unet.widgets.layers.layer_data import array_shape

SAME_PLANE = 1e-3
"""Greatest distance in voxels of corners that lie in one plane."""

CORNERS = 64
"""Number of corners of the polygon that stands for an ellipse."""


@dataclass(frozen=True, eq=False)
class RegionOfInterest:
    """A part of an image.

    Parameters
    ----------
    region : Region
        The box around it, over all axes of the image but that of channels, in voxels.
    inside : ndarray of bool, optional
        Which voxels of the box belong to it; the shape is that of the box, or 1 along axes along
        which all voxels are alike. None where all do.
    size : tuple of int
        Shape of the whole image, without its channels.
    """

    region: Region
    inside: NDArray[np.bool_] | None
    size: tuple[int, ...]

    def mask(self, part: Region) -> NDArray[np.bool_]:
        """Tell which voxels of a box belong to it.

        Parameters
        ----------
        part : Region
            Over the same axes.

        Returns
        -------
        ndarray of bool, shape part.shape
        """
        found = np.zeros(part.shape, bool)
        common = part.intersect(self.region)
        if common.size:
            here = common.within(self.region).slices
            inside = np.ones((1,) * part.ndim, bool) if self.inside is None else self.inside
            whole = np.broadcast_to(inside, self.region.shape)
            found[common.within(part).slices] = whole[here]
        return found

    def is_same(self, other: RegionOfInterest | None) -> bool:
        """Tell whether another one has the same voxels."""
        if other is None or self.region != other.region or self.size != other.size:
            return False
        return np.array_equal(self.mask(self.region), other.mask(self.region))

    @property
    def box(self) -> RegionOfInterest:
        """The whole of the box around it."""
        return replace(self, inside=None)

    @property
    def is_in_planes(self) -> bool:
        """Whether it does not reach through all planes."""
        return self.region.shape[:-2] != self.size[:-2]

    def part_of(self, labels: Any) -> PartOfSource | None:
        """Return the part of an array of labels; None where it does not fit into the array.

        Parameters
        ----------
        labels : array of int
            Of the shape of the image without its channels.
        """
        if tuple(labels.shape) != self.size:
            return None
        return PartOfSource(ArraySource(labels), self.region, self.inside)

    def __str__(self) -> str:
        spans = list(zip(self.region.start, self.region.stop, self.size, strict=True))
        flat = " × ".join(str(stop - start) for start, stop, _ in spans[-2:])
        text = f"{flat} pixels" if self.inside is None else f"Shape of {flat} pixels"
        planes = [(a, b) for a, b, size in spans[:-2] if b - a < size]
        if planes:
            where = ", ".join(str(a) if b - a == 1 else f"{a}–{b - 1}" for a, b in planes)
            return f"{text} in plane{'s' if '–' in where else ''} {where}"
        return f"{text}, in all planes" if len(spans) > 2 else text


@dataclass(frozen=True, eq=False)
class EnclosedArea:
    """What one shape encloses: a box, and which of its voxels (1 along axes that are alike)."""

    region: Region
    inside: NDArray[np.bool_]
    whole: tuple[bool, ...]


def region_of_interest(
    viewer: ViewerModel,
    shapes: Shapes,
    layer: Layer,
    channel: int | None = None,
    *,
    all_planes: bool = False,
) -> RegionOfInterest:
    """Return what rectangles, polygons and ellipses enclose: the centres of voxels count.

    A shape counts in the plane that it was drawn in; where its layer has no such axis, in all
    planes.

    Parameters
    ----------
    viewer : ViewerModel
        Where both layers are.
    shapes : Shapes
        The shapes, all of which count; lines and paths enclose nothing.
    layer : Layer
        The image.
    channel : int, optional
        The image's axis of channels; None where it has none, or is RGB.
    all_planes : bool
        Whether a shape counts in all planes, whichever it was drawn in.

    Raises
    ------
    InputError
        Where nothing of the image is enclosed.
    """
    size = array_shape(layer)[: layer.ndim]
    kept = [axis for axis in range(layer.ndim) if axis != channel]
    size = tuple(size[axis] for axis in kept)
    drawn = [
        _corners(np.asarray(data, float), kind)
        for data, kind in zip(shapes.data, shapes.shape_type, strict=True)
        if kind not in ("line", "path")
    ]
    if not drawn:
        raise InputError(
            f"“{shapes.name}” has no shape that encloses anything",
            todo="Draw a rectangle or a polygon in it, or choose the whole image",
        )
    areas = []
    for corners in drawn:
        points, known = _in_layer(viewer, shapes, layer, corners)
        area = _area(points[:, kept], [known[axis] for axis in kept], size, all_planes)
        if area is not None:
            areas.append(area)
    if not areas:
        raise InputError(
            f"The shapes of “{shapes.name}” enclose nothing of “{layer.name}”",
            todo="Move them onto the image, or choose the whole image",
        )
    return _union(areas, size)


def _corners(points: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """Return the corners of a shape; an ellipse is given by those of the box around it."""
    if kind != "ellipse":
        return points
    centre = points.mean(0)
    half = [(points[1] - points[0]) / 2, (points[3] - points[0]) / 2]
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)[:, None]
    return np.asarray(centre + np.cos(angles) * half[0] + np.sin(angles) * half[1])


def _in_layer(
    viewer: ViewerModel, shapes: Shapes, layer: Layer, corners: NDArray[np.float64]
) -> tuple[NDArray[np.float64], list[bool]]:
    """Return corners in voxels of a layer, and along which of its axes they are known."""
    world = np.zeros((len(corners), viewer.dims.ndim))
    world[:, -shapes.ndim :] = [shapes.data_to_world(corner) for corner in corners]
    missing = viewer.dims.ndim - shapes.ndim
    own = viewer.dims.ndim - layer.ndim
    centre = layer.extent.world.mean(0)
    for axis in range(own, missing):
        world[:, axis] = centre[axis - own]
    points = np.array([layer.world_to_data(point[own:]) for point in world], float)
    return points, [axis + own >= missing for axis in range(layer.ndim)]


def _area(
    points: NDArray[np.float64],
    known: Sequence[bool],
    size: tuple[int, ...],
    all_planes: bool,
) -> EnclosedArea | None:
    """Return what corners (corner, axis) enclose; None where that is nothing of the image."""
    flat = [a for a in range(len(size)) if known[a] and np.ptp(points[:, a]) > SAME_PLANE]
    if len(flat) != 2:
        return None
    start, stop = [0] * len(size), list(size)
    whole = [True] * len(size)
    for axis, place in enumerate(points[0]):
        if axis in flat:
            start[axis] = max(0, int(np.ceil(points[:, axis].min() - SAME_PLANE)))
            stop[axis] = min(size[axis], int(np.floor(points[:, axis].max() + SAME_PLANE)) + 1)
            whole[axis] = False
        elif known[axis] and not all_planes:
            start[axis] = max(0, int(np.round(place)))
            stop[axis] = min(size[axis], int(np.round(place)) + 1)
            whole[axis] = False
    if any(a >= b for a, b in zip(start, stop, strict=True)):
        return None
    shape = [stop[a] - start[a] if a in flat else 1 for a in range(len(size))]
    corners = points[:, flat] - [start[a] for a in flat]
    if _is_box(corners):
        inside = np.ones(shape, bool)
    else:
        sizes = tuple(shape[a] for a in flat)
        inside = _polygon(sizes, tuple(map(tuple, corners.tolist()))).reshape(shape)
    if not inside.any():
        return None
    return EnclosedArea(Region(tuple(start), tuple(stop)), inside, tuple(whole))


def _is_box(corners: NDArray[np.float64]) -> bool:
    """Tell whether four corners are those of a rectangle along the axes."""
    ends = np.isclose(corners, corners.min(0)) | np.isclose(corners, corners.max(0))
    return len(corners) == 4 and bool(ends.all())


@lru_cache(maxsize=32)
def _polygon(shape: tuple[int, ...], corners: tuple[tuple[float, ...], ...]) -> NDArray[np.bool_]:
    """Return a mask of the pixels whose centres lie in a polygon."""
    from skimage.draw import polygon2mask

    mask: NDArray[np.bool_] = polygon2mask(shape, np.array(corners))
    mask.setflags(write=False)
    return mask


def _union(areas: Sequence[EnclosedArea], size: tuple[int, ...]) -> RegionOfInterest:
    """Join what several shapes enclose."""
    region = Region(
        tuple(map(min, zip(*(area.region.start for area in areas), strict=True))),
        tuple(map(max, zip(*(area.region.stop for area in areas), strict=True))),
    )
    whole = [all(axis) for axis in zip(*(area.whole for area in areas), strict=True)]
    inside = np.zeros([1 if all_ else n for all_, n in zip(whole, region.shape, strict=True)], bool)
    for area in areas:
        place = area.region.within(region).slices
        inside[tuple(slice(None) if w else p for w, p in zip(whole, place, strict=True))] |= (
            area.inside
        )
    return RegionOfInterest(region, None if inside.all() else inside, size)
