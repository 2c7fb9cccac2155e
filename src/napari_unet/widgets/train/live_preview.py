"""While a training runs: strokes go in as they are painted, previews come out where one looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels
from napari.utils.colormaps import Colormap, DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.control import Control, Previewed, PreviewedImage, Viewport
from napari_unet.geometry.axes import AxisLayout
from napari_unet.inference.request import Request
from napari_unet.model import TrainedModel
from napari_unet.widgets.layers.layer_data import RGBA, LayerData
from napari_unet.widgets.layers.overlay import (
    Overlay,
    image_block,
    image_layer,
    link_looks,
    place_of,
)
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.layers.view import VisibleRegion, find_visible_region
from napari_unet.widgets.qt.event_thread import EventRunner
from napari_unet.widgets.train.request import TrainRequest
from napari_unet.workers.jobs import PreviewJob
from napari_unet.workers.messages import Readable
from napari_unet.workers.process import Worker

LOOK_MS = 200
"""How often it is looked where the user looks."""

UNSURE = ((1.0, 0.1, 0.1, 0.0), (1.0, 0.1, 0.1, 0.15), (1.0, 0.1, 0.1, 0.8))
"""From clear to red, as a colormap: that shows upon bright pictures as well as upon dark ones."""


class LivePreview(QObject):
    """Shows what the network says of the part of an image that is in view.

    There is one layer for the labels and, if that is wanted, one for how unsure they are.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers go.
    parent : QObject
        What it dies with.

    Attributes
    ----------
    noteChanged : Signal(str)
        There is another `note`.
    imageShown : Signal()
        An image was written into the layer `picture`.
    """

    noteChanged = Signal(str)  # noqa: N815 - Qt's way of naming
    imageShown = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image: Image | None = None
        self._layout: AxisLayout | None = None
        self._pair = 0
        self._like: Image | None = None
        self._known: WeakKeyDictionary[Image, tuple[Overlay, Overlay, Overlay]] = (
            WeakKeyDictionary()
        )
        self._labels, self._unsure, self._picture = self._new_overlays()
        self._unsure_wanted = False
        self._last: Previewed | None = None
        self._note = ""
        self._colors: dict[int, RGBA] = {}
        self._look: Callable[[Viewport | None], None] = Control().look
        self.enabled = True
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)

    def begin(
        self,
        image: Image,
        layout: AxisLayout,
        look: Callable[[Viewport | None], None],
        pair: int = 0,
        like: Image | None = None,
    ) -> None:
        """Follow the view of an image, the one of that number; `look` takes what is in view.

        `like` is the layer that previews look like, where these are images; None where they are
        labels. What was shown of the other kind is hidden.
        """
        switched = (like is None) != (self._like is None)
        if image is not self._image:
            self._last = None
            overlays = self._known.setdefault(image, self._new_overlays())
            self._labels, self._unsure, self._picture = overlays
        self._image, self._layout, self._look, self._pair = image, layout, look, pair
        if like is not None and self._like not in (None, like):
            self._picture.remove()
        self._like = like
        if switched:
            self.set_visible(True)
        self.look()
        self._timer.start()

    def end(self) -> None:
        """Follow the view no longer; the layers stay as they are."""
        self._timer.stop()
        self._look = Control().look
        self._say("")

    def look(self) -> None:
        """Tell the training what is in view."""
        sight = self._sight() if self.enabled else VisibleRegion(None)
        self._look(sight.view)
        self._say(sight.note)

    def in_view(self) -> Viewport | None:
        """Return what of the image is in view, None where nothing can be previewed."""
        return self._sight().view

    @property
    def layer(self) -> Labels | None:
        """The layer of labels, if there is one."""
        return self._labels.layer if isinstance(self._labels.layer, Labels) else None

    @property
    def picture(self) -> Image | None:
        """The layer of what the network makes of the image, if there is one."""
        return self._picture.layer if isinstance(self._picture.layer, Image) else None

    @property
    def note(self) -> str:
        """What to say of the preview: which part of the view it shows; nothing where it is all."""
        return self._note

    @property
    def unsure_wanted(self) -> bool:
        """Whether to show as well how unsure the network is."""
        return self._unsure_wanted

    @unsure_wanted.setter
    def unsure_wanted(self, on: bool) -> None:
        self._unsure_wanted = on
        if not on:
            for _, unsure, _ in self._known.values():
                unsure.remove()
        elif self._last is not None and self.enabled:
            self._show_unsure(self._last)

    def show(self, preview: Previewed | PreviewedImage, colors: dict[int, RGBA]) -> None:
        """Write a preview into the layers; make them if there are none."""
        if self._image is None or self._image not in self._viewer.layers or not self.enabled:
            return
        if preview.view.image_index != self._pair:
            return  # of the image that was looked at a moment ago
        if isinstance(preview, PreviewedImage):
            self._show_image(preview)
            return
        self._last = preview
        self._colors |= colors  # those of classes that were painted once stay
        self._write(self._labels, preview.view, preview.labels)
        if self.layer is not None:
            _color(self.layer, self._colors)
        if self._unsure_wanted:
            self._show_unsure(preview)

    def set_visible(self, visible: bool) -> None:
        """Hide what is shown, to make room for something better, or show it again."""
        for labels, unsure, picture in self._known.values():
            for overlay, is_meant in (
                (labels, self._like is None),
                (unsure, self._like is None),
                (picture, self._like is not None),
            ):
                if overlay.layer is not None:
                    overlay.layer.visible = visible and is_meant

    def _show_unsure(self, preview: Previewed) -> None:
        self._write(self._unsure, preview.view, np.round(255 * preview.unsure).astype(np.uint8))

    def _show_image(self, preview: PreviewedImage) -> None:
        image, layout, before = self._image, self._layout, self.picture
        if image is None or layout is None:
            return
        block = image_block(preview, image, layout)
        self._picture.write(image, block.channel, block.place, block.values)
        made = self.picture
        if made is not None and made is not before and self._like is not None:
            link_looks(self._viewer, self._like, made)
        self.imageShown.emit()

    def _write(self, overlay: Overlay, view: Viewport, values: NDArray[Any]) -> None:
        if self._image is not None and self._layout is not None:
            place = place_of(self._layout.labels, view)
            channel, block = self._layout.channel, values.reshape(place.shape)
            overlay.write(self._image, channel, place, block, self.layer)

    def _new_overlays(self) -> tuple[Overlay, Overlay, Overlay]:
        makers = (self._new_labels, self._new_unsure, self._new_image)
        labels, unsure, picture = (Overlay(self._viewer, make) for make in makers)
        return labels, unsure, picture

    def _new_labels(self, data: NDArray[Any], **where: Any) -> Labels:
        return Labels(data, opacity=0.4, **self._named("live preview"), **where)

    def _new_unsure(self, data: NDArray[Any], **where: Any) -> Image:
        return Image(
            data,
            colormap=Colormap(UNSURE, name="unsure"),
            blending="translucent_no_depth",
            rendering="average",  # in 3D the most unsure voxel of each ray would hide all else
            contrast_limits=(0, 255),
            **self._named("unsure"),
            **where,
        )

    def _new_image(self, data: NDArray[Any], **where: Any) -> Image:
        assert self._like is not None
        return image_layer(data, self._like, **self._named("preview"), **where)

    def _named(self, what: str) -> dict[str, Any]:
        assert self._image is not None
        return {
            "name": f"{self._image.name} – {what}",
            "metadata": {RESULT: {"preview": True}},
        }

    def _sight(self) -> VisibleRegion:
        image, layout = self._image, self._layout
        if image is None or layout is None or image not in self._viewer.layers:
            return VisibleRegion(None)
        return find_visible_region(self._viewer, image, layout, self._pair)

    def _say(self, note: str) -> None:
        if note != self._note:
            self._note = note
            self.noteChanged.emit(note)


def _color(layer: Labels, colors: dict[int, RGBA]) -> None:
    """Give the layer the classes' colours, unless it has them."""
    if layer.metadata.get("colors") != colors:
        known: dict[int | None, Any] = dict(colors.items())
        wanted = {None: "transparent", 0: "transparent", **known}
        layer.colormap = DirectLabelColormap(color_dict=wanted)
        layer.metadata["colors"] = dict(colors)


class ModelPreview(QObject):
    """Keeps a live preview up to date from a model that no longer changes.

    Parameters
    ----------
    preview : LivePreview
        Where it is shown; it also knows what is in view.
    worker : Worker
        Who computes.
    colors : callable
        Returns the colours of the classes, by label value.
    parent : QObject
        What it dies with.

    Attributes
    ----------
    failed : Signal(object)
        It could not be computed; a `NapariUnetError`.
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
        self._preview, self._worker, self._colors = preview, worker, colors
        self._model: TrainedModel | None = None
        self._picture: LayerData | None = None
        self._mask: Any = None
        self._request = Request()
        self._shown: tuple[TrainedModel, Viewport] | None = None
        self._seen: Viewport | None = None
        self.runner = EventRunner(self)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look)
        self.runner.happened.connect(self._show)
        self.runner.failed.connect(self._failed)

    def follow(
        self, model: TrainedModel, picture: LayerData, request: Request, mask: Any = None
    ) -> None:
        """Show what a model says of what is in view, until told otherwise.

        `mask` tells which pixels are missing, as for `napari_unet.predict`.
        """
        self._model, self._picture, self._request, self._mask = model, picture, request, mask
        self._shown = None
        self._timer.start()
        self._look()

    @property
    def active(self) -> bool:
        """Whether it shows a model."""
        return self._model is not None

    def end(self) -> None:
        """Follow the view no longer."""
        self._timer.stop()
        self._model = self._picture = self._mask = None

    def _look(self) -> None:
        model, picture = self._model, self._picture
        view = self._preview.in_view() if self._preview.enabled else None
        if model is None or picture is None or view is None or self.runner.running:
            return
        if self._shown == (model, view):
            return
        still, self._seen = view == self._seen, view
        if not still and self._shown is not None:
            return  # it moves: wait until the user has found what to look at
        self._shown = (model, view)
        mask = None if self._mask is None else Readable(self._mask)
        job = PreviewJob(model, Readable(picture.data), self._request, view, mask)
        self.runner.start(partial(self._worker.run, job))

    def _show(self, previewed: object) -> None:
        # Meanwhile the user may have gone back to the present.
        if self._model is not None and self._shown is not None and self._shown[0] is self._model:
            self._preview.show(previewed, dict(self._colors()))  # type: ignore[arg-type]

    def _failed(self, error: object) -> None:
        self.end()
        self.failed.emit(error)


def like_of(request: TrainRequest | None, image: Image, other: Any) -> Image | None:
    """Return the layer that previews look like: the target where there is one, else the image.

    None where previews are labels.
    """
    if request is None or request.is_segmentation:
        return None
    return other if request.task == "restore" else image
