"""What is taken for what, as a small table."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QModelIndex, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
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

from napari_unet.training.metrics import Table, shares
from napari_unet.widgets.theme import Palette

ROW, NARROW, NAMES = 22, 40, 104
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
            for c, (count, part) in enumerate(zip(row, parts, strict=True)):
                self._fill(r, c, part, f"{count:,.0f} of {names[r]} read as {names[c]}")

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
        self.table.setFixedHeight((number + 1) * ROW + 4 + scrolls)

    def _arrange_headers(self) -> None:
        rows, columns = self.table.verticalHeader(), self.table.horizontalHeader()
        assert rows is not None
        assert columns is not None
        rows.setDefaultSectionSize(ROW)
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setMaximumWidth(NAMES)
        columns.setFixedHeight(ROW)
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
