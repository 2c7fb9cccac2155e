"""The form of a segmentation: the strokes, and how to train on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_unet.errors import InputError, NapariUnetError
from napari_unet.geometry.axes import ChannelAxis
from napari_unet.tasks.network_options import NetworkOptions
from napari_unet.tasks.options import parse_options
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.widgets.forms.augmentation import AugmentEdit
from napari_unet.widgets.forms.augmentation_preview import ReadPatch, built_in_patch
from napari_unet.widgets.forms.editors import ChoiceEdit
from napari_unet.widgets.forms.layer_combo import LayerCombo
from napari_unet.widgets.forms.pairs import PairedLayer, PairsSection, may_belong
from napari_unet.widgets.layers.factory import strokes_layer
from napari_unet.widgets.layers.layer_data import (
    RGBA,
    LayerData,
    array_shape,
    largest_level,
    remember,
    remembered,
)
from napari_unet.widgets.layers.paintable import begin_painting
from napari_unet.widgets.layers.region_of_interest import RegionOfInterest
from napari_unet.widgets.layers.view_geometry import ViewGeometry
from napari_unet.widgets.models import Session
from napari_unet.widgets.qt.notices import NoticeBoard
from napari_unet.widgets.qt.style import Section
from napari_unet.widgets.train.class_table import ClassTable
from napari_unet.widgets.train.conversion_offer import ConversionOffer
from napari_unet.widgets.train.forms import GIVEN, TaskForm
from napari_unet.widgets.train.patch_source import PatchSource
from napari_unet.widgets.train.request import TrainRequest
from napari_unet.widgets.train.stray_paint import StrayPaint
from napari_unet.widgets.train.stroke_list import StrokeList
from napari_unet.widgets.train.strokes_check import StrokesCheck

__all__ = ["GIVEN", "TrainForm"]

LABEL_0 = "Pixels with\nlabel 0 are"
"""Label of the field that says what 0 means, on two lines."""

TIPS = {
    "Strokes": "The Labels layer that holds your strokes: one label per class.",
    LABEL_0: "With strokes: unlabelled; these pixels are not used. With finished masks: "
    "background, a class like any other.",
    "Dimensions": "2D works plane by plane; 3D also uses neighbouring planes. Auto: 3D if at "
    "least three planes are painted.",
    "Start from": "Scratch: a new network. A model: the training continues from its weights, with "
    "the same classes or more.",
}

DIMENSIONS: list[tuple[int | None, str]] = [(None, "Auto"), (2, "2D"), (3, "3D")]

STROKES = PairedLayer(
    "Strokes",
    "The labels that are painted on the image.",
    Labels,
    "Labels layer",
    more="More images with strokes",
)


OF_LAYERS = ("axes", "channel_names", "class_colors", "class_names", "region", "rgb", "spacing")
"""Options that the layers decide, and that are not remembered."""


class TrainForm(TaskForm):
    """Edits a `TrainRequest`: a segmentation from strokes.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    session : Session, optional
        Whose models can be started from; the viewer's if not given.

    Attributes
    ----------
    restartWanted : Signal()
        What is learned from is another layer, or read in another way: a training that still waits
        for strokes would wait in vain.
    """

    restartWanted = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(
        self, viewer: Viewer, session: Session | None = None, parent: QWidget | None = None
    ) -> None:
        session = session or Session.of(viewer)
        super().__init__(viewer, "segment", DIMENSIONS, TIPS, session, parent)
        self.augment: AugmentEdit = self.advanced.form.editors["augment"]
        self.augment.serve(self.patch_reader, session.worker, lambda: viewer.theme)
        self.labels = LayerCombo(viewer, Labels, "None yet")
        self.new = QPushButton("New strokes layer")
        self.new.setToolTip("Add an empty Labels layer on the image, to paint on.")
        self.strokes = ClassTable(viewer)
        self.stroke_list = StrokeList(viewer, self.strokes.names)
        self.strokes_section = Section("List of strokes", self.stroke_list)
        self.check = StrokesCheck(viewer, self)
        self.conversion = ConversionOffer(
            viewer, self.check.board, self._chosen, self.region.combo.layer, self
        )
        self._offers = QWidget()
        self.paint_board = NoticeBoard()
        self.stray_paint = StrayPaint(viewer, self.paint_board, self.labels.layer, self)
        self.pairs_section = PairsSection(
            viewer,
            STROKES,
            lambda: (*self.image.layers(), self.labels.layer()),
            lambda: len(self.image.layers()),
        )
        self.pairs = self.pairs_section.pairs
        zero = [("unpainted", "unlabelled (ignored)"), ("background", "background")]
        self.zero = ChoiceEdit(zero)
        self._arrange()
        self._connect()
        self._image_changed()
        self._labels_changed()
        self._recall_settings()

    def request(self) -> TrainRequest:
        """Return the training as it is set; the labels are not copied.

        Raises
        ------
        InputError
            Where a layer is missing, or a setting out of its range.
        """
        picture, layer = self._picture(), self.labels.layer()
        if layer is None:
            raise InputError(
                "There is no Labels layer to train on",
                todo="Press “New strokes layer” and paint a few strokes of at least two classes",
            )
        self._check_places()
        return self._request(picture, largest_level(layer), self._more(picture, layer))

    def patch_reader(self) -> ReadPatch:
        """Return the function that reads a patch to show; it needs no stroke, and no image.

        Raises
        ------
        InputError
            Where a setting is out of its range, or the layers do not fit together.
        """
        image = self.image.layer()
        if image is None:
            return built_in_patch
        if self.labels.layer() is not None:
            request = self.request()
        else:
            picture = self._picture()
            shape = picture.spatial_shape(picture.channel(self._channel_axis()))
            # Takes no memory; and that it is not a volume need not be looked for in it.
            request = self._request(picture, np.broadcast_to(np.uint8(0), shape))
            request = replace(request, ndim=request.ndim or 2)
        centre = tuple(map(float, ViewGeometry(self._viewer, image).centre))
        return PatchSource(request, centre, self.strokes.colors()).read

    def _request(
        self, picture: LayerData, labels: Any, more: tuple[tuple[LayerData, Any], ...] = ()
    ) -> TrainRequest:
        return TrainRequest(
            self.task,
            ((picture, labels), *more),
            self.value(picture, tuple(labels.shape)),
            self._ndim(),
            self.start.value(),
            self._classes(),
            self.check.most_classes,
            interest=self._interest(),
        )

    def layers(self) -> list[tuple[Any, Any]]:
        """Return the image and the labels layer of each pair; None if none is chosen."""
        return [(self.image.layer(), self.labels.layer()), *self.pairs.layers()]

    def remember_settings(self, options: NetworkOptions) -> None:
        """Keep the settings of a training that began in the metadata of its strokes."""
        layer = self.labels.layer()
        if layer is not None:
            remember(layer, settings=options.model_dump(mode="json", exclude=set(OF_LAYERS)))

    def _recall_settings(self) -> None:
        """Show the settings that the strokes were learned from with before, if there are any."""
        layer = self.labels.layer()
        settings = None if layer is None else remembered(layer, "settings")
        if isinstance(settings, Mapping):
            with suppress(NapariUnetError):  # they are of another version
                self.restore(parse_options("segment", settings))

    def restore(self, options: NetworkOptions, ndim: int | None = None) -> None:
        """Show the settings of an earlier training, and the names of its classes."""
        super().restore(options, ndim)
        assert isinstance(options, SegmentOptions)
        self.zero.setValue(options.zero)
        self.strokes.restore_names(options.class_names)

    def restore_layers(self, layers: Sequence[tuple[Any, ...]], channels: int = 1) -> None:
        """Choose the image and the strokes of an earlier training, pair by pair.

        Parameters
        ----------
        layers : sequence of tuple of Layer
            The layers of the channels of each image, and what goes with it.
        channels : int
            How many layers are the channels of an image.
        """
        self.image.set_layers(layers[0][:channels])
        self.labels.set_layer(layers[0][channels])
        self.pairs.choose(layers[1:], channels)

    def names(self) -> dict[int, str]:
        """Return the names of the classes that have one, by label value."""
        return self.strokes.names()

    def colors(self) -> dict[int, RGBA]:
        """Return the colours of what is painted, by label value."""
        return self.strokes.colors()

    def show_running(self, running: bool, *, waiting: bool = False) -> None:
        """Hide the settings while a training runs, and offers unless it waits for strokes.

        Parameters
        ----------
        running : bool
            Whether a training runs.
        waiting : bool
            Whether it has learned nothing yet.
        """
        super().show_running(running)
        self._offers.setVisible(waiting or not running)

    def release(self) -> None:
        """Disconnect from the viewer."""
        super().release()
        self.labels.release()
        self.strokes.release()
        self.stroke_list.release()
        self.check.release()
        self.conversion.release()
        self.stray_paint.release()
        self.pairs.release()

    def _interest(self) -> RegionOfInterest | None:
        """Return the region; where 0 is a class, the whole box around it is learned from."""
        region = self.region.value()
        is_mask = region is not None and self.zero.value() == "background"
        return region.box if region is not None and is_mask else region

    def _classes(self) -> tuple[int, ...]:
        """Return the label values that the network will know, as far as they are counted."""
        start = self.start.value()
        known = () if start is None else tuple(info.value for info in start.classes)
        background = (0,) * (self.zero.value() == "background")
        return tuple(dict.fromkeys((*known, *background, *self.strokes.classes)))

    def _more(self, picture: LayerData, labels: Labels) -> tuple[tuple[LayerData, Any], ...]:
        """Return the further pairs."""
        more = self.pairs.value(picture)
        painted = [id(labels), *(id(layer) for _, layer in self.pairs.layers())]
        if len(set(painted)) < len(painted):
            raise InputError(
                "A Labels layer is in more than one pair",
                todo=f"Choose another one under “{STROKES.more}”, or remove that row",
            )
        return more

    def _settings(self) -> dict[str, Any]:
        return {
            **super()._settings(),
            "zero": self.zero.value(),
            "merge_labels": self.check.merged,
            "class_names": self.strokes.names(),
            "class_colors": self.strokes.colors(),
        }

    def _arrange(self) -> None:
        data = self._rows({"Image": self.image, "Strokes": self.labels, "Region": self.region})
        data.insertRow(2, "", self.new)
        learning = self._rows(
            {
                LABEL_0: self.zero,
                "Start from": self.start,
                "Dimensions": self.ndim,
                "Network": self.net_size,
                "Budget": self.budget,
            }
        )
        offers = QVBoxLayout(self._offers)
        offers.setContentsMargins(0, 0, 0, 0)
        offers.addWidget(self.check.board)
        painted = QWidget()
        inside = QVBoxLayout(painted)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(2)
        inside.addWidget(self._offers)
        inside.addWidget(self.paint_board)
        inside.addWidget(self.strokes)
        inside.addWidget(self.strokes_section)
        self._place(data, learning, self.pairs_section, painted)

    def _connect(self) -> None:
        self.image.layerChanged.connect(self._image_changed)
        self.labels.layerChanged.connect(self._labels_changed)
        self.new.clicked.connect(self._add_strokes)
        self.labels.layerEdited.connect(self._changed)
        for chooser in (self.image, self.labels):
            chooser.layerEdited.connect(self._check_layers)
            chooser.layerChanged.connect(self.conversion.renew)
        self.region.combo.layerChanged.connect(self.conversion.renew)
        self.conversion.made.connect(self.labels.set_layer)
        self.conversion.failed.connect(self.failed)
        self.check.readingChanged.connect(self._reading_changed)
        for changed in (self.check.readingChanged, self.check.copied, self.conversion.made):
            changed.connect(self.restartWanted)
        self.check.copied.connect(self.labels.set_layer)
        self.check.failed.connect(self.failed)
        self.zero.valueChanged.connect(lambda: self.check.set_zero(self.zero.value()))
        for editor in (self.zero, self.pairs):
            editor.valueChanged.connect(self._changed)
        self.strokes.changed.connect(self._changed)
        self.strokes.changed.connect(self._counted)
        self.valueChanged.connect(self.augment.renew)

    def _changed(self) -> None:
        self.strokes.set_hint(self._next_thing_to_do())
        super()._changed()

    def _next_thing_to_do(self) -> str:
        if self.image.layer() is None:
            return "Open an image, or a sample: File > Open Sample > U-Net Live."
        if self.labels.layer() is None:
            return "Press “New strokes layer”, and paint a few strokes of each class."
        return (
            "Paint a few strokes of each class, each with its own label. Press M in the "
            "viewer for the next label."
        )

    def _image_changed(self) -> None:
        layer = self.image.layer()
        self.new.setEnabled(layer is not None)
        if layer is not None:
            shape = LayerData.of(layer).data.shape
            self.labels.prefer(lambda labels: may_belong(array_shape(labels), tuple(shape)))
        self._check_layers()
        self._changed()

    def _labels_changed(self) -> None:
        layer = self.labels.layer()
        self.strokes.set_layer(layer)
        self.stroke_list.set_layer(layer)
        self.strokes_section.setVisible(layer is not None)
        self._check_layers()
        self._reading_changed()

    def _chosen(self) -> tuple[Image | None, Labels | None, ChannelAxis]:
        """Return image, strokes and the axis of channels."""
        try:
            channel_axis = self._channel_axis()
        except InputError:  # said where it is set
            channel_axis = "auto"
        return self.image.layer(), self.labels.layer(), channel_axis

    def _check_layers(self) -> None:
        self.check.set_layers(*self._chosen())

    def _reading_changed(self) -> None:
        """Show how the labels are read, which belongs to the layer."""
        self.zero.setValue(self.check.zero)
        self.strokes.set_reading(self.check.reading)
        self._changed()

    def _counted(self) -> None:
        self.check.set_values(len(self.strokes.painted.pixels))

    def _add_strokes(self) -> None:
        image = self.image.layer()
        try:
            layer = strokes_layer(image, self._channel_axis())
        except InputError as error:
            self.failed.emit(error)
            return
        self._viewer.add_layer(layer)
        begin_painting(self._viewer, layer)
        self.labels.set_layer(layer)
