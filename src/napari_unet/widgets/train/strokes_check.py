"""Looks at the layer of strokes as soon as it is chosen, and says what will not go as expected.

Finished masks and numbered objects are recognised, and how to read them is offered in one click;
layers that cannot be painted on, or lie elsewhere than the image, are named.
"""

from __future__ import annotations

from typing import Any, Literal
from weakref import WeakKeyDictionary, WeakSet

from napari import Viewer
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from napari_unet.data.label_kind import LabelKind, LabelSurvey, survey_labels
from napari_unet.errors import InputError
from napari_unet.geometry.axes import ChannelAxis
from napari_unet.tasks.segmentation.data import MANY_CLASSES
from napari_unet.widgets.layers.layer_data import LayerData, array_shape, largest_level
from napari_unet.widgets.layers.paintable import (
    begin_painting,
    copied_pixels,
    editable_copy,
    lay_upon,
    lies_elsewhere,
    why_not_paintable,
)
from napari_unet.widgets.qt.event_thread import EventRunner, LatestOnly
from napari_unet.widgets.qt.notices import NoticeAction, NoticeBoard

Zero = Literal["unpainted", "background"]
"""What label 0 means; an option of a segmentation."""

READING = "reading"
"""Topic: how the labels are read."""

MANY = "many"
"""Topic: more classes than are usually meant."""

PAINTING = "painting"
"""Topic: the layer cannot be painted on."""

PLACE = "place"
"""Topic: the layer lies elsewhere than the image."""

MASK_BUTTON = "Finished mask (label 0 is background)"
"""The button that makes 0 a class."""

MERGE_BUTTON = "Treat all ids as one class"
"""The button that makes one class of all labels above 0."""

STROKES_BUTTON = "These are strokes"
"""The button that leaves everything as it is."""

_readings: WeakKeyDictionary[Labels, LabelKind] = WeakKeyDictionary()
"""How the user wants layers to be read; remembered for as long as the layer exists."""

_meant_many: WeakSet[Labels] = WeakSet()
"""Layers of which the user wants that each of many labels is a class."""


class StrokesCheck(QObject):
    """Says what is unexpected about the layer of strokes, and remembers how it is to be read.

    Nothing painted is changed: labels are mapped to classes when they are read.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    parent : QObject
        Its Qt parent, which deletes it.

    Attributes
    ----------
    readingChanged : Signal()
        The layer is to be read in another way.
    copied : Signal(object)
        A copy that can be painted on was added to the viewer; to be chosen in place of the layer.
    failed : Signal(object)
        A copy could not be made; a `NapariUnetError`.
    board : NoticeBoard
        The widget that shows what is said.
    survey : LabelSurvey, optional
        What was seen of the layer; None until it was looked at.
    """

    readingChanged = Signal()  # noqa: N815 - Qt's way of naming
    copied = Signal(object)
    failed = Signal(object)

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image: Image | None = None
        self._layer: Labels | None = None
        self._channel_axis: ChannelAxis = "auto"
        self._without_layer: LabelKind | None = None
        self._values = 0
        self._looked_at = 0
        self.board = NoticeBoard()
        self.survey: LabelSurvey | None = None
        self._looker = EventRunner(self)
        self._latest = LatestOnly(self._looker)
        self._latest.due.connect(self._look)
        self._looker.happened.connect(self._take_survey)
        self._copier = EventRunner(self)
        self._copier.happened.connect(self._add_copy)
        self._copier.failed.connect(self.failed)

    @property
    def reading(self) -> LabelKind:
        """How the layer is read."""
        return self._decided() or "strokes"

    @property
    def zero(self) -> Zero:
        """What label 0 means."""
        return "unpainted" if self.reading == "strokes" else "background"

    @property
    def merged(self) -> bool:
        """Whether all labels above 0 are one class."""
        return self.reading == "objects"

    @property
    def most_classes(self) -> int | None:
        """The number of classes up to which a training may start without a further click."""
        return None if self._layer in _meant_many else MANY_CLASSES

    def set_layers(
        self, image: Image | None, labels: Labels | None, channel_axis: ChannelAxis = "auto"
    ) -> None:
        """Look at other layers.

        Parameters
        ----------
        image : Image, optional
            The image that is learned from.
        labels : Labels, optional
            What is painted on it.
        channel_axis : int, None or "auto"
            The image's axis of channels, as of `napari_unet.geometry.axes.find_layout`.
        """
        self._image, self._channel_axis = image, channel_axis
        array = None if labels is None else largest_level(labels)
        if labels is not self._layer or id(array) != self._looked_at:
            self._looked_at = id(array)
            if labels is not None and self._layer is None and self._without_layer is not None:
                _readings.setdefault(labels, self._without_layer)
            self._layer = labels
            self._values = 0
            self.survey = None
            self._latest.request()
        self._say_all()

    def choose(self, reading: LabelKind) -> None:
        """Read the layer in another way from now on.

        Parameters
        ----------
        reading : {"strokes", "mask", "objects"}
            What it holds.
        """
        if self._layer is None:
            self._without_layer = reading
        else:
            _readings[self._layer] = reading
        self._say_all()
        self.readingChanged.emit()

    def set_zero(self, zero: Zero) -> None:
        """Take what the user has set label 0 to mean."""
        if zero != self.zero:
            self.choose("mask" if zero == "background" else "strokes")

    def set_values(self, values: int) -> None:
        """Take the number of labels above 0, which was counted in the whole layer."""
        self._values = values
        self._say_reading()

    def release(self) -> None:
        """Look at nothing any more."""
        self._latest.cancel()
        self._image = self._layer = None

    def _decided(self) -> LabelKind | None:
        return self._without_layer if self._layer is None else _readings.get(self._layer)

    def _look(self) -> None:
        layer = self._layer
        if layer is not None and self._decided() is None:
            data = largest_level(layer)
            self._looker.start_call(lambda: (id(data), survey_labels(data)))

    def _take_survey(self, found: tuple[int, LabelSurvey]) -> None:
        if self._layer is not None and found[0] == id(largest_level(self._layer)):
            self.survey = found[1]
            self._say_reading()

    def _say_all(self) -> None:
        self._say_reading()
        self._say_painting()
        self._say_place()

    def _say_reading(self) -> None:
        layer, survey = self._layer, self.survey
        decided = self._decided()
        self.board.end(READING, MANY)
        if layer is None:
            return
        if decided == "objects":
            text = f"All labels of “{layer.name}” are learned as one class; label 0 is background."
            undo = NoticeAction(
                "Make each label a class", lambda: self.choose("mask"), "Label 0 stays background."
            )
            self.board.say(READING, text, "info", [undo])
        elif decided is None and survey is not None and survey.kind != "strokes":
            text = _recognised(layer.name, survey, self._values)
            self.board.say(READING, text, "info", self._offers(survey))
        elif self._values > MANY_CLASSES and layer not in _meant_many:
            text = (
                f"“{layer.name}” has {self._values} labels, and each becomes a class of its own. "
                "Is each label the number of an object?"
            )
            many = NoticeAction(f"Train {self._values} classes", self._mean_many)
            self.board.say(MANY, text, "warning", [self._merge_action(), many])

    def _offers(self, survey: LabelSurvey) -> list[NoticeAction]:
        mask = NoticeAction(
            MASK_BUTTON,
            lambda: self.choose("mask"),
            "Every pixel is labelled; 0 is a class like any other.",
        )
        strokes = NoticeAction(
            STROKES_BUTTON,
            lambda: self.choose("strokes"),
            "Pixels with label 0 are not labelled, and ignored. This is not asked again for "
            "this layer.",
        )
        if survey.kind == "objects":
            return [self._merge_action(), mask, strokes]
        return [mask, self._merge_action(), strokes] if survey.values > 2 else [mask, strokes]

    def _merge_action(self) -> NoticeAction:
        tip = "Each id is one object: all labels above 0 are one class, and 0 is background."
        return NoticeAction(MERGE_BUTTON, lambda: self.choose("objects"), tip)

    def _mean_many(self) -> None:
        if self._layer is not None:
            _meant_many.add(self._layer)
        self._say_reading()

    def _say_painting(self) -> None:
        layer = self._layer
        reason = "" if layer is None else why_not_paintable(layer)
        if layer is None or not reason:
            self.board.end(PAINTING)
            return
        text = f"“{layer.name}” can be used for training, but not be painted on: {reason}."
        tip = "Copies the labels into memory, as a new layer; this one stays as it is."
        copy = NoticeAction("Make an editable copy", self._copy, tip)
        self.board.say(PAINTING, text, "warning", [copy])

    def _copy(self) -> None:
        layer = self._layer
        if layer is not None and not self._copier.running:
            data = largest_level(layer)
            self._copier.start_call(lambda: (layer, copied_pixels(data)))

    def _add_copy(self, found: tuple[Labels, Any]) -> None:
        layer, pixels = found
        copy = editable_copy(layer, pixels)
        if layer in _readings:
            _readings[copy] = _readings[layer]
        self._viewer.add_layer(copy)
        layer.visible = False  # else it would be seen below what is painted
        begin_painting(self._viewer, copy)
        self.copied.emit(copy)

    def _say_place(self) -> None:
        image, layer = self._image, self._layer
        self.board.end(PLACE)
        if image is None or layer is None:
            return
        fits, channel = _drawn_channel(image, layer, self._channel_axis)
        if not fits or not lies_elsewhere(image, layer, channel):
            return
        text = (
            f"“{layer.name}” is not aligned with “{image.name}”: their scale, position or "
            "rotation differ. Training needs layers that are aligned."
        )
        tip = "Gives the labels the scale, position and rotation of the image."
        align = NoticeAction("Align it with the image", lambda: self._align(channel), tip)
        self.board.say(PLACE, text, "warning", [align])

    def _align(self, channel: int | None) -> None:
        if self._image is not None and self._layer is not None:
            lay_upon(self._layer, self._image, channel)
        self._say_place()


def _recognised(name: str, survey: LabelSurvey, counted: int) -> str:
    """Say what labels look like, and what comes of them as they are read now."""
    values = max(counted, survey.values)
    if survey.kind == "objects":
        return (
            f"“{name}” looks like numbered objects: {values} labels, each in one piece. If you "
            "train now, each becomes a class of its own, and pixels with label 0 are ignored."
        )
    share = f"{survey.labelled:.0%}"
    if values == 1:
        return (
            f"“{name}” looks like a finished mask: one label, on {share} of the pixels. "
            "Training needs two classes, and pixels with label 0 are ignored for now."
        )
    return (
        f"“{name}” looks like a finished mask: {share} of the pixels are labelled. If you "
        "train now, pixels with label 0 are ignored."
    )


def _drawn_channel(image: Image, labels: Labels, wanted: ChannelAxis) -> tuple[bool, int | None]:
    """Return whether labels have the shape of an image, and its axis of channels as it is drawn."""
    data = LayerData.of(image)
    try:
        channel = data.channel(wanted, array_shape(labels))
    except InputError:
        return False, None
    return array_shape(labels) == data.spatial_shape(channel), None if image.rgb else channel
