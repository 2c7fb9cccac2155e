"""Editors of single values: each has ``value()``, ``setValue()`` and ``valueChanged``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLineEdit,
    QWidget,
)

from napari_unet.fields import AUTOMATIC, FieldDescription
from napari_unet.widgets.qt.style import guard_wheel
from napari_unet.widgets.qt.text import named

HUGE = 1e15
"""Limit of numbers that have none."""

DIGITS = 30
"""Decimals that a box keeps, so that a value which it shows rounded is returned unrounded."""


class NumberEdit(QDoubleSpinBox):
    """A number, whole or not.

    Any number can be typed; `low` and `high` only limit the arrows. The model that the value goes
    into refuses what is out of range, with a reason.

    Parameters
    ----------
    whole : bool
        Whether it is a whole number.
    low, high : float
        Where the arrows end.
    """

    def __init__(
        self,
        *,
        whole: bool = False,
        low: float = -HUGE,
        high: float = HUGE,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.whole = whole
        self.low = low
        self.high = high
        self.setRange(-HUGE, HUGE)
        self.setDecimals(0 if whole else DIGITS)
        self.setKeyboardTracking(False)
        self.setCorrectionMode(QAbstractSpinBox.CorrectionMode.CorrectToPreviousValue)
        guard_wheel(self)

    def value(self) -> Any:
        """Return the number, an `int` if it is a whole one."""
        return int(super().value()) if self.whole else super().value()

    def setValue(self, val: float) -> None:  # noqa: N802 - Qt's name
        """Set the number."""
        super().setValue(float(val))

    def textFromValue(self, v: float) -> str:  # noqa: N802 - Qt's name
        """Return the text that is shown: at most four significant digits."""
        return f"{int(v)}" if self.whole else f"{v:.4g}"

    def valueFromText(self, text: str | None) -> float:  # noqa: N802 - Qt's name
        """Return the number that a text stands for."""
        plain = self._plain(text)
        return super().value() if plain == self.textFromValue(super().value()) else float(plain)

    def validate(self, text: str | None, pos: int) -> tuple[QValidator.State, str, int]:
        """Accept whatever Python reads as a number.

        Parameters
        ----------
        text : str
            What is typed.
        pos : int
            Position of the cursor, which is returned as it is.
        """
        plain = self._plain(text)
        try:
            fits = abs(float(plain)) <= HUGE and (not self.whole or float(plain).is_integer())
        except ValueError:
            fits = False
        good, unready = QValidator.State.Acceptable, QValidator.State.Intermediate
        return good if fits else unready, text or "", pos

    def stepBy(self, steps: int) -> None:  # noqa: N802 - Qt's name
        """Go up or down, by one or by a tenth of the number's size, not beyond the limits."""
        now = super().value()
        size = 1.0 if self.whole else 10.0 ** int(f"{now or 0.1:e}".partition("e")[2]) / 10
        wanted = float(f"{now + steps * max(size, 1e-6):.6g}")
        self.setValue(min(max(wanted, self.low), self.high))

    def _plain(self, text: str | None) -> str:
        return (text or "").removeprefix(self.prefix()).removesuffix(self.suffix()).strip()


class ChoiceEdit(QComboBox):
    """One of several values.

    Parameters
    ----------
    choices : sequence of (object, str)
        The values, and how they are shown.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(self, choices: Sequence[tuple[Any, str]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._values = [value for value, _ in choices]
        self.addItems([text for _, text in choices])
        self.setMinimumContentsLength(6)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.currentIndexChanged.connect(lambda _: self.valueChanged.emit())
        guard_wheel(self)

    def value(self) -> Any:
        """Return the chosen value."""
        return self._values[self.currentIndex()]

    def setValue(self, value: object) -> None:  # noqa: N802 - Qt's name
        """Choose a value."""
        self.setCurrentIndex(self._values.index(value))


class SwitchEdit(QCheckBox):
    """A switch that is on or off."""

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.toggled.connect(lambda _: self.valueChanged.emit())

    def value(self) -> bool:
        """Return whether it is on."""
        return self.isChecked()

    def setValue(self, value: bool) -> None:  # noqa: N802 - Qt's name
        """Turn it on or off."""
        self.setChecked(bool(value))


class TextEdit(QLineEdit):
    """A value written as text.

    Parameters
    ----------
    read : callable
        Turns the text into the value; the model that the value goes into refuses nonsense.
    write : callable
        Turns the value into text.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(
        self,
        read: Callable[[str], Any],
        write: Callable[[Any], str],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._read, self._write = read, write
        self.textChanged.connect(lambda _: self.valueChanged.emit())

    def value(self) -> Any:
        """Return what the text stands for."""
        return self._read(self.text())

    def setValue(self, value: Any) -> None:  # noqa: N802 - Qt's name
        """Write another value."""
        self.setText(self._write(value))
        self.setCursorPosition(0)


class OptionalEdit(QWidget):
    """A value that may be None: a check box, and beside it the editor, or what None means.

    Parameters
    ----------
    editor : QWidget
        The editor of the value.
    proposal : object
        What the editor begins with.
    empty : str
        What None means, such as "automatic".
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(
        self, editor: Any, proposal: Any, empty: str = AUTOMATIC, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.check = SwitchEdit(empty)
        self.editor = editor
        self._empty = empty
        editor.setValue(proposal)
        editor.hide()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.check)
        layout.addWidget(editor, 1)
        self.check.toggled.connect(self._show_editor)
        self.check.valueChanged.connect(self.valueChanged)
        editor.valueChanged.connect(lambda *_: self.valueChanged.emit())

    def value(self) -> Any:
        """Return the value; None if it is not set."""
        return self.editor.value() if self.check.value() else None

    def setValue(self, value: Any) -> None:  # noqa: N802 - Qt's name
        """Set a value, or None."""
        if value is not None:
            self.editor.setValue(value)
        self.check.setValue(value is not None)

    def setToolTip(self, tip: str | None) -> None:  # noqa: N802 - Qt's name
        """Explain the value, and the box that sets it."""
        super().setToolTip(tip)
        self.check.setToolTip(f"{tip}\nTick to set a value; not ticked: {self._empty}.")

    def _show_editor(self, on: bool) -> None:
        self.check.setText("" if on else self._empty)
        self.editor.setVisible(on)


def literal_choices(field: FieldDescription) -> list[tuple[Any, str]]:
    """Return the choices of a field with texts to show."""
    return [(value, field.labels.get(value) or named(value)) for value in field.choices]


TIMES = {30: "30 s", 60: "1 min", 120: "2 min", 300: "5 min", 600: "10 min"}
"""Lengths of a training, in seconds, that are offered."""

SECONDS = "seconds"
"""Option of a length in seconds, and choice of one that is not among `TIMES`."""

STEPS = "steps"
"""Option and choice of a length in steps."""

OPEN = "open_ended"
"""Option and choice of a training that has no end."""


class BudgetEdit(QWidget):
    """Chooses the length of a training: a time, a number of steps, or until it is stopped."""

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        ends: list[tuple[int | str, str]] = [(SECONDS, "Time"), (STEPS, "Steps")]
        choices: list[tuple[int | str, str]] = [(OPEN, "Until I stop"), *TIMES.items(), *ends]
        self.choice = ChoiceEdit(choices)
        self.number = NumberEdit(whole=True, low=1)
        self.choice.setMinimumContentsLength(4)  # so that both fit beside a label
        self.number.setMinimumWidth(70)  # its own is for the largest number that there is
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
        """Show another budget, in the form that `value` returns."""
        ((kind, number),) = value.items()
        if kind == SECONDS and number in TIMES:
            self.choice.setValue(number)
            return
        self.choice.setValue(kind)
        if kind != OPEN:
            self.number.setValue(number)

    def _chosen(self) -> None:
        chosen = self.choice.value()
        counted = chosen in (SECONDS, STEPS)
        if counted:
            self.number.setSuffix(" s" if chosen == SECONDS else "")
            self.number.setValue(900 if chosen == SECONDS else 500)
        self.number.setVisible(counted)
        self.valueChanged.emit()
