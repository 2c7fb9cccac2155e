"""The left part of one image drawn over another, up to a line that can be moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from napari import Viewer
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.transforms import Affine
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.widgets.layers.placement import insert_above, placement
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.layers.view_geometry import ViewGeometry


@dataclass(frozen=True)
class SplitAxis:
    """Along which axis an image is cut by a line that stands upright on the canvas.

    Parameters
    ----------
    axis : int
        The image's axis that runs across the canvas, more or less.
    size : int
        Voxels along it.
    step : float
        World units by which one voxel leads to the right; negative where it leads to the left.
    """

    axis: int
    size: int
    step: float

    @classmethod
    def of(cls, viewer: ViewerModel, image: Image) -> SplitAxis | None:
        """Return how an image is cut in the present view; None where that cannot be."""
        geometry = ViewGeometry(viewer, image)
        shown = geometry.canvas_axes
        if min(shown) < 0:
            return None
        origin = geometry.to_world(np.zeros(image.ndim))
        ahead = {a: geometry.to_world(np.eye(image.ndim)[a]) - origin for a in shown}
        axis = max(shown, key=lambda a: abs(float(ahead[a][shown[-1]])))
        to_right = 1 if viewer.scene.camera.orientation2d[1] == "right" else -1
        step = to_right * float(ahead[axis][shown[-1]])
        return cls(axis, int(_levels(image)[0].shape[axis]), step) if step else None

    def position(self, viewer: ViewerModel, image: Image, point: NDArray[Any]) -> float:
        """Return how far along the axis a point of the world is; voxel i spans i to i + 1."""
        return float(ViewGeometry(viewer, image).to_data(point)[self.axis]) + 0.5

    def seen(self, viewer: ViewerModel, image: Image) -> tuple[float, float]:
        """Return in 2D the positions at the left and the right end of the part in view."""
        geometry = ViewGeometry(viewer, image)
        middle = geometry.world_centre
        to_side = np.zeros(len(middle))
        to_side[viewer.dims.displayed[-1]] = geometry.half_canvas[1]
        sides = (middle - to_side, middle + to_side)
        low, high = sorted(self.position(viewer, image, side) for side in sides)
        low, high = max(low, 0.0), min(high, float(self.size))
        if low >= high:  # the image is out of view
            low, high = 0.0, float(self.size)
        return (low, high) if self.step > 0 else (high, low)

    def left_of(self, at: float, unit: int = 1) -> tuple[int, int]:
        """Return where the left part begins and ends, at a multiple of so many voxels."""
        here = min(round(at / unit) * unit, self.size)
        return (0, here) if self.step > 0 else (here, self.size)


class SwipeLayer:
    """What shows an image over another one, all of it or the part left of a line.

    In 2D that is a layer of its own, for napari clips volumes only. It shares the image's array,
    so that napari slices both alike and panning costs nothing, and covers whatever is between the
    two images. In 3D, where nothing covers another thing, it is the image itself.

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
        self._viewer, self._before, self._after = viewer, before, after
        self.layer: Image | None = None

    @property
    def front(self) -> Image:
        """What shows the image before."""
        return self._before if self.layer is None else self.layer

    @property
    def lost(self) -> bool:
        """Whether somebody removed its layer."""
        return self.layer is not None and self.layer not in self._viewer.layers

    def draw(self, cut: SplitAxis, at: float, line: str = "") -> None:
        """Draw in 2D the part left of a position; a frame around it has that colour, if any."""
        factors = [cut.size / level.shape[cut.axis] for level in _levels(self._before)]
        start, stop = cut.left_of(at, max(1, round(factors[-1])))
        drawn = start < stop
        if not drawn:  # a layer cannot be empty
            start, stop = (0, 1) if cut.step > 0 else (cut.size - 1, cut.size)
        spans = [(int(start / f), max(int(start / f) + 1, round(stop / f))) for f in factors]
        levels = [
            _part(level, cut.axis, *span)
            for level, span in zip(_levels(self._before), spans, strict=True)
        ]
        self._put(
            levels if self._before.multiscale else levels[0], _moved(self._before, cut, start)
        )
        assert self.layer is not None
        if self.layer.visible != drawn:
            self.layer.visible = drawn
        self._frame(line)

    def cover(self) -> None:
        """Draw in 2D the whole image."""
        cut = SplitAxis.of(self._viewer, self._before)
        if cut is not None and self._viewer.dims.ndisplay == 2:
            self.draw(cut, cut.size if cut.step > 0 else 0)

    def show(self, *, before: bool, after: bool) -> None:
        """Choose which of the two is visible; the image itself is hidden behind the layer."""
        wanted = {self._before: False, self.front: before, self._after: after}
        for image, visible in wanted.items():
            if image.visible != visible:
                image.visible = visible

    def remove(self) -> None:
        """Take the layer away."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _put(self, data: Any, translate: NDArray[Any]) -> None:
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

    def _frame(self, color: str) -> None:
        assert self.layer is not None
        frame = self.layer.bounding_box
        frame.points, frame.line_thickness = False, 2
        if color:
            frame.line_color = color
        frame.visible = bool(color)


def _levels(image: Image) -> Any:
    return image.data if image.multiscale else [image.data]


def _part(data: Any, axis: int, start: int, stop: int) -> Any:
    """Return a part of an array that shares its memory, or is read when it is looked at."""
    if not isinstance(data, np.ndarray):
        data = da.asarray(data)  # type: ignore[no-untyped-call]
    return data[(slice(None),) * axis + (slice(start, stop),)]


def _moved(image: Image, cut: SplitAxis, start: int) -> NDArray[Any]:
    """Return the translation of a layer that begins at another voxel."""
    where = placement(image)
    linear = {name: where[name] for name in ("scale", "translate", "rotate", "shear")}
    first = start * np.eye(image.ndim)[cut.axis]
    return np.asarray(Affine(**linear)(first))


REST_MS = 150
"""The camera rests when it has not moved for so long."""

NEAR = 6
"""Pixels of the canvas within which the line can be taken hold of."""

MARGIN = 0.1
"""How far from the edge, as a part of the view, a line is put that got out of view."""


class SplitHandle(QObject):
    """Where a line is that moves with an image when the camera does; it draws nothing.

    Parameters
    ----------
    viewer : napari.Viewer
        Where it can be dragged, in 2D, unless the mouse is there to paint.
    parent : QObject
        What it dies with.

    Attributes
    ----------
    moved : Signal()
        It is elsewhere in the image, or in the view.
    """

    moved = Signal()

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image: Image | None = None
        self._cursor: Any = None
        self._rest = QTimer(self)
        self._rest.setInterval(REST_MS)
        self._rest.setSingleShot(True)
        self._rest.timeout.connect(self._camera_rests)
        self.at: float | None = None

    def stand(self, image: Image) -> None:
        """Stand upon an image: where it stood if that is in view, at first in the middle."""
        self.release()
        self._image = image
        for emitter in self._emitters():
            emitter.connect(self._camera_moved)
        for calls, call in self._mouse():
            calls.append(call)
        self._camera_rests()

    def release(self) -> None:
        """Follow the mouse and the camera no longer."""
        self._rest.stop()
        self._point(near=False)
        if self._image is None:
            return
        self._image = None
        for emitter in self._emitters():
            emitter.disconnect(self._camera_moved)
        for calls, call in self._mouse():
            if call in calls:
                calls.remove(call)

    @property
    def fraction(self) -> float:
        """Where it stands in the view: 0 at the left, 1 at the right end of the image there."""
        left, right = self._seen()
        return 0.5 if self.at is None else (self.at - left) / (right - left)

    @fraction.setter
    def fraction(self, value: float) -> None:
        left, right = self._seen()
        self._go_to(left + (right - left) * value)

    @property
    def _cut(self) -> SplitAxis | None:
        return None if self._image is None else SplitAxis.of(self._viewer, self._image)

    def _seen(self) -> tuple[float, float]:
        cut = self._cut
        return (0.0, 1.0) if cut is None else cut.seen(self._viewer, self._image)

    def _go_to(self, position: float) -> None:
        self.at = position
        self.moved.emit()

    def _emitters(self) -> tuple[Any, ...]:
        events = self._viewer.scene.camera.events
        return events.center, events.zoom

    def _camera_moved(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        self._rest.start()

    def _camera_rests(self) -> None:
        """Bring it back into view, if it is not."""
        low, high = sorted(self._seen())
        at = (low + high) / 2 if self.at is None else self.at
        if not low <= at <= high:
            inset = MARGIN * (high - low)
            at = min(max(at, low + inset), high - inset)
        self._go_to(at)

    def _mouse(self) -> tuple[tuple[list[Any], Callable[..., Any]], ...]:
        viewer = self._viewer
        return (
            (viewer.mouse_drag_callbacks, self._dragged),
            (viewer.mouse_move_callbacks, self._hovered),
        )

    def _position(self, cut: SplitAxis, event: Any) -> float:
        there = cut.position(self._viewer, self._image, np.asarray(event.position))
        return min(max(there, 0.0), float(cut.size))

    def _is_near(self, event: Any) -> bool:
        active, cut = self._viewer.layers.selection.active, self._cut
        paints = active is not None and active.mode != "pan_zoom"
        if paints or self._viewer.dims.ndisplay != 2 or cut is None or self.at is None:
            return False
        away = (self._position(cut, event) - self.at) * cut.step
        return bool(abs(away) * self._viewer.scene.camera.zoom <= NEAR)

    def _hovered(self, viewer: Any, event: Any) -> None:  # noqa: ARG002 - napari passes it
        self._point(near=self._is_near(event))

    def _point(self, *, near: bool) -> None:
        cursor = self._viewer.cursor
        if near and self._cursor is None:
            self._cursor, cursor.style = cursor.style, "pointing"
        elif not near and self._cursor is not None:
            cursor.style, self._cursor = self._cursor, None

    def _dragged(self, viewer: Any, event: Any) -> Iterator[None]:  # noqa: ARG002
        if event.button != 1 or not self._is_near(event):
            return
        event.handled = True  # else the camera would move as well
        yield
        while event.type == "mouse_move":
            event.handled = True
            cut = self._cut
            if cut is not None:
                self._go_to(self._position(cut, event))
            yield


LEAST_COMMON = 0.02
"""Contrast limits that have less in common, as a part of all they span, are of unlike units."""

SHARED = ("contrast_limits", "gamma")


class DisplayStateGuard:
    """Some images whose look may be changed, for it is known what it was.

    Parameters
    ----------
    images : iterable of Image
        What is borrowed.
    """

    def __init__(self, images: Iterable[Image]) -> None:
        self._looks = [(image, _look(image)) for image in images]
        self._sharing: list[Image] = []

    @property
    def images(self) -> list[Image]:
        """What is borrowed."""
        return [image for image, _ in self._looks]

    def share_contrast(self, images: Iterable[Image]) -> None:
        """Give images the contrast of the first one; from now on they change it together."""
        self.part()
        self._sharing = list(images)
        for image in self._sharing:
            for name in SHARED:
                _set(image, name, getattr(self._sharing[0], name))
        for emitter in self._emitters():
            emitter.connect(self._spread)

    def part(self) -> None:
        """Let each image have its own contrast again; what it is now stays."""
        for emitter in self._emitters():
            emitter.disconnect(self._spread)
        self._sharing = []

    def give_back(self) -> None:
        """Make the borrowed images look as they did; those that were removed as well."""
        self.part()
        for image, look in self._looks:
            for name, value in look.items():
                _set(image, name, value)
        self._looks = []

    def _emitters(self) -> list[Any]:
        return [getattr(image.events, name) for image in self._sharing for name in SHARED]

    def _spread(self, event: Any) -> None:
        for image in self._sharing:
            for name in SHARED:
                _set(image, name, getattr(event.source, name))


def contrast_is_common(one: Image, other: Image) -> bool:
    """Tell whether two images can be seen with one contrast: no colours, and of like values."""
    if one.rgb or other.rgb:
        return False
    (a, b), (c, d) = one.contrast_limits, other.contrast_limits
    return bool(min(b, d) - max(a, c) >= LEAST_COMMON * (max(b, d) - min(a, c)))


def _look(image: Image) -> dict[str, Any]:
    # The range comes after the limits, which widen it where they have to.
    names = ("visible", *SHARED, "contrast_limits_range")
    return {name: getattr(image, name) for name in names}


def _set(image: Image, name: str, value: Any) -> None:
    """Set what differs: napari draws anew whatever is set."""
    if getattr(image, name) != value:
        setattr(image, name, value)
