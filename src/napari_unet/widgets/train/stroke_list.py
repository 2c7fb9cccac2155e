"""A list of the separate strokes of a Labels layer: to go to them, and to remove them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from napari import Viewer
from napari.layers import Labels
from qtpy.QtCore import (
    QAbstractTableModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    Signal,
)
from qtpy.QtGui import QKeyEvent, QShowEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QSizePolicy,
    QTableView,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import qdebounced

from napari_unet.data.strokes import Stroke, StrokeIndex, pixels_of
from napari_unet.display import hex_colour, rgb8
from napari_unet.errors import InputError
from napari_unet.geometry.axes import is_time, name_axes
from napari_unet.widgets.layers.editing import change_labels, check_editable
from napari_unet.widgets.layers.layer_data import RGBA, colours_of, largest_level
from napari_unet.widgets.layers.view_geometry import ViewGeometry
from napari_unet.widgets.qt.event_thread import EventRunner, LatestOnly
from napari_unet.widgets.qt.subscriptions import Subscriptions
from napari_unet.widgets.train.class_table import (
    MOST_VOXELS,
    RECOUNT_MS,
    ROW,
    colour_icon,
    planes_in_reach,
)
from napari_unet.widgets.train.plane_filling import PlaneFilling

MOST_ROWS = 8
"""Rows up to which the list does not scroll."""

CLASS, PLANE, SIZE, REMOVE = range(4)
"""The columns."""

HOW_TO = "Click one to go there; ✕ or the Delete key removes it, Ctrl+Z brings it back."
"""What can be done with the list."""

Index = QModelIndex | QPersistentModelIndex
"""What Qt's views ask a model about."""


class StrokeModel(QAbstractTableModel):
    """The rows of the list.

    Parameters
    ----------
    names : callable
        Returns the names of the classes, by label value.
    parent : QWidget
        The Qt parent.

    Attributes
    ----------
    strokes : list of Stroke
        In the order in which they are shown.
    """

    def __init__(self, names: Callable[[], Mapping[int, str]], parent: QWidget) -> None:
        super().__init__(parent)
        self.strokes: list[Stroke] = []
        self._names = names
        self._colours: Mapping[int, RGBA] = {}
        self._order = (PLANE, Qt.SortOrder.AscendingOrder)

    def show_strokes(self, strokes: Sequence[Stroke], colours: Mapping[int, RGBA]) -> None:
        """Show other strokes.

        Parameters
        ----------
        strokes : sequence of Stroke
            In the order of their first pixels.
        colours : mapping of int to RGBA
            The colours of their classes, by label value.
        """
        self.beginResetModel()
        self.strokes = sorted(strokes, key=self._sort_key)
        if self._order[1] == Qt.SortOrder.DescendingOrder:
            self.strokes.reverse()
        self._colours = colours
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column."""
        self._order = (column, order)
        self.show_strokes(self.strokes, self._colours)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802 - Qt's name
        """Return the number of strokes."""
        return 0 if parent.isValid() else len(self.strokes)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802 - Qt's name
        """Return the number of columns."""
        return 0 if parent.isValid() else REMOVE + 1

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        stroke, column = self.strokes[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            name = self._names().get(stroke.value, f"class {stroke.value}")
            return (name, plane_text(stroke), f"{stroke.pixels:,}", "✕")[column]
        if role == Qt.ItemDataRole.DecorationRole and column == CLASS:
            return colour_icon(
                hex_colour(rgb8(self._colours.get(stroke.value, (0.5,) * 3 + (1.0,))))
            )
        if role == Qt.ItemDataRole.TextAlignmentRole and column in (PLANE, SIZE):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.TextAlignmentRole and column == REMOVE:
            return Qt.AlignmentFlag.AlignCenter
        if role == Qt.ItemDataRole.ToolTipRole:
            return "Remove this stroke (Ctrl+Z brings it back)" if column == REMOVE else HOW_TO
        return None

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the head of a column."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return ("Class", "Plane", "Pixels", "")[section]
        return None

    def _sort_key(self, stroke: Stroke) -> tuple[Any, ...]:
        start = stroke.region.start
        if self._order[0] == CLASS:
            return (stroke.value, start)
        return (stroke.pixels, start) if self._order[0] == SIZE else (start,)


def plane_text(stroke: Stroke) -> str:
    """Return where a stroke is along the axes with sliders, as ``4`` or ``2, 3–12``.

    Parameters
    ----------
    stroke : Stroke
        The stroke; the numbers are those that the sliders show.
    """
    spans = list(zip(stroke.region.start, stroke.region.stop, strict=True))[:-2]
    return ", ".join(str(a) if b - a == 1 else f"{a}–{b - 1}" for a, b in spans)


class StrokeList(QWidget):
    """Lists the strokes of a Labels layer while it is seen.

    They are looked for in a thread, a moment after the last change; planes that are as they were
    are not worked out again, and of a huge layer only the planes that were painted on are read.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer is.
    names : callable
        Returns the names of the classes, by label value.

    Attributes
    ----------
    table : QTableView
        The list.
    model : StrokeModel
        Its rows.
    line : QLabel
        What can be done, or why not.
    filling : PlaneFilling
        Fills the planes between two strokes.
    """

    listed = Signal()

    def __init__(
        self, viewer: Viewer, names: Callable[[], Mapping[int, str]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Labels | None = None
        self._found: tuple[int, StrokeIndex] | None = None
        self._touched: set[int] | None = None
        self._finder = EventRunner(self)
        self._latest = LatestOnly(self._finder)
        self._latest.due.connect(self._find)
        self._finder.happened.connect(self._take)
        self._remover = EventRunner(self)
        self._remover.happened.connect(self._remove_pixels)
        self._find_soon = qdebounced(self.refresh, timeout=RECOUNT_MS)
        self._subscriptions = Subscriptions()
        self.model = StrokeModel(names, self)
        self.table = _table(self.model)
        self.filling = PlaneFilling(viewer)
        self.line = QLabel()
        self.line.setWordWrap(True)
        self.line.setProperty("unet", "faint")
        self.table.clicked.connect(self._clicked)
        self.table.activated.connect(self._clicked)
        self.table.installEventFilter(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.table)
        layout.addWidget(self.line)
        layout.addWidget(self.filling)
        self._show()

    def set_layer(self, layer: Labels | None) -> None:
        """List the strokes of another layer, or of none."""
        if layer is self._layer:
            return
        self.release()
        self._layer = layer
        self.filling.set_layer(layer)
        if layer is not None:
            events = layer.events
            self._subscriptions.connect(self._changed, events.paint, events.data, events.colormap)
            # Undo and redo are heard of only together with every move to another slice.
            if layer.data.size <= MOST_VOXELS:
                self._subscriptions.connect(self._changed, events.set_data)
        self._show()
        self.refresh()

    def release(self) -> None:
        """Disconnect from the layer."""
        self._subscriptions.release()
        self._latest.cancel()
        self._find_soon.cancel()
        self._layer = self._found = self._touched = None
        self.filling.release()

    def refresh(self) -> None:
        """Look for the strokes, if the list is seen."""
        if self._layer is not None and self.isVisible():
            self._latest.request()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Look for the strokes as soon as the list is seen; all planes, for undo may be missed."""
        super().showEvent(event)
        self._touched = None
        self.refresh()

    def eventFilter(self, target: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Remove the selected stroke where the Delete key is pressed."""
        keys = (Qt.Key.Key_Delete, Qt.Key.Key_Backspace)
        row = self.table.currentIndex().row()
        if not isinstance(event, QKeyEvent) or event.key() not in keys or row < 0:
            return super().eventFilter(target, event)
        if event.type() == QEvent.Type.KeyPress:
            self.remove(self.model.strokes[row])
        return True

    def remove(self, stroke: Stroke) -> None:
        """Go to a stroke, and remove it from the layer; one step of undo.

        Parameters
        ----------
        stroke : Stroke
            One of those that are listed.
        """
        layer = self._layer
        if layer is None or self._remover.running:
            return
        try:
            check_editable(layer)
        except InputError as error:
            self.line.setText(str(error))
            return
        self._go(stroke)
        data, stacked = largest_level(layer), is_stacked(layer)
        self._remover.start_call(lambda: (layer, stroke, pixels_of(data, stroke, stacked=stacked)))

    def _changed(self, event: Any = None) -> None:
        layer = self._layer
        if layer is None:
            return
        small = layer.data.size <= MOST_VOXELS or layer.ndim < 3
        if small or getattr(event, "type", "") == "data":
            self._touched = None
        elif self._touched is not None:
            self._touched |= planes_in_reach(self._viewer, layer, event)
        if self.isVisible():
            self._find_soon()

    def _find(self) -> None:
        layer = self._layer
        if layer is None:
            return
        data, stacked = largest_level(layer), is_stacked(layer)
        known = self._found is not None and self._found[0] == id(data)
        before = self._found[1] if known and self._found is not None else None
        find = partial(
            StrokeIndex.of,
            data,
            stacked=stacked,
            before=before,
            only=self._touched if before else None,
        )
        self._touched = set()
        self._finder.start_call(lambda: (id(data), find()))

    def _take(self, found: tuple[int, StrokeIndex]) -> None:
        if self._layer is not None and found[0] == id(largest_level(self._layer)):
            self._found = found
            self._show()
            self.listed.emit()

    def _show(self) -> None:
        """Show what was found; the same row as before stays selected."""
        strokes = () if self._found is None else self._found[1].strokes
        row = self.table.currentIndex().row()
        values = {stroke.value for stroke in strokes}
        colours = {} if self._layer is None else colours_of(self._layer, values)
        self.model.show_strokes(strokes, colours)
        if row >= 0 and strokes:
            self.table.setCurrentIndex(self.model.index(min(row, len(strokes) - 1), CLASS))
        self.table.setVisible(bool(strokes))
        self.table.setColumnHidden(PLANE, self._layer is None or self._layer.ndim < 3)
        head = self.table.horizontalHeader()
        above = ROW if head is None else head.sizeHint().height()
        self.table.setFixedHeight(above + min(len(strokes), MOST_ROWS) * ROW + 2)
        one = "1 stroke." if len(strokes) == 1 else f"{len(strokes):,} strokes."
        self.line.setText(f"{one} {HOW_TO}" if strokes else "Nothing is painted yet.")

    def _clicked(self, index: QModelIndex) -> None:
        stroke = self.model.strokes[index.row()]
        if index.column() == REMOVE:
            self.remove(stroke)
        else:
            self._go(stroke)

    def _go(self, stroke: Stroke) -> None:
        layer = self._layer
        if layer is not None and layer in self._viewer.layers:
            ViewGeometry(self._viewer, layer).go_to(stroke.place)
            self._viewer.layers.selection.active = layer

    def _remove_pixels(self, found: tuple[Labels, Stroke, Any]) -> None:
        layer, stroke, pixels = found
        if layer is self._layer:
            change_labels(layer, pixels, stroke.value, 0)
            self.refresh()


def is_stacked(layer: Labels) -> bool:
    """Tell whether the strokes of a layer go on from plane to plane: they do not through time."""
    if layer.ndim < 3:
        return False
    names = name_axes(tuple(map(str, layer.axis_labels)), tuple(map(str, layer.units)))
    return not is_time(names[-3])


def _table(model: StrokeModel) -> QTableView:
    table = QTableView()
    table.setModel(model)
    rows, header = table.verticalHeader(), table.horizontalHeader()
    assert rows is not None
    assert header is not None
    rows.hide()
    rows.setDefaultSectionSize(ROW)
    rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    header.setMinimumSectionSize(24)
    for column, mode in (
        (CLASS, QHeaderView.ResizeMode.Stretch),
        (PLANE, QHeaderView.ResizeMode.ResizeToContents),
        (SIZE, QHeaderView.ResizeMode.ResizeToContents),
        (REMOVE, QHeaderView.ResizeMode.Fixed),
    ):
        header.setSectionResizeMode(column, mode)
    table.setColumnWidth(REMOVE, 28)
    table.setSortingEnabled(True)
    table.sortByColumn(PLANE, Qt.SortOrder.AscendingOrder)
    table.setShowGrid(False)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
    table.setAccessibleName("Strokes")
    return table
