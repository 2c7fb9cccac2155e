"""The form in which it is set how probabilities become labels."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from napari_unet.model import ClassInfo
from napari_unet.refinement.options import RefineOptions
from napari_unet.widgets.editors import ChoiceEdit, NumberEdit, guard_wheel
from napari_unet.widgets.form import ModelForm

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
