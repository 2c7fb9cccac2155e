"""What the Predict page asks for: a model, an image, and how to apply the one to the other."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from napari import Viewer
from napari.layers import Image, Labels
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_unet.data.image import ImageView
from napari_unet.errors import InputError
from napari_unet.geometry.axes import find_layout
from napari_unet.inference.request import Request, find_missing, find_view, region_of
from napari_unet.model import TrainedModel
from napari_unet.widgets.forms.channels import ChannelChooser
from napari_unet.widgets.forms.editors import OptionalEdit, SwitchEdit, TextEdit
from napari_unet.widgets.forms.layer_combo import MaskCombo
from napari_unet.widgets.forms.model_form import form_layout
from napari_unet.widgets.forms.reading import ReadingLine
from napari_unet.widgets.forms.region import TIP as REGION_TIP
from napari_unet.widgets.forms.region import RegionChooser
from napari_unet.widgets.layers.layer_data import LayerData, check_paired, largest_level
from napari_unet.widgets.layers.provenance import origin
from napari_unet.widgets.models import ModelChooser, ModelFiles, NamedModel, Session, describe_model
from napari_unet.widgets.predict.compatibility import CompatibilityNotice, find_issues
from napari_unet.widgets.qt.style import WrappedLabel, heading
from napari_unet.widgets.qt.text import read_list, write_list
from napari_unet.workers.jobs import ExportJob
from napari_unet.workers.messages import Readable

DEFAULT_TILE = {2: (512, 512), 3: (96, 96, 96)}
"""Shape in voxels that the field for the tile begins with, by the model's dimensions."""

TIPS = {
    "Model": "The models that were trained or opened in this viewer.",
    "Image": "The layer to predict.",
    "Region": REGION_TIP,
    "Output": "The result is a Labels layer. Tick this to also get the probability of each "
    "class as an Image layer.",
    "Flips": "Average over the predictions of eight flipped and rotated versions of the "
    "image. Smoother and usually more accurate, but takes eight times as long.",
    "Missing": "A Labels layer that is not 0 where pixels are missing and are to be filled in. "
    "Pixels that are NaN are missing in any case.",
    "Known": "If this is off, the output of the model also replaces pixels that are not missing.",
    "Tile": "Largest piece that is computed at once, in pixels per axis; automatic: from the "
    "free memory. The result does not depend on it.",
}
"""Tooltip of each field."""


CHANGE = "To change it, press Change, or choose another model."
"""How the user changes how the image is read."""


@dataclass(frozen=True, eq=False)
class PredictionRequest:
    """A prediction as it is set in the form, and checked.

    Parameters
    ----------
    image : Image
        The layer to predict, or that of its first channel.
    data : LayerData
        What that layer holds, or all channels.
    model : TrainedModel
        What predicts.
    view : ImageView
        The image as the model sees it.
    request : Request
        How to predict.
    mask : Labels, optional
        The layer that tells which pixels are missing.
    probabilities : bool
        Whether layers with the probabilities are wanted, too.
    channels : tuple of Image
        The layers of all channels, in order, if they are several.
    """

    image: Image
    data: LayerData
    model: TrainedModel
    view: ImageView
    request: Request
    mask: Labels | None
    probabilities: bool
    channels: tuple[Image, ...] = ()

    @property
    def missing(self) -> Any:
        """The array of the mask, if there is one."""
        return None if self.mask is None else largest_level(self.mask)

    def described(self) -> dict[str, Any]:
        """Return the settings that differ from the defaults, for the provenance of the result."""
        settings: dict[str, Any] = {}
        if self.request.flips:
            settings["flips"] = True
        if self.model.input_spec.mask and not self.request.keep_known:
            settings["keep_known"] = False
        if self.mask is not None:
            settings["mask"] = origin(self.mask).file
        if self.request.region is not None:
            settings["region"] = self.request.region
        if self.request.inside is not None:
            settings["inside"] = True
        return settings


class PredictForm(QWidget):
    """Edits a `PredictionRequest`, and says in what model and image differ.

    Fields that have no meaning for the chosen model are hidden.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    session : Session
        The models.

    Attributes
    ----------
    edited : Signal()
        Another model or layer is chosen, or a layer or a setting has changed.
    """

    edited = Signal()

    def __init__(self, viewer: Viewer, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = ModelChooser(session)
        self.files = ModelFiles(session, self._export_job)
        self.info = WrappedLabel()
        self.info.setTextFormat(Qt.TextFormat.RichText)
        self.image = ChannelChooser(viewer, "Open an image first")
        self.region = RegionChooser(viewer, self._region_target)
        self.probabilities = SwitchEdit("Probabilities too")
        self.missing = MaskCombo(viewer)
        self.keep_known = SwitchEdit("Keep known pixels")
        self.keep_known.setValue(True)
        self.flips = SwitchEdit("Average over flips")
        self.tile = OptionalEdit(TextEdit(read_list, write_list), DEFAULT_TILE[2])
        self.compatibility = CompatibilityNotice()
        self.reading = ReadingLine(CHANGE)
        self._rows = form_layout()
        self._arrange()
        settings = (self.probabilities, self.keep_known, self.flips, self.tile, self.model)
        for editor in settings:
            editor.valueChanged.connect(self.edited)
        for combo in (self.image, self.missing):
            combo.layerChanged.connect(self.edited)
            combo.layerEdited.connect(self._show_compatibility)
            combo.layerEdited.connect(self.edited)
        self.files.opened.connect(self.model.setValue)
        self.model.valueChanged.connect(self._show_model)
        self.image.layerChanged.connect(self._suggest_mask)
        self.missing.layerChanged.connect(self._show_compatibility)
        self._show_model()

    def request(self) -> PredictionRequest:
        """Return the prediction as it is set.

        Raises
        ------
        InputError
            Where model or image are missing, or do not fit together.
        """
        named = self.model.value()
        if named is None:
            raise InputError("There is no model", todo="Train one, or open a model file")
        layers = self.image.complete()
        if not layers:
            raise InputError("There is no image to predict", todo="Open one first")
        model, data = named.model, LayerData.of_channels(layers)
        request = Request(
            tile=self.tile.value() or None,
            axes=data.axes,
            rgb=data.rgb,
            flips=model.target is not None and self.flips.value(),
            keep_known=self.keep_known.value(),
        )
        region = self.region.value()
        if region is not None:
            bounds = region.region.bounds
            request = replace(request, region=bounds, inside=region.inside)
        view = find_view(model, data.data, request)
        region_of(view, request)
        mask = self.missing.layer() if model.input_spec.mask else None
        if mask is not None:
            check_paired(layers, mask)
        asked = PredictionRequest(
            layers[0],
            data,
            model,
            view,
            request,
            mask,
            self.probabilities.value(),
            layers if len(layers) > 1 else (),
        )
        find_missing(model, view, asked.missing)
        return asked

    def release(self) -> None:
        """Disconnect from the viewer and the models."""
        for part in (self.image, self.missing, self.files, self.region):
            part.release()

    def _export_job(self, path: str) -> ExportJob | None:
        """Return the export of the model, with the chosen image for an example if they fit."""
        named = self.model.value()
        if named is None:
            return None
        data = self._data()
        if data is None or any(i.kind == "error" for i in find_issues(named.model, data)):
            return ExportJob(named.model, path)
        request = Request(axes=data.axes, rgb=data.rgb)
        return ExportJob(named.model, path, Readable(data.data, data.name), request)

    def _show_model(self) -> None:
        """Describe the chosen model, and show the fields that have a meaning for it."""
        named = self.model.value()
        self.info.setText("" if named is None else describe_model(named.model))
        self.info.setVisible(named is not None)
        self.files.set_exportable(named is not None)
        self._expect_channels(named)
        if named is None:
            for editor in (self.probabilities, self.flips, self.missing, self.keep_known):
                self._rows.setRowVisible(editor, False)
            return
        if self.tile.value() is None:
            self.tile.editor.setValue(DEFAULT_TILE[named.model.config.ndim])
        makes_images = named.model.target is not None
        self._rows.setRowVisible(self.probabilities, not makes_images)
        self._rows.setRowVisible(self.flips, makes_images)
        for editor in (self.missing, self.keep_known):
            self._rows.setRowVisible(editor, named.model.input_spec.mask)
        self._suggest_mask()

    def _suggest_mask(self) -> None:
        """Choose a layer that could be the mask, where one is wanted and none is chosen."""
        named, image = self.model.value(), self.image.layer()
        if named is not None and image is not None and named.model.input_spec.mask:
            self.missing.suit(LayerData.of(image).data.shape)
        self._show_compatibility()

    def _show_compatibility(self) -> None:
        """Say how the image is read, and in what it differs from what the model expects."""
        named, mask = self.model.value(), self.missing.layer()
        problem = self._channel_problem(named)
        data = None if problem else self._data()
        self.compatibility.compare(
            None if named is None else named.model,
            data,
            None if mask is None else largest_level(mask),
        )
        if problem:
            self.compatibility.say(problem, "error")
        self._show_reading(named, data)
        self.region.refresh()

    def _region_target(self) -> tuple[Image | None, int | None]:
        """Return the image, and its axis of channels as the model reads it."""
        named, image = self.model.value(), self.image.layer()
        if named is None or image is None or image.rgb or len(self.image.layers()) > 1:
            return image, None
        data = LayerData.of(image)
        with suppress(InputError):
            view = find_view(named.model, data.data, Request(axes=data.axes, rgb=data.rgb))
            return image, view.layout.channel
        return image, None

    def _expect_channels(self, named: NamedModel | None) -> None:
        """Ask for the channels of a model by their names, unless one layer holds all of them."""

        def holds_all(layer: Image) -> bool:
            if named is None:
                return False
            data = LayerData.of(layer)
            with suppress(InputError):
                find_view(named.model, data.data, Request(axes=data.axes, rgb=data.rgb))
                return True
            return False

        self.image.expect(() if named is None else named.model.channel_names, holds_all)

    def _channel_problem(self, named: NamedModel | None) -> str:
        """Return why the chosen layers are not the channels of an image; empty where they are."""
        lacking = self.image.lacking()
        if named is not None and named.model.channel_names and lacking:
            known = ", ".join(named.model.channel_names)
            return (
                f"The model was trained on the channels {known}. No layer is called "
                f"{' or '.join(lacking)}: choose the layer of each channel above."
            )
        try:
            self._data()
        except InputError as error:
            return str(error)
        return ""

    def _data(self) -> LayerData | None:
        """Return the image; None where none is chosen.

        Raises
        ------
        InputError
            Where the chosen layers are not the channels of an image.
        """
        layers = self.image.complete()
        return LayerData.of_channels(layers) if layers else None

    def _show_reading(self, named: NamedModel | None, data: LayerData | None) -> None:
        """Say how the model reads the image; where it cannot, how the image alone is read."""
        self.reading.set_layers(self.image.layers() if data is not None else ())
        self.reading.show_text("")
        if data is None:
            return
        shape, ndim = data.data.shape, 2 if named is None else named.model.config.ndim
        with suppress(InputError):
            layout = find_layout(shape, ndim, names=data.axes, rgb=data.rgb)
            self.reading.show_layout(data, layout)
            if named is not None:
                view = find_view(named.model, data.data, Request(axes=data.axes, rgb=data.rgb))
                self.reading.show_layout(data, view.layout)

    def _arrange(self) -> None:
        model_rows = form_layout()
        _add_row(model_rows, "Model", "Model", self.model)
        model_rows.addRow("", self.files)
        _add_row(self._rows, "Image", "Image", self.image)
        _add_row(self._rows, "Region", "Region", self.region)
        _add_row(self._rows, "Output", "Output", self.probabilities)
        _add_row(self._rows, "Missing", "Missing", self.missing)
        _add_row(self._rows, "Known", "", self.keep_known)
        _add_row(self._rows, "Flips", "", self.flips)
        _add_row(self._rows, "Tile", "Tile", self.tile)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(heading("Apply"))
        layout.addLayout(model_rows)
        layout.addWidget(self.info)
        layout.addWidget(heading("To"))
        layout.addLayout(self._rows)
        layout.addWidget(self.reading)
        layout.addWidget(self.compatibility)


def _add_row(rows: QFormLayout, name: str, text: str, editor: QWidget) -> None:
    """Add an editor with its label, tooltip and accessible name."""
    label = QLabel(text)
    for widget in (label, editor):
        widget.setToolTip(TIPS[name])
    editor.setAccessibleName(name)
    rows.addRow(label, editor)
