"""Before and after in one canvas: split by a line that can be dragged, or one upon the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from napari import Viewer
from napari.layers import Image
from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtGui import QCloseEvent, QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_unet.widgets.layers.compare_layers import (
    DisplayStateGuard,
    SplitAxis,
    SplitHandle,
    SwipeLayer,
    contrast_is_common,
)
from napari_unet.widgets.qt.style import Palette, guard_wheel

Mode = Literal["After", "Split", "Blink"]

BLINK_MS = 700
"""How long either image is shown."""

DRAW_MS = 30
"""The line is drawn anew at most about so often."""

FULL = 1000
"""Steps of the slider."""

TIPS: dict[Mode, str] = {
    "After": "Show the layers as they are.",
    "Split": "The image before left of a line, the one after right of it. Drag the line in the "
    "canvas, or the slider.",
    "Blink": "Show the image before and the one after by turns.",
}

PLACES = ("data", "scale", "translate", "rotate", "shear", "affine")
"""Events of a layer upon which the line is drawn anew."""

LONGEST = 28
"""Letters of a layer's name that are shown."""


class CompareBar(QWidget):
    """Buttons that compare two images of a viewer, with the same contrast.

    Visibility and contrast of the two layers are changed while they are compared, and are as they
    were when it is over. Hidden while there is nothing to compare.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    parent : QWidget, optional
        What it dies with.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._pair: tuple[Image, Image] | None = None
        self._mode: Mode = "After"
        self._loan = DisplayStateGuard(())
        self._curtain: SwipeLayer | None = None
        self._turned = False
        self._links: list[Any] = []
        self.buttons: dict[Mode, QPushButton] = {mode: _button(mode) for mode in TIPS}
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.note = QLabel()
        self._blink = self._timer(BLINK_MS, self._turn_over, once=False)
        self._draw = self._timer(DRAW_MS, self._draw_line)
        self._check = self._timer(0, self._follow)
        self._again = self._timer(0, self._begin_again)
        self._line = SplitHandle(viewer, self)
        self._line.moved.connect(self._line_moved)
        self._arrange()
        self.slider.valueChanged.connect(self._slider_moved)
        for emitter in self._emitters():
            emitter.connect(self._changed)
        self.hide()

    @property
    def mode(self) -> Mode:
        """How the images are shown."""
        return self._mode

    def set_layers(self, before: Image | None, after: Image | None) -> None:
        """Take two images to compare; what was compared before is given back as it was.

        Parameters
        ----------
        before, after : Image, optional
            Layers of the viewer, in any shape, type and place; None where there is none.
        """
        pair = None if before is None or after is None else (before, after)
        if pair != self._pair:
            self.set_mode("After")
            self._pair, self._line.at = pair, None
        self._follow()

    def set_mode(self, mode: Mode) -> None:
        """Show the images in another way; "After" where they cannot be compared so."""
        self._clear()
        self._mode = mode if self._ready and not self._problem(mode) else "After"
        self.buttons[self._mode].setChecked(True)
        if self._mode == "After":
            self._loan.give_back()
        else:
            self._begin()
        self.slider.setVisible(self._mode == "Split")
        self._say()

    def release(self) -> None:
        """Give everything back as it was, and follow the viewer no longer."""
        self.set_layers(None, None)
        self._check.stop()
        for emitter in self._emitters():
            emitter.disconnect(self._changed)

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802 - Qt's name
        """Blink no longer: it rests at the image after."""
        if self._blink.isActive():
            self._blink.stop()
            self._turn(before=False)
        super().hideEvent(event)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Blink again, if that is what it did."""
        super().showEvent(event)
        if self._mode == "Blink":
            self._blink.start()

    def closeEvent(self, event: QCloseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Leave nothing behind."""
        self.set_mode("After")
        super().closeEvent(event)

    @property
    def _ready(self) -> bool:
        layers = self._viewer.layers
        return self._pair is not None and all(image in layers for image in self._pair)

    @property
    def _cut(self) -> SplitAxis | None:
        return None if self._pair is None else SplitAxis.of(self._viewer, self._pair[0])

    def _problem(self, mode: Mode) -> str:
        """Return why the images cannot be compared like this, in a few words."""
        if self._pair is None or mode == "After":
            return ""
        before, after = self._pair
        if before is after:
            return "There is nothing to compare: both are the same layer."
        if not _overlap(before, after):
            return "Cannot compare: the layers do not lie upon each other."
        if self._cut is None:
            return "Cannot compare: the view shows an axis that the image lacks."
        if mode == "Split" and self._viewer.dims.ndisplay != 2:
            return "Split works in 2D; Blink in 3D as well."
        return ""

    def _begin(self) -> None:
        assert self._pair is not None
        if not self._loan.images:
            self._loan = DisplayStateGuard(self._pair)
        self._curtain = SwipeLayer(self._viewer, *self._pair)
        self._connect()
        if self._mode == "Split":
            self._line.stand(self._pair[0])
            self._draw_line()
            self._curtain.show(before=True, after=True)
        else:
            self._curtain.cover()
            self._turn(before=self.isVisible())
            if self.isVisible():
                self._blink.start()
        if contrast_is_common(*self._pair):
            self._loan.share_contrast(dict.fromkeys((*self._pair, self._curtain.front)))

    def _clear(self) -> None:
        """Undo what the present mode did; the layers are borrowed still."""
        for timer in (self._blink, self._draw, self._again):
            timer.stop()
        for emitter in self._links:
            emitter.disconnect(self._view_changed)
        self._links = []
        self._line.release()
        self._loan.part()
        if self._curtain is not None:
            self._curtain.remove()
            self._curtain = None

    def _connect(self) -> None:
        assert self._pair is not None
        dims = self._viewer.dims.events
        places = [getattr(image.events, name) for image in self._pair for name in PLACES]
        self._links = [dims.ndisplay, dims.order, *places]
        for emitter in self._links:
            emitter.connect(self._view_changed)

    def _emitters(self) -> tuple[Any, ...]:
        events = self._viewer.layers.events
        return events.inserted, events.removed

    # What happens around

    def _changed(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        """Look at the layers when napari has done with what it does to them."""
        self._check.start()

    def _view_changed(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        self._again.start()

    def _begin_again(self) -> None:
        self.set_mode(self._mode)

    def _follow(self) -> None:
        lost = self._curtain is not None and self._curtain.lost
        if self._mode != "After" and (lost or not self._ready or self._problem(self._mode)):
            self.set_mode("After")
        self.setVisible(self._ready)
        self._say()

    def _say(self) -> None:
        problems = {mode: self._problem(mode) for mode in TIPS}
        for mode, button in self.buttons.items():
            button.setEnabled(not problems[mode])
        text = "" if self._mode == "After" else self._remark()
        self.note.setText(problems["Blink"] or problems["Split"] or text)
        self.note.setVisible(bool(self.note.text()))

    def _remark(self) -> str:
        """Say what is seen where, and what is not alike."""
        assert self._pair is not None
        before, after = self._pair
        names = [_short(image.name) for image in self._pair]
        if self._mode == "Split":
            said = [f"Left: {names[0]}\nRight: {names[1]}"]
        else:
            said = [f"Before: {names[0]}" if self._turned else f"After: {names[1]}"]
        if not contrast_is_common(before, after):
            said.append("Each has its own contrast: their values are of unlike kinds.")
        if not np.array_equal(before.extent.world, after.extent.world):
            said.append("They are not equally large; compared where they lie.")
        return "\n".join(said)

    # Blink

    def _turn_over(self) -> None:
        self._turn(before=not self._turned)

    def _turn(self, *, before: bool) -> None:
        self._turned = before
        if self._curtain is not None:
            self._curtain.show(before=before, after=not before)
        self._say()

    # Split

    def _draw_line(self) -> None:
        cut, curtain, at = self._cut, self._curtain, self._line.at
        if cut is None or curtain is None or curtain.lost or at is None:
            return
        curtain.draw(cut, at, Palette.of(self._viewer.theme).accent)

    def _slider_moved(self, value: int) -> None:
        self._line.fraction = value / FULL

    def _line_moved(self) -> None:
        with QSignalBlocker(self.slider):
            self.slider.setValue(round(FULL * self._line.fraction))
        if not self._draw.isActive():
            self._draw.start()

    # Looks

    def _timer(self, ms: int, call: Callable[[], None], *, once: bool = True) -> QTimer:
        timer = QTimer(self)
        timer.setInterval(ms)
        timer.setSingleShot(once)
        timer.timeout.connect(call)
        return timer

    def _arrange(self) -> None:
        row, group = QHBoxLayout(), QButtonGroup(self)
        row.setSpacing(2)
        for mode, button in self.buttons.items():
            group.addButton(button)
            row.addWidget(button, 1)
            button.clicked.connect(lambda _=False, mode=mode: self.set_mode(mode))
        self.buttons["After"].setChecked(True)
        self.slider.setRange(0, FULL)
        self.slider.setValue(FULL // 2)
        self.slider.setToolTip("Where in the view the line stands.")
        self.slider.setAccessibleName("Line")
        self.slider.hide()
        guard_wheel(self.slider)
        self.note.setProperty("unet", "faint")
        self.note.setTextFormat(Qt.TextFormat.PlainText)
        self.note.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.slider)
        layout.addWidget(self.note)


def _button(mode: Mode) -> QPushButton:
    button = QPushButton(mode)
    button.setCheckable(True)
    button.setToolTip(TIPS[mode])
    return button


def _overlap(one: Image, other: Image) -> bool:
    """Tell whether two images share a place in the world, along the axes that both have."""
    ndim = min(one.ndim, other.ndim)
    (a, b), (c, d) = one.extent.world[:, -ndim:], other.extent.world[:, -ndim:]
    return bool(np.all(np.maximum(a, c) <= np.minimum(b, d)))


def _short(name: str) -> str:
    half = LONGEST // 2
    return name if len(name) <= LONGEST else f"{name[:half]}…{name[-half:]}"
