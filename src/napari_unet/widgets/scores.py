"""How good each class is, as bars in the colours of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_unet.training.events import Validated
from napari_unet.training.metrics import accuracy, dice, iou
from napari_unet.widgets.confusion import ConfusionTable
from napari_unet.widgets.editors import guard_wheel
from napari_unet.widgets.parts import Section
from napari_unet.widgets.theme import Palette
from napari_unet.widgets.words import count

ROW, GAP = 20, 8
NAME_SHARE = 0.34
SCORES = {"IoU": iou, "Dice": dice}


@dataclass(frozen=True)
class Score:
    """The score of one class, 0 to 1 (None: nothing of it is held out), and what it rests on."""

    name: str
    color: str
    value: float | None
    pixels: int | None = None


class ScoreBars(QWidget):
    """One bar per class, and a line that says what the scores rest on."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.palette_ = palette
        self.scores: tuple[Score, ...] = ()
        self.caption = ""
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return a height that holds all classes."""
        return QSize(280, ROW * (len(self.scores) + bool(self.caption)))

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the same height, and a width at which bars can still be told apart."""
        return QSize(180, self.sizeHint().height())

    def show_scores(self, scores: Sequence[Score], caption: str) -> None:
        """Show other scores."""
        self.scores, self.caption = tuple(scores), caption
        self.setAccessibleDescription(
            "; ".join(f"{s.name} {_number(s.value)}" for s in self.scores)
        )
        self.updateGeometry()
        self.update()

    def set_palette(self, palette: Palette) -> None:
        """Take the colours of a theme."""
        self.palette_ = palette
        self.update()

    def paintEvent(self, _: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw the bars."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for row, score in enumerate(self.scores):
            self._draw(painter, score, QRectF(0, row * ROW, self.width(), ROW))
        painter.setPen(QColor(self.palette_.text))
        painter.setOpacity(0.75)
        foot = QRectF(0, len(self.scores) * ROW, self.width(), ROW)
        painter.drawText(foot, Qt.AlignmentFlag.AlignVCenter, self.caption)
        painter.end()

    def _draw(self, painter: QPainter, score: Score, row: QRectF) -> None:
        number = painter.fontMetrics().horizontalAdvance("0.00") + GAP
        row = self._draw_pixels(painter, score, row)
        name = QRectF(row.left(), row.top(), NAME_SHARE * row.width(), row.height())
        bar = QRectF(name.right() + GAP, row.top() + 6, 0, row.height() - 12)
        bar.setRight(row.right() - number - GAP)
        painter.setPen(QColor(self.palette_.text))
        text = painter.fontMetrics().elidedText(
            score.name, Qt.TextElideMode.ElideRight, int(name.width())
        )
        painter.drawText(name, Qt.AlignmentFlag.AlignVCenter, text)
        right = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
        painter.drawText(row, right, _number(score.value))
        self._draw_bar(painter, score, bar)

    def _draw_pixels(self, painter: QPainter, score: Score, row: QRectF) -> QRectF:
        """Draw what the score rests on; return what is left of the row."""
        if all(s.pixels is None for s in self.scores):
            return row
        width = painter.fontMetrics().horizontalAdvance("9,999 px")
        painter.setPen(QColor(self.palette_.text))
        painter.setOpacity(0.7)
        right = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
        if score.pixels is not None:
            painter.drawText(row, right, f"{_short(score.pixels)} px")
        painter.setOpacity(1.0)
        return row.adjusted(0, 0, -width - GAP, 0)

    def _draw_bar(self, painter: QPainter, score: Score, bar: QRectF) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(self.palette_.foreground))
        painter.drawRoundedRect(bar, 4, 4)
        if score.value:
            bar.setWidth(max(8.0, bar.width() * score.value))
            painter.setBrush(QColor(score.color))
            painter.drawRoundedRect(bar, 4, 4)


class ScoreBoard(QWidget):
    """The scores of the last validation: bars, what they rest on, and what is taken for what."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: tuple[Validated, tuple[str, ...], tuple[str, ...]] | None = None
        self.bars, self.table = ScoreBars(palette), ConfusionTable(palette)
        self.caption, self.choice = QLabel(), QComboBox()
        self.caption.setProperty("unet", "faint")
        self.caption.setWordWrap(True)
        self.choice.addItems(list(SCORES))
        self.choice.setToolTip("How the overlap of truth and answer is measured.")
        self.choice.setAccessibleName("Score")
        guard_wheel(self.choice)
        self.confusion = Section("Confusion", self.table)
        self.choice.currentIndexChanged.connect(lambda _: self._show())
        self.confusion.opened.connect(self._show)
        foot = QHBoxLayout()
        foot.addWidget(self.caption, 1)
        foot.addWidget(self.choice)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.bars)
        layout.addLayout(foot)
        layout.addWidget(self.confusion)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def show_validation(
        self, event: Validated, names: Sequence[str], colors: Sequence[str]
    ) -> None:
        """Show a validation.

        Parameters
        ----------
        event : Validated
            Where it has no table of confusion, its own scores are shown and there is no choice.
        names, colors : sequence of str
            Of the classes; colours as ``#rrggbb``. A class that was painted after the validation
            may be among them.
        """
        self._shown = event, tuple(names), tuple(colors)
        self._show()

    def clear(self) -> None:
        """Show nothing."""
        self._shown = None
        self.bars.show_scores((), "")
        self.caption.clear()

    def set_palette(self, palette: Palette) -> None:
        """Take the colours of a theme."""
        self.bars.set_palette(palette)
        self.table.set_palette(palette)

    def _show(self) -> None:
        if self._shown is None:
            return
        event, names, colors = self._shown
        table = event.confusion
        known = SCORES[self.choice.currentText()](table) if table else event.scores
        pixels: Sequence[int | None] = [sum(row) for row in table] or [None] * len(known)
        rows = zip(names, colors, known, pixels, strict=False)
        self.bars.show_scores([Score(*row) for row in rows], "")
        for part in (self.choice, self.confusion):
            part.setVisible(bool(table))
        text, right = count(event.pixels, "held-out pixel"), accuracy(table)
        self.caption.setText(text if right is None else f"{text} · {100 * right:.0f} % right")
        if table and self.confusion.button.isChecked():
            n = len(table)
            self.table.show_table(table, names[:n], colors[:n])


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _short(number: int) -> str:
    """Return a number in at most five characters.

    Examples
    --------
    >>> [_short(n) for n in (950, 9_999, 10_400, 2_300_000)]
    ['950', '9,999', '10k', '2.3M']
    """
    if number < 10_000:
        return f"{number:,}"
    return f"{number / 1e3:.0f}k" if number < 1e6 else f"{number / 1e6:.1f}M"
