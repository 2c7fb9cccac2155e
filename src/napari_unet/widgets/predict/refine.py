"""The panel that refines a result: live on the plane in view, then in the whole layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_unet.display import voxels
from napari_unet.errors import NapariUnetError
from napari_unet.model import ClassInfo
from napari_unet.postprocessing.options import RefineOptions
from napari_unet.widgets.forms.editors import ChoiceEdit, NumberEdit
from napari_unet.widgets.forms.model_form import ModelForm
from napari_unet.widgets.predict.refine_layer import RefinableResult, RefineSession
from napari_unet.widgets.predict.refine_preview import RefinePreview, sentence
from napari_unet.widgets.qt.event_thread import EventRunner
from napari_unet.widgets.qt.style import Notice, guard_wheel
from napari_unet.widgets.qt.subscriptions import Subscriptions

STEPS = 100
"""Steps of the slider."""

ALL = "All classes"
"""Text of the choice of no class."""


class ClassChooser(ChoiceEdit):
    """One of the classes of a model, or all of them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__([(None, ALL)], parent)

    def set_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Offer other classes; none is chosen."""
        with QSignalBlocker(self):
            self.clear()
            self._values = [None, *(c.value for c in classes)]
            self.addItems([ALL, *map(str, classes)])


class RefineForm(ModelForm[RefineOptions]):
    """Edits `RefineOptions`, with the classes by their names and a slider for the threshold."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(RefineOptions, exclude={"object_class"}, parent=parent)
        self.object_class = ClassChooser()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self._add_class()
        self._add_slider(self.editors["threshold"])
        for name in ("smallest", "holes", "distance"):
            self.editors[name].setSuffix(" pixels")

    def show_rows(self, *, stack: bool, spatial_ndim: int) -> None:
        """Show the rows that have an effect with the present settings.

        Parameters
        ----------
        stack : bool
            Whether the result is a stack of planes, which can be connected.
        spatial_ndim : {2, 3}
            Spatial dimensions of the result.
        """
        values = self.raw()
        has_class, objects = values["object_class"] is not None, values["output"] == "objects"
        wanted = {
            "threshold": has_class,
            "holes": has_class,
            "split": objects,
            "distance": objects and values["split"],
            "through_planes": stack,
        }
        rows = self._rows()
        volumes = values["through_planes"] if stack else spatial_ndim > 2
        for name in ("smallest", "holes", "distance"):
            self.editors[name].setSuffix(f" {voxels(3 if volumes else 2)}")
        for name, visible in wanted.items():
            box = self.editors[name].parentWidget()
            for part in (rows.labelForField(box), box):
                if part is not None:
                    part.setVisible(visible)

    def _rows(self) -> QFormLayout:
        rows = self.layout()
        assert isinstance(rows, QFormLayout)
        return rows

    def _add_class(self) -> None:
        label, chooser = QLabel("Class"), self.object_class
        for part in (label, chooser):
            part.setToolTip(RefineOptions.model_fields["object_class"].description or "")
        chooser.setAccessibleName("Class")
        chooser.valueChanged.connect(self._edited)
        self._rows().insertRow(1, label, chooser)
        self.editors["object_class"] = chooser

    def _add_slider(self, editor: NumberEdit) -> None:
        """Put a slider beside a number between 0 and 1."""
        box = editor.parentWidget()
        inside = None if box is None else box.layout()
        assert isinstance(inside, QVBoxLayout)
        row = QHBoxLayout()
        row.addWidget(self.slider, 1)
        row.addWidget(editor)
        inside.insertLayout(0, row)
        editor.setMaximumWidth(72)
        self.slider.setRange(0, STEPS)
        self.slider.setToolTip(editor.toolTip())
        self.slider.setAccessibleName(editor.accessibleName())
        guard_wheel(self.slider)
        self.slider.valueChanged.connect(lambda step: editor.setValue(step / STEPS))
        editor.valueChanged.connect(lambda _: self._show_number(editor))
        self._show_number(editor)

    def _show_number(self, editor: NumberEdit) -> None:
        with QSignalBlocker(self.slider):
            self.slider.setValue(round(STEPS * editor.value()))


class RefinePanel(QWidget):
    """Makes other labels from the probabilities of a prediction, without predicting again.

    Settings show at once on the plane in view, written into the layer of the result; the rest of
    the layer stays until they are applied. What the user painted into a result is never
    overwritten: from then on there is another layer.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the result is.

    Attributes
    ----------
    form : RefineForm
        The settings.
    preview : RefinePreview
        Refines what is in view.
    applier : EventRunner
        The thread that refines the whole layer.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session: RefineSession | None = None
        self._applying: RefineOptions | None = None
        self._subscriptions = Subscriptions()
        self.applier = EventRunner(self)
        self.preview = RefinePreview(viewer, self._to_preview, self)
        self.form = RefineForm()
        self.apply = QPushButton("Apply to whole layer")
        self.reset = QPushButton("Reset")
        self.cancel = QPushButton("Cancel")
        self.progress = QProgressBar()
        self.line = QLabel()
        self.notice = Notice()
        self._content = QWidget()
        self._arrange()
        self._connect()
        self._show_state()

    def set_result(
        self,
        layer: Labels,
        probabilities: NDArray[Any],
        classes: Sequence[ClassInfo],
        spatial_ndim: int,
    ) -> None:
        """Take a finished prediction; all settings go back to what gives its labels.

        Parameters
        ----------
        layer : Labels
            The result, in the viewer; its labels are the likeliest classes.
        probabilities : ndarray of uint8 or float32, shape (class, *layer shape)
            Bytes stand for 0 to 1
            (`napari_unet.postprocessing.quantised.QuantisedProbabilities.array`).
        classes : sequence of ClassInfo
            In the order of the probabilities.
        spatial_ndim : {2, 3}
            How many of the layer's last axes are spatial axes of the model.
        """
        self.clear()
        spacing = tuple(abs(float(s)) for s in layer.scale)
        values = tuple(c.value for c in classes)
        original = np.array(layer.data)
        result = RefinableResult(probabilities, original, values, spacing, spatial_ndim)
        self._session = RefineSession(self._viewer, layer, result)
        self.form.object_class.set_classes(classes)
        self.form.setValue(RefineOptions())
        self.preview.follow(self._session)
        self._subscriptions.connect(self._layer_removed, self._viewer.layers.events.removed)
        self._say("")
        self._show_state()

    def clear(self) -> None:
        """Forget the result. What was applied stays, what was only a preview is taken back."""
        self.preview.end()
        self._subscriptions.release()
        self.applier.stop()
        self._applying = None
        if self._session is not None:
            self._session.release()
        self._session = None
        self.notice.say("")
        self._show_state()

    def rest(self) -> None:
        """Take the preview back; what was applied stays."""
        self.preview.cancel()
        if self._session is not None:
            self._session.target.take_back()

    def release(self) -> None:
        """Stop at once, and disconnect from the viewer."""
        self.clear()
        self.preview.runner.abandon()
        self.applier.abandon()

    def options(self) -> RefineOptions | None:
        """Return what is set, None where it is out of its limits."""
        try:
            return self.form.value()
        except NapariUnetError:
            return None

    def _to_preview(self) -> RefineOptions | None:
        return None if self.applier.running else self.options()

    def _arrange(self) -> None:
        self.apply.setToolTip(
            "Apply these settings to the whole layer. This replaces the labels of the result; if "
            "you have painted on them, it makes a new layer instead."
        )
        self.reset.setToolTip("Go back to the most probable class everywhere, as predicted.")
        self.cancel.setToolTip("Stop; nothing is changed.")
        buttons = QHBoxLayout()
        for button, stretch in ((self.apply, 3), (self.reset, 1), (self.cancel, 1)):
            buttons.addWidget(button, stretch)
        self.progress.setTextVisible(False)
        self.line.setWordWrap(True)
        inside, layout = QVBoxLayout(self._content), QVBoxLayout(self)
        for box in (inside, layout):
            box.setContentsMargins(0, 0, 0, 0)
            box.setSpacing(5)
        inside.addWidget(self.form)
        inside.addLayout(buttons)
        inside.addWidget(self.progress)
        for part in (self._content, self.line, self.notice):
            layout.addWidget(part)

    def _connect(self) -> None:
        self.form.editors["output"].valueChanged.connect(self._choose_class)
        self.form.valueChanged.connect(self._changed)
        self.apply.clicked.connect(self._apply)
        self.reset.clicked.connect(self._reset)
        self.cancel.clicked.connect(self._cancel)
        self.preview.shown.connect(self._say_preview)
        self.preview.removed.connect(self._say_no_preview)
        self.preview.layerChanged.connect(self._show_state)
        self.applier.happened.connect(self._show_event)
        for runner in (self.preview.runner, self.applier):
            runner.failed.connect(self._show_problem)
        self.applier.ended.connect(self._end_applying)

    def _say(self, text: str) -> None:
        self.line.setText(text)
        self.line.setVisible(bool(text))

    def _say_preview(self, text: str) -> None:
        self.notice.say("")
        self._say(text)

    def _say_no_preview(self) -> None:
        if self.line.text().startswith("Preview"):
            self._say("")

    def _show_problem(self, error: NapariUnetError) -> None:
        self.notice.say(str(error), "error")

    def _show_state(self) -> None:
        """Show what can be set now, and what can be done."""
        session, running = self._session, self.applier.running
        applied = RefineOptions() if session is None else session.applied
        self._content.setVisible(session is not None)
        self.form.setEnabled(not running)
        self.apply.setEnabled(not running and self.options() not in (None, applied))
        self.reset.setVisible(not running)
        self.cancel.setVisible(running)
        self.cancel.setEnabled(self._applying is not None)
        self.progress.setVisible(running)
        if session is None:
            self._say("Predict an image first; then you can refine its result.")
            return
        result = session.result
        stack = result.spatial_ndim == 2 and result.original.ndim > 2
        self.form.show_rows(stack=stack, spatial_ndim=result.spatial_ndim)

    def _choose_class(self) -> None:
        """Choose the rarest class in view, where objects are wanted and no class is chosen."""
        wants_objects = self.form.editors["output"].value() == "objects"
        chosen = self.form.object_class.value()
        if self._session is not None and wants_objects and chosen is None:
            self.form.object_class.setValue(self._session.rarest_in_view())

    def _changed(self) -> None:
        self.notice.say("")
        self._show_state()
        if self._session is not None:
            self.preview.options_changed()

    def _layer_removed(self, event: Any) -> None:
        if self._session is not None and self._session.is_gone_with(event.value):
            self.clear()

    def _reset(self) -> None:
        session = self._session
        if session is None:
            return
        self.form.setValue(RefineOptions())
        self.preview.cancel()
        if not session.reset():
            self.notice.say(f"“{session.target.layer.name}” was edited and is not changed.")
        self._say("")
        self._show_state()

    def _apply(self) -> None:
        from napari_unet.postprocessing.refine import refine_events

        options, session = self.options(), self._session
        if session is None or options is None or self.applier.running:
            return
        self.preview.cancel()
        self._applying = options
        self.notice.say("")
        self.progress.setRange(0, 1)
        self.progress.setValue(0)
        self._say("Applying …")
        probabilities, arguments = session.result.probabilities, session.result.arguments(options)
        self.applier.start(
            lambda control: refine_events(probabilities, **arguments, control=control)
        )
        self._show_state()

    def _cancel(self) -> None:
        self.applier.stop()
        self._applying = None
        self._say("Stopping …")
        self._show_state()

    def _show_event(self, event: Any) -> None:
        from napari_unet.postprocessing.refine import PartRefined, Refined

        match event:
            case PartRefined():
                self.progress.setRange(0, event.parts)
                self.progress.setValue(event.done)
            case Refined() if self._applying is not None and event.complete:
                assert self._session is not None
                self._session.apply(event.labels, self._applying)
                objects = int(event.labels.max(initial=0))
                self._say(sentence("Applied to the whole layer", objects, self._applying))

    def _end_applying(self) -> None:
        if self._session is not None and self.line.text().endswith("…"):
            self._say("" if self._applying else "Stopped; nothing was changed.")
        self._applying = None
        self._show_state()
        self.preview.update_soon()
