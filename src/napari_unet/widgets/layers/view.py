"""The part of an image that is in view, for previews and for measurements of a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
from napari import Viewer
from napari.components import ViewerModel
from napari.layers import Image
from numpy.typing import NDArray

from napari_unet.control import Viewport
from napari_unet.geometry.axes import AxisLayout
from napari_unet.geometry.region import Region
from napari_unet.widgets.layers.layer_data import array_shape, largest_level
from napari_unet.widgets.layers.view_geometry import ViewGeometry

MOST_PIXELS = 768
"""Side of the largest preview of a plane, in pixels; of a larger view the middle is shown."""

MOST_VOXELS_3D = MOST_PIXELS**2
"""Most voxels of a preview in 3D, which then takes about as long as one of a plane."""

ALIGNED = 8
"""A preview in 3D begins at multiples of so many voxels, so that few moves need a new one."""

MOST = 1024
"""Largest side of a plane that is measured, in pixels; of a larger one the middle of the view."""


@dataclass(frozen=True)
class VisibleRegion:
    """The part of an image to preview.

    Parameters
    ----------
    view : Viewport, optional
        The part; None where no preview is possible.
    note : str
        What is not shown, as a sentence for the user; empty where everything is.
    """

    view: Viewport | None
    note: str = ""


def find_visible_region(
    viewer: ViewerModel, image: Image, layout: AxisLayout, pair: int = 0
) -> VisibleRegion:
    """Return the part of an image that is in view, or of a large view the middle.

    In 3D it is a box around the centre of the camera, whose sides are equally long in world
    units; with a 2D network it is the plane at which the sliders stand. A pyramid is previewed at
    full resolution.

    Parameters
    ----------
    viewer : ViewerModel
        Whose camera and sliders tell what is in view.
    image : Image
        One of its layers.
    layout : AxisLayout
        Roles of the image's axes.
    pair : int
        The number of the image among those of the training, for the `Viewport`.
    """
    geometry = ViewGeometry(viewer, image)
    on_canvas = geometry.canvas_axes
    flat = viewer.dims.ndisplay == 2
    inner, outer = (on_canvas, layout.spatial) if flat else (layout.spatial, on_canvas)
    if any(axis not in outer for axis in inner):
        return VisibleRegion(
            None, "No preview: the network works along other axes than those in view."
        )
    shape = array_shape(image)
    sizes = [shape[axis] for axis in layout.spatial]
    at = geometry.index
    index = tuple(int(at[axis]) for axis in layout.loops)
    seen = Region.whole(sizes)
    if flat:
        seen = _visible(geometry, layout.spatial).intersect(seen)
    if not seen.size or not all(
        0 <= i < shape[a] for i, a in zip(index, layout.loops, strict=True)
    ):
        return VisibleRegion(None)
    spacing = [1.0 if flat else abs(float(image.scale[axis])) for axis in layout.spatial]
    centre = geometry.centre[list(layout.spatial)].tolist()
    most = [MOST_PIXELS] * len(sizes) if flat else _box(sizes, spacing)
    region = _middle(seen, centre, most, 1 if flat else ALIGNED)
    return VisibleRegion(
        Viewport(index, region, pair), _note(region, seen, flat, bool(image.multiscale))
    )


def _visible(geometry: ViewGeometry, axes: Sequence[int]) -> Region:
    """Return the pixels that the canvas shows in 2D, one along axes that have a slider.

    The layer's `corner_pixels` are not used: those of a pyramid are pixels of the level that is
    drawn, and grow to whole chunks.
    """
    on_canvas = list(geometry.viewer.dims.displayed)
    corners = []
    for signs in product((-1, 1), repeat=2):
        point = geometry.world_centre
        point[on_canvas] += geometry.half_canvas * signs
        corners.append(geometry.to_data(point)[list(axes)])
    low, high = np.floor(np.min(corners, 0) + 0.5), np.floor(np.max(corners, 0) + 0.5)
    return Region(tuple(map(int, low)), tuple(int(n) + 1 for n in high))


def _box(sizes: Sequence[int], spacing: Sequence[float]) -> list[int]:
    """Return the shape of the largest box with sides of one length, where the image is that long.

    The length is in world units; the box has at most `MOST_VOXELS_3D` voxels.
    """
    left, sides = float(MOST_VOXELS_3D), list(sizes)
    order = sorted(range(len(sizes)), key=lambda axis: sizes[axis] * spacing[axis])
    for done, axis in enumerate(order):  # a short axis leaves more voxels to the others
        free = order[done:]
        length = (left * prod(spacing[i] for i in free)) ** (1 / len(free))
        if sizes[axis] * spacing[axis] > length:
            for i in free:
                sides[i] = max(1, int(length / spacing[i] + 1e-6))
            break
        left /= sizes[axis]
    return sides


def _middle(seen: Region, centre: Sequence[float], most: Sequence[int], step: int) -> Region:
    """Return the part of a region around a point, with sides of at most `most` voxels.

    It begins at multiples of `step`, where the region is large enough.
    """
    start, stop = [], []
    for axis, size in enumerate(most):
        low, high = seen.start[axis], seen.stop[axis]
        first = round((centre[axis] - size / 2 + 0.25) / step) * step
        first = max(low, min(first, high - size))
        start.append(first)
        stop.append(min(high, first + size))
    return Region(tuple(start), tuple(stop))


def _note(region: Region, seen: Region, flat: bool, pyramid: bool) -> str:
    """Return a sentence on what is not shown; empty where all of the view is."""
    if region == seen:
        return ""
    size = " × ".join(str(n) for n in region.shape if n > 1 or not flat)
    if not flat:
        what = f"a box of {size} voxels" if len(region.start) == 3 else f"{size} pixels of a plane"
        return f"Showing {what} in the middle of the view."
    scale = " at full resolution" if pyramid else ""
    return f"Showing the middle {size} pixels of the view{scale}; zoom in for the rest."


@dataclass(frozen=True)
class Plane:
    """A plane of an image, or a part of one.

    Parameters
    ----------
    start, size : tuple of int
        Along the layer's axes, in voxels; the size is 1 along all but two of them.
    names : tuple of str
        Names of the layer's axes.
    axes : tuple of two int
        Axes of the plane, y and x.
    colours : bool
        Whether the array has a last axis of colours (RGB).
    """

    start: tuple[int, ...]
    size: tuple[int, ...]
    names: tuple[str, ...]
    axes: tuple[int, int]
    colours: bool = False

    def read(self, array: Any, *, mean: bool = True) -> NDArray[Any]:
        """Return the pixels of this plane.

        Parameters
        ----------
        array : array-like
            With the layer's axes, and a last one of colours if `colours` is set.
        mean : bool
            Whether to return the mean of the colours.

        Returns
        -------
        ndarray, shape (y, x) or (y, x, colours)
        """
        spans = zip(self.start, self.size, strict=True)
        where = tuple(
            slice(a, a + n) if axis in self.axes else a for axis, (a, n) in enumerate(spans)
        )
        pixels = np.asarray(array[where])
        return pixels.mean(-1) if self.colours and mean else pixels

    def __str__(self) -> str:
        y, x = (self.size[axis] for axis in self.axes)
        parts = [
            f"{name} {first}"
            for axis, (name, first) in enumerate(zip(self.names, self.start, strict=True))
            if axis not in self.axes
        ]
        parts.append(f"{y} × {x} pixels")
        if self.colours:
            parts.append("mean of the colours")
        return ", ".join(parts)


@dataclass(frozen=True, eq=False)
class PredictionPair:
    """A predicted image and its result, to be measured.

    Parameters
    ----------
    image : Image
        What was predicted.
    result : Image
        The result.
    layout : AxisLayout
        Roles of the axes of the image.
    """

    image: Image
    result: Image
    layout: AxisLayout

    @property
    def arrays(self) -> tuple[Any, Any]:
        """The arrays of both at full resolution."""
        return largest_level(self.image), largest_level(self.result)

    @property
    def alike(self) -> bool:
        """Whether both have the same shape, so that they can be subtracted."""
        before, after = self.arrays
        return tuple(before.shape) == tuple(after.shape)

    def plane(self, viewer: Viewer) -> Plane | None:
        """Return the plane of the image that is in view, None where the view is outside."""
        return find_plane(viewer, self.image, self.layout)


def find_plane(viewer: Viewer, image: Image, layout: AxisLayout) -> Plane | None:
    """Return the plane of an image in view, or of a large one the part around the view's middle.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose sliders and camera tell what is in view.
    image : Image
        One of its layers; of a pyramid at full resolution.
    layout : AxisLayout
        Roles of its axes; the plane has the last two spatial ones.

    Returns
    -------
    Plane or None
        None where the sliders stand outside the image.
    """
    shape = array_shape(image)[: image.ndim]
    y, x = layout.spatial[-2:]
    at = np.round(ViewGeometry(viewer, image).centre).astype(int)
    start, size = [], []
    for axis, length in enumerate(map(int, shape)):
        many = min(length, MOST) if axis in (y, x) else 1
        first = int(at[axis]) - many // 2
        if axis in (y, x):
            first = max(0, min(first, length - many))
        elif not 0 <= first < length:
            return None
        start.append(first)
        size.append(many)
    names = tuple(str(n) or f"axis {i}" for i, n in enumerate(image.axis_labels))
    return Plane(tuple(start), tuple(size), names, (y, x), bool(image.rgb))
