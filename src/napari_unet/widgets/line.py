"""A line that stands upright on the canvas, and can be dragged there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.widgets.curtain import Cut

REST_MS = 150
"""The camera rests when it has not moved for so long."""

NEAR = 6
"""Pixels of the canvas within which the line can be taken hold of."""

MARGIN = 0.1
"""How far from the edge, as a part of the view, a line is put that got out of view."""


class Line(QObject):
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
        self.let_go()
        self._image = image
        for emitter in self._emitters():
            emitter.connect(self._camera_moved)
        for calls, call in self._mouse():
            calls.append(call)
        self._camera_rests()

    def let_go(self) -> None:
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
    def _cut(self) -> Cut | None:
        return None if self._image is None else Cut.of(self._viewer, self._image)

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

    def _position(self, cut: Cut, event: Any) -> float:
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
