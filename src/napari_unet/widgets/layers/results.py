"""The layers that a running prediction fills."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.data.image import ImageView
from napari_unet.geometry.axes import AxisLayout
from napari_unet.inference.request import TileDone, allocate, allocated
from napari_unet.model import TrainedModel
from napari_unet.postprocessing.quantised import QuantisedProbabilities
from napari_unet.widgets.layers.compare_layers import contrast_is_common
from napari_unet.widgets.layers.factory import result_images, result_labels, result_probabilities
from napari_unet.widgets.layers.placement import insert_above
from napari_unet.widgets.layers.view_geometry import ViewGeometry

REFRESH_MS = 200
MOST_KEPT = 1 << 30
"""Bytes of probabilities that are kept for refining without being asked for."""

SHARE = 5
"""A refresh may take one part in so many of the time."""


class LabelsAndProbabilities:
    """Takes probabilities like an array, and keeps the likeliest labels as well.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (class, ...)
        Where the probabilities go.
    labels : ndarray of int
        Where the labels go; its shape is that of one class.
    values : sequence of int
        The label of each class.
    """

    def __init__(
        self, probabilities: NDArray[Any], labels: NDArray[Any], values: tuple[int, ...]
    ) -> None:
        self.shape, self.dtype = probabilities.shape, probabilities.dtype
        self._probabilities, self._labels = probabilities, labels
        self._values = np.array(values, labels.dtype)

    def __setitem__(self, where: tuple[Any, ...], values: NDArray[Any]) -> None:
        self._probabilities[where] = values
        self._labels[where[1:]] = self._values[values.argmax(0)]


class Results(QObject):
    """Shows what a thread writes into the arrays of some layers.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers go: right above the image, and the layer that was active stays so.
    image : Image
        The layer that is predicted.
    layers : sequence of Layer
        What is shown; the last one is the result proper.
    layout : AxisLayout
        Roles of the axes of the layers.
    out : array-like
        What the prediction writes into.
    parent : QObject
        What it dies with.

    Attributes
    ----------
    layers : list of Layer
        Those that are still there.
    main : Layer
        The result proper.
    out : array-like
        What the prediction writes into.
    mainRemoved : Signal()
        The user removed the result proper.
    """

    mainRemoved = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(
        self,
        viewer: Viewer,
        image: Image,
        layers: Sequence[Layer],
        layout: AxisLayout,
        out: Any,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer, self.image = viewer, image
        self.layers, self.main, self.out = list(layers), layers[-1], out
        self._layout = layout
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(self.refresh)
        insert_above(viewer.layers, image, self.layers)
        viewer.layers.events.removed.connect(self._removed)

    def tile_done(self, tile: TileDone) -> None:
        """Show a tile soon, if the slice in view has a part of it."""
        if not self._timer.isActive() and self._in_view(tile):
            self._timer.start()

    def refresh(self) -> None:
        """Show what is there; the longer that takes, the later it is done again."""
        began = time.monotonic()
        for layer in self.layers:
            layer.refresh(thumbnail=False, highlight=False, extent=False)
        took = round(1000 * (time.monotonic() - began))
        self._timer.setInterval(max(REFRESH_MS, SHARE * took))

    def finish(self, *, complete: bool) -> None:
        """Show all; say in the names if it is not all there is."""
        self.release()
        for layer in self.layers:
            if not complete:
                layer.name += " (partial)"
            layer.refresh()

    def discard(self) -> None:
        """Remove the layers again."""
        self.release()
        for layer in self.layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def release(self) -> None:
        """Follow the viewer no longer."""
        self._timer.stop()
        self._viewer.layers.events.removed.disconnect(self._removed)

    def _removed(self, event: Any) -> None:
        if event.value in self.layers:
            self.layers.remove(event.value)
        if event.value is self.main:
            self.mainRemoved.emit()

    def _in_view(self, tile: TileDone) -> bool:
        """Tell whether the slice that the viewer shows goes through a tile."""
        shape = self.main.data.shape[: self.main.ndim]
        spans = [slice(0, n) for n in shape]
        for axis, index in zip(self._layout.loops, tile.index, strict=True):
            spans[axis] = slice(index, index + 1)
        for axis, part in zip(self._layout.spatial, tile.region.slices, strict=True):
            spans[axis] = part
        geometry = ViewGeometry(self._viewer, self.main)
        at = geometry.index
        return all(spans[a].start <= at[a] < spans[a].stop for a in geometry.hidden)


class LabelResults(Results):
    """Layers for predicted classes: the labels, and their probabilities if they are wanted.

    Parameters
    ----------
    viewer, image, parent
        As in `Results`.
    model : TrainedModel
        What predicts.
    view : ImageView
        The image as the model sees it.
    probabilities : bool
        Whether they are wanted as layers beside the labels.

    Attributes
    ----------
    model : TrainedModel
        What predicts.
    labels : Labels
        The result proper.
    kept : array-like, optional
        The probabilities, where they are kept.
    """

    def __init__(
        self,
        viewer: Viewer,
        image: Image,
        model: TrainedModel,
        view: ImageView,
        *,
        probabilities: bool,
        parent: QObject,
    ) -> None:
        self.model = model
        dropped = None if image.rgb else view.layout.channel
        labels = allocate(model, view, "labels")
        self.labels: Labels = result_labels(labels, model, image, dropped)
        self.kept: Any = _kept(model, view, shown=probabilities)
        shown = result_probabilities(self.kept, model, image, dropped) if probabilities else []
        out: Any = labels
        if self.kept is not None:
            values = tuple(c.value for c in model.classes)
            out = LabelsAndProbabilities(self.kept, labels, values)
        layers = [*shown, self.labels]
        super().__init__(viewer, image, layers, view.layout.labels, out, parent)


class ImageResults(Results):
    """Layers for a predicted image.

    Parameters
    ----------
    viewer, image, parent
        As in `Results`.
    model : TrainedModel
        What predicts.
    view : ImageView
        The image as the model sees it.
    request : mapping
        What is said of how it was made, see `napari_unet.widgets.layers.provenance.provenance`.

    Attributes
    ----------
    model : TrainedModel
        What predicts.
    picture : Image
        The result proper.
    layout : AxisLayout
        Roles of the axes of the image.
    """

    def __init__(
        self,
        viewer: Viewer,
        image: Image,
        model: TrainedModel,
        view: ImageView,
        request: Mapping[str, Any],
        parent: QObject,
    ) -> None:
        self.model, self.layout = model, view.layout
        out = allocate(model, view, "image")
        layers = result_images(out, model, image, view.layout.channel, request)
        self.picture = layers[-1]
        alike = len(layers) == 1 and not image.rgb
        super().__init__(
            viewer, image, layers, view.layout if alike else view.layout.labels, out, parent
        )

    def finish(self, *, complete: bool) -> None:
        """Show all; what is of another kind than the image gets a contrast of its own."""
        super().finish(complete=complete)
        for layer in self.layers:
            if self.model.task == "restore" and isinstance(layer, Image) and not layer.rgb:
                layer.reset_contrast_limits("slice")
                if contrast_is_common(self.image, layer):
                    layer.contrast_limits = self.image.contrast_limits


def _kept(model: TrainedModel, view: ImageView, *, shown: bool) -> Any:
    """Return where probabilities go: floats to be shown, bytes to refine, or nowhere."""
    shape, _ = allocated(model, view, "probabilities")
    if shown:
        return allocate(model, view, "probabilities")
    return QuantisedProbabilities(shape) if prod(shape) <= MOST_KEPT else None
