"""Layers that a running prediction writes into."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal
from superqt.utils import qthrottled

from napari_unet.data.image import ImageView
from napari_unet.geometry.axes import AxisLayout
from napari_unet.inference.request import TileDone, allocate_result, result_shape_and_dtype
from napari_unet.model import TrainedModel
from napari_unet.postprocessing.quantised import QuantisedProbabilities
from napari_unet.widgets.layers.compare_layers import contrast_is_common
from napari_unet.widgets.layers.factory import result_images, result_labels, result_probabilities
from napari_unet.widgets.layers.placement import insert_above
from napari_unet.widgets.layers.result_history import (
    ResultRecord,
    ResultReplacement,
    topmost_on,
)
from napari_unet.widgets.layers.view_geometry import ViewGeometry
from napari_unet.widgets.qt.subscriptions import Subscriptions

REFRESH_MS = 200
"""Least time between two refreshes of the layers, in milliseconds."""

MOST_KEPT = 1 << 30
"""Most bytes of probabilities that are kept for refining although nobody asked for them."""

SHARE = 5
"""Refreshes take at most one part in so many of the time."""


class LabelsAndProbabilities:
    """Takes probabilities as an array does, and writes the likeliest labels into a second array.

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
        labels = self._values[values.argmax(0)]
        labels[~values.any(0)] = 0  # outside of the region of interest
        self._labels[where[1:]] = labels


class Results(QObject):
    """Layers whose arrays a thread writes into, refreshed as tiles are finished.

    They lie above the older results of the image, which are hidden and, in the end, replaced: see
    `napari_unet.widgets.layers.result_history.ResultReplacement`.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are inserted, above the image and its older results.
    image : Image
        The layer that is predicted.
    layers : sequence of Layer
        The layers to show; the last one is the main result.
    layout : AxisLayout
        Roles of the axes of the layers.
    out : array-like
        What the prediction writes into.
    task : str
        The task of the model.
    parent : QObject
        The Qt parent.

    Attributes
    ----------
    image : Image
        The layer that is predicted.
    layers : list of Layer
        Those that are still in the viewer.
    main : Layer
        The main result.
    out : array-like
        What the prediction writes into.
    mainRemoved : Signal()
        The user removed the main result.
    """

    mainRemoved = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(
        self,
        viewer: Viewer,
        image: Image,
        layers: Sequence[Layer],
        layout: AxisLayout,
        out: Any,
        task: str,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer, self.image = viewer, image
        self.layers, self.main = list(layers), layers[-1]
        self.out = out
        self._layout = layout
        self._subscriptions = Subscriptions()
        self._refresh_soon = qthrottled(self.refresh, timeout=REFRESH_MS, leading=False)
        self._record = ResultRecord(image, self.layers, task)
        self._replacement = ResultReplacement(viewer.layers, image, self._record)
        insert_above(viewer.layers, topmost_on(viewer.layers, image), self.layers)
        self._record.note_names()
        self._subscriptions.connect(self._removed, viewer.layers.events.removed)

    def tile_done(self, tile: TileDone) -> None:
        """Show a finished tile soon, if the slice in view intersects it."""
        if self._in_view(tile):
            self._refresh_soon()

    def refresh(self) -> None:
        """Draw the layers again; the longer that takes, the later it is done the next time."""
        began = time.monotonic()
        for layer in self.layers:
            layer.refresh(thumbnail=False, highlight=False, extent=False)
        took = round(1000 * (time.monotonic() - began))
        self._refresh_soon.setTimeout(max(REFRESH_MS, SHARE * took))

    def finish(self, *, complete: bool) -> None:
        """End the prediction: draw the layers, and append "(partial)" to names if it was stopped.

        Parameters
        ----------
        complete : bool
            Whether all tiles were predicted.
        """
        self.release()
        self._replacement.finish(complete=complete)
        if not complete:
            self._record.rename(self._viewer.layers, " (partial)")
        for layer in self.layers:
            layer.refresh()

    def discard(self) -> None:
        """Remove the layers again, and show those that were seen before."""
        self.release()
        for layer in self.layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._replacement.undo()

    def release(self) -> None:
        """Follow the viewer no longer."""
        self._refresh_soon.cancel()
        self._subscriptions.release()

    def _removed(self, event: Any) -> None:
        if event.value in self.layers:
            self.layers.remove(event.value)
        if event.value is self.main:
            self.mainRemoved.emit()

    def _in_view(self, tile: TileDone) -> bool:
        """Tell whether the slice that the viewer shows intersects a tile."""
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
    """Layers for predicted classes: the labels and, on request, their probabilities.

    Parameters
    ----------
    viewer, image, parent
        As in `Results`.
    model : TrainedModel
        What predicts.
    view : ImageView
        The image as the model sees it.
    probabilities : bool
        Whether there is a layer of probabilities per class beside the labels.
    channels : sequence of Image
        The layers of the channels, if they are several; `image` is the first of them.
    request : mapping, optional
        How it is predicted, see `napari_unet.widgets.layers.provenance.provenance`.

    Attributes
    ----------
    model : TrainedModel
        What predicts.
    labels : Labels
        The main result.
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
        channels: Sequence[Image] = (),
        request: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        dropped = None if image.rgb else view.layout.channel
        labels = allocate_result(model, view, "labels")
        self.labels: Labels = result_labels(labels, model, image, dropped, channels, request)
        self.kept: Any = _kept(model, view, shown=probabilities)
        shown: list[Image] = []
        if probabilities:
            shown = result_probabilities(self.kept, model, image, dropped, channels, request)
        out: Any = labels
        if self.kept is not None:
            values = tuple(c.value for c in model.classes)
            out = LabelsAndProbabilities(self.kept, labels, values)
        layers = [*shown, self.labels]
        super().__init__(viewer, image, layers, view.layout.labels, out, model.task, parent)


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
        How it is predicted, see `napari_unet.widgets.layers.provenance.provenance`.
    channels : sequence of Image
        The layers of the channels, if they are several; `image` is the first of them.

    Attributes
    ----------
    model : TrainedModel
        What predicts.
    picture : Image
        The main result.
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
        channels: Sequence[Image] = (),
    ) -> None:
        self.model, self.layout = model, view.layout
        out = allocate_result(model, view, "image")
        layers = result_images(out, model, image, view.layout.channel, request, channels)
        self.picture = layers[-1]
        alike = len(layers) == 1 and not image.rgb and len(channels) < 2
        layout = view.layout if alike else view.layout.labels
        super().__init__(viewer, image, layers, layout, out, model.task, parent)

    def finish(self, *, complete: bool) -> None:
        """End the prediction; what has other units than the image gets a contrast of its own.

        Parameters
        ----------
        complete : bool
            Whether all tiles were predicted.
        """
        super().finish(complete=complete)
        for layer in self.layers:
            if self.model.task == "restore" and isinstance(layer, Image) and not layer.rgb:
                layer.reset_contrast_limits("slice")
                if contrast_is_common(self.image, layer):
                    layer.contrast_limits = self.image.contrast_limits


def _kept(model: TrainedModel, view: ImageView, *, shown: bool) -> Any:
    """Return the array of probabilities: floats to show, bytes to refine, None if too large."""
    shape, _ = result_shape_and_dtype(model, view, "probabilities")
    if shown:
        return allocate_result(model, view, "probabilities")
    return QuantisedProbabilities(shape) if prod(shape) <= MOST_KEPT else None
