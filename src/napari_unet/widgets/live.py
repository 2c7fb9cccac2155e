"""While a training runs: strokes go in as they are painted, previews come out where one looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer

from napari_unet.control import Control, Viewport
from napari_unet.data.annotations import AnnotationStore
from napari_unet.geometry.axes import AxisLayout
from napari_unet.geometry.region import Region
from napari_unet.training.events import Previewed
from napari_unet.widgets.choosers import RESULT
from napari_unet.widgets.layers import RGBA, placement
from napari_unet.widgets.strokes import MOST_VOXELS
from napari_unet.widgets.worker import EventRunner

FEED_MS = 250
"""A stroke waits at most about so long before the training hears of it."""

LOOK_MS = 200
"""How often it is looked where the user looks."""

MOST_PIXELS = 768
"""Side of the largest preview, in pixels; of a larger view the middle is shown."""


class StrokesFeed(QObject):
    """Carries what is painted on a layer into the store that a training reads from.

    Whatever changed the layer (brush, fill, erase, undo, new data), the layer is compared with
    the store, in a thread; only blocks that differ are replaced.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer is; of a huge layer only the plane in view is compared.
    parent : QObject
        What it dies with.
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Labels | None = None
        self._store: AnnotationStore | None = None
        self._runner = EventRunner(self)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(FEED_MS)
        self._timer.timeout.connect(self._carry)

    def follow(self, layer: Labels) -> None:
        """Begin; what is painted from now on is carried over as soon as there is a store."""
        self.let_go()
        self._layer = layer
        for emitter in self._emitters():
            emitter.connect(self._changed)

    def open(self, store: AnnotationStore) -> None:
        """Take the store of the training (called in its thread)."""
        self._store = store

    def let_go(self) -> None:
        """Follow the layer no longer."""
        self._timer.stop()
        for emitter in self._emitters():
            emitter.disconnect(self._changed)
        self._layer = self._store = None

    def _emitters(self) -> tuple[Any, ...]:
        if self._layer is None:
            return ()
        events = self._layer.events
        return (events.paint, events.data, events.set_data)

    def _changed(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        if not self._timer.isActive():
            self._timer.start()

    def _carry(self) -> None:
        layer, store = self._layer, self._store
        if layer is None:
            return
        if store is None or self._runner.running:
            self._timer.start()
            return
        data = layer.data[0] if layer.multiscale else layer.data
        if tuple(data.shape) != store.shape:
            return  # another array altogether: not what is being learned from
        regions = _regions(layer, self._viewer)
        self._runner.start_call(lambda: _copy(data, store, regions))


def _regions(layer: Labels, viewer: Viewer) -> list[Region]:
    """Return where a change may be: plane by plane, in a huge layer the plane in view alone."""
    shape = tuple((layer.data[0] if layer.multiscale else layer.data).shape)
    whole = Region.whole(shape)
    if len(shape) == 2:
        return [whole]
    first = range(shape[0])
    dims, missing = viewer.dims, viewer.dims.ndim - layer.ndim
    if int(np.prod(shape)) > MOST_VOXELS and missing in dims.not_displayed:
        at = int(np.round(layer.world_to_data(dims.point[missing:])[0]))
        first = range(shape[0])[at : at + 1]
    return [Region((i, *whole.start[1:]), (i + 1, *whole.stop[1:])) for i in first]


def _copy(data: Any, store: AnnotationStore, regions: list[Region]) -> None:
    for region in regions:
        store.write(region, np.asarray(data[region.slices]))


class LivePreview(QObject):
    """Keeps one layer that shows what the network says of the plane in view.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer goes.
    parent : QObject
        What it dies with.
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image: Image | None = None
        self._layer: Labels | None = None
        self._layout: AxisLayout | None = None
        self._colors: dict[int, RGBA] = {}
        self._look: Callable[[Viewport | None], None] = Control().look
        self.enabled = True
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)

    def begin(
        self, image: Image, layout: AxisLayout, look: Callable[[Viewport | None], None]
    ) -> None:
        """Follow the view of an image; `look` takes what is in view."""
        if image is not self._image:
            self._layer = None  # another image, another layer
        self._image, self._layout, self._look = image, layout, look
        self.look()
        self._timer.start()

    def end(self) -> None:
        """Follow the view no longer; the layer stays as it is."""
        self._timer.stop()
        self._look = Control().look

    def look(self) -> None:
        """Tell the training what is in view."""
        wanted = self.enabled and self._image is not None and self._viewer.dims.ndisplay == 2
        self._look(self._viewport() if wanted else None)

    def show(self, preview: Previewed, colors: dict[int, RGBA]) -> None:
        """Write a preview into the layer; make the layer if there is none."""
        if self._image is None or self._layout is None or not self.enabled:
            return
        layer = self._layer
        if layer is None or layer not in self._viewer.layers:
            layer = self._layer = self._new_layer(self._image, self._layout.channel)
        self._colors |= colors  # those of classes that were painted once stay
        _color(layer, self._colors)
        data: NDArray[Any] = layer.data
        data[_place(self._layout.labels, preview.view)] = preview.labels
        layer.refresh(thumbnail=False, highlight=False, extent=False)

    def hide(self) -> None:
        """Make room for something better."""
        if self._layer is not None:
            self._layer.visible = False

    def _new_layer(self, image: Image, channel: int | None) -> Labels:
        shape = image.data[0].shape if image.multiscale else image.data.shape
        kept = tuple(n for axis, n in enumerate(shape) if axis != channel)
        layer = Labels(
            np.zeros(kept, np.uint16),
            name=f"{image.name} – live preview",
            opacity=0.4,
            metadata={RESULT: {"preview": True}},
            **placement(image, None if image.rgb else channel),
        )
        layers = self._viewer.layers
        active = layers.selection.active
        layers.insert(layers.index(image) + 1, layer)
        if active is not None:
            layers.selection.active = active
        return layer

    def _viewport(self) -> Viewport | None:
        """Return the plane in view, None where the network cannot show it."""
        image, layout = self._image, self._layout
        if image is None or layout is None or image not in self._viewer.layers:
            return None
        dims, missing = self._viewer.dims, self._viewer.dims.ndim - image.ndim
        shown = [axis - missing for axis in dims.displayed]
        if any(axis not in layout.spatial for axis in shown):
            return None
        at = np.round(image.world_to_data(dims.point[missing:])).astype(int)
        corners = np.asarray(image.corner_pixels)
        start, stop = [], []
        for axis in layout.spatial:
            size = int((image.data[0] if image.multiscale else image.data).shape[axis])
            if axis in shown:
                low, high = _middle(int(corners[0, axis]), int(corners[1, axis]) + 1, size)
            else:
                low = int(np.clip(at[axis], 0, size - 1))
                high = low + 1
            start.append(low)
            stop.append(high)
        index = tuple(int(at[axis]) for axis in layout.loops)
        return Viewport(index, Region(tuple(start), tuple(stop))) if min(stop) > 0 else None


def _middle(low: int, high: int, size: int) -> tuple[int, int]:
    """Return the part of a span that lies in the image, and of a long one the middle."""
    low, high = max(0, low), min(size, high)
    if high - low > MOST_PIXELS:
        low += (high - low - MOST_PIXELS) // 2
        high = low + MOST_PIXELS
    return (low, high) if high > low else (0, min(size, MOST_PIXELS))


def _place(layout: AxisLayout, view: Viewport) -> tuple[int | slice, ...]:
    """Return where a preview belongs in an array without channels."""
    where: list[int | slice] = [slice(None)] * (len(layout.loops) + len(layout.spatial))
    for axis, i in zip(layout.loops, view.index, strict=True):
        where[axis] = i
    for axis, part in zip(layout.spatial, view.region.slices, strict=True):
        where[axis] = part
    return tuple(where)


def _color(layer: Labels, colors: dict[int, RGBA]) -> None:
    """Give the layer the classes' colours, unless it has them."""
    if layer.metadata.get("colors") != colors:
        known: dict[int | None, Any] = dict(colors.items())
        wanted = {None: "transparent", 0: "transparent", **known}
        layer.colormap = DirectLabelColormap(color_dict=wanted)
        layer.metadata["colors"] = dict(colors)
