"""An editor of several weights."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_unet.widgets.editors import NumberEdit
from napari_unet.widgets.form import form_layout
from napari_unet.widgets.words import named


class WeightsEdit(QWidget):
    """How much each of several things counts; 0 means not at all.

    Parameters
    ----------
    names : sequence of str
        The things.
    tip : str
        What they are.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(self, names: Sequence[str], tip: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.editors = {name: NumberEdit(low=0) for name in names}
        layout = form_layout(self)
        for name, editor in self.editors.items():
            editor.setToolTip(tip)
            editor.setAccessibleName(named(name))
            editor.valueChanged.connect(lambda _: self.valueChanged.emit())
            layout.addRow(named(name), editor)

    def value(self) -> dict[str, float]:
        """Return the weights that are not 0."""
        held = {name: editor.value() for name, editor in self.editors.items()}
        return {name: weight for name, weight in held.items() if weight}

    def setValue(self, value: dict[str, float]) -> None:  # noqa: N802 - Qt's name
        """Show other weights."""
        for name, editor in self.editors.items():
            editor.setValue(value.get(name, 0.0))
