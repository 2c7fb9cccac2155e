"""One image drawn over another, up to a line that can be moved, and what that changes in layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from napari import Viewer
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.transforms import Affine
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal
from superqt.utils import qdebounced

from napari_unet.widgets.layers.layer_data import array_shape
from napari_unet.widgets.layers.placement import insert_above, placement
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.layers.view_geometry import ViewGeometry
from napari_unet.widgets.qt.subscriptions import Subscriptions


@dataclass(frozen=True)
class SplitAxis:
    """The axis of an image along which a vertical line on the canvas splits it.

    Positions along the axis are in voxels: voxel i spans i to i + 1.

    Parameters
    ----------
    axis : int
        The image's axis that is closest to the horizontal one of the canvas.
    size : int
        Number of voxels along it.
    step : float
        World units from one voxel to the next, to the right; negative where it leads to the left.
    """

    axis: int
    size: int
    step: float

    @classmethod
    def of(cls, viewer: ViewerModel, image: Image) -> SplitAxis | None:
        """Return the axis along which an image is split in the present view.

        Parameters
        ----------
        viewer : ViewerModel
            Where the image is.
        image : Image
            What is split.

        Returns
        -------
        SplitAxis or None
            None where the canvas shows an axis that the image lacks.
        """
        geometry = ViewGeometry(viewer, image)
        shown = geometry.canvas_axes
        if min(shown) < 0:
            return None
        origin = geometry.to_world(np.zeros(image.ndim))
        ahead = {a: geometry.to_world(np.eye(image.ndim)[a]) - origin for a in shown}
        axis = max(shown, key=lambda a: abs(float(ahead[a][shown[-1]])))
        to_right = 1 if viewer.scene.camera.orientation2d[1] == "right" else -1
        step = to_right * float(ahead[axis][shown[-1]])
        return cls(axis, array_shape(image)[axis], step) if step else None

    def position(self, viewer: ViewerModel, image: Image, point: NDArray[Any]) -> float:
        """Return the position of a point of the world along the axis.

        Parameters
        ----------
        viewer : ViewerModel
            Where the image is.
        image : Image
            What is split.
        point : ndarray of float
            In world units, along the viewer's axes.
        """
        return float(ViewGeometry(viewer, image).to_data(point)[self.axis]) + 0.5

    def visible_range(self, viewer: ViewerModel, image: Image) -> tuple[float, float]:
        """Return, in 2D, the positions at the left and the right end of the part in view.

        Parameters
        ----------
        viewer : ViewerModel
            Where the image is.
        image : Image
            What is split; where it is out of view, its ends are returned.
        """
        geometry = ViewGeometry(viewer, image)
        middle = geometry.world_centre
        to_side = np.zeros(len(middle))
        to_side[viewer.dims.displayed[-1]] = geometry.half_canvas[1]
        sides = (middle - to_side, middle + to_side)
        low, high = sorted(self.position(viewer, image, side) for side in sides)
        low, high = max(low, 0.0), min(high, float(self.size))
        if low >= high:
            low, high = 0.0, float(self.size)
        return (low, high) if self.step > 0 else (high, low)

    def left_of(self, at: float, unit: int = 1) -> tuple[int, int]:
        """Return where the part to the left of a position begins and ends, in voxels.

        Parameters
        ----------
        at : float
            A position along the axis.
        unit : int
            The position is rounded to a multiple of so many voxels.
        """
        here = min(round(at / unit) * unit, self.size)
        return (0, here) if self.step > 0 else (here, self.size)


class SwipeLayer:
    """Shows an image over another one, all of it or the part left of a line.

    In 2D a layer of its own does so, because napari clips volumes only. It shares the image's
    array, so that napari slices both alike and panning costs nothing, and covers all layers
    between the two images. In 3D, where no layer covers another, the image itself is shown.

    Parameters
    ----------
    viewer : ViewerModel
        Where the images are.
    before : Image
        What is shown left of the line.
    after : Image
        What is shown right of it.
    """

    def __init__(self, viewer: ViewerModel, before: Image, after: Image) -> None:
        self._viewer = viewer
        self._before, self._after = before, after
        self.layer: Image | None = None

    @property
    def front(self) -> Image:
        """The layer that shows the image before."""
        return self._before if self.layer is None else self.layer

    @property
    def lost(self) -> bool:
        """Whether somebody removed its layer."""
        return self.layer is not None and self.layer not in self._viewer.layers

    def draw(self, split: SplitAxis, at: float, line: str = "") -> None:
        """Draw, in 2D, the part of the image that is left of a position.

        Parameters
        ----------
        split : SplitAxis
            Along which the image is split.
        at : float
            The position along that axis.
        line : str
            Colour of a frame around the part; no frame where it is empty.
        """
        factors = [split.size / level.shape[split.axis] for level in _levels(self._before)]
        start, stop = split.left_of(at, max(1, round(factors[-1])))
        visible = start < stop
        if not visible:  # a layer cannot be empty
            start, stop = (0, 1) if split.step > 0 else (split.size - 1, split.size)
        parts = []
        for level, factor in zip(_levels(self._before), factors, strict=True):
            first = int(start / factor)
            last = max(first + 1, round(stop / factor))
            parts.append(_part(level, split.axis, first, last))
        data = parts if self._before.multiscale else parts[0]
        self._show_data(data, _translation(self._before, split, start))
        assert self.layer is not None
        if self.layer.visible != visible:
            self.layer.visible = visible
        self._frame(line)

    def cover(self) -> None:
        """Draw, in 2D, the whole image."""
        split = SplitAxis.of(self._viewer, self._before)
        if split is not None and self._viewer.dims.ndisplay == 2:
            self.draw(split, split.size if split.step > 0 else 0)

    def show(self, *, before: bool, after: bool) -> None:
        """Set which of the two images is visible; where there is a layer, it is the one before.

        Parameters
        ----------
        before, after : bool
            Whether that image is visible.
        """
        wanted = {self._before: False, self.front: before, self._after: after}
        for image, visible in wanted.items():
            if image.visible != visible:
                image.visible = visible

    def remove(self) -> None:
        """Remove the layer."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _show_data(self, data: Any, translate: NDArray[Any]) -> None:
        if self.layer is not None:
            self.layer.data = data
            if not np.array_equal(self.layer.translate, translate):
                self.layer.translate = translate
            return
        before = self._before
        self.layer = Image(
            data,
            rgb=before.rgb,
            multiscale=before.multiscale,
            name=f"{before.name} – compared",
            colormap=before.colormap,
            contrast_limits=before.contrast_limits,
            gamma=before.gamma,
            interpolation2d=before.interpolation2d,
            blending="translucent_no_depth",  # covers what is below, whatever that is blended with
            metadata={RESULT: {"preview": True}},
            **placement(before) | {"translate": translate},
        )
        layers = self._viewer.layers
        insert_above(layers, max(before, self._after, key=layers.index), [self.layer])

    def _frame(self, colour: str) -> None:
        assert self.layer is not None
        frame = self.layer.bounding_box
        frame.points, frame.line_thickness = False, 2
        if colour:
            frame.line_color = colour
        frame.visible = bool(colour)


def _levels(image: Image) -> Any:
    return image.data if image.multiscale else [image.data]


def _part(data: Any, axis: int, start: int, stop: int) -> Any:
    """Return a view of a part of an array, or a dask array that reads it when it is needed."""
    if not isinstance(data, np.ndarray):
        data = da.asarray(data)  # type: ignore[no-untyped-call]
    return data[(slice(None),) * axis + (slice(start, stop),)]


def _translation(image: Image, split: SplitAxis, start: int) -> NDArray[Any]:
    """Return the translation of a layer that begins at another voxel of the image."""
    where = placement(image)
    linear = {name: where[name] for name in ("scale", "translate", "rotate", "shear")}
    first = start * np.eye(image.ndim)[split.axis]
    return np.asarray(Affine(**linear)(first))


REST_MS = 150
"""The camera is at rest when it has not moved for so many milliseconds."""

NEAR = 6
"""Distance from the line within which the mouse can drag it, in pixels of the canvas."""

MARGIN = 0.1
"""Distance from the edge at which a line is put that got out of view, as a fraction of the view."""


class SplitHandle(QObject):
    """The position of a vertical line in an image, which the mouse can drag; it draws nothing.

    The line keeps its place in the image when the camera moves, and is brought back into view.

    Parameters
    ----------
    viewer : napari.Viewer
        Where it can be dragged, in 2D, unless the active layer takes the mouse to paint.
    parent : QObject
        The Qt parent.

    Attributes
    ----------
    at : float, optional
        Its position along the image's split axis, in voxels; None before it was placed.
    moved : Signal()
        Its position in the image, or in the view, has changed.
    """

    moved = Signal()

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image: Image | None = None
        self._cursor_before: Any = None
        self._subscriptions = Subscriptions()
        self._at_rest = qdebounced(self._bring_into_view, timeout=REST_MS)
        self.at: float | None = None

    def place_on(self, image: Image) -> None:
        """Place the line on an image: where it was if that is in view, at first in the middle."""
        self.release()
        self._image = image
        camera, viewer = self._viewer.scene.camera.events, self._viewer
        self._subscriptions.connect(self._camera_moved, camera.center, camera.zoom)
        self._subscriptions.append(self._dragged, viewer.mouse_drag_callbacks)
        self._subscriptions.append(self._hovered, viewer.mouse_move_callbacks)
        self._bring_into_view()

    def release(self) -> None:
        """Follow the mouse and the camera no longer."""
        self._at_rest.cancel()
        self._set_cursor(near=False)
        self._image = None
        self._subscriptions.release()

    @property
    def fraction(self) -> float:
        """Its place in the view: 0 at the left, 1 at the right end of the visible image."""
        left, right = self._visible_range()
        return 0.5 if self.at is None else (self.at - left) / (right - left)

    @fraction.setter
    def fraction(self, value: float) -> None:
        left, right = self._visible_range()
        self._go_to(left + (right - left) * value)

    @property
    def _split(self) -> SplitAxis | None:
        return None if self._image is None else SplitAxis.of(self._viewer, self._image)

    def _visible_range(self) -> tuple[float, float]:
        split = self._split
        if split is None or self._image is None:
            return 0.0, 1.0
        return split.visible_range(self._viewer, self._image)

    def _go_to(self, position: float) -> None:
        self.at = position
        self.moved.emit()

    def _camera_moved(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        self._at_rest()

    def _bring_into_view(self) -> None:
        low, high = sorted(self._visible_range())
        at = (low + high) / 2 if self.at is None else self.at
        if not low <= at <= high:
            inset = MARGIN * (high - low)
            at = min(max(at, low + inset), high - inset)
        self._go_to(at)

    def _position(self, split: SplitAxis, event: Any) -> float:
        assert self._image is not None
        there = split.position(self._viewer, self._image, np.asarray(event.position))
        return min(max(there, 0.0), float(split.size))

    def _is_near(self, event: Any) -> bool:
        active, split = self._viewer.layers.selection.active, self._split
        paints = active is not None and active.mode != "pan_zoom"
        if paints or self._viewer.dims.ndisplay != 2 or split is None or self.at is None:
            return False
        away = (self._position(split, event) - self.at) * split.step
        return bool(abs(away) * self._viewer.scene.camera.zoom <= NEAR)

    def _hovered(self, viewer: Any, event: Any) -> None:  # noqa: ARG002 - napari passes it
        self._set_cursor(near=self._is_near(event))

    def _set_cursor(self, *, near: bool) -> None:
        """Show a pointing hand near the line, and elsewhere what napari shows."""
        cursor = self._viewer.cursor
        if near and self._cursor_before is None:
            self._cursor_before, cursor.style = cursor.style, "pointing"
        elif not near and self._cursor_before is not None:
            cursor.style, self._cursor_before = self._cursor_before, None

    def _dragged(self, viewer: Any, event: Any) -> Iterator[None]:  # noqa: ARG002
        if event.button != 1 or not self._is_near(event):
            return
        event.handled = True  # else the camera would move as well
        yield
        while event.type == "mouse_move":
            event.handled = True
            split = self._split
            if split is not None:
                self._go_to(self._position(split, event))
            yield


LEAST_COMMON = 0.02
"""Least overlap of two contrast limits, as a fraction of what both span, that share a unit."""

SHARED = ("contrast_limits", "gamma")
"""Attributes of images that are compared with one contrast."""


class DisplayStateGuard:
    """Remembers how some images are displayed, and restores it.

    Parameters
    ----------
    images : iterable of Image
        Their visibility, contrast and gamma are remembered.
    """

    def __init__(self, images: Iterable[Image]) -> None:
        self._states = [(image, _display_state(image)) for image in images]
        self._sharing: list[Image] = []
        self._subscriptions = Subscriptions()

    @property
    def images(self) -> list[Image]:
        """The images whose display is remembered."""
        return [image for image, _ in self._states]

    def share_contrast(self, images: Iterable[Image]) -> None:
        """Give images the contrast of the first one; from now on it changes in all of them."""
        self.stop_sharing()
        self._sharing = list(images)
        for image in self._sharing:
            for name in SHARED:
                _set(image, name, getattr(self._sharing[0], name))
        emitters = [getattr(image.events, name) for image in self._sharing for name in SHARED]
        self._subscriptions.connect(self._spread, *emitters)

    def stop_sharing(self) -> None:
        """Let each image change its own contrast again; what it is now stays."""
        self._subscriptions.release()
        self._sharing = []

    def restore(self) -> None:
        """Restore the display of the images, also of those that were removed from the viewer."""
        self.stop_sharing()
        for image, state in self._states:
            for name, value in state.items():
                _set(image, name, value)
        self._states = []

    def _spread(self, event: Any) -> None:
        for image in self._sharing:
            for name in SHARED:
                _set(image, name, getattr(event.source, name))


def contrast_is_common(one: Image, other: Image) -> bool:
    """Tell whether two images can be shown with one contrast: no RGB, and values of one range.

    Parameters
    ----------
    one, other : Image
        Their contrast limits are compared.
    """
    if one.rgb or other.rgb:
        return False
    low, high = zip(one.contrast_limits, other.contrast_limits, strict=True)
    return bool(min(high) - max(low) >= LEAST_COMMON * (max(high) - min(low)))


def _display_state(image: Image) -> dict[str, Any]:
    # The range comes after the limits, which widen it where they have to.
    names = ("visible", *SHARED, "contrast_limits_range")
    return {name: getattr(image, name) for name in names}


def _set(image: Image, name: str, value: Any) -> None:
    """Set an attribute if it differs, for napari draws a layer again whenever one is set."""
    if getattr(image, name) != value:
        setattr(image, name, value)
