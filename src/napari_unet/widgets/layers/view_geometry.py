"""How the axes and voxels of a layer correspond to the axes and the view of its viewer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer
from numpy.typing import ArrayLike, NDArray

LEAST_ZOOM = 1.0
"""Least screen pixels per pixel of a layer, for a place in it to be seen."""


def canvas_axes(viewer: ViewerModel, ndim: int) -> list[int]:
    """Return the axes on the canvas, in its order, as axes of a layer.

    Parameters
    ----------
    viewer : ViewerModel
        Which has at least as many axes as the layer.
    ndim : int
        Number of axes of the layer, which may not be in the viewer yet.

    Returns
    -------
    list of int
        Negative where the canvas has an axis that such a layer lacks.
    """
    return [int(axis) - viewer.dims.ndim + ndim for axis in viewer.dims.displayed]


@dataclass(frozen=True, eq=False)
class ViewGeometry:
    """A layer in the present view of its viewer.

    A layer may have fewer axes than the viewer; its axes are then the viewer's last ones. All
    properties are worked out anew each time, from what the viewer shows at that moment.

    Parameters
    ----------
    viewer : ViewerModel
        Whose sliders, order of axes and camera count.
    layer : Layer
        One of its layers; of a pyramid the voxels are those of the largest level, of RGB the
        colours are no axis.
    """

    viewer: ViewerModel
    layer: Layer

    @property
    def offset(self) -> int:
        """How many leading axes of the viewer the layer lacks: viewer axis = offset + axis."""
        return int(self.viewer.dims.ndim - self.layer.ndim)

    @property
    def canvas_axes(self) -> list[int]:
        """Axes on the canvas, in its order, as axes of the layer; negative where it lacks one."""
        return canvas_axes(self.viewer, self.layer.ndim)

    @property
    def displayed(self) -> list[int]:
        """Axes of the layer that are on the canvas, in the canvas's order."""
        return [axis for axis in self.canvas_axes if axis >= 0]

    @property
    def hidden(self) -> list[int]:
        """Axes of the layer that have a slider, in ascending order."""
        displayed = self.displayed
        return [axis for axis in range(self.layer.ndim) if axis not in displayed]

    @property
    def position(self) -> NDArray[np.float64]:
        """Where the sliders stand, in voxels along the layer's axes."""
        return self.to_data(self.viewer.dims.point)

    @property
    def index(self) -> NDArray[np.int64]:
        """The voxel at which the sliders stand; it may lie outside the layer."""
        return np.round(self.position).astype(np.int64)

    @property
    def world_centre(self) -> NDArray[np.float64]:
        """The middle of the view, in world units along the viewer's axes."""
        dims = self.viewer.dims
        point = np.array(dims.point, float)
        point[list(dims.displayed)] = self.viewer.scene.camera.center[-dims.ndisplay :]
        return point

    @property
    def centre(self) -> NDArray[np.float64]:
        """The middle of the view, in voxels along the layer's axes."""
        return self.to_data(self.world_centre)

    @property
    def half_canvas(self) -> NDArray[np.float64]:
        """Half the height and half the width of the canvas in 2D, in world units."""
        size = np.array(self.viewer.canvas.viewbox_size(self.viewer.layers), float)
        return np.asarray(size / self.viewer.scene.camera.zoom / 2)

    def to_data(self, point: ArrayLike) -> NDArray[np.float64]:
        """Return a point of the world in voxels along the layer's axes.

        Parameters
        ----------
        point : array-like of float
            Along the viewer's axes.
        """
        own = np.asarray(point, float)[self.offset :]
        return np.asarray(self.layer.world_to_data(own), float)

    def to_world(self, position: ArrayLike) -> NDArray[np.float64]:
        """Return a point of the layer in world units.

        Parameters
        ----------
        position : array-like of float
            In voxels along the layer's axes.

        Returns
        -------
        ndarray of float
            Along the layer's axes, that is the viewer's last ones.
        """
        return np.asarray(self.layer.data_to_world(np.asarray(position, float)), float)

    def go_to(self, voxel: ArrayLike, axes: Collection[int] | None = None) -> None:
        """Move the sliders and the camera to a voxel, and zoom in if it were too small to be seen.

        In 2D the camera stays so far within the layer that no more of the canvas is empty than
        must be.

        Parameters
        ----------
        voxel : array-like of float
            Along the layer's axes.
        axes : collection of int, optional
            The axes of the layer along which to move; all of them by default.
        """
        moved = range(self.layer.ndim) if axes is None else axes
        world, shown = self.to_world(voxel), self.canvas_axes
        camera = self.viewer.scene.camera
        for axis in moved:
            if axis in self.hidden:
                self.viewer.dims.set_point(self.offset + axis, float(world[axis]))
        centre = list(camera.center)
        for i, axis in zip(range(-len(shown), 0), shown, strict=True):
            if axis in moved:
                centre[i] = float(world[axis])
        pixel = min(abs(float(self.layer.scale[axis])) for axis in shown if axis in moved)
        if camera.zoom * pixel < LEAST_ZOOM:
            camera.zoom = LEAST_ZOOM / pixel
        if len(shown) == 2:
            centre[-2:] = self._within(centre[-2:])
        camera.center = tuple(centre)

    def _within(self, centre: list[float]) -> list[float]:
        """Move the middle of a 2D view so that the canvas shows as much of the layer as it can.

        Parameters
        ----------
        centre : list of float
            The middle of the view along both axes of the canvas, in world units.
        """
        low, high = self.layer.extent.world
        inside = []
        for axis, middle, half in zip(self.canvas_axes, centre, self.half_canvas, strict=True):
            if axis < 0:
                inside.append(middle)
                continue
            least, most = float(low[axis]) + float(half), float(high[axis]) - float(half)
            inside.append((least + most) / 2 if most < least else min(max(middle, least), most))
        return inside


def ensure_view_direction(viewer: ViewerModel) -> None:
    """Tell napari the direction of view in 3D, which it learns only when the mouse moves.

    Without it napari 0.9 fails where a Labels layer with features, such as our results, is selected
    and the mouse rests on the canvas: it takes None for a direction ("len() of unsized object").

    Parameters
    ----------
    viewer : ViewerModel
        The viewer, in 2D or 3D.
    """
    cursor, dims = viewer.cursor, viewer.dims
    if dims.ndisplay == 3 and getattr(cursor, "_view_direction", ()) is None:
        cursor._view_direction = viewer.scene.camera.calculate_nd_view_direction(
            dims.ndim, list(dims.displayed)
        )
