"""How long to train."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_unet.widgets.forms.editors import ChoiceEdit, NumberEdit

TIMES = {30: "30 s", 60: "1 min", 120: "2 min", 300: "5 min", 600: "10 min"}
OTHER, STEPS, OPEN = "seconds", "steps", "open_ended"


class BudgetEdit(QWidget):
    """Chooses a time, a number of steps, or no end."""

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        ends: list[tuple[int | str, str]] = [(OTHER, "Time"), (STEPS, "Steps")]
        choices: list[tuple[int | str, str]] = [(OPEN, "Until I stop"), *TIMES.items(), *ends]
        self.choice = ChoiceEdit(choices)
        self.number = NumberEdit(whole=True, low=1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.choice, 1)
        layout.addWidget(self.number, 1)
        self.choice.valueChanged.connect(self._chosen)
        self.number.valueChanged.connect(lambda _: self.valueChanged.emit())
        self.choice.setValue(OPEN)
        self._chosen()

    def value(self) -> dict[str, int]:
        """Return ``{"seconds": n}``, ``{"steps": n}`` or ``{"open_ended": True}``."""
        chosen = self.choice.value()
        if chosen == OPEN:
            return {OPEN: True}
        return {chosen: self.number.value()} if isinstance(chosen, str) else {"seconds": chosen}

    def setValue(self, value: dict[str, int]) -> None:  # noqa: N802 - Qt's name
        """Show another budget."""
        ((kind, number),) = value.items()
        if kind == OTHER and number in TIMES:
            self.choice.setValue(number)
            return
        self.choice.setValue(kind)
        if kind != OPEN:
            self.number.setValue(number)

    def _chosen(self) -> None:
        chosen = self.choice.value()
        counted = chosen in (OTHER, STEPS)
        if counted:
            self.number.setSuffix(" s" if chosen == OTHER else "")
            self.number.setValue(900 if chosen == OTHER else 500)
        self.number.setVisible(counted)
        self.valueChanged.emit()
