"""Layers that show what a network makes of the part of an image that is in view."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels
from napari.utils.colormaps import Colormap, DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.control import Control, Previewed, PreviewedImage, Viewport
from napari_unet.display import hex_colour, rgb8
from napari_unet.geometry.axes import AxisLayout
from napari_unet.geometry.region import Region
from napari_unet.inference.request import Request
from napari_unet.model import TrainedModel
from napari_unet.widgets.layers.layer_data import RGBA, LayerData, distinct_colour
from napari_unet.widgets.layers.overlay import (
    Overlay,
    image_block,
    image_layer,
    link_looks,
    place_of,
)
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.layers.region_of_interest import RegionOfInterest
from napari_unet.widgets.layers.result_history import HiddenLayers, covered_layers
from napari_unet.widgets.layers.view import VisibleRegion, find_visible_region
from napari_unet.widgets.qt.event_thread import EventRunner
from napari_unet.widgets.qt.style import later
from napari_unet.widgets.qt.subscriptions import Subscriptions
from napari_unet.workers.jobs import PreviewJob
from napari_unet.workers.messages import Readable
from napari_unet.workers.process import Worker

POLL_MS = 200
"""Time in milliseconds between two looks at what is in view."""

UNSURE_COLOURS = (
    (1.0, 0.1, 0.1), (0.0, 0.9, 1.0), (1.0, 0.9, 0.0), (1.0, 0.2, 1.0), (0.1, 1.0, 0.2),
    (0.3, 0.4, 1.0),
)  # fmt: skip
"""Colours in which to show where the network is unsure: the first that no class is taken for."""

UNSURE_OPACITIES = (0.0, 0.15, 0.8)
"""Opacities from sure to unsure, which show on bright and on dark images."""


class PreviewLayers:
    """The layers above one image that show what a network makes of it.

    Each is made when there is something to show in it. Results that would be mixed up with what
    is shown, or cover it, are hidden for as long as it is shown. The image is held weakly, for
    this object is kept for as long as the image lives.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers go.
    image : Image
        The image that they lie above.
    reference : callable
        Returns the layer that the output image looks like.
    eye_moved : callable
        Called with whether a layer is visible, after somebody else has shown or hidden it.

    Attributes
    ----------
    labels : Overlay
        The likeliest class of each pixel.
    uncertainty : Overlay
        How unsure the network is of that, 0 to 255.
    output : Overlay
        The output of a network that makes images.
    revealed : bool
        Whether layers were shown since they were hidden last, or since a training began.
    """

    def __init__(
        self,
        viewer: Viewer,
        image: Image,
        reference: Callable[[], Image | None],
        eye_moved: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._viewer = viewer
        self._eye_moved = eye_moved
        self._switching = False
        self._image = ref(image)
        self._reference = reference
        self._hidden_results = HiddenLayers()
        self.revealed = False
        self.labels = Overlay(viewer, self._new_labels)
        self.uncertainty = Overlay(viewer, self._new_uncertainty)
        self.output = Overlay(viewer, self._new_output)

    def set_visible(self, *, labels: bool, output: bool) -> None:
        """Show or hide the layers that exist.

        Parameters
        ----------
        labels : bool
            Whether to show labels and their uncertainty.
        output : bool
            Whether to show the output image.
        """
        self._hidden_results.show_again()
        wanted = ((self.labels, labels), (self.uncertainty, labels), (self.output, output))
        self._switching = True
        for overlay, visible in wanted:
            if overlay.layer is not None:
                overlay.layer.visible = visible
        self._switching = False
        image, layers = self._image(), self._viewer.layers
        shown = self.labels.layer if labels else self.output.layer
        self.revealed = (labels or output) and shown is not None and shown in layers
        if self.revealed and image is not None:
            self._hidden_results.hide(covered_layers(layers, image, labels=labels))

    def remove(self) -> None:
        """Remove the layers, and show the results that were hidden for them."""
        for overlay in (self.labels, self.uncertainty, self.output):
            overlay.remove()
        self._hidden_results.show_again()

    def _new_labels(self, data: NDArray[Any], **where: Any) -> Labels:
        layer = Labels(data, opacity=0.4, **self._named("live preview"), **where)
        layer.events.visible.connect(self._visibility_changed)
        return layer

    def _new_uncertainty(self, data: NDArray[Any], **where: Any) -> Image:
        return Image(
            data,
            colormap=_unsure_colormap(UNSURE_COLOURS[0]),
            blending="translucent_no_depth",
            rendering="average",  # in 3D the most unsure voxel of each ray would hide all else
            contrast_limits=(0, 255),
            **self._named("unsure"),
            **where,
        )

    def _new_output(self, data: NDArray[Any], **where: Any) -> Image:
        reference = self._reference()
        assert reference is not None
        layer = image_layer(data, reference, **self._named("preview"), **where)
        layer.events.visible.connect(self._visibility_changed)
        return layer

    def _visibility_changed(self, event: Any) -> None:
        if not self._switching:
            self._eye_moved(event.source.visible)

    def _named(self, what: str) -> dict[str, Any]:
        image = self._image()
        assert image is not None
        return {"name": f"{image.name} – {what}", "metadata": {RESULT: {"preview": True}}}


class LivePreview(QObject):
    """Shows previews of the part of an image that is in view, and tells which part that is.

    For a segmentation there is one layer for the labels and, if that is wanted, one for how
    unsure they are; for other tasks there is one with the output image.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers go.
    parent : QObject
        Its Qt parent, which deletes it.

    Attributes
    ----------
    noteChanged : Signal(str)
        There is another `note`.
    imageShown : Signal()
        An image was written into `output_layer`.
    eyeMoved : Signal(bool)
        Somebody else, such as the user, has shown or hidden a layer of the previews.
    unsureColoured : Signal(str)
        The colour (``#rrggbb``) in which is shown where the network is unsure.
    enabled : bool
        Whether to ask for previews and to show them.
    """

    noteChanged = Signal(str)  # noqa: N815 - Qt's way of naming
    imageShown = Signal()  # noqa: N815 - Qt's way of naming
    eyeMoved = Signal(bool)  # noqa: N815 - Qt's way of naming
    unsureColoured = Signal(str)  # noqa: N815 - Qt's way of naming

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image: Image | None = None
        self._layout: AxisLayout | None = None
        self._image_index = 0
        self._reference: Image | None = None
        self._layers_of: WeakKeyDictionary[Image, PreviewLayers] = WeakKeyDictionary()
        self._interests: WeakKeyDictionary[Image, RegionOfInterest | None] = WeakKeyDictionary()
        self._uncertainty_shown = False
        self._unsure_colour: tuple[float, float, float] | None = None
        self._latest: Previewed | None = None
        self._note = ""
        self._colors: dict[int, RGBA] = {}
        self._ask: Callable[[Viewport | None], None] = Control().look
        self.enabled = True
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self.report_view)
        self._subscriptions = Subscriptions()
        self._subscriptions.connect(self._layer_removed, viewer.layers.events.removed)

    def begin(
        self,
        image: Image,
        layout: AxisLayout,
        ask: Callable[[Viewport | None], None],
        image_index: int = 0,
        reference: Image | None = None,
        interest: RegionOfInterest | None = None,
    ) -> None:
        """Follow what is in view of an image. Layers of the other kind of preview are hidden.

        Parameters
        ----------
        image : Image
            The layer to follow.
        layout : AxisLayout
            Roles of its axes.
        ask : callable
            Called with what is in view, again and again; with None where nothing is to be
            previewed.
        image_index : int
            Which one the image is, where several are learned from.
        reference : Image, optional
            The layer that previews look like, where they are images; None where they are labels.
        interest : RegionOfInterest, optional
            The part of the image that is previewed; by default all of it.
        """
        before = self._interests.get(image)
        if interest is not None and image in self._layers_of and not interest.is_same(before):
            self._layers_of[image].remove()  # they show what is outside of it
        self._interests[image] = interest
        kind_changed = (reference is None) != (self._reference is None)
        if image is not self._image:
            self._latest = None
        self._image = image
        self._layout = layout
        self._image_index = image_index
        self._ask = ask
        layers = self._layers_above(image)
        if reference is not None and self._reference not in (None, reference):
            layers.output.remove()
        self._reference = reference
        if kind_changed:
            self.set_visible(False)
        self.report_view()
        self._timer.start()

    def reveal(self) -> None:
        """Show the layers again with the next preview, even those that the user has hidden."""
        for layers in self._layers_of.values():
            layers.revealed = False

    def remove(self) -> None:
        """Remove all layers, and show what was hidden for them."""
        for layers in self._layers_of.values():
            layers.remove()

    def release(self) -> None:
        """Remove all layers, and disconnect from the viewer."""
        self._subscriptions.release()
        self.end()
        self.remove()

    def covers(self, image: Image) -> bool:
        """Tell whether there are previews of an image."""
        return image in self._layers_of

    def end(self) -> None:
        """Stop following what is in view; the layers stay as they are."""
        self._timer.stop()
        self._ask = Control().look
        self._set_note("")

    def report_view(self) -> None:
        """Ask for a preview of what is in view now."""
        visible = self._visible_region() if self.enabled else VisibleRegion(None)
        self._ask(visible.view)
        self._set_note(visible.note)

    def in_view(self) -> Viewport | None:
        """Return what of the image is in view, None where nothing can be previewed."""
        return self._visible_region().view

    @property
    def layer(self) -> Labels | None:
        """The layer of labels, if there is one."""
        layers = self._layers()
        layer = None if layers is None else layers.labels.layer
        return layer if isinstance(layer, Labels) else None

    @property
    def output_layer(self) -> Image | None:
        """The layer of the output image, if there is one."""
        layers = self._layers()
        layer = None if layers is None else layers.output.layer
        return layer if isinstance(layer, Image) else None

    @property
    def note(self) -> str:
        """Which part of the view is shown; empty where it is all of it."""
        return self._note

    def show_uncertainty(self, on: bool) -> None:
        """Show in a layer of its own how unsure the network is, or remove that layer."""
        self._uncertainty_shown = on
        if not on:
            for layers in self._layers_of.values():
                layers.uncertainty.remove()
        elif self._latest is not None and self.enabled:
            self._write_uncertainty(self._latest)

    def show(self, preview: Previewed | PreviewedImage, colors: Mapping[int, RGBA]) -> None:
        """Write a preview into the layers; make them if there are none.

        Parameters
        ----------
        preview : Previewed or PreviewedImage
            One of another image than the one that is followed is dropped.
        colors : mapping of int to RGBA
            The colours of the classes, by label value.
        """
        if self._image is None or self._image not in self._viewer.layers or not self.enabled:
            return
        if preview.view.image_index != self._image_index:
            return
        if isinstance(preview, PreviewedImage):
            self._write_output(preview)
        else:
            self._write_labels(preview, colors)
        layers = self._layers_above(self._image)
        if not layers.revealed:
            is_image = isinstance(preview, PreviewedImage)
            layers.set_visible(labels=not is_image, output=is_image)

    def set_visible(self, visible: bool) -> None:
        """Show the layers of the present kind of preview, or hide them all."""
        has_labels = self._reference is None
        for layers in self._layers_of.values():
            layers.set_visible(labels=visible and has_labels, output=visible and not has_labels)

    def _layers_above(self, image: Image) -> PreviewLayers:
        if image not in self._layers_of:
            self._layers_of[image] = PreviewLayers(
                self._viewer, image, lambda: self._reference, self.eyeMoved.emit
            )
        return self._layers_of[image]

    def _layer_removed(self, event: Any) -> None:
        """Remove the previews of an image that was removed, once napari is done with that."""
        layers = self._layers_of.pop(event.value, None)
        if layers is not None:
            later(self, layers.remove)

    def _layers(self) -> PreviewLayers | None:
        return None if self._image is None else self._layers_of.get(self._image)

    def _write_labels(self, preview: Previewed, colors: Mapping[int, RGBA]) -> None:
        assert self._image is not None
        self._latest = preview
        self._colors |= colors  # those of classes that were painted once stay
        self._write(self._layers_above(self._image).labels, preview.view, preview.labels)
        if self.layer is not None:
            _set_class_colors(self.layer, self._colors)
        if self._uncertainty_shown:
            self._write_uncertainty(preview)

    def _write_uncertainty(self, preview: Previewed) -> None:
        layers = self._layers()
        if layers is not None:
            values = np.round(255 * preview.unsure).astype(np.uint8)
            self._write(layers.uncertainty, preview.view, values)
            self._colour_uncertainty(layers.uncertainty.layer)

    def _colour_uncertainty(self, layer: Labels | Image | None) -> None:
        """Give the layer a colour that is told from those of the classes and of the image."""
        if self._image is None or not isinstance(layer, Image):
            return
        present = {v: c for v, c in self._colors.items() if v}
        colour = distinct_colour(UNSURE_COLOURS, present.values(), self._image)
        wanted = _unsure_colormap(colour)
        if not np.array_equal(layer.colormap.colors, wanted.colors):
            layer.colormap = wanted
        if colour != self._unsure_colour:
            self._unsure_colour = colour
            self.unsureColoured.emit(hex_colour(rgb8(colour)))

    def _write_output(self, preview: PreviewedImage) -> None:
        image, layout = self._image, self._layout
        layers = self._layers()
        if image is None or layout is None or layers is None:
            return
        before = self.output_layer
        block = image_block(preview, image, layout)
        layers.output.write(image, block.channel, block.place, block.values)
        now = self.output_layer
        if now is not None and now is not before and self._reference is not None:
            link_looks(self._viewer, self._reference, now)
        self.imageShown.emit()

    def _write(self, overlay: Overlay, view: Viewport, values: NDArray[Any]) -> None:
        if self._image is not None and self._layout is not None:
            place = place_of(self._layout.labels, view)
            block = values.reshape(place.shape)
            interest = self._interests.get(self._image)
            if interest is not None:
                block = np.where(interest.mask(place), block, block.dtype.type(0))
            overlay.write(self._image, self._layout.channel, place, block, self.layer)

    def _visible_region(self) -> VisibleRegion:
        image, layout = self._image, self._layout
        if image is None or layout is None or image not in self._viewer.layers:
            return VisibleRegion(None)
        visible = find_visible_region(self._viewer, image, layout, self._image_index)
        return _within(visible, self._interests.get(image), layout.labels)

    def _set_note(self, note: str) -> None:
        if note != self._note:
            self._note = note
            self.noteChanged.emit(note)


def _unsure_colormap(colour: tuple[float, float, float]) -> Colormap:
    return Colormap([(*colour, opacity) for opacity in UNSURE_OPACITIES], name="unsure")


def _set_class_colors(layer: Labels, colors: Mapping[int, RGBA]) -> None:
    """Give a layer the colours of the classes, unless it has them."""
    if layer.metadata.get("colors") != colors:
        known: dict[int | None, Any] = dict(colors.items())
        wanted = {**known, None: "transparent", 0: "transparent"}
        layer.colormap = DirectLabelColormap(color_dict=wanted)
        layer.metadata["colors"] = dict(colors)


def _within(
    visible: VisibleRegion, interest: RegionOfInterest | None, layout: AxisLayout
) -> VisibleRegion:
    """Return what of a visible region lies in the region of interest, if there is one."""
    view = visible.view
    if interest is None or view is None:
        return visible
    place = place_of(layout, view).intersect(interest.region)
    if not place.size:
        return VisibleRegion(None, "The region of interest is not in view.")
    ends = (place.start, place.stop)
    region = Region(*(tuple(end[axis] for axis in layout.spatial) for end in ends))
    return VisibleRegion(replace(view, region=region), visible.note)


class ModelPreview(QObject):
    """Keeps a live preview up to date from a model that is no longer trained.

    Parameters
    ----------
    preview : LivePreview
        Where it is shown; it also knows what is in view.
    worker : Worker
        Computes the previews.
    colors : callable
        Returns the colours of the classes, by label value.
    parent : QObject
        Its Qt parent, which deletes it.

    Attributes
    ----------
    failed : Signal(object)
        A preview could not be computed; a `NapariUnetError`.
    runner : EventRunner
        The thread that waits for the worker.
    """

    failed = Signal(object)

    def __init__(
        self,
        preview: LivePreview,
        worker: Worker,
        colors: Callable[[], Mapping[int, RGBA]],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._preview = preview
        self._worker = worker
        self._colors = colors
        self._model: TrainedModel | None = None
        self._data: LayerData | None = None
        self._mask: Any = None
        self._request = Request()
        self._asked: tuple[TrainedModel, Viewport] | None = None
        self._last_view: Viewport | None = None
        self.runner = EventRunner(self)
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._update)
        self.runner.happened.connect(self._show)
        self.runner.failed.connect(self._fail)

    def follow(
        self, model: TrainedModel, data: LayerData, request: Request, mask: Any = None
    ) -> None:
        """Preview a model wherever the user looks, until `end` or another model.

        Parameters
        ----------
        model : TrainedModel
            The model.
        data : LayerData
            The image.
        request : Request
            How to read the image.
        mask : array, optional
            Tells which pixels are missing, as for `napari_unet.predict`.
        """
        self._model = model
        self._data = data
        self._request = request
        self._mask = mask
        self._asked = None
        self._timer.start()
        self._update()

    def rest(self) -> None:
        """Compute nothing until what is in view is looked at again, and then do so anew."""
        self.runner.abandon()
        self._asked = None

    @property
    def active(self) -> bool:
        """Whether a model is previewed."""
        return self._model is not None

    def end(self) -> None:
        """Preview no model any more; the layers stay as they are."""
        self._timer.stop()
        self._model = self._data = self._mask = None

    def _update(self) -> None:
        """Compute a preview, if what is in view is new and has come to rest."""
        model, data = self._model, self._data
        view = self._preview.in_view() if self._preview.enabled else None
        if model is None or data is None or view is None or self.runner.running:
            return
        if self._asked == (model, view):
            return
        at_rest = view == self._last_view
        self._last_view = view
        if not at_rest and self._asked is not None:
            return
        self._asked = (model, view)
        mask = None if self._mask is None else Readable(self._mask)
        job = PreviewJob(model, Readable(data.data, data.name), self._request, view, mask)
        self.runner.start(partial(self._worker.run, job))

    def _show(self, preview: Any) -> None:
        if not self._preview.enabled:
            self._asked = None  # once more, when it is switched on
            return
        # Meanwhile the user may have gone back to the present.
        if self._model is not None and self._asked is not None and self._asked[0] is self._model:
            self._preview.show(preview, self._colors())

    def _fail(self, error: object) -> None:
        self.end()
        self.failed.emit(error)
