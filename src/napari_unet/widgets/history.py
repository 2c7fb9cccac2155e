"""Scrubbing through the moments of a training."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QStyle,
    QVBoxLayout,
    QWidget,
)

from napari_unet.model import TrainedModel
from napari_unet.training.events import Kept
from napari_unet.training.history import Grade, History
from napari_unet.widgets.editors import guard_wheel
from napari_unet.widgets.theme import Palette
from napari_unet.widgets.words import clock

TICK, BEST = 1.5, 3.5
"""Radius of a moment's mark, and of the best one's, in pixels."""

HANDLE = 14


class HistorySlider(QWidget):
    """A slider over the moments that were kept; at its right end it is now.

    Hidden until there are two moments. While one of them is looked at, it stays where it is and
    is not thinned out, whatever comes.

    Parameters
    ----------
    palette : Palette
        The colours of the theme.
    history : History, optional
        Where the moments are kept.

    Attributes
    ----------
    moved : Signal(object)
        The `Kept` that is looked at now, or None for the present.
    kept : Signal(object)
        "Keep this one" was pressed at a `Kept`, or at None: the present.
    branched : Signal(object)
        "Go on from here" was pressed at a `Kept`.
    """

    moved = Signal(object)
    kept = Signal(object)
    branched = Signal(object)

    def __init__(
        self, palette: Palette, history: History | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.history = history or History()
        self.selected: Kept | None = None
        self.least: Kept | None = None
        self._pinned: set[Kept] = set()
        self._live = True
        self._end: Grade | None = None
        self.slider, self.label = _Moments(palette), QLabel()
        self.slider.setAccessibleName("Moments of the training")
        self.slider.setToolTip("Look at an earlier moment of the training; right: now.")
        self.keep = QPushButton("Keep this one")
        self.keep.setToolTip("Put the weights of this moment among the models.")
        self.branch = QPushButton("Go on from here")
        self.branch.setToolTip("Forget what was learned since, and train on from this moment.")
        self._arrange()
        self.slider.valueChanged.connect(self._slid)
        self.keep.clicked.connect(self._keep_clicked)
        self.branch.clicked.connect(lambda: self.branched.emit(self.selected))
        self._show()

    def add(self, kept: Kept) -> None:
        """Take another moment; what is looked at does not change."""
        self.history.add(kept)
        self._show()

    def add_least(self, kept: Kept) -> None:
        """Take the moment with the least loss on what is held out; it is called so from now on."""
        same = next((item for item in self.history.items if item.step == kept.step), None)
        if same is None:
            self.history.pin(kept)
            self._pinned.add(kept)
            self.history.add(kept)
        self.least = same or kept
        self._show()

    def set_end(self, model: TrainedModel) -> None:
        """Take what the training ended with: no earlier moment is called better that is not."""
        self._end = Grade.of(model)
        self._show()

    def clear(self) -> None:
        """Forget all moments, as a new training begins; back to now without a signal."""
        self.history.clear()
        self.selected = self.least = self._end = None
        self._pinned.clear()
        self._show()

    def show_now(self) -> None:
        """Go back to the present."""
        self.slider.setValue(self.slider.maximum())

    def set_live(self, live: bool) -> None:
        """Say whether the training still runs: where it does not, the right end is its end."""
        self._live = live
        self._show()

    def set_palette(self, palette: Palette) -> None:
        """Take the colours of a theme."""
        self.slider.palette_ = palette
        self.slider.update()

    def _arrange(self) -> None:
        guard_wheel(self.slider)
        self.label.setWordWrap(True)
        buttons = QHBoxLayout()
        buttons.addWidget(self.keep, 1)
        buttons.addWidget(self.branch, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.slider)
        layout.addWidget(self.label)
        layout.addLayout(buttons)

    def _show(self) -> None:
        items, best = self.history.items, self.history.best
        self.slider.blockSignals(True)
        self.slider.setRange(0, len(items))
        self.slider.setValue(len(items) if self.selected is None else items.index(self.selected))
        self.slider.blockSignals(False)
        self.slider.best = None if best is None else items.index(best)
        self.slider.update()
        self.setVisible(len(items) > 1)
        self._say()

    def _say(self) -> None:
        best, end = self.history.best, "now" if self._live else "the end"
        if self.selected is not None:
            text = describe(self.selected) + " · best" * (self.selected is best)
            text += " · least held-out loss" * (self.selected is self.least)
        elif best is not None and best is not self.history.items[-1] and self._is_ahead(best):
            text = f"{end} · best: {describe(best)}"
        else:
            text = end
        self.label.setText(text)
        self.slider.setAccessibleDescription(text)
        self.branch.setEnabled(self.selected is not None)
        self.keep.setEnabled(self.selected is not None or self._live)

    def _is_ahead(self, kept: Kept) -> bool:
        """Tell whether a moment was better than the end, as far as the two can be compared."""
        grade, end = Grade.of(kept.model), self._end
        if grade is None or end is None or grade.ground != end.ground:
            return True
        return grade.rank > end.rank

    def _slid(self, place: int) -> None:
        items, before = self.history.items, self.selected
        if before is not None and before not in self._pinned:
            self.history.unpin(before)
        self.selected = items[place] if place < len(items) else None
        if self.selected is not None:
            self.history.pin(self.selected)
        self._say()
        if self.selected is not before:
            self.moved.emit(self.selected)

    def _keep_clicked(self) -> None:
        if self.selected is not None:
            self._pinned.add(self.selected)
        self.kept.emit(self.selected)


class _Moments(QSlider):
    """A slider with a mark for every moment, and a larger one for the best."""

    def __init__(self, palette: Palette) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.palette_ = palette
        self.best: int | None = None
        self.setPageStep(1)
        self.setMinimumHeight(30)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw the slider and the marks below it."""
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        for place in range(self.maximum()):
            is_best = place == self.best
            painter.setBrush(QColor(self.palette_.contrast if is_best else self.palette_.text))
            painter.setOpacity(1.0 if is_best else 0.55)
            radius, y = (BEST if is_best else TICK), self.height() - BEST - 0.5
            x = self.x_of(place)
            painter.drawEllipse(int(x - radius), int(y - radius), int(2 * radius), int(2 * radius))
        painter.end()

    def x_of(self, place: int) -> float:
        """Return where the middle of the handle is at a value, in pixels."""
        span = self.width() - HANDLE
        left = QStyle.sliderPositionFromValue(self.minimum(), self.maximum(), place, span)
        return left + HANDLE / 2


def describe(kept: Kept) -> str:
    """Return which moment it is and how good: ``step 120 · 0:45 · IoU 0.71``."""
    parts, grade = [f"step {kept.step:,}", clock(kept.elapsed)], Grade.of(kept.model)
    if grade is not None:
        score = grade.score
        parts.append(f"loss {grade.loss:.3f}" if score is None else f"{grade.metric} {score:.2f}")
    return " · ".join(parts)
