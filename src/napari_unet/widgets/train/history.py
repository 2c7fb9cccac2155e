"""The moments of a training that one can go back to."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import inf, log1p
from typing import Any

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

from napari_unet.display import clock
from napari_unet.model import TrainedModel
from napari_unet.training.events import Snapshot
from napari_unet.training.metrics import mean
from napari_unet.widgets.qt.style import Palette, guard_wheel

MAX_ITEMS, MAX_BYTES = 40, 256 * 2**20


@dataclass(frozen=True, slots=True)
class Grade:
    """How good a model was on the voxels held out from its training.

    `score` is the mean over the classes (None: the task has no score), `loss` the validation
    loss, and `ground` says what both rest on: grades on unlike ground cannot be compared.
    """

    metric: str
    score: float | None
    loss: float
    ground: tuple[Any, ...]

    @classmethod
    def of(cls, model: TrainedModel) -> Grade | None:
        """Read it from how the model was made; None where nothing was held out."""
        found = model.training.get("validation")
        if not found:
            return None
        metric = next((name for name in found if name not in ("loss", "pixels")), "")
        told = found.get(metric, ())
        # One per class, or one number for the whole image.
        scores = tuple(told) if isinstance(told, list | tuple) else (told,)
        return cls(metric, mean(scores), found["loss"], (len(scores), found["pixels"]))

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better: by the score, and by the loss where scores are level or missing."""
        return (-inf if self.score is None else self.score, -self.loss)


class History:
    """Kept weights in the order of time, bounded in number and bytes.

    Where there are too many, the one goes whose neighbours are closest on a logarithmic scale of
    time, so that early and late moments stay alike well covered. The first, the last, the best
    and the pinned ones stay, even if these alone exceed the bounds.

    Parameters
    ----------
    max_items : int
        How many to keep.
    max_bytes : int
        How much their weights may hold.

    Attributes
    ----------
    items : tuple of Snapshot
        In the order of their elapsed time.
    """

    def __init__(self, max_items: int = MAX_ITEMS, max_bytes: int = MAX_BYTES) -> None:
        self.max_items, self.max_bytes = max_items, max_bytes
        self.clear()

    def clear(self) -> None:
        """Forget all moments."""
        self.items: tuple[Snapshot, ...] = ()
        self._pinned: set[Snapshot] = set()

    @property
    def bytes(self) -> int:
        """What the weights hold in memory."""
        return sum(_size(item) for item in self.items)

    def add(self, kept: Snapshot) -> None:
        """Keep a moment; one of the same time and step is replaced by it."""
        items = list(self.items)
        place = bisect_left(items, (kept.elapsed, kept.step), key=_moment)
        if place < len(items) and _moment(items[place]) == _moment(kept):
            if items[place] in self._pinned:
                self._pinned = self._pinned - {items[place]} | {kept}
            items[place] = kept
        else:
            items.insert(place, kept)
        self.items = tuple(items)
        self._thin()

    def pin(self, item: Snapshot) -> None:
        """Let an item of the history stay, whatever comes."""
        self._pinned.add(item)

    def unpin(self, item: Snapshot) -> None:
        """Let an item go when its turn comes."""
        self._pinned.discard(item)

    @property
    def best(self) -> Snapshot | None:
        """The item with the best score, among those that were tested like the newest one.

        New strokes change what is held out: an earlier score on other voxels says nothing. None
        where the newest was not tested.
        """
        newest = Grade.of(self.items[-1].model) if self.items else None
        if newest is None:
            return None
        grades = ((item, Grade.of(item.model)) for item in self.items)
        alike = [(item, g) for item, g in grades if g is not None and g.ground == newest.ground]
        return max(alike, key=lambda pair: pair[1].rank)[0]

    def _thin(self) -> None:
        while len(self.items) > self.max_items or self.bytes > self.max_bytes:
            best = self.best
            times = [log1p(item.elapsed) for item in self.items]
            gaps = {
                place: times[place + 1] - times[place - 1]
                for place in range(1, len(times) - 1)
                if self.items[place] not in self._pinned and self.items[place] is not best
            }
            if not gaps:
                return
            drop = min(gaps, key=lambda place: gaps[place])
            self.items = (*self.items[:drop], *self.items[drop + 1 :])


def _moment(item: Snapshot) -> tuple[float, int]:
    return item.elapsed, item.step


def _size(item: Snapshot) -> int:
    return sum(array.nbytes for array in item.model.weights.values())


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
        The `Snapshot` that is looked at now, or None for the present.
    kept : Signal(object)
        "Keep this one" was pressed at a `Snapshot`, or at None: the present.
    branched : Signal(object)
        "Go on from here" was pressed at a `Snapshot`.
    """

    moved = Signal(object)
    kept = Signal(object)
    branched = Signal(object)

    def __init__(
        self, palette: Palette, history: History | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.history = history or History()
        self.selected: Snapshot | None = None
        self.least: Snapshot | None = None
        self._pinned: set[Snapshot] = set()
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

    def add(self, kept: Snapshot) -> None:
        """Take another moment; what is looked at does not change."""
        self.history.add(kept)
        self._show()

    def add_least(self, kept: Snapshot) -> None:
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

    def _is_ahead(self, kept: Snapshot) -> bool:
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


def describe(kept: Snapshot) -> str:
    """Return which moment it is and how good: ``step 120 · 0:45 · IoU 0.71``."""
    parts, grade = [f"step {kept.step:,}", clock(kept.elapsed)], Grade.of(kept.model)
    if grade is not None:
        score = grade.score
        parts.append(f"loss {grade.loss:.3f}" if score is None else f"{grade.metric} {score:.2f}")
    return " · ".join(parts)
