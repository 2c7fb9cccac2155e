"""The plane in view of an image, to be measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image
from numpy.typing import NDArray

from napari_unet.geometry.axes import AxisLayout
from napari_unet.widgets.layers import Picture

MOST = 1024
"""Sides of what is measured of a plane, in pixels; of a larger plane what is around the middle of
the view."""


@dataclass(frozen=True)
class Plane:
    """A part of a picture: one plane of it, or the middle of one.

    Parameters
    ----------
    start, size : tuple of int
        Along the layer's axes, in voxels; the size is 1 on all but two of them.
    names : tuple of str
        What the axes are called.
    colours : bool
        Whether the array has another axis behind these, with colours.
    """

    start: tuple[int, ...]
    size: tuple[int, ...]
    names: tuple[str, ...]
    axes: tuple[int, int]
    colours: bool = False

    def read(self, array: Any, *, mean: bool = True) -> NDArray[Any]:
        """Return these pixels (y, x) of an array; of colours the mean, or (y, x, colour)."""
        spans = zip(self.start, self.size, strict=True)
        where = tuple(
            slice(a, a + n) if axis in self.axes else a for axis, (a, n) in enumerate(spans)
        )
        pixels = np.asarray(array[where])
        return pixels.mean(-1) if self.colours and mean else pixels

    def __str__(self) -> str:
        y, x = (self.size[axis] for axis in self.axes)
        at = [
            f"{name} {a}"
            for axis, (name, a) in enumerate(zip(self.names, self.start, strict=True))
            if axis not in self.axes
        ]
        mean = ["mean of the colours"] * self.colours
        return ", ".join([*at, f"{y} × {x} pixels", *mean])


@dataclass(frozen=True, eq=False)
class Subject:
    """What is measured: a layer, the result made of it, and the roles of their axes."""

    image: Image
    result: Image
    layout: AxisLayout

    @property
    def arrays(self) -> tuple[Any, Any]:
        """The pixels of both, of pyramids those of the largest level."""
        return Picture.of(self.image).data, Picture.of(self.result).data

    @property
    def alike(self) -> bool:
        """Whether both have one shape, so that one can be taken from the other."""
        before, after = self.arrays
        return tuple(before.shape) == tuple(after.shape)

    def plane(self, viewer: Viewer) -> Plane | None:
        """Return the plane in view, None where the view is outside."""
        return find_plane(viewer, self.image, self.layout)


def find_plane(viewer: Viewer, image: Image, layout: AxisLayout) -> Plane | None:
    """Return the plane of an image in view, or of a large one the part around the view's middle.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose sliders and camera tell what is in view.
    image : Image
        One of its layers; of a pyramid the largest level counts.
    layout : AxisLayout
        Roles of its axes: the last two of space are those of the plane.

    Returns
    -------
    Plane or None
        None where the sliders stand outside the image.
    """
    shape = (image.data[0] if image.multiscale else image.data).shape[: image.ndim]
    y, x = layout.spatial[-2:]
    point = np.array(viewer.dims.point, float)
    point[list(viewer.dims.displayed)] = viewer.scene.camera.center[-viewer.dims.ndisplay :]
    at = np.round(np.asarray(image.world_to_data(point[-image.ndim :]))).astype(int)
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
