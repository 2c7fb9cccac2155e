"""Before and after in one canvas: split by a line that can be dragged, or one upon the other."""

from __future__ import annotations

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
from superqt.utils import qdebounced, qthrottled

from napari_unet.widgets.layers.compare_layers import (
    DisplayStateGuard,
    SplitAxis,
    SplitHandle,
    SwipeLayer,
    contrast_is_common,
)
from napari_unet.widgets.qt.style import Palette, guard_wheel
from napari_unet.widgets.qt.subscriptions import Subscriptions

Mode = Literal["After", "Split", "Blink"]

BLINK_MS = 700
"""How long either image is shown, in milliseconds."""

DRAW_MS = 30
"""The line is drawn again at most once in so many milliseconds."""

FULL = 1000
"""Steps of the slider."""

TIPS: dict[Mode, str] = {
    "After": "Show the layers as they are.",
    "Split": "The image before is left of a line, the one after right of it. Drag the line in "
    "the canvas, or the slider.",
    "Blink": "Show the image before and the one after in turn.",
}
"""What each mode shows, for the tooltips of the buttons."""

PLACES = ("data", "scale", "translate", "rotate", "shear", "affine")
"""Events of a layer upon which the comparison is started again."""

LONGEST = 28
"""Letters of a layer's name that are shown."""


class CompareBar(QWidget):
    """Buttons that compare two images of a viewer, with the same contrast.

    Visibility and contrast of the two layers are changed while they are compared, and restored
    afterwards. The widget is hidden while there is nothing to compare.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    parent : QWidget, optional
        The Qt parent.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._pair: tuple[Image, Image] | None = None
        self._mode: Mode = "After"
        self._display_states = DisplayStateGuard(())
        self._swipe: SwipeLayer | None = None
        self._shows_before = False
        self._to_viewer, self._to_view = Subscriptions(), Subscriptions()
        self.buttons: dict[Mode, QPushButton] = {mode: _button(mode) for mode in TIPS}
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.note = QLabel()
        self._blink = QTimer(self)
        self._blink.setInterval(BLINK_MS)
        self._blink.timeout.connect(self._show_other)
        self._draw_soon = qthrottled(self._draw_line, timeout=DRAW_MS, leading=False)
        # napari is not done yet with its layers or its view when it tells of a change.
        self._follow_soon = qdebounced(self._follow, timeout=0)
        self._restart_soon = qdebounced(self._restart, timeout=0)
        self._handle = SplitHandle(viewer, self)
        self._handle.moved.connect(self._handle_moved)
        self._arrange()
        self.slider.valueChanged.connect(self._slider_moved)
        events = viewer.layers.events
        self._to_viewer.connect(self._layers_changed, events.inserted, events.removed)
        self.hide()

    @property
    def mode(self) -> Mode:
        """How the images are shown."""
        return self._mode

    def set_layers(self, before: Image | None, after: Image | None) -> None:
        """Set the two images to compare; those that were compared before are restored.

        Parameters
        ----------
        before, after : Image, optional
            Layers of the viewer, in any shape, type and place; None where there is none.
        """
        pair = None if before is None or after is None else (before, after)
        if pair != self._pair:
            self.set_mode("After")
            self._pair, self._handle.at = pair, None
        self._follow()

    def set_mode(self, mode: Mode) -> None:
        """Show the images in another way; as "After" where they cannot be compared like that."""
        self._clear()
        self._mode = mode if self._ready and not self._problem(mode) else "After"
        self.buttons[self._mode].setChecked(True)
        if self._mode == "After":
            self._display_states.restore()
        else:
            self._begin()
        self.slider.setVisible(self._mode == "Split")
        self._say()

    def release(self) -> None:
        """Restore the layers, and follow the viewer no longer."""
        self.set_layers(None, None)
        self._follow_soon.cancel()
        self._to_viewer.release()

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802 - Qt's name
        """Stop blinking; the image after stays visible."""
        if self._blink.isActive():
            self._blink.stop()
            self._show_one(before=False)
        super().hideEvent(event)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Go on blinking, if that is the mode."""
        super().showEvent(event)
        if self._mode == "Blink":
            self._blink.start()

    def closeEvent(self, event: QCloseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Restore the layers."""
        self.set_mode("After")
        super().closeEvent(event)

    @property
    def _ready(self) -> bool:
        layers = self._viewer.layers
        return self._pair is not None and all(image in layers for image in self._pair)

    @property
    def _split_axis(self) -> SplitAxis | None:
        return None if self._pair is None else SplitAxis.of(self._viewer, self._pair[0])

    def _problem(self, mode: Mode) -> str:
        """Return why the images cannot be compared like this, in a few words."""
        if self._pair is None or mode == "After":
            return ""
        before, after = self._pair
        if before is after:
            return "There is nothing to compare: both are the same layer."
        if not _overlap(before, after):
            return "Cannot compare: the layers do not overlap."
        if self._split_axis is None:
            return "Cannot compare: the view shows an axis that the image lacks."
        if mode == "Split" and self._viewer.dims.ndisplay != 2:
            return "Split works in 2D; Blink in 3D as well."
        return ""

    def _begin(self) -> None:
        assert self._pair is not None
        if not self._display_states.images:
            self._display_states = DisplayStateGuard(self._pair)
        self._swipe = SwipeLayer(self._viewer, *self._pair)
        self._follow_view()
        if self._mode == "Split":
            self._handle.place_on(self._pair[0])
            self._draw_line()
            self._swipe.show(before=True, after=True)
        else:
            self._swipe.cover()
            self._show_one(before=self.isVisible())
            if self.isVisible():
                self._blink.start()
        if contrast_is_common(*self._pair):
            self._display_states.share_contrast(dict.fromkeys((*self._pair, self._swipe.front)))

    def _clear(self) -> None:
        """Undo what the present mode did; the layers are not restored yet."""
        self._blink.stop()
        self._draw_soon.cancel()
        self._restart_soon.cancel()
        self._to_view.release()
        self._handle.release()
        self._display_states.stop_sharing()
        if self._swipe is not None:
            self._swipe.remove()
            self._swipe = None

    def _follow_view(self) -> None:
        assert self._pair is not None
        dims = self._viewer.dims.events
        places = [getattr(image.events, name) for image in self._pair for name in PLACES]
        self._to_view.connect(self._view_changed, dims.ndisplay, dims.order, *places)

    # What happens around

    def _layers_changed(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        self._follow_soon()

    def _view_changed(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        self._restart_soon()

    def _restart(self) -> None:
        self.set_mode(self._mode)

    def _follow(self) -> None:
        lost = self._swipe is not None and self._swipe.lost
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
        """Return which image is seen where, and in what the two differ."""
        assert self._pair is not None
        before, after = self._pair
        names = [_short(image.name) for image in self._pair]
        if self._mode == "Split":
            said = [f"Left: {names[0]}\nRight: {names[1]}"]
        else:
            said = [f"Before: {names[0]}" if self._shows_before else f"After: {names[1]}"]
        if not contrast_is_common(before, after):
            said.append("Each layer has its own contrast, because their values differ in kind.")
        if not np.array_equal(before.extent.world, after.extent.world):
            said.append("The layers differ in size; they are compared at their positions.")
        return "\n".join(said)

    # Blink

    def _show_other(self) -> None:
        self._show_one(before=not self._shows_before)

    def _show_one(self, *, before: bool) -> None:
        self._shows_before = before
        if self._swipe is not None:
            self._swipe.show(before=before, after=not before)
        self._say()

    # Split

    def _draw_line(self) -> None:
        axis, swipe = self._split_axis, self._swipe
        if axis is None or swipe is None or swipe.lost or self._handle.at is None:
            return
        swipe.draw(axis, self._handle.at, Palette.of(self._viewer.theme).accent)

    def _slider_moved(self, value: int) -> None:
        self._handle.fraction = value / FULL

    def _handle_moved(self) -> None:
        with QSignalBlocker(self.slider):
            self.slider.setValue(round(FULL * self._handle.fraction))
        self._draw_soon()

    # Looks

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
        self.slider.setToolTip("Position of the line in the view.")
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
    """Tell whether two images overlap in the world, along the axes that both have."""
    ndim = min(one.ndim, other.ndim)
    extents = [image.extent.world[:, -ndim:] for image in (one, other)]
    start = np.maximum(extents[0][0], extents[1][0])
    stop = np.minimum(extents[0][1], extents[1][1])
    return bool(np.all(start <= stop))


def _short(name: str) -> str:
    half = LONGEST // 2
    return name if len(name) <= LONGEST else f"{name[:half]}…{name[-half:]}"
