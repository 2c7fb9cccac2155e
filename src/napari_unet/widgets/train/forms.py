"""What the forms of all tasks have in common: the image, and how to train on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from napari import Viewer
from qtpy.QtCore import QSize, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_unet.errors import InputError, NapariUnetError
from napari_unet.geometry.axes import AxisLayout, ChannelAxis
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.network_options import NetworkOptions
from napari_unet.tasks.options import Task, default_learning_rate, options_of
from napari_unet.tasks.plan import ImageShape, TrainingPlan
from napari_unet.widgets.forms.advanced import AdvancedSettings
from napari_unet.widgets.forms.channels import ChannelChooser
from napari_unet.widgets.forms.editors import BudgetEdit, ChoiceEdit
from napari_unet.widgets.forms.model_form import form_layout
from napari_unet.widgets.forms.network import NetworkEditor
from napari_unet.widgets.forms.pairs import PairsTable
from napari_unet.widgets.forms.reading import ReadingLine
from napari_unet.widgets.forms.region import TIP as REGION_TIP
from napari_unet.widgets.forms.region import RegionChooser
from napari_unet.widgets.layers.layer_data import RGBA, LayerData, array_shape, check_paired
from napari_unet.widgets.models import Session, StartChooser
from napari_unet.widgets.qt.style import Section, heading
from napari_unet.widgets.qt.text import sizes
from napari_unet.widgets.train.request import TrainRequest

TIPS = {
    "Region": REGION_TIP,
    "Image": "The image to train on: 2D or 3D, with or without time and channels, or RGB. Press + "
    "if each channel is a layer of its own.",
    "Start from": "Scratch: a new network. A model: the training continues from its weights.",
    "Network": "A larger network can learn more, but is slower. Custom: you set every layer.",
    "Budget": "Length of the training. “Stop” ends it early and keeps the model.",
}

GIVEN = "The model to start from decides this. Start from scratch to set it."
"""Tooltip of fields that a model to start from decides."""


CHANGE = "To change it, press Change, or set Dimensions below, or the channel axis under Advanced."
"""How the user changes how the image is read."""

PANEL = {"keep_history": True, "make_way": True}
"""Options that the panel begins with in place of the defaults."""

WIDEST = ("Dimensions", "Start from")
"""Labels that may be the widest of all rows."""


class TaskForm(QWidget):
    """The base of the forms of all tasks: what to train on, and how.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    task : str
        What is learned.
    dimensions : sequence of (int or None, str)
        The choices of the network's spatial dimensions, and how they are shown.
    tips : mapping
        Tooltips of the task's own fields.
    session : Session, optional
        Whose models can be started from; the viewer's if not given.

    Attributes
    ----------
    valueChanged : Signal()
        A layer, or a setting that is not in "Advanced", has changed.
    edited : Signal()
        A layer, or any setting, has changed.
    explained : Signal(str)
        The form says by itself why nothing can be trained as it is set.
    failed : Signal(object)
        What the user asked for cannot be done; a `NapariUnetError`.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming
    edited = Signal()
    explained = Signal(str)
    failed = Signal(object)
    pairs: PairsTable

    def __init__(
        self,
        viewer: Viewer,
        task: Task,
        dimensions: Sequence[tuple[int | None, str]],
        tips: Mapping[str, str],
        session: Session | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.task: Task = task
        self._options = options_of(task)
        self._continued = False
        self._tips = {**TIPS, **tips}
        self.image = ChannelChooser(viewer, "Open an image first")
        self.region = RegionChooser(viewer, self._region_target)
        self.ndim = ChoiceEdit(dimensions)
        self.start = StartChooser(session or Session.of(viewer), task)
        sizes = [(s, s.capitalize()) for s in ("small", "medium", "large")]
        self.net_size = ChoiceEdit([*sizes, ("custom", "Custom")])
        self.net_size.setValue("medium")
        self.budget = BudgetEdit()
        self.network = NetworkEditor()
        self.network.hide()
        self.advanced = AdvancedSettings(self.request, self._options(**PANEL))
        self.advanced_section = Section("Advanced", self.advanced)
        self.reading = ReadingLine(CHANGE)
        self._above, self._below = QWidget(), QWidget()
        self.net_size.valueChanged.connect(self._size_changed)
        self.start.valueChanged.connect(self._size_changed)
        self.start.valueChanged.connect(self._start_changed)
        self.start.failed.connect(self.failed)
        self.image.layerEdited.connect(self._changed)
        for source in (self.valueChanged, self.advanced.form.valueChanged):
            source.connect(self.edited)
        self.advanced_section.opened.connect(self.advanced.replan)
        self.advanced.planned.connect(self._show_reading)
        settings = (self.start, self.ndim, self.net_size, self.budget, self.network)
        for editor in (self.region, *settings):
            editor.valueChanged.connect(self._changed)

    def request(self) -> TrainRequest:
        """Return the training as it is set.

        Raises
        ------
        InputError
            Where a layer is missing, or a setting out of its range.
        """
        raise NotImplementedError

    def layers(self) -> list[tuple[Any, Any]]:
        """Return the image and what goes with it, pair by pair; None if nothing is chosen."""
        raise NotImplementedError

    def channels(self) -> list[tuple[Any, ...]]:
        """Return the layers of each image: one, or one for each channel."""
        return [self.image.layers(), *self.pairs.channels()]

    def names(self) -> dict[int, str]:
        """Return the names of classes by label value, as far as the user gave any."""
        return {}

    def colors(self) -> dict[int, RGBA]:
        """Return the colours of classes by label value."""
        return {}

    def restore(self, options: NetworkOptions, ndim: int | None = None) -> None:
        """Show the settings of an earlier training.

        Parameters
        ----------
        options : NetworkOptions
            Its options, of this task.
        ndim : int, optional
            Its spatial dimensions, where they were set.
        """
        self.advanced.form.setValue(options)
        budget = {name: getattr(options, name) for name in ("open_ended", "seconds", "steps")}
        set_here = {name: value for name, value in budget.items() if value}
        if set_here:
            self.budget.setValue(dict([next(iter(set_here.items()))]))
        if options.network is None:
            self.net_size.setValue(options.size)
        elif isinstance(options.network, UNetConfig):
            self.network.setValue(options.network)
            self.net_size.setValue("custom")
        if ndim is not None:
            self.ndim.setValue(ndim)

    def remember_settings(self, options: NetworkOptions) -> None:
        """Keep the settings of a training that began, where the task has a place for them."""

    def restore_layers(self, layers: Sequence[tuple[Any, ...]], channels: int = 1) -> None:
        """Choose the layers of an earlier training, pair by pair.

        Parameters
        ----------
        layers : sequence of tuple of Layer
            The layers of the channels of each image, and what goes with it.
        channels : int
            How many layers are the channels of an image.
        """
        raise NotImplementedError

    def show_running(self, running: bool, *, waiting: bool = False) -> None:  # noqa: ARG002
        """Hide the settings while a training runs, whether or not it waits."""
        self._above.setVisible(not running)
        self._below.setVisible(not running)
        self._replan()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Say how the image is read, as soon as the form is seen."""
        super().showEvent(event)
        self._replan()

    def release(self) -> None:
        """Disconnect from the viewer."""
        self.image.release()
        self.region.release()

    def _picture(self) -> LayerData:
        layers = self.image.complete()
        if not layers:
            raise InputError(
                "There is no image to train on",
                todo="Open one, or a sample: File > Open Sample > U-Net Live",
            )
        return LayerData.of_channels(layers)

    def value(self, image: LayerData, other: tuple[int, ...] | None) -> NetworkOptions:
        """Return all options as they are set.

        Parameters
        ----------
        image : LayerData
            The image, whose axes and spacing are options, too.
        other : tuple of int, optional
            The shape of what goes with it.

        Raises
        ------
        InputError
            Where one is out of its range, or the image has no such channel axis.
        """
        options = self.advanced.value(self._settings())
        if image.channel_names and options.channel_axis != "auto":
            raise InputError(
                "The channels are layers of their own, so there is no channel axis to set",
                got=f"channel axis {options.channel_axis}",
                todo="Set the channel axis under Advanced to auto, or choose a single layer",
            )
        spacing = image.spacing(image.channel(options.channel_axis, other))
        region = self.region.value()
        if region is not None:
            options = options.model_copy(update={"region": region.region.bounds})
        if region is not None and not image.channel_names:
            # The labels of a part have another shape: it cannot tell which axis holds channels.
            channel = image.channel(options.channel_axis, other)
            options = options.model_copy(update={"channel_axis": channel})
        layer = {
            "axes": image.axes,
            "rgb": image.rgb,
            "spacing": spacing,
            "channel_names": image.channel_names,
        }
        return options.model_copy(update=layer)

    def _region_target(self) -> tuple[Any, int | None]:
        """Return the image's layer, and its axis of channels; for the chooser of the region."""
        layer = self.image.layer()
        if layer is None or layer.rgb or len(self.image.layers()) > 1:
            return layer, None
        other = self.layers()[0][1]
        paired = None if other is None else array_shape(other)
        return layer, LayerData.of(layer).channel(self._channel_axis(), paired)

    def _settings(self) -> dict[str, Any]:
        """Return the options that are set outside of "Advanced"."""
        if self.start.value() is not None:
            return self.budget.value()
        if self.net_size.value() == "custom":
            return {**self.budget.value(), "network": self.network.value()}
        return {**self.budget.value(), "size": self.net_size.value()}

    def _channel_axis(self) -> ChannelAxis:
        """Return the axis of channels as it is set.

        Raises
        ------
        InputError
            Where a setting is out of its range.
        """
        return self.advanced.value().channel_axis

    def _ndim(self) -> Literal[2, 3] | None:
        """Return the network's dimensions; None if they follow from what is painted."""
        start = self.start.value()
        if start is not None:
            return start.config.ndim
        if self.net_size.value() == "custom":
            return self.network.value().ndim
        wanted: Literal[2, 3] | None = self.ndim.value()
        return wanted

    def _start_changed(self) -> None:
        """Show the learning rate that is usual with and without a model to go on from.

        One that the user has set is left as it is.
        """
        continued = self.start.value() is not None
        if continued == self._continued:
            return
        rate = default_learning_rate(self._options, continued=continued)
        self.advanced.form.change_default("learning_rate", rate)
        self._continued = continued

    def _replan(self) -> None:
        """Plan anew, if that is seen."""
        self.advanced.replan(hidden=self._above.isVisible())

    def _show_reading(self, plan: TrainingPlan | NapariUnetError | None) -> None:
        """Say how the image is read, or why it cannot be.

        Parameters
        ----------
        plan : TrainingPlan, NapariUnetError or None
            The plan of the training, or why there is none; None where a layer is not chosen yet.
        """
        self.reading.set_layers(self.image.layers())
        try:
            picture = self._picture() if self.image.layers() else None
            if picture is None:
                self.reading.show_text("")
            elif isinstance(plan, NapariUnetError):
                self.reading.show_problem(str(plan))
                self.explained.emit(str(plan))
            elif plan is not None and self._is_of_plan(picture, plan):
                more = map(LayerData.of_channels, filter(None, self.channels()[1:]))
                self.reading.show_layout(
                    picture, plan.layouts[0], list(zip(more, plan.layouts[1:], strict=False))
                )
                self.reading.set_details(_details(plan))
            else:
                self._check_places()
                self.reading.show_layout(picture, self._layout_alone(picture))
        except InputError as error:
            self.reading.show_problem(str(error))
            self.explained.emit(str(error))

    def _check_places(self) -> None:
        """Check that what goes with the image lies upon it, if that is chosen.

        Raises
        ------
        InputError
            Where it does not.
        """
        _, other = self.layers()[0]
        layers = self.image.layers()
        if layers and other is not None:
            check_paired(layers, other)

    def _layout_alone(self, picture: LayerData) -> AxisLayout:
        """Return how an image is read as long as nothing that goes with it is chosen."""
        ndim = self._ndim() or 2
        return ImageShape.of(picture.data.shape, ndim, self.value(picture, None)).layout

    def _is_of_plan(self, picture: LayerData, plan: TrainingPlan) -> bool:
        """Tell whether a plan is one of this image, or of a part of it."""
        shape, planned = tuple(picture.data.shape), plan.images[0].shape
        if self.region.combo.layer() is None or len(shape) != len(planned):
            return shape == planned
        return all(part <= whole for part, whole in zip(planned, shape, strict=True))

    def _changed(self) -> None:
        self.region.refresh()
        self._replan()
        self.valueChanged.emit()

    def _size_changed(self) -> None:
        """Disable the settings of the network if a model to start from decides them."""
        fresh, custom = self.start.value() is None, self.net_size.value() == "custom"
        self.network.setVisible(custom)
        self.net_size.setEnabled(fresh)
        self.network.setEnabled(fresh)
        self.ndim.setEnabled(fresh and not custom)
        for name, editor in (("Network", self.net_size), ("Dimensions", self.ndim)):
            editor.setToolTip(self._tips[name] if fresh else GIVEN)
        self.network.setToolTip("" if fresh else GIVEN)

    def _place(
        self,
        data: QFormLayout,
        learning: QFormLayout,
        pairs: QWidget,
        stays: QWidget | None = None,
    ) -> None:
        """Arrange the form; the widget `stays` is shown while a training runs, too."""
        above, below = QVBoxLayout(self._above), QVBoxLayout(self._below)
        layout = QVBoxLayout(self)
        for part in (above, below):
            part.setContentsMargins(0, 0, 0, 0)
            part.setSpacing(4)
        layout.setContentsMargins(10, 4, 10, 4)
        layout.setSpacing(4)
        above.addWidget(heading("Train on"))
        above.addLayout(data)
        above.addWidget(self.reading)
        below.addWidget(pairs)
        below.addWidget(heading("How to train"))
        below.addLayout(learning)
        below.addWidget(self.network)
        below.addWidget(self.advanced_section)
        for widget in filter(None, (self._above, stays, self._below)):
            layout.addWidget(widget)

    def _rows(self, fields: dict[str, QWidget]) -> QFormLayout:
        rows = form_layout()
        for text, editor in fields.items():
            label = RowLabel(text)
            for widget in (label, editor):
                widget.setToolTip(self._tips[text])
            editor.setAccessibleName(text.replace("\n", " "))
            rows.addRow(label, editor)
        return rows


def _details(plan: TrainingPlan) -> str:
    """Return what a training reads at each step, in words."""
    unit = "pixels" if plan.ndim == 2 else "voxels"
    size = sizes(plan.input_shape)
    return f"At each step the network reads {plan.batch_size} patches of {size} {unit}."


class RowLabel(QLabel):
    """A field's label; all are as wide as the widest, so that the fields are aligned."""

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the size of the label with the widest text."""
        width, hint = self.fontMetrics().horizontalAdvance, super().sizeHint()
        more = max(map(width, WIDEST)) - max(map(width, self.text().split("\n")))
        return QSize(hint.width() + max(0, more), hint.height())
