"""The forms of the tasks whose result is an image, and the choice of the task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet.errors import InputError
from napari_unet.fields import fields_of
from napari_unet.tasks.network_options import NetworkOptions
from napari_unet.tasks.options import Task
from napari_unet.widgets.forms.editors import ChoiceEdit
from napari_unet.widgets.forms.layer_combo import LayerCombo
from napari_unet.widgets.forms.model_form import form_layout, make_editor
from napari_unet.widgets.forms.pairs import PairedLayer, PairsSection, may_belong
from napari_unet.widgets.layers.factory import strokes_layer
from napari_unet.widgets.layers.layer_data import array_shape, largest_level
from napari_unet.widgets.layers.paintable import begin_painting
from napari_unet.widgets.layers.provenance import RESULT, is_result
from napari_unet.widgets.models import Session
from napari_unet.widgets.train.forms import RowLabel, TaskForm
from napari_unet.widgets.train.request import TrainRequest
from napari_unet.widgets.train.segmentation_form import TrainForm

TIPS = {
    "Dimensions": "2D works plane by plane and is much faster. 3D also reads neighbouring planes: "
    "for volumes.",
    "Method": "How noise is separated from the image. Automatic: measures the image, and "
    "reports what it chose and why.",
}

DIMENSIONS: list[tuple[int | None, str]] = [(2, "2D"), (3, "3D")]


SECOND = {
    "restore": PairedLayer(
        "Target",
        "The clean image of the same scene: what the result should look like.",
        Image,
        "target",
        empty="Open the clean image",
        more="More pairs of images",
    ),
    "inpaint": PairedLayer(
        "Missing",
        "A Labels layer that is not 0 where pixels are missing. NaN pixels always count as "
        "missing.",
        Labels,
        "Labels layer",
        none="Only NaN pixels",
    ),
}


class PairedLayerCombo(LayerCombo):
    """Chooses the layer that goes with an image, or none if it is not needed.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    second : PairedLayer
        What to offer.
    image : callable
        Returns the image's layer.
    """

    def __init__(
        self,
        viewer: Viewer,
        second: PairedLayer,
        image: Callable[[], Any],
        parent: QWidget | None = None,
    ) -> None:
        self._second, self._image = second, image
        super().__init__(viewer, second.kind, second.empty, parent, none=second.none)

    def refill(self) -> None:
        """Offer the layers anew, after another image was chosen."""
        self._follow()

    def _offered(self) -> list[Any]:
        before, image = self.layer(), self._image()
        offered = (x for x in super()._offered() if x is not image)
        return [x for x in offered if x is before or not _is_preview(x)]

    def _index_to_keep(self, before: Any) -> int:
        """Return the index of the layer chosen before, else of the first that fits the image."""
        if before is not None and before in self._layers:
            return self._layers.index(before)
        image = self._image()
        if self._second.none and (image is None or np.dtype(image.dtype).kind in "fc"):
            return 0
        fits = (i for i, x in enumerate(self._layers) if x is not None and not is_result(x))
        if image is not None:
            shape = array_shape(image)
            fits = (i for i in fits if may_belong(array_shape(self._layers[i]), shape))
        return next(fits, 0 if self._second.none else -1)


class ImageForm(TaskForm):
    """Edits a `TrainRequest` whose result is an image.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    task : {"denoise", "restore", "inpaint"}
        What is learned.
    session : Session, optional
        Whose models can be started from; the viewer's if not given.
    """

    def __init__(
        self,
        viewer: Viewer,
        task: Task,
        session: Session | None = None,
        parent: QWidget | None = None,
    ) -> None:
        second = SECOND.get(task)
        tips = TIPS if second is None else {**TIPS, second.name: second.tip}
        super().__init__(viewer, task, DIMENSIONS, tips, session, parent)
        self.other: PairedLayerCombo | None = None
        self.new = QPushButton("New layer to mark them", self)
        self.new.setToolTip("Add an empty Labels layer, to paint on the missing pixels.")
        self.new.clicked.connect(self._add_mask)
        method = fields_of(self._options).get("method")
        self.method = None if method is None else make_editor(method)
        if second is not None:
            self.other = PairedLayerCombo(viewer, second, self.image.layer)
            self.other.layerChanged.connect(self._changed)
        if self.method is not None:
            self.method.valueChanged.connect(self._changed)
        self.pairs_section = PairsSection(
            viewer,
            second,
            lambda: (*self.image.layers(), self._other()),
            lambda: len(self.image.layers()),
        )
        self.pairs = self.pairs_section.pairs
        self.pairs.valueChanged.connect(self._changed)
        self._arrange(second)
        self.image.layerChanged.connect(self._image_changed)
        self._image_changed()

    def request(self) -> TrainRequest:
        """Return the training as it is set.

        Raises
        ------
        InputError
            Where a layer is missing, or a setting out of its range.
        """
        picture, layer = self._picture(), self._other()
        if layer is None and self.task == "restore":
            raise InputError(
                "There is no target to train on",
                todo="Open the clean image of the same scene, and choose it as the target",
            )
        if layer is not None and layer in self.image.layers():
            raise InputError(
                f"“{layer.name}” is a channel of the image and its target as well",
                todo="Choose another target, or remove that channel",
            )
        self._check_places()
        other = None if layer is None else largest_level(layer)
        region = self.region.value()
        return TrainRequest(
            self.task,
            ((picture, other), *self.pairs.value(picture)),
            self.value(picture, None if other is None else tuple(other.shape)),
            self._ndim(),
            self.start.value(),
            interest=None if region is None else region.box,
        )

    def layers(self) -> list[tuple[Any, Any]]:
        """Return the images, each with what goes with it."""
        return [(self.image.layer(), self._other()), *self.pairs.layers()]

    def restore(self, options: NetworkOptions, ndim: int | None = None) -> None:
        """Show the settings of an earlier training."""
        super().restore(options, ndim)
        if self.method is not None:
            self.method.setValue(getattr(options, "method"))  # noqa: B009 - some tasks have none

    def restore_layers(self, layers: Sequence[tuple[Any, ...]], channels: int = 1) -> None:
        """Choose the image and what goes with it, as in an earlier training, pair by pair.

        Parameters
        ----------
        layers : sequence of tuple of Layer
            The layers of the channels of each image, and what goes with it.
        channels : int
            How many layers are the channels of an image.
        """
        self.image.set_layers(layers[0][:channels])
        if self.other is not None:
            self.other.set_layer(layers[0][channels] if len(layers[0]) > channels else None)
        self.pairs.choose(layers[1:], channels)

    def release(self) -> None:
        """Disconnect from the viewer."""
        super().release()
        self.pairs.release()
        if self.other is not None:
            self.other.release()

    def _arrange(self, second: PairedLayer | None) -> None:
        data: dict[str, QWidget] = {"Image": self.image}
        if second is not None and self.other is not None:
            data[second.name] = self.other
        training: dict[str, QWidget] = {} if self.method is None else {"Method": self.method}
        training |= {
            "Start from": self.start,
            "Dimensions": self.ndim,
            "Network": self.net_size,
            "Budget": self.budget,
        }
        data["Region"] = self.region
        rows = self._rows(data)
        if second is not None and second.kind is Labels:
            rows.insertRow(2, "", self.new)
        else:
            self.new.hide()
        self._place(rows, self._rows(training), self.pairs_section)

    def _other(self) -> Any:
        return None if self.other is None else self.other.layer()

    def _settings(self) -> dict[str, Any]:
        method = {} if self.method is None else {"method": self.method.value()}
        return {**super()._settings(), **method}

    def _add_mask(self) -> None:
        image = self.image.layer()
        try:
            layer = strokes_layer(image, self._channel_axis())
        except InputError as error:
            self.failed.emit(error)
            return
        layer.name = f"{image.name} – missing"
        self._viewer.add_layer(layer)
        begin_painting(self._viewer, layer)
        if self.other is not None:
            self.other.set_layer(layer)

    def _image_changed(self) -> None:
        self.new.setEnabled(self.image.layer() is not None)
        if self.other is not None:
            self.other.refill()
        self._changed()


def _is_preview(layer: Layer) -> bool:
    """Tell whether a layer is a preview, which is not offered."""
    return is_result(layer) and bool(layer.metadata[RESULT].get("preview"))


TASKS = {
    "segment": ("Segment", "Paint a few strokes; every pixel gets a class."),
    "denoise": ("Denoise", "Learns from the noisy image alone; no clean image is needed."),
    "restore": ("Restore", "Learns from pairs of a degraded and a clean image."),
    "inpaint": ("Fill in", "Fills in missing pixels from their surroundings."),
}
"""Name and explanation of each task."""


class TaskForms(QWidget):
    """Chooses the task, and shows its form.

    A form is created when its task is chosen for the first time.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    session : Session
        Whose models can be started from.

    Attributes
    ----------
    changed : Signal()
        Another task is chosen.
    edited : Signal()
        Another task is chosen, or a layer or a setting has changed.
    explained : Signal(str)
        A form says by itself why nothing can be trained as it is set.
    failed : Signal(object)
        What the user asked for cannot be done; a `NapariUnetError`.
    """

    changed = Signal()
    edited = Signal()
    explained = Signal(str)
    failed = Signal(object)

    def __init__(self, viewer: Viewer, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._session = viewer, session
        self.choice = ChoiceEdit([(task, name) for task, (name, _) in TASKS.items()])
        self.choice.setToolTip("What the network is trained to do.")
        self.choice.setAccessibleName("Task")
        self.about = QLabel()
        self.about.setProperty("unet", "faint")
        self.about.setWordWrap(True)
        self.segment = TrainForm(viewer, session)
        self._forms: dict[str, TaskForm] = {"segment": self.segment}
        self.current: TaskForm = self.segment
        self._head = QWidget()
        head = QVBoxLayout(self._head)
        head.setContentsMargins(10, 8, 10, 0)
        head.setSpacing(4)
        row = form_layout()
        row.addRow(RowLabel("Task"), self.choice)
        head.addLayout(row)
        head.addWidget(self.about)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        for part in (self._head, self.segment):
            self._layout.addWidget(part)
        self._connect(self.segment)
        self.changed.connect(self.edited)
        self.choice.valueChanged.connect(self._chosen)
        self._chosen()

    def show_running(self, running: bool, *, waiting: bool = False) -> None:
        """Hide the settings while a training runs; `waiting` as of the form of strokes."""
        self._head.setVisible(not running)
        self.current.show_running(running, waiting=waiting)

    def release(self) -> None:
        """Disconnect from the viewer."""
        for form in self._forms.values():
            form.release()

    def _chosen(self) -> None:
        task = self.choice.value()
        self.about.setText(TASKS[task][1])
        before, layers = self.current, self.current.image.layers()
        self.current = self._form(task)
        self.current.image.set_layers(layers)
        before.hide()
        self.current.show()
        self.changed.emit()

    def _form(self, task: Task) -> TaskForm:
        if task not in self._forms:
            form = self._forms[task] = ImageForm(self._viewer, task, self._session)
            self._connect(form)
            self._layout.addWidget(form)
        return self._forms[task]

    def _connect(self, form: TaskForm) -> None:
        form.failed.connect(self.failed)
        form.edited.connect(self.edited)
        form.explained.connect(self.explained)
