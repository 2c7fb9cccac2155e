"""Leads to the places where the next strokes would help most."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels, Points
from numpy.typing import NDArray
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QPushButton

from napari_unet.geometry.axes import AxisLayout
from napari_unet.geometry.region import Region
from napari_unet.training.events import Suggested
from napari_unet.widgets.layers.layer_data import largest_level
from napari_unet.widgets.layers.placement import active_layer_kept, placement
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.layers.view_geometry import ViewGeometry
from napari_unet.widgets.qt.style import WrappedLabel
from napari_unet.widgets.qt.subscriptions import Subscriptions

RING = 60
"""Diameter of the marker, in screen pixels."""


class SuggestionNavigator(QObject):
    """Moves the view from suggestion to suggestion, and asks for more after the last one.

    It moves the camera and the sliders of the hidden axes of the image, and puts a ring around
    the place, which stays until something is painted there or the next place is asked for. It
    changes neither labels nor the chosen label.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer to move.
    ask : callable
        Asks the training for places; its answer is to be given to `show`.
    parent : QObject
        Its Qt parent, which deletes it.

    Attributes
    ----------
    button : QPushButton
        "Paint here next": calls `go`.
    reason : QLabel
        Why the place was chosen; hidden where there is no ring.
    """

    def __init__(self, viewer: Viewer, ask: Callable[[], None], parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._ask = ask
        self._left: deque[tuple[tuple[int, ...], str]] = deque()
        self._image: Image | None = None
        self._layout: AxisLayout | None = None
        self._strokes: Labels | None = None
        self._marker: Points | None = None
        self._waiting = False
        self.button = QPushButton("Paint here next")
        self.button.setToolTip(
            "Go to a place where the network is unsure, or that differs from everything "
            "painted so far (Shift+N). Press again for the next place."
        )
        self.button.clicked.connect(self.go)
        self.reason = WrappedLabel()
        self.reason.setProperty("unet", "faint")
        self.reason.hide()
        self._ringed: tuple[NDArray[np.float64], float] | None = None
        self._subscriptions = Subscriptions()
        self.set_enabled(False)

    def set_enabled(self, on: bool) -> None:
        """Enable or disable it; earlier suggestions are forgotten."""
        self._left.clear()
        self._waiting = False
        self.button.setEnabled(on)
        if not on:
            self.clear()

    def go(self) -> None:
        """Go to the next place; where there is none left, ask for more."""
        if self._left:
            self._visit(*self._left.popleft())
        elif self.button.isEnabled() and not self._waiting:
            self._waiting = True
            self.clear()
            self._ask()

    def show(
        self,
        suggested: Suggested,
        image: Image,
        layout: AxisLayout,
        strokes: Labels | None = None,
        names: Mapping[int, str] | None = None,
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
        names : mapping of int to str, optional
            Names of the classes by label value.

        Returns
        -------
        bool
            Whether there was a place to go to.
        """
        self._waiting = False
        self._image = image
        self._layout = layout
        self._strokes = strokes
        reasons = [_reason(values, names or {}) for values in suggested.unsure]
        reasons += [""] * (len(suggested.places) - len(reasons))
        self._left = deque(zip(suggested.places, reasons, strict=True))
        if self._left:
            self._visit(*self._left.popleft())
            return True
        return False

    def clear(self) -> None:
        """Take the marker away."""
        self._subscriptions.release()
        self._ringed = None
        self.reason.hide()
        marker, self._marker = self._marker, None
        if marker is not None and marker in self._viewer.layers:
            with active_layer_kept(self._viewer.layers):
                self._viewer.layers.remove(marker)

    def _visit(self, place: tuple[int, ...], reason: str) -> None:
        image, layout = self._image, self._layout
        if image is None or layout is None or image not in self._viewer.layers:
            self._left.clear()
            return
        axes = [*layout.loops, *layout.spatial]
        self._move(image, axes, place)
        self.clear()
        size = self._mark(image, axes, place)
        self.reason.setText(reason)
        self.reason.setVisible(bool(reason))
        strokes = self._strokes
        if strokes is not None and strokes in self._viewer.layers:
            self._viewer.layers.selection.active = strokes
            voxel = np.zeros(image.ndim)
            voxel[axes] = place
            world = np.asarray(image.data_to_world(voxel))
            lacking = [] if image.rgb or layout.channel is None else [layout.channel]
            self._ringed = np.delete(world, lacking), size / 2
            events = strokes.events
            self._subscriptions.connect(self._painted, events.paint, events.labels_update)

    def _move(self, image: Image, axes: list[int], place: tuple[int, ...]) -> None:
        """Move the view to the place: sliders, camera and, if need be, zoom."""
        geometry = ViewGeometry(self._viewer, image)
        voxel = geometry.position
        voxel[axes] = place
        geometry.go_to(voxel, axes)

    def _mark(self, image: Image, axes: list[int], place: tuple[int, ...]) -> float:
        """Put a ring around the place, on a layer that is removed again; return its diameter.

        The diameter is in voxels of the image.
        """
        channel = None if image.rgb or self._layout is None else self._layout.channel
        pixel = min(abs(float(image.scale[axis])) for axis in axes[-2:])
        size = RING / (self._viewer.scene.camera.zoom * pixel)
        self._marker = Points(
            np.array([place, place], float),  # white within black shows on any image
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
        return float(size)

    def _painted(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        """Take the marker away where something is painted within the ring."""
        strokes = self._strokes
        if strokes is None or self._ringed is None:
            return
        centre, radius = self._ringed
        data = largest_level(strokes)
        middle = np.round(strokes.world_to_data(centre[-strokes.ndim :])).astype(int)
        reach = np.zeros(len(middle), int)
        reach[-2:] = max(1, round(radius))
        start = np.clip(middle - reach, 0, data.shape)
        stop = np.clip(middle + reach + 1, start, data.shape)
        inside = data[Region(tuple(map(int, start)), tuple(map(int, stop))).slices]
        if np.any(np.asarray(inside)):
            self.clear()


def _reason(values: tuple[int, int] | None, names: Mapping[int, str]) -> str:
    """Return why a place was chosen, in a sentence."""
    if values is None:
        return "In the ring: nothing like it has been painted yet."
    first, second = (names.get(value, f"class {value}") for value in values)
    return f"In the ring the network is unsure: {first} / {second}."
