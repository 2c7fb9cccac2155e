"""How good each class is, as bars in the colours of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QModelIndex, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPaintEvent, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QSizePolicy,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_unet.display import count
from napari_unet.training.events import Validated
from napari_unet.training.metrics import Table, accuracy, dice, iou, shares
from napari_unet.widgets.qt.style import Palette, Section, guard_wheel

ROW_HEIGHT, NARROW, NAMES = 22, 40, 104
"""Height of a row, least width of a column, most of the column of names; in pixels."""

STRONGEST = 0.6
"""Opacity of a cell that holds all of its row."""

SHARE = Qt.ItemDataRole.UserRole


class ConfusionTable(QWidget):
    """Held-out voxels, truth by rows and answers by columns, in percent of the rows."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.hint = QLabel("Rows: truth. Columns: what the network says.")
        self.hint.setProperty("unet", "faint")
        self.hint.setWordWrap(True)
        self.table = QTableWidget(0, 0)
        self.table.setProperty("unet", "small")
        self.table.setShowGrid(False)
        self.table.setCornerButtonEnabled(False)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._cells = _Cells(palette, self.table)
        self.table.setItemDelegate(self._cells)
        self._arrange_headers()
        self.set_palette(palette)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.hint)
        layout.addWidget(self.table)

    def show_table(self, table: Table, names: Sequence[str], colors: Sequence[str]) -> None:
        """Show other counts.

        Parameters
        ----------
        table : sequence of sequences of float, shape (class, class)
            Counts of voxels, truth by rows.
        names, colors : sequence of str
            Of the classes; colours as ``#rrggbb``.
        """
        number = len(names)
        if self.table.rowCount() != number:
            self._resize(number)
        for k, (name, color) in enumerate(zip(names, colors, strict=True)):
            for header in (self.table.verticalHeaderItem(k), self.table.horizontalHeaderItem(k)):
                assert header is not None
                header.setText(name)
                header.setToolTip(name)
                header.setIcon(swatch(color))
        for r, (row, parts) in enumerate(zip(table, shares(table), strict=True)):
            for c, (pixels, part) in enumerate(zip(row, parts, strict=True)):
                self._fill(r, c, part, f"{pixels:,.0f} of {names[r]} read as {names[c]}")

    def set_palette(self, palette: Palette) -> None:
        """Take the colours of a theme."""
        self._cells.palette_ = palette
        self.table.setStyleSheet(f"""
            QTableWidget {{ background: {palette.background}; border: 0px; }}
            QHeaderView {{ background: {palette.background}; border: 0px; }}
            QHeaderView::section, QTableCornerButton::section {{ border: 0px; padding: 0px 1px;
                background: {palette.background}; color: {palette.text}; }}
        """)

    def _fill(self, row: int, column: int, part: float | None, tip: str) -> None:
        item = self.table.item(row, column)
        assert item is not None
        item.setText("–" if part is None else f"{100 * part:.0f} %")
        item.setData(SHARE, part or 0.0)
        item.setToolTip(tip)

    def _resize(self, number: int) -> None:
        self.table.setRowCount(number)
        self.table.setColumnCount(number)
        for k in range(number):
            self.table.setVerticalHeaderItem(k, QTableWidgetItem())
            self.table.setHorizontalHeaderItem(k, QTableWidgetItem())
            for column in range(number):
                item = QTableWidgetItem()
                item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                self.table.setItem(k, column, item)
        bar = self.table.horizontalScrollBar()
        assert bar is not None
        scrolls = bar.sizeHint().height() if number > 5 else 0
        self.table.setFixedHeight((number + 1) * ROW_HEIGHT + 4 + scrolls)

    def _arrange_headers(self) -> None:
        rows, columns = self.table.verticalHeader(), self.table.horizontalHeader()
        assert rows is not None
        assert columns is not None
        rows.setDefaultSectionSize(ROW_HEIGHT)
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setMaximumWidth(NAMES)
        columns.setFixedHeight(ROW_HEIGHT)
        columns.setMinimumSectionSize(NARROW)
        columns.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        for header in (rows, columns):
            header.setTextElideMode(Qt.TextElideMode.ElideRight)
            header.setIconSize(QSize(10, 10))
            header.setHighlightSections(False)
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        rows.setDefaultAlignment(left)


class _Cells(QStyledItemDelegate):
    """Paints shares: hits in one colour, mistakes in another, the stronger the more."""

    def __init__(self, palette: Palette, parent: QWidget) -> None:
        super().__init__(parent)
        self.palette_ = palette

    def paint(
        self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        """Draw a cell; style sheets would hide a background of its own."""
        assert painter is not None
        p, cell = self.palette_, option.rect.adjusted(1, 1, -1, -1)
        painter.save()
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(p.foreground))
        painter.drawRect(cell)
        painter.setBrush(QColor(p.accent if index.row() == index.column() else p.contrast))
        painter.setOpacity(STRONGEST * float(index.data(SHARE) or 0.0))
        painter.drawRect(cell)
        painter.setOpacity(1.0)
        painter.setPen(QColor(p.text))
        painter.drawText(cell, Qt.AlignmentFlag.AlignCenter, str(index.data()))
        painter.restore()


def swatch(color: str, side: int = 10) -> QIcon:
    """Return a small square of a colour."""
    pixmap = QPixmap(side, side)
    pixmap.fill(QColor(color))
    return QIcon(pixmap)


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
