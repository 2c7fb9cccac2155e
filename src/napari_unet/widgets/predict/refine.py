"""Refining a result: live on the plane in view, then in the whole layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Qt, QTimer
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

from napari_unet.display import count
from napari_unet.errors import NapariUnetError
from napari_unet.model import ClassInfo
from napari_unet.postprocessing.options import RefineOptions
from napari_unet.widgets.forms.editors import ChoiceEdit, NumberEdit
from napari_unet.widgets.forms.model_form import ModelForm
from napari_unet.widgets.predict.refine_layer import (
    LayerLook,
    RefinableResult,
    RefinedLayer,
    look_at,
)
from napari_unet.widgets.qt.event_thread import EventRunner
from napari_unet.widgets.qt.style import Notice, guard_wheel

STEPS = 100
"""Steps of the slider."""

ALL = "All classes"


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
            self.editors[name].setSuffix(" voxels")

    def show_rows(self, *, stack: bool) -> None:
        """Show what matters as things are set; `stack`: whether there are planes to connect."""
        held = self.raw()
        one, objects = held["object_class"] is not None, held["output"] == "objects"
        wanted = {
            "threshold": one,
            "holes": one,
            "split": objects,
            "distance": objects and held["split"],
            "through_planes": stack,
        }
        rows = self._rows()
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


WAIT_MS = 100
"""How long it is waited for further changes."""


class RefinePanel(QWidget):
    """Makes other labels of the probabilities of a prediction, without predicting again.

    Settings show at once on the plane in view, written into the layer of the result; the rest of
    the layer stays until they are applied. What the user painted into a result is never written
    over: from then on there is a layer of its own.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the result is.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._result: RefinableResult | None = None
        self._target: RefinedLayer | None = None
        self._layer: Labels | None = None
        self._applied = RefineOptions()
        self._asked: tuple[RefinedLayer, RefineOptions, LayerLook] | None = None
        self._applying: RefineOptions | None = None
        self._due = self._set_anew = False
        self.previewer, self.applier = EventRunner(self), EventRunner(self)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self.form = RefineForm()
        self.apply = QPushButton("Apply to whole layer")
        self.reset, self.cancel = QPushButton("Reset"), QPushButton("Cancel")
        self.progress, self.line, self.notice = QProgressBar(), QLabel(), Notice()
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
            Bytes stand for 0 to 1 (`napari_unet.postprocessing.quantised.KeptProbabilities.array`).
        classes : sequence of ClassInfo
            In the order of the probabilities.
        spatial_ndim : {2, 3}
            How many of the layer's last axes the model looks at together.
        """
        self.clear()
        original = np.array(layer.data)
        spacing = tuple(abs(float(s)) for s in layer.scale)
        values = tuple(c.value for c in classes)
        self._result = RefinableResult(probabilities, original, values, spacing, spatial_ndim)
        self._layer, self._target = layer, RefinedLayer(layer, original)
        self.form.object_class.set_classes(classes)
        self.form.setValue(RefineOptions())
        self._applied = RefineOptions()
        self._follow(True)
        self._tell("")
        self._show_state()

    def clear(self) -> None:
        """Forget the result. What was applied stays, what was only a preview is taken back."""
        self._timer.stop()
        self.applier.stop()
        self._asked = self._applying = None
        if self._result is not None:
            self._follow(False)
        if self._target is not None:
            self._target.take_back()
            self._target.release()
        self._result = self._target = self._layer = None
        self.notice.say("")
        self._show_state()

    def release(self) -> None:
        """Stop, and follow the viewer no longer."""
        self.clear()
        self.previewer.abandon()
        self.applier.abandon()

    def options(self) -> RefineOptions | None:
        """Return what is set, None where it is out of its limits."""
        try:
            return self.form.value()
        except NapariUnetError:
            return None

    # The parts

    def _arrange(self) -> None:
        self.apply.setToolTip(
            "Do what is shown in this plane everywhere. It replaces the labels of the result's "
            "layer; if you have painted on that, it makes a new layer instead."
        )
        self.reset.setToolTip("Back to the likeliest class everywhere, as predicted.")
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
        self.apply.clicked.connect(self._apply_clicked)
        self.reset.clicked.connect(self._reset_clicked)
        self.cancel.clicked.connect(self._cancel_clicked)
        self._timer.timeout.connect(self._preview)
        self.previewer.happened.connect(self._show_preview)
        self.previewer.ended.connect(self._preview_again)
        self.applier.happened.connect(self._show_event)
        for runner in (self.previewer, self.applier):
            runner.failed.connect(self._failed)
        self.applier.ended.connect(self._apply_ended)

    def _follow(self, on: bool) -> None:
        """Follow what is in view, or do not."""
        dims, camera = self._viewer.dims.events, self._viewer.scene.camera.events
        for emitter in (dims.current_step, dims.ndisplay, dims.order, camera.center, camera.zoom):
            (emitter.connect if on else emitter.disconnect)(self._moved)
        removed = self._viewer.layers.events.removed
        (removed.connect if on else removed.disconnect)(self._layer_removed)

    def _tell(self, text: str) -> None:
        self.line.setText(text)
        self.line.setVisible(bool(text))

    def _show_state(self) -> None:
        """Show what can be set now, and what can be done."""
        result, running = self._result, self.applier.running
        self._content.setVisible(result is not None)
        self.form.setEnabled(not running)
        self.apply.setEnabled(not running and self.options() not in (None, self._applied))
        self.reset.setVisible(not running)
        self.cancel.setVisible(running)
        self.cancel.setEnabled(self._applying is not None)
        self.progress.setVisible(running)
        if result is None:
            self._tell("Predict an image first; then its result can be refined.")
            return
        self.form.show_rows(stack=result.spatial_ndim == 2 and result.original.ndim > 2)

    # What the user does

    def _choose_class(self) -> None:
        """Where objects are wanted of nobody knows what: those of the rarest class in view."""
        result, layer = self._result, self._layer
        wants = self.form.editors["output"].value() == "objects"
        if (
            result is None
            or layer is None
            or not wants
            or self.form.object_class.value() is not None
        ):
            return
        look = look_at(self._viewer, layer, result.spatial_ndim)
        if look is not None:
            found, voxels = np.unique(result.original[look.shown], return_counts=True)
            rare = [v for v in found[np.argsort(voxels)] if v in result.values and v != 0]
            self.form.object_class.setValue(int(rare[0]) if len(rare) > 0 else None)

    def _changed(self) -> None:
        self._show_state()
        if self._result is not None:
            self._set_anew = True
            self._timer.start()

    def _moved(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        if not self._timer.isActive():
            self._timer.start()

    def _layer_removed(self, event: Any) -> None:
        if self._target is None or event.value is not self._target.layer:
            return
        if event.value is self._layer:
            self.clear()
        else:  # a copy of ours; the next one begins from the result again
            self._target.release()
            assert self._layer is not None
            assert self._result is not None
            self._target = RefinedLayer(self._layer, self._result.original)
            self._target.edited = True

    def _reset_clicked(self) -> None:
        result, target = self._result, self._target
        if result is None or target is None:
            return
        self.form.setValue(RefineOptions())
        self._timer.stop()
        self._applied, self._asked, self._set_anew = RefineOptions(), None, False
        if target.edited:
            self.notice.say(f"“{target.layer.name}” was painted on and stays as it is.")
        else:
            target.commit(result.original, None)
        self._tell("")
        self._show_state()

    def _apply_clicked(self) -> None:
        from napari_unet.postprocessing.refine import refine_events

        options, result = self.options(), self._result
        if result is None or options is None or self.applier.running:
            return
        self._timer.stop()
        self._asked, self._applying = None, options
        self.notice.say("")
        self.progress.setRange(0, 1)
        self.progress.setValue(0)
        self._tell("Applying …")
        wanted = result.arguments(options)
        self.applier.start(
            lambda control: refine_events(result.probabilities, **wanted, control=control)
        )
        self._show_state()

    def _cancel_clicked(self) -> None:
        self.applier.stop()
        self._applying = None
        self._tell("Stopping …")
        self._show_state()

    # What the threads tell

    def _show_event(self, event: Any) -> None:
        from napari_unet.postprocessing.refine import PartRefined, Refined

        match event:
            case PartRefined():
                self.progress.setRange(0, event.parts)
                self.progress.setValue(event.done)
            case Refined() if self._applying is not None and event.complete:
                target = self._writable(new=True)
                assert target is not None
                target.commit(event.labels, self._applying)
                self._applied = self._applying
                objects = int(event.labels.max(initial=0))
                self._tell(_told("Applied to the whole layer", objects, self._applied))

    def _failed(self, error: NapariUnetError) -> None:
        self.notice.say(str(error), "error")

    def _apply_ended(self) -> None:
        if self._result is not None and self.line.text().endswith("…"):
            self._tell("" if self._applying else "Stopped; nothing was changed.")
        self._applying = None
        self._show_state()
        self._moved()

    def _preview(self) -> None:
        """Refine what is in view, unless it is what was applied."""
        options, result = self.options(), self._result
        if result is None or options is None or self.applier.running:
            return
        if options == self._applied:
            self._asked = None
            self._take_back()
            return
        if self.previewer.running:
            self._due = True
            return
        target = self._writable(new=self._set_anew)
        look = None if target is None else self._look(target, options)
        self._set_anew = False
        self._show_state()
        known = options == self._applied or (target, options, look) == self._asked
        if target is None or look is None or known:
            return
        self._asked = target, options, look
        self._start_preview(result, options, look)

    def _start_preview(
        self, result: RefinableResult, options: RefineOptions, look: LayerLook
    ) -> None:
        from napari_unet.postprocessing.refine import refine

        part = result.probabilities[(slice(None), *look.read)]
        wanted = result.arguments(options)
        self.previewer.start_call(lambda: refine(part, **wanted)[look.inside])

    def _show_preview(self, labels: NDArray[Any]) -> None:
        if self._asked is None:
            return
        target, options, look = self._asked
        if target is self._target and not target.edited and look == self._look(target, options):
            self.notice.say("")
            target.show(look.shown, labels, objects=options.output == "objects")
            what = "Preview of what is in view" if look.whole else "Preview of the middle"
            objects = int(np.count_nonzero(np.unique(labels)))
            self._tell(_told(what, objects, options))

    def _preview_again(self) -> None:
        if self._due:
            self._due = False
            self._preview()

    def _look(self, target: RefinedLayer, options: RefineOptions) -> LayerLook | None:
        assert self._result is not None
        return look_at(self._viewer, target.layer, self._result.ndim(options))

    def _take_back(self) -> None:
        assert self._target is not None
        self._target.take_back()
        if self.line.text().startswith("Preview"):
            self._tell("")

    def _writable(self, *, new: bool) -> RefinedLayer | None:
        """Return the layer to write into, a new one if the user painted on it and `new` is set."""
        target, result = self._target, self._result
        assert target is not None
        assert result is not None
        if not target.edited:
            return target
        if not new:
            return None
        target.release()
        self._target = target.copy(self._viewer, result.original)
        self._applied = RefineOptions()
        return self._target


def _told(what: str, objects: int, options: RefineOptions) -> str:
    """Return a line on what is shown, and of objects how many there are."""
    return f"{what}." if options.output == "classes" else f"{what}: {count(objects, 'object')}."
