"""How good each class is, as bars in the colours of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_unet.widgets.theme import Palette

ROW, GAP = 20, 8
NAME_SHARE = 0.34


@dataclass(frozen=True)
class Score:
    """The score of one class, 0 to 1 (None: nothing of it is held out)."""

    name: str
    color: str
    value: float | None


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
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(self.palette_.foreground))
        painter.drawRoundedRect(bar, 4, 4)
        if score.value:
            bar.setWidth(max(8.0, bar.width() * score.value))
            painter.setBrush(QColor(score.color))
            painter.drawRoundedRect(bar, 4, 4)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
