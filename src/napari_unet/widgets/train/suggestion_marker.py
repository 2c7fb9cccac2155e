"""Goes to the place where the next stroke would help most."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels, Points
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QPushButton

from napari_unet.geometry.axes import AxisLayout
from napari_unet.training.events import Suggested
from napari_unet.widgets.layers.placement import active_layer_kept, placement
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.layers.view_geometry import ViewGeometry

SHOWN_MS = 4000
"""How long the marker stays, unless something is painted before."""

RING = 60
"""Diameter of the marker, in pixels of the screen."""

LEAST_ZOOM = 1.0
"""Pixels of the screen per pixel of the image: with fewer, a place would be a mere speck."""


class SuggestionNavigator(QObject):
    """A button that leads from place to place, and asks for more when all were visited.

    What is painted and with which label is not changed, nor is any slider but those of the axes
    that the place has and that are not displayed.

    Parameters
    ----------
    viewer : napari.Viewer
        What it moves.
    ask : callable
        Asks the training for places; `show` gets the answer.
    parent : QObject
        What it dies with.

    Attributes
    ----------
    button : QPushButton
        Does what `go` does.
    """

    def __init__(self, viewer: Viewer, ask: Callable[[], None], parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._ask = viewer, ask
        self._left: deque[tuple[int, ...]] = deque()
        self._image: Image | None = None
        self._layout: AxisLayout | None = None
        self._strokes: Labels | None = None
        self._marker: Points | None = None
        self._waiting = False
        self.button = QPushButton("Paint here next")
        self.button.setToolTip(
            "Go to a place where the network is unsure, or that looks like nothing painted so far "
            "(Shift+N). Again: to the next one."
        )
        self.button.clicked.connect(self.go)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SHOWN_MS)
        self._timer.timeout.connect(self.clear)
        self.enabled(False)

    def enabled(self, on: bool) -> None:
        """Say whether there is anybody to ask; places of before are forgotten."""
        self._left.clear()
        self._waiting = False
        self.button.setEnabled(on)
        if not on:
            self.clear()

    def go(self) -> None:
        """Go to the next place; where there is none left, ask for more."""
        if self._left:
            self._visit(self._left.popleft())
        elif self.button.isEnabled() and not self._waiting:
            self._waiting = True
            self._ask()

    def show(
        self,
        suggested: Suggested,
        image: Image,
        layout: AxisLayout,
        strokes: Labels | None = None,
    ) -> bool:
        """Go to the best of some places, and keep the others for the next presses.

        Parameters
        ----------
        suggested : Suggested
            The answer to what was asked.
        image : Image
            The layer that the places belong to.
        layout : AxisLayout
            Roles of its axes.
        strokes : Labels, optional
            The layer to paint on, which becomes the selected one.

        Returns
        -------
        bool
            Whether there was a place to go to.
        """
        self._waiting = False
        self._image, self._layout, self._strokes = image, layout, strokes
        self._left = deque(suggested.places)
        if self._left:
            self._visit(self._left.popleft())
            return True
        return False

    def clear(self) -> None:
        """Take the marker away."""
        self._timer.stop()
        marker, self._marker = self._marker, None
        if self._strokes is not None:
            self._strokes.events.paint.disconnect(self._painted)
        if marker is not None and marker in self._viewer.layers:
            with active_layer_kept(self._viewer.layers):
                self._viewer.layers.remove(marker)

    def _visit(self, place: tuple[int, ...]) -> None:
        image, layout = self._image, self._layout
        if image is None or layout is None or image not in self._viewer.layers:
            self._left.clear()
            return
        axes = [*layout.loops, *layout.spatial]
        self._move(image, axes, place)
        self.clear()
        self._mark(image, axes, place)
        if self._strokes is not None and self._strokes in self._viewer.layers:
            self._viewer.layers.selection.active = self._strokes
            self._strokes.events.paint.connect(self._painted)
        self._timer.start()

    def _move(self, image: Image, axes: list[int], place: tuple[int, ...]) -> None:
        """Turn to the place, and bring it to the middle of the view."""
        dims, camera = self._viewer.dims, self._viewer.scene.camera
        geometry = ViewGeometry(self._viewer, image)
        voxel = geometry.position
        voxel[axes] = place
        world, shown = geometry.to_world(voxel), geometry.canvas_axes
        for axis in axes:
            if axis in geometry.hidden:
                dims.set_point(geometry.offset + axis, float(world[axis]))
        centre = list(camera.center)
        for i, axis in zip(range(-len(shown), 0), shown, strict=True):
            if axis in axes:
                centre[i] = float(world[axis])
        camera.center = tuple(centre)
        pixel = min(abs(float(image.scale[axis])) for axis in shown if axis in axes)
        if camera.zoom * pixel < LEAST_ZOOM:
            camera.zoom = LEAST_ZOOM / pixel

    def _mark(self, image: Image, axes: list[int], place: tuple[int, ...]) -> None:
        """Put a ring around the place, on a layer of its own that does not stay."""
        channel = None if image.rgb or self._layout is None else self._layout.channel
        pixel = min(abs(float(image.scale[axis])) for axis in axes[-2:])
        size = RING / (self._viewer.scene.camera.zoom * pixel)
        self._marker = Points(
            np.array([place, place], float),  # white within black: that shows on any picture
            name="paint here",
            size=[1.08 * size, size],
            face_color="transparent",
            border_color=["black", "white"],
            border_width=0.05,
            out_of_slice_display=False,
            metadata={RESULT: {"preview": True}},
            **placement(image, channel),
        )
        self._marker.editable = False
        with active_layer_kept(self._viewer.layers):
            self._viewer.layers.append(self._marker)

    def _painted(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        self.clear()
