"""Earlier weights of a training, and the slider that goes back to them."""

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

from napari_unet.display import clock, score_text
from napari_unet.model import TrainedModel
from napari_unet.training.events import Snapshot
from napari_unet.training.metrics import mean
from napari_unet.widgets.qt.style import Palette, guard_wheel

MAX_ITEMS = 40
"""Snapshots that are kept at most, besides those that must stay."""

MAX_BYTES = 256 * 2**20
"""Memory that their weights may take."""


@dataclass(frozen=True, slots=True)
class Grade:
    """How good a model was on the voxels held out from its training.

    Parameters
    ----------
    metric : str
        The name of the score.
    score : float, optional
        Its mean over the classes; None where the task has no score, or too little is held out.
    loss : float
        The validation loss.
    ground : tuple
        What was held out. Grades with another one cannot be compared.
    """

    metric: str
    score: float | None
    loss: float
    ground: tuple[Any, ...]

    @classmethod
    def of(cls, model: TrainedModel) -> Grade | None:
        """Read it from the training facts of a model; None where nothing was held out."""
        found = model.training.get("validation")
        if not found:
            return None
        metric = next((name for name in found if name not in ("loss", "pixels")), "")
        values = found.get(metric, ())
        # One per class, or one number for the whole image.
        scores = tuple(values) if isinstance(values, list | tuple) else (values,)
        return cls(metric, mean(scores), found["loss"], (len(scores), found["pixels"]))

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better: by the score, and by the loss where scores are level or missing."""
        return (-inf if self.score is None else self.score, -self.loss)


class History:
    """Snapshots of a training in the order of time, bounded in number and bytes.

    Where there are too many, the one whose neighbours are closest on a logarithmic scale of time
    is dropped, so that early and late moments are covered equally well. The first, the last, the
    best and the pinned ones stay, even if these alone exceed the bounds.

    Parameters
    ----------
    max_items : int
        How many to keep.
    max_bytes : int
        How much memory their weights may take.

    Attributes
    ----------
    items : tuple of Snapshot
        In the order of their elapsed time.
    """

    def __init__(self, max_items: int = MAX_ITEMS, max_bytes: int = MAX_BYTES) -> None:
        self.max_items, self.max_bytes = max_items, max_bytes
        self.clear()

    def clear(self) -> None:
        """Drop all snapshots."""
        self.items: tuple[Snapshot, ...] = ()
        self._pinned: set[Snapshot] = set()

    @property
    def bytes(self) -> int:
        """Memory that the weights take."""
        return sum(_size(item) for item in self.items)

    def add(self, snapshot: Snapshot) -> None:
        """Add a snapshot, in place of one of the same time and step."""
        items = list(self.items)
        place = bisect_left(items, (snapshot.elapsed, snapshot.step), key=_moment)
        if place < len(items) and _moment(items[place]) == _moment(snapshot):
            if items[place] in self._pinned:
                self._pinned = self._pinned - {items[place]} | {snapshot}
            items[place] = snapshot
        else:
            items.insert(place, snapshot)
        self.items = tuple(items)
        self._thin()

    def pin(self, item: Snapshot) -> None:
        """Never drop this item."""
        self._pinned.add(item)

    def unpin(self, item: Snapshot) -> None:
        """Let this item be dropped again."""
        self._pinned.discard(item)

    @property
    def best(self) -> Snapshot | None:
        """The item with the best score, among those with the held-out voxels of the newest one.

        New strokes change what is held out, and scores on other voxels cannot be compared. None
        where nothing was held out from the newest.
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


TICK = 1.5
"""Radius of the mark of a snapshot, in pixels."""

BEST = 3.5
"""Radius of the mark of the best one, in pixels."""

HANDLE = 14
"""Width of the handle, in pixels."""


class HistorySlider(QWidget):
    """A slider over the snapshots of a training; its right end is the present.

    It is hidden until there are two snapshots. The selected one stays selected, and is never
    dropped, while others are added. Below the slider are a line about the selected snapshot, a
    button that keeps it, and one that trains on from it.

    Parameters
    ----------
    palette : Palette
        The colours of the theme.
    history : History, optional
        Where the snapshots are kept.

    Attributes
    ----------
    moved : Signal(object)
        The `Snapshot` that is selected now, or None for the present.
    kept : Signal(object)
        "Save as a model" was pressed at a `Snapshot`, or at None: the present.
    branched : Signal(object)
        "Go on from here" was pressed at a `Snapshot`.
    selected : Snapshot, optional
        The selected one.
    least : Snapshot, optional
        The one with the least loss on the held-out voxels, once that is known.
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
        self.slider = _Moments(palette)
        self.label = QLabel()
        self.slider.setAccessibleName("States of the network during the training")
        self.slider.setToolTip(
            "Show an earlier state of the network. The right end is the current state."
        )
        self.keep = QPushButton("Save as a model")
        self.keep.setToolTip("Add the network in this state to the models.")
        self.branch = QPushButton("Continue from here")
        self.branch.setToolTip(
            "Continue the training from this state; what was learned after it is discarded."
        )
        self._arrange()
        self.slider.valueChanged.connect(self._slid)
        self.keep.clicked.connect(self._keep_clicked)
        self.branch.clicked.connect(lambda: self.branched.emit(self.selected))
        self._show()

    def add(self, snapshot: Snapshot) -> None:
        """Add a snapshot; the selected one does not change."""
        self.history.add(snapshot)
        self._show()

    def add_least(self, snapshot: Snapshot) -> None:
        """Add the snapshot with the least loss on the held-out voxels, and call it that."""
        same = next((item for item in self.history.items if item.step == snapshot.step), None)
        if same is None:
            self.history.pin(snapshot)
            self._pinned.add(snapshot)
            self.history.add(snapshot)
        self.least = same or snapshot
        self._show()

    def set_end(self, model: TrainedModel) -> None:
        """Take the model that the training ended with, to compare snapshots with."""
        self._end = Grade.of(model)
        self._show()

    def clear(self) -> None:
        """Drop all snapshots, for a new training, and go to the present without a signal."""
        self.history.clear()
        self.selected = self.least = self._end = None
        self._pinned.clear()
        self._show()

    def begin(self) -> None:
        """Go to the present without a signal, for a training begins; the snapshots stay."""
        self.selected = None
        self.set_live(True)
        self._show()

    def set_live(self, live: bool) -> None:
        """Set whether the training still runs: else the right end is called the end."""
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
            text = describe(self.selected)
            if self.selected is best:
                text += " · best"
            if self.selected is self.least:
                text += " · lowest held-out loss"
        elif best is not None and best is not self.history.items[-1] and self._is_ahead(best):
            text = f"{end} · best: {describe(best)}"
        else:
            text = end
        self.label.setText(text)
        self.slider.setAccessibleDescription(text)
        self.branch.setEnabled(self.selected is not None)
        self.keep.setEnabled(self.selected is not None or self._live)

    def _is_ahead(self, snapshot: Snapshot) -> bool:
        """Return whether a snapshot is better than the end, or cannot be compared with it."""
        grade, end = Grade.of(snapshot.model), self._end
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
    """A slider with a mark for every snapshot, and a larger one for the best."""

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
        """Return the position of the middle of the handle at a value, in pixels."""
        span = self.width() - HANDLE
        left = QStyle.sliderPositionFromValue(self.minimum(), self.maximum(), place, span)
        return left + HANDLE / 2


def describe(snapshot: Snapshot) -> str:
    """Return step, time and score of a snapshot: ``step 120 · 0:45 · IoU 0.71``."""
    parts = [f"step {snapshot.step:,}", clock(snapshot.elapsed)]
    grade = Grade.of(snapshot.model)
    if grade is not None:
        loss = f"loss {grade.loss:.3f}"
        parts.append(f"{grade.metric} {score_text(grade.score)}" if grade.metric else loss)
    return " · ".join(parts)
