"""What to learn from and how: the part of the Train page that is filled in before."""

from __future__ import annotations

from typing import Any

from napari import Viewer
from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet.errors import InputError
from napari_unet.widgets.advanced import AdvancedSettings
from napari_unet.widgets.budget import BudgetEdit
from napari_unet.widgets.choosers import LayerChooser
from napari_unet.widgets.editors import ChoiceEdit
from napari_unet.widgets.form import form_layout
from napari_unet.widgets.layers import Picture, painted_data, strokes_layer
from napari_unet.widgets.network import NetworkEditor
from napari_unet.widgets.pairs import PairsTable, may_belong
from napari_unet.widgets.parts import Section, heading
from napari_unet.widgets.request import TrainRequest
from napari_unet.widgets.session import Session
from napari_unet.widgets.start_from import StartChooser
from napari_unet.widgets.strokes import StrokesTable

TIPS = {
    "Image": "The layer to learn from: 2D or 3D, with time or channels if you like, or RGB.",
    "Strokes": "The Labels layer that holds your strokes: one label per class.",
    "Task": "What the network shall learn.",
    "Label 0": "What 0 means in the Labels layer. With strokes: not painted, so it counts for "
    "nothing. With finished masks: background, a class of its own.",
    "Dimensions": "2D works plane by plane; 3D sees the neighbouring planes too. Auto: 3D where at "
    "least three planes are painted.",
    "Start from": "A fresh network knows nothing. A model goes on from what it has learned, with "
    "the same classes or more.",
    "Network": "A larger network can learn more, more slowly. Custom: set everything.",
    "Budget": "How long to train. Stop ends it early and keeps what was learned.",
}

GIVEN = "The model to start from brings its network along. Start from a fresh network to set this."

MORE_PAIRS = "More pairs"


class TrainForm(QWidget):
    """Edits a `TrainRequest`.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    session : Session, optional
        Whose models can be started from; the viewer's if not given.

    Attributes
    ----------
    valueChanged : Signal()
        Something is set otherwise.
    failed : Signal(object)
        Something the user asked for cannot be; a `NapariUnetError`.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming
    failed = Signal(object)

    def __init__(
        self, viewer: Viewer, session: Session | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.image = LayerChooser(viewer, Image, "Open an image first")
        self.labels = LayerChooser(viewer, Labels, "None yet")
        self.new = QPushButton("New strokes layer")
        self.new.setToolTip("Add an empty Labels layer upon the image, ready to be painted on.")
        self.strokes = StrokesTable(viewer)
        self.pairs = PairsTable(viewer, lambda: (self.image.layer(), self.labels.layer()))
        self.pairs_section = Section(MORE_PAIRS, self.pairs)
        self.task = ChoiceEdit([("segment", "Segment")])
        self.zero = ChoiceEdit([("unpainted", "Not painted"), ("background", "Background")])
        self.ndim = ChoiceEdit([(None, "Auto"), (2, "2D"), (3, "3D")])
        self.start = StartChooser(session or Session.of(viewer))
        sizes = [(s, s.capitalize()) for s in ("small", "medium", "large")]
        self.net_size = ChoiceEdit([*sizes, ("custom", "Custom")])
        self.net_size.setValue("medium")
        self.budget = BudgetEdit()
        self.network = NetworkEditor()
        self.network.hide()
        self.advanced = AdvancedSettings(self.request)
        self.advanced_section = Section("Advanced", self.advanced)
        self._above, self._below = QWidget(), QWidget()
        self._arrange()
        self._connect()
        self._image_changed()
        self._labels_changed()

    def request(self) -> TrainRequest:
        """Return the training as it is set; what is painted is copied.

        Raises
        ------
        InputError
            Where a layer is missing, or a setting out of its range.
        """
        picture, layer = self._picture(), self.labels.layer()
        if layer is None:
            raise InputError(
                "There is no Labels layer to learn from",
                todo='Press "New strokes layer" and paint a few strokes of at least two classes',
            )
        advanced = self.advanced.changes()
        labels = painted_data(layer)
        channel = picture.channel(advanced.get("channel_axis", "auto"), labels.shape)
        follows = {
            "axes": picture.axes,
            "rgb": picture.rgb,
            "spacing": picture.spacing(channel),
            "class_names": self.strokes.names(),
            "class_colors": self.strokes.colors(),
        }
        options = {"make_way": True, **advanced, **self._settings(), **follows}
        return TrainRequest(
            picture, labels, self._classes(), options, more=self._more(picture, layer)
        )

    def layers(self) -> list[tuple[Any, Any]]:
        """Return the image and the labels layer of each pair, None where none is chosen."""
        return [(self.image.layer(), self.labels.layer()), *self.pairs.layers()]

    def show_running(self, running: bool) -> None:
        """Make room while a training runs: what is painted stays, the rest cannot be set now."""
        self._above.setVisible(not running)
        self._below.setVisible(not running)

    def let_go(self) -> None:
        """Follow the viewer no longer."""
        self.image.let_go()
        self.labels.let_go()
        self.strokes.let_go()
        self.pairs.let_go()

    def _picture(self) -> Picture:
        layer = self.image.layer()
        if layer is None:
            raise InputError(
                "There is no image to learn from",
                todo="Open one, or a sample: File > Open Sample > U-Net Live",
            )
        return Picture.of(layer)

    def _classes(self) -> tuple[int, ...]:
        """Return the label values that the network will know, as far as they are counted."""
        start = self.start.value()
        known = () if start is None else tuple(info.value for info in start.classes)
        background = (0,) * (self.zero.value() == "background")
        return tuple(dict.fromkeys((*known, *background, *self.strokes.painted.pixels)))

    def _more(self, picture: Picture, labels: Labels) -> tuple[tuple[Picture, Any], ...]:
        """Return the further pairs."""
        more = self.pairs.value()
        painted = [id(labels), *(id(layer) for _, layer in self.pairs.layers())]
        if len(set(painted)) < len(painted):
            raise InputError(
                "A Labels layer is in more than one pair",
                todo='Choose another one under "More pairs", or remove that pair',
            )
        for number, (other, _) in enumerate(more, start=2):
            if other.rgb != picture.rgb:
                raise InputError(
                    f"Pair {number} has other channels than pair 1",
                    got="an image in colours beside one without",
                    todo="Learn from images of one kind together",
                )
        return more

    def _settings(self) -> dict[str, Any]:
        set_here = {"task": self.task.value(), "zero": self.zero.value(), **self.budget.value()}
        start = self.start.value()
        if start is not None:
            return {**set_here, "start": start, "ndim": start.config.ndim}
        if self.net_size.value() == "custom":
            network = self.network.value()
            return {**set_here, "network": network, "ndim": network.ndim}
        return {**set_here, "size": self.net_size.value(), "ndim": self.ndim.value()}

    def _arrange(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 4, 10, 4)
        layout.setSpacing(4)
        data = _rows({"Image": self.image, "Strokes": self.labels})
        learning = _rows(
            {
                "Task": self.task,
                "Label 0": self.zero,
                "Start from": self.start,
                "Dimensions": self.ndim,
                "Network": self.net_size,
                "Budget": self.budget,
            }
        )
        data.addRow("", self.new)
        above, below = QVBoxLayout(self._above), QVBoxLayout(self._below)
        for part in (above, below):
            part.setContentsMargins(0, 0, 0, 0)
            part.setSpacing(4)
        above.addWidget(heading("Learn from"))
        above.addLayout(data)
        below.addWidget(self.pairs_section)
        below.addWidget(heading("Learn how"))
        below.addLayout(learning)
        below.addWidget(self.network)
        below.addWidget(self.advanced_section)
        for widget in (self._above, self.strokes, self._below):
            layout.addWidget(widget)

    def _connect(self) -> None:
        self.image.layerChanged.connect(self._image_changed)
        self.labels.layerChanged.connect(self._labels_changed)
        self.new.clicked.connect(self._add_strokes)
        self.net_size.valueChanged.connect(self._size_changed)
        self.start.valueChanged.connect(self._size_changed)
        self.start.failed.connect(self.failed)
        self.pairs.valueChanged.connect(self._pairs_changed)
        self.advanced_section.opened.connect(self.advanced.replan)
        editors = (self.zero, self.start, self.ndim, self.net_size, self.budget, self.network)
        for editor in (*editors, self.pairs):
            editor.valueChanged.connect(self._changed)
        self.strokes.changed.connect(self._changed)

    def _changed(self) -> None:
        self.strokes.set_hint(self._next_thing_to_do())
        self.advanced.replan()
        self.valueChanged.emit()

    def _next_thing_to_do(self) -> str:
        if self.image.layer() is None:
            return "Open an image, or try one of ours: File > Open Sample > U-Net Live."
        if self.labels.layer() is None:
            return "Add a layer for strokes, and paint a few of each class."
        return (
            "Paint a few strokes of each class, with a label of its own: press M in the viewer "
            "for the next label."
        )

    def _image_changed(self) -> None:
        layer = self.image.layer()
        self.new.setEnabled(layer is not None)
        if layer is not None:
            shape = Picture.of(layer).data.shape
            self.labels.prefer(lambda labels: may_belong(tuple(labels.data.shape), tuple(shape)))
        self._changed()

    def _labels_changed(self) -> None:
        self.strokes.set_layer(self.labels.layer())
        self._changed()

    def _size_changed(self) -> None:
        """Enable what can be set: a model to start from has a network already."""
        fresh, custom = self.start.value() is None, self.net_size.value() == "custom"
        self.network.setVisible(custom)
        self.net_size.setEnabled(fresh)
        self.network.setEnabled(fresh)
        self.ndim.setEnabled(fresh and not custom)
        for name, editor in (("Network", self.net_size), ("Dimensions", self.ndim)):
            editor.setToolTip(TIPS[name] if fresh else GIVEN)
        self.network.setToolTip("" if fresh else GIVEN)

    def _pairs_changed(self) -> None:
        """Let the heading say how many pairs there are, even folded."""
        section, number = self.pairs_section, len(self.pairs.rows)
        text, before = section.button.text(), section.title
        section.title = f"{MORE_PAIRS} ({number})" if number else MORE_PAIRS
        section.button.setText(text.replace(before, section.title))

    def _add_strokes(self) -> None:
        image = self.image.layer()
        try:
            wanted = self.advanced.changes().get("channel_axis", "auto")
            layer = strokes_layer(image, wanted)
        except InputError as error:
            self.failed.emit(error)
            return
        self._viewer.add_layer(layer)
        self._viewer.layers.selection.active = layer
        self.labels.set_layer(layer)


def _rows(fields: dict[str, QWidget]) -> QFormLayout:
    rows = form_layout()
    for text, editor in fields.items():
        label = QLabel(text)
        for widget in (label, editor):
            widget.setToolTip(TIPS[text])
        editor.setAccessibleName(text)
        rows.addRow(label, editor)
    return rows
