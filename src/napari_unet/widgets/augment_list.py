"""A list of random changes: which are made, how strong, and to how many of the patches."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_unet.data.augment_options import CHANGES, AugmentOptions, Change
from napari_unet.widgets.editors import NumberEdit, SwitchEdit

SUFFIX = {"°": "°", "%": " %", "voxels": " voxels", "units": " units"}
UNITS = " With the usual normalisation one unit is the image's standard deviation."
CHANCE = "How many of the patches are changed like this; of the others nothing is."


class AmountEdit(NumberEdit):
    """A number from 0 to some limit, shown with its unit; parts of 1 are shown in percent.

    Parameters
    ----------
    most : float
        The limit; a larger number cannot be entered.
    unit : {"°", "%", "voxels", "units"}
        What it is told in.
    """

    def __init__(self, most: float, unit: str, parent: QWidget | None = None) -> None:
        self.factor = 100.0 if unit == "%" else 1.0
        super().__init__(low=0, high=most * self.factor, parent=parent)
        self.setRange(0, most * self.factor)
        self.setSuffix(SUFFIX[unit])
        self.setAlignment(Qt.AlignmentFlag.AlignRight)

    def amount(self) -> float:
        """Return the number, as a part of 1 where it is shown in percent."""
        return float(round(self.value() / self.factor, 12))

    def set_amount(self, amount: float) -> None:
        """Show another number."""
        self.setValue(amount * self.factor)


class ChangeRow:
    """The editors of one change.

    Parameters
    ----------
    name : str
        A field of `AugmentOptions`.

    Attributes
    ----------
    check : SwitchEdit
        Whether it is made at all.
    amount : AmountEdit or None
        How strong; None where it is only on or off.
    chance : AmountEdit
        To what part of the patches.
    """

    def __init__(self, name: Change) -> None:
        field = AugmentOptions.model_fields[name]
        extra: Any = field.json_schema_extra
        unit, self._tried = extra["unit"], extra["try"]
        tip = (field.description or "") + (UNITS if unit == "units" else "")
        self.name = name
        self.check = SwitchEdit(str(field.title))
        self.check.setToolTip(tip)
        self.amount = AmountEdit(_most(name), unit) if unit else None
        self.chance = AmountEdit(1, "%")
        self.chance.setToolTip(CHANCE)
        self.chance.setAccessibleName(f"{field.title}: chance")
        if self.amount is not None:
            self.amount.setToolTip(tip)
            self.amount.setAccessibleName(f"{field.title}: at most")
        self.check.toggled.connect(self._enable)

    @property
    def editors(self) -> list[Any]:
        """What can be edited."""
        return [self.check, *([self.amount] if self.amount else []), self.chance]

    def value(self) -> float:
        """Return how strong it is, 0 where it is off."""
        if not self.check.value():
            return 0
        return 1 if self.amount is None else self.amount.amount()

    def show(self, value: float, chance: float) -> None:
        """Show another strength and chance; what is off keeps something to be turned on with."""
        if self.amount is not None:
            self.amount.set_amount(value or self._tried)
        self.chance.set_amount(chance)
        self.check.setValue(bool(value))
        self._enable(bool(value))

    def _enable(self, on: bool) -> None:
        for editor in self.editors[1:]:
            editor.setEnabled(on)


class ChangeList(QWidget):
    """Edits `AugmentOptions`, one line per change."""

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._loading = False
        self.rows = {name: ChangeRow(name) for name in CHANGES}
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(10)
        layout.setVerticalSpacing(4)
        for column, text in enumerate(("Change", "At most", "Chance")):
            layout.addWidget(_faint(text), 0, column)
        for y, row in enumerate(self.rows.values(), start=1):
            layout.addWidget(row.check, y, 0)
            layout.addWidget(row.amount or _faint("each axis"), y, 1)
            layout.addWidget(row.chance, y, 2)
            for editor in row.editors:
                editor.valueChanged.connect(lambda *_: self._edited())
        self.setValue(AugmentOptions())

    def value(self) -> AugmentOptions:
        """Return what is set."""
        made = {name: row.value() for name, row in self.rows.items()}
        chance = {name: self.rows[name].chance.amount() for name, value in made.items() if value}
        return AugmentOptions.model_validate({**made, "chance": chance})

    def setValue(self, value: AugmentOptions) -> None:  # noqa: N802 - Qt's name
        """Show other options."""
        self._loading = True
        for name, row in self.rows.items():
            row.show(getattr(value, name), value.chance.get(name, 1.0))
        self._loading = False
        self.valueChanged.emit()

    def _edited(self) -> None:
        if not self._loading:
            self.valueChanged.emit()


def summary(options: AugmentOptions) -> str:
    """Return in a line what is changed.

    Examples
    --------
    >>> summary(AugmentOptions())
    'Mirror, rotate 180°, zoom 25 %, contrast 25 %, brightness 0.25'
    >>> summary(AugmentOptions.off().model_copy(update={"blur": 1, "chance": {"blur": 0.5}}))
    'Blur 1 voxels (50 %)'
    """
    made = options.made()
    parts = [_told(made, name) for name in CHANGES if getattr(made, name)]
    text = ", ".join(parts) or "none"
    return text[:1].upper() + text[1:]


def _told(options: AugmentOptions, name: Change) -> str:
    field, value = AugmentOptions.model_fields[name], getattr(options, name)
    extra: Any = field.json_schema_extra
    unit, chance = extra["unit"], options.chance.get(name, 1.0)
    shown = f" {value * (100 if unit == '%' else 1):.4g}" if unit else ""
    suffix = SUFFIX.get(unit, "") if unit != "units" else ""
    often = "" if chance == 1 else f" ({100 * chance:.3g} %)"
    return f"{str(field.title).lower()}{shown}{suffix}{often}"


def _most(name: Change) -> float:
    limits = AugmentOptions.model_fields[name].metadata
    return float(next(limit.le for limit in limits if hasattr(limit, "le")))


def _faint(text: str) -> QLabel:
    label = QLabel(text)
    label.setProperty("unet", "faint")
    return label
