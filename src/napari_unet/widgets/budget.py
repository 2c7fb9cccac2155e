"""How long to train."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_unet.widgets.editors import ChoiceEdit, NumberEdit

TIMES = {30: "30 s", 60: "1 min", 120: "2 min", 300: "5 min", 600: "10 min"}
OTHER, STEPS = "seconds", "steps"


class BudgetEdit(QWidget):
    """Chooses a time or a number of steps."""

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        choices: list[tuple[int | str, str]] = [*TIMES.items(), (OTHER, "Time"), (STEPS, "Steps")]
        self.choice = ChoiceEdit(choices)
        self.number = NumberEdit(whole=True, low=1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.choice, 1)
        layout.addWidget(self.number, 1)
        self.choice.valueChanged.connect(self._chosen)
        self.number.valueChanged.connect(lambda _: self.valueChanged.emit())
        self.choice.setValue(60)
        self._chosen()

    def value(self) -> dict[str, int]:
        """Return ``{"seconds": n}`` or ``{"steps": n}``."""
        chosen = self.choice.value()
        return {chosen: self.number.value()} if isinstance(chosen, str) else {"seconds": chosen}

    def setValue(self, value: dict[str, int]) -> None:  # noqa: N802 - Qt's name
        """Show another budget."""
        ((kind, number),) = value.items()
        if kind == OTHER and number in TIMES:
            self.choice.setValue(number)
            return
        self.choice.setValue(kind)
        self.number.setValue(number)

    def _chosen(self) -> None:
        chosen = self.choice.value()
        if isinstance(chosen, str):
            self.number.setSuffix(" s" if chosen == OTHER else "")
            self.number.setValue(900 if chosen == OTHER else 500)
        self.number.setVisible(isinstance(chosen, str))
        self.valueChanged.emit()
