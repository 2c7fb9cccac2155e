"""Augmentation in the form: what is set in a line, and a dialog to set it and to see it."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Signal
from qtpy.QtGui import QHideEvent, QResizeEvent, QShowEvent
from qtpy.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.data.augment_options import AugmentOptions
from napari_unet.process.worker import Here, Worker
from napari_unet.widgets.augment_list import ChangeList, summary
from napari_unet.widgets.augment_pictures import SamplePictures
from napari_unet.widgets.parts import heading, style_sheet
from napari_unet.widgets.sample_patch import PatchSource
from napari_unet.widgets.theme import Palette

WHY = (
    "Every patch is changed at random before it is learned from, each time anew: so the network "
    "learns what does not matter."
)


class AugmentDialog(QDialog):
    """Edits `AugmentOptions` beside a picture of what they do.

    Parameters
    ----------
    source : callable
        See `SamplePictures`.
    worker : Worker
        See `SamplePictures`.
    palette : Palette
        The colours of the theme.

    Attributes
    ----------
    valueChanged : Signal()
        Something is set otherwise.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(
        self,
        source: Callable[[], PatchSource],
        worker: Worker,
        palette: Palette,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Augmentation")
        self.wear(palette)
        self.list = ChangeList()
        self.caption = _wrapped("")
        self.pictures = SamplePictures(source, worker, self.caption.setText)
        self.none = _button("None", "Change nothing.")
        self.usual = _button("Usual", "What is done where nothing is set.")
        self.another = _button("Another eight", "Other random changes, of another patch.")
        self.shut = _button("Close", "What is set here stays set.")
        self._arrange()
        self.list.valueChanged.connect(self._changed)
        self.none.clicked.connect(lambda: self.list.setValue(AugmentOptions.off()))
        self.usual.clicked.connect(lambda: self.list.setValue(AugmentOptions()))
        self.another.clicked.connect(self.pictures.another)
        self.shut.clicked.connect(self.close)

    def value(self) -> AugmentOptions:
        """Return what is set."""
        return self.list.value()

    def setValue(self, value: AugmentOptions) -> None:  # noqa: N802 - Qt's name
        """Show other options."""
        self.list.setValue(value)

    def wear(self, palette: Palette) -> None:
        """Take on the colours of a theme."""
        self.setStyleSheet(
            style_sheet(palette) + f"QDialog {{ background: {palette.background}; }}"
            f"QLabel, QCheckBox {{ color: {palette.text}; }}"
        )

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw what is there now."""
        super().showEvent(event)
        self.pictures.renew()

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw no more."""
        super().hideEvent(event)
        self.pictures.rest()

    def _changed(self) -> None:
        self.pictures.set_options(self.list.value())
        self.valueChanged.emit()

    def _arrange(self) -> None:
        left, right, sides = QVBoxLayout(), QVBoxLayout(), QHBoxLayout()
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
    """A text as high as it needs to be: a form gives a row the height of a single line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)

    def say(self, text: str) -> None:
        """Show another text."""
        self.setText(text)
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take the height that the text has at this width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.setFixedHeight(self.heightForWidth(self.width()))


class AugmentEdit(QWidget):
    """Edits `AugmentOptions`: says what is set, and opens the dialog.

    Parameters
    ----------
    parent : QWidget, optional
        What it belongs to.

    Attributes
    ----------
    valueChanged : Signal()
        Something is set otherwise.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value = AugmentOptions()
        self._source: Callable[[], PatchSource] = PatchSource
        self._worker: Worker = Here()
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
        self, source: Callable[[], PatchSource], worker: Worker, theme: Callable[[], str]
    ) -> None:
        """Say what to show samples of, who makes them, and how to find napari's present theme."""
        self._source, self._worker, self._theme = source, worker, theme

    def value(self) -> AugmentOptions:
        """Return what is set."""
        return self._value

    def setValue(self, value: AugmentOptions) -> None:  # noqa: N802 - Qt's name
        """Show other options."""
        if self.dialog is not None:
            self.dialog.setValue(value)
        self._set(value)

    def renew(self) -> None:
        """Draw the samples anew, if they are looked at: what they are made from has changed."""
        if self.dialog is not None:
            self.dialog.pictures.renew()

    def open(self) -> None:
        """Open the dialog; it blocks nothing."""
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
