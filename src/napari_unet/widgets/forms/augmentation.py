"""Augmentation in the form: a line that says what is set, and a dialog to set and see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QHideEvent, QResizeEvent, QShowEvent
from qtpy.QtWidgets import (
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.data.augment_options import CHANGES, AugmentOptions, Change
from napari_unet.widgets.forms.augmentation_preview import (
    AugmentationGallery,
    ReadPatch,
    built_in_patch,
)
from napari_unet.widgets.forms.editors import NumberEdit, SwitchEdit
from napari_unet.widgets.qt.style import Palette, heading, style_sheet
from napari_unet.workers.process import InProcessWorker, Worker

SUFFIX = {"°": "°", "%": " %", "pixels": " pixels", "units": " units"}
UNITS = " With the usual normalisation one unit is the image's standard deviation."
CHANCE = "Fraction of the patches that are changed like this."
"""Tooltip of the chance of a change."""


class AmountEdit(NumberEdit):
    """A number from 0 to a limit, shown with its unit; fractions are shown in percent.

    Parameters
    ----------
    most : float
        The limit; a larger number cannot be entered.
    unit : {"°", "%", "pixels", "units"}
        Unit that is shown.
    """

    def __init__(self, most: float, unit: str, parent: QWidget | None = None) -> None:
        self.factor = 100.0 if unit == "%" else 1.0
        super().__init__(low=0, high=most * self.factor, parent=parent)
        self.setRange(0, most * self.factor)
        self.setSuffix(SUFFIX[unit])
        self.setAlignment(Qt.AlignmentFlag.AlignRight)

    def amount(self) -> float:
        """Return the number, as a fraction if it is shown in percent."""
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
        """The editors of this row."""
        return [self.check, *([self.amount] if self.amount else []), self.chance]

    def value(self) -> float:
        """Return how strong it is, 0 if it is off."""
        if not self.check.value():
            return 0
        return 1 if self.amount is None else self.amount.amount()

    def show(self, value: float, chance: float) -> None:
        """Show another strength and chance.

        Parameters
        ----------
        value : float
            How strong the change is; 0 turns it off, and keeps a strength to turn it on with.
        chance : float
            Fraction of the patches that are changed.
        """
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
            layout.addWidget(row.check, y, 0, Qt.AlignmentFlag.AlignLeft)
            layout.addWidget(row.amount or _faint("each axis"), y, 1)
            layout.addWidget(row.chance, y, 2)
            for editor in row.editors:
                editor.valueChanged.connect(lambda *_: self._edited())
        self.per_channel = AmountEdit(1, "%")
        self._add_per_channel(layout)
        self.setValue(AugmentOptions())

    def value(self) -> AugmentOptions:
        """Return the options as they are set."""
        made = {name: row.value() for name, row in self.rows.items()}
        chance = {name: self.rows[name].chance.amount() for name, value in made.items() if value}
        separate = self.per_channel.amount()
        return AugmentOptions.model_validate({**made, "chance": chance, "per_channel": separate})

    def setValue(self, value: AugmentOptions) -> None:  # noqa: N802 - Qt's name
        """Show other options."""
        self._loading = True
        for name, row in self.rows.items():
            row.show(getattr(value, name), value.chance.get(name, 1.0))
        self.per_channel.set_amount(value.per_channel)
        self._enable_per_channel()
        self._loading = False
        self.valueChanged.emit()

    def _add_per_channel(self, layout: QGridLayout) -> None:
        """Add the line that is no change of its own: whether channels change together."""
        field = AugmentOptions.model_fields["per_channel"]
        name = QLabel(str(field.title))
        name.setToolTip(str(field.description))
        self.per_channel.setToolTip(str(field.description))
        self.per_channel.setAccessibleName(str(field.title))
        self.per_channel.valueChanged.connect(lambda *_: self._edited())
        layout.addWidget(name, layout.rowCount(), 0, 1, 2)
        layout.addWidget(self.per_channel, layout.rowCount() - 1, 2)
        for change in ("intensity", "brightness"):
            self.rows[change].check.toggled.connect(lambda *_: self._enable_per_channel())

    def _enable_per_channel(self) -> None:
        on = self.rows["intensity"].check.value() or self.rows["brightness"].check.value()
        self.per_channel.setEnabled(on)

    def _edited(self) -> None:
        if not self._loading:
            self.valueChanged.emit()


def summary(options: AugmentOptions) -> str:
    """Return the options as one line of text.

    Examples
    --------
    >>> summary(AugmentOptions())
    'Mirror, rotate 180°, zoom 25 %, contrast 25 %, brightness 0.25'
    >>> summary(AugmentOptions.off().model_copy(update={"blur": 1, "chance": {"blur": 0.5}}))
    'Blur 1 pixels (50 %)'
    >>> summary(AugmentOptions(flip=False, rotate_degrees=0, scale=0, per_channel=0.5))
    'Contrast 25 %, brightness 0.25, per channel (50 %)'
    """
    made = options.effective()
    parts = [_told(made, name) for name in CHANGES if getattr(made, name)]
    if made.per_channel and (made.intensity or made.brightness):
        parts.append(f"per channel ({100 * made.per_channel:.3g} %)")
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


WHY = (
    "Every training patch is changed at random each time it is used, so that the network "
    "learns to ignore such changes."
)


class AugmentDialog(QDialog):
    """Edits `AugmentOptions` beside examples of augmented patches.

    Parameters
    ----------
    source : callable
        See `AugmentationGallery`.
    worker : Worker
        See `AugmentationGallery`.
    palette : Palette
        The colours of the theme.

    Attributes
    ----------
    valueChanged : Signal()
        A setting has changed.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(
        self,
        source: Callable[[], ReadPatch],
        worker: Worker,
        palette: Palette,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Augmentation")
        self.wear(palette)
        self.list = ChangeList()
        self.caption = _wrapped("")
        self.pictures = AugmentationGallery(source, worker, self.caption.setText)
        self.none = _button("None", "Turn all changes off.")
        self.usual = _button("Defaults", "Set all changes to their defaults.")
        self.another = _button("Another eight", "Show another patch with other random changes.")
        self.shut = _button("Close", "Close the window; the settings are kept.")
        self._arrange()
        self.list.valueChanged.connect(self._changed)
        self.none.clicked.connect(lambda: self.list.setValue(AugmentOptions.off()))
        self.usual.clicked.connect(lambda: self.list.setValue(AugmentOptions()))
        self.another.clicked.connect(self.pictures.another)
        self.shut.clicked.connect(self.close)

    def value(self) -> AugmentOptions:
        """Return the options as they are set."""
        return self.list.value()

    def setValue(self, value: AugmentOptions) -> None:  # noqa: N802 - Qt's name
        """Show other options."""
        self.list.setValue(value)

    def wear(self, palette: Palette) -> None:
        """Use the colours of a theme."""
        self.setStyleSheet(
            style_sheet(palette) + f"QDialog {{ background: {palette.background}; }}"
            f"QLabel, QCheckBox {{ color: {palette.text}; }}"
        )

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw the examples."""
        super().showEvent(event)
        self.pictures.renew()

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802 - Qt's name
        """Stop drawing examples."""
        super().hideEvent(event)
        self.pictures.rest()

    def _changed(self) -> None:
        self.pictures.set_options(self.list.value())
        self.valueChanged.emit()

    def _arrange(self) -> None:
        left, right = QVBoxLayout(), QVBoxLayout()
        sides = QHBoxLayout()
        left.addWidget(heading("Changes"))
        left.addWidget(self.list)
        left.addLayout(_row(self.none, self.usual))
        left.addStretch()
        right.addWidget(heading("Eight samples"))
        right.addWidget(self.pictures, 1)
        right.addWidget(self.caption)
        right.addLayout(_row(None, self.another, self.shut))
        sides.addLayout(left)
        sides.addSpacing(16)
        sides.addLayout(right, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 12, 14, 12)
        layout.addWidget(_wrapped(WHY))
        layout.addLayout(sides, 1)


class Summary(QLabel):
    """A text as high as it needs to be, as a form gives a row the height of a single line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)

    def say(self, text: str) -> None:
        """Show another text."""
        self.setText(text)
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Use the height that the text has at this width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.setFixedHeight(self.heightForWidth(self.width()))


class AugmentEdit(QWidget):
    """Edits `AugmentOptions`: a line that says what is set, and a button for the dialog.

    Parameters
    ----------
    parent : QWidget, optional
        Its parent.

    Attributes
    ----------
    valueChanged : Signal()
        A setting has changed.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value = AugmentOptions()
        self._source: Callable[[], ReadPatch] = lambda: built_in_patch
        self._worker: Worker = InProcessWorker()
        self._theme: Callable[[], str] = lambda: "dark"
        self.dialog: AugmentDialog | None = None
        self.text = Summary()
        self.edit = QPushButton("Edit…")
        self.edit.clicked.connect(self.open)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 2, 0, 2)
        layout.setSpacing(2)
        layout.addWidget(self.text)
        layout.addWidget(self.edit)
        self._tell()

    def serve(
        self, source: Callable[[], ReadPatch], worker: Worker, theme: Callable[[], str]
    ) -> None:
        """Set what the dialog needs to show examples.

        Parameters
        ----------
        source : callable
            Returns where to read a patch.
        worker : Worker
            Computes the examples.
        theme : callable
            Returns the name of napari's theme.
        """
        self._source, self._worker = source, worker
        self._theme = theme

    def value(self) -> AugmentOptions:
        """Return the options as they are set."""
        return self._value

    def setValue(self, value: AugmentOptions) -> None:  # noqa: N802 - Qt's name
        """Show other options."""
        if self.dialog is not None:
            self.dialog.setValue(value)
        self._set(value)

    def renew(self) -> None:
        """Draw the examples anew if they are shown, as the image or the labels have changed."""
        if self.dialog is not None:
            self.dialog.pictures.renew()

    def open(self) -> None:
        """Open the dialog, which does not block the viewer."""
        if self.dialog is None:
            palette = Palette.of(self._theme())
            self.dialog = AugmentDialog(self._source, self._worker, palette, self)
            self.dialog.setValue(self._value)
            self.dialog.valueChanged.connect(self._edited)
        self.dialog.wear(Palette.of(self._theme()))
        self.dialog.show()
        self.dialog.raise_()

    def _edited(self) -> None:
        assert self.dialog is not None
        self._set(self.dialog.value())

    def _set(self, value: AugmentOptions) -> None:
        if value != self._value:
            self._value = value
            self._tell()
            self.valueChanged.emit()

    def _tell(self) -> None:
        self.text.say(summary(self._value))


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setAutoDefault(False)  # Enter ends the typing of a number, and no more
    return button


def _row(*buttons: QPushButton | None) -> QHBoxLayout:
    row = QHBoxLayout()
    for button in buttons:
        if button is None:
            row.addStretch()
        else:
            row.addWidget(button)
    return row


def _wrapped(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    label.setProperty("unet", "faint")
    return label
