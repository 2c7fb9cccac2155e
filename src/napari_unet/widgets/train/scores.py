"""The scores of a validation: a bar per class, and the confusion table."""

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

from napari_unet.display import TOO_FEW, count, score_text
from napari_unet.training.events import Validated
from napari_unet.training.metrics import Table, accuracy, dice, iou, shares
from napari_unet.widgets.qt.style import Palette, Section, guard_wheel

ROW_HEIGHT = 22
"""Height of a row of the table, in pixels."""

NARROW = 40
"""Least width of a column of the table, in pixels."""

NAMES = 104
"""Largest width of the column of names, in pixels."""

SWATCH = 10
"""Side of a square of colour, in pixels."""

STRONGEST = 0.6
"""Opacity of a cell that holds all voxels of its row."""

SHARE = Qt.ItemDataRole.UserRole
"""Role of an item's data under which its share of the row is kept."""


class ConfusionTable(QWidget):
    """A table of held-out voxels in percent of each row: true class by row, predicted by column."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.hint = QLabel("Rows: true class. Columns: predicted class.")
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
        """Show a confusion matrix.

        Parameters
        ----------
        table : sequence of sequences of float, shape (class, class)
            Counts of voxels; rows are true classes.
        names, colors : sequence of str
            Names and colours (``#rrggbb``) of the classes.
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
                self._fill(r, c, part, f"{pixels:,.0f} of {names[r]} predicted as {names[c]}")

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
            header.setIconSize(QSize(SWATCH, SWATCH))
            header.setHighlightSections(False)
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        rows.setDefaultAlignment(left)


class _Cells(QStyledItemDelegate):
    """Paints cells: hits in one colour, mistakes in another, more opaque where there are more."""

    def __init__(self, palette: Palette, parent: QWidget) -> None:
        super().__init__(parent)
        self.palette_ = palette

    def paint(
        self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        """Draw a cell. Style sheets would hide a background that is set for an item.

        Parameters
        ----------
        painter : QPainter
            Where to draw.
        option : QStyleOptionViewItem
            Has the cell's rectangle.
        index : QModelIndex
            The cell.
        """
        assert painter is not None
        p = self.palette_
        cell = option.rect.adjusted(1, 1, -1, -1)
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


def swatch(colour: str) -> QIcon:
    """Return a small square of a colour (``#rrggbb``)."""
    pixmap = QPixmap(SWATCH, SWATCH)
    pixmap.fill(QColor(colour))
    return QIcon(pixmap)


ROW = 20
"""Height of the row of a class, in pixels."""

GAP = 8
"""Space between name, bar and number, in pixels."""

NAME_SHARE = 0.34
"""Share of the width that names have."""

SCORES = {"IoU": iou, "Dice": dice}
"""The scores that can be computed from a confusion matrix."""


@dataclass(frozen=True)
class Score:
    """The score of one class.

    Parameters
    ----------
    name, color : str
        Name and colour (``#rrggbb``) of the class.
    value : float, optional
        From 0 to 1; None where too little of the class is held out.
    pixels : int, optional
        How many pixels of it are held out.
    """

    name: str
    color: str
    value: float | None
    pixels: int | None = None


class ScoreBars(QWidget):
    """Draws a row per class: name, bar, number and held-out pixels; and a line of text below."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.palette_ = palette
        self.scores: tuple[Score, ...] = ()
        self.caption = ""
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return a size with room for all classes."""
        return QSize(280, ROW * (len(self.scores) + bool(self.caption)))

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the same height, and the least width at which bars are readable."""
        return QSize(180, self.sizeHint().height())

    def show_scores(self, scores: Sequence[Score], caption: str) -> None:
        """Show scores in place of the last ones.

        Parameters
        ----------
        scores : sequence of Score
            One per class.
        caption : str
            The line below.
        """
        self.scores = tuple(scores)
        self.caption = caption
        self.setAccessibleDescription(
            "; ".join(f"{s.name} {score_text(s.value)}" for s in self.scores)
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
        if score.value is None:
            painter.setOpacity(0.7)
            bar = QRectF(name.right() + GAP, row.top(), row.right() - name.right(), row.height())
            painter.drawText(bar, Qt.AlignmentFlag.AlignVCenter, TOO_FEW)
            painter.setOpacity(1.0)
            return
        painter.drawText(row, right, score_text(score.value))
        self._draw_bar(painter, score, bar)

    def _draw_pixels(self, painter: QPainter, score: Score, row: QRectF) -> QRectF:
        """Draw the number of held-out pixels; return the rest of the row."""
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
    """The scores of the last validation: bars, number of held-out pixels, and confusion table."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: tuple[Validated, tuple[str, ...], tuple[str, ...]] | None = None
        self.bars = ScoreBars(palette)
        self.table = ConfusionTable(palette)
        self.choice = QComboBox()
        self.caption = QLabel()
        self.caption.setProperty("unet", "faint")
        self.caption.setWordWrap(True)
        self.choice.addItems(list(SCORES))
        self.choice.setToolTip("Measure of the overlap of annotated and predicted pixels.")
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
            Where it has no confusion matrix, its own scores are shown and there is no choice.
        names, colors : sequence of str
            Names and colours (``#rrggbb``) of the classes, among which there may be one that was
            first painted after the validation.
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
        self.caption.setText(text if right is None else f"{text} · {100 * right:.0f} % correct")
        if table and self.confusion.button.isChecked():
            n = len(table)
            self.table.show_table(table, names[:n], colors[:n])


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
