"""A table of the painted classes: colour, name and number of pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import qdebounced

from napari_unet.data.annotations import MERGED
from napari_unet.data.label_kind import LabelKind
from napari_unet.display import hex_colour, rgb8
from napari_unet.tasks.segmentation.data import usual_name
from napari_unet.widgets.layers.layer_data import (
    BACKGROUND,
    RGBA,
    array_shape,
    class_names_of,
    colours_of,
    largest_level,
    name_class,
    typed_names_of,
)
from napari_unet.widgets.layers.view_geometry import ViewGeometry
from napari_unet.widgets.qt.event_thread import EventRunner, LatestOnly
from napari_unet.widgets.qt.style import plain_table
from napari_unet.widgets.qt.subscriptions import Subscriptions

RECOUNT_MS = 400
"""Time in milliseconds to wait for further changes before counting again."""

ROW = 24
"""Height of a row, in pixels."""

ICON = 14
"""Side of a square of colour, in pixels."""

MOST_ROWS = 6
"""Rows up to which the table does not scroll."""

MOST_VOXELS = 1 << 26
"""Voxels up to which a layer is also counted after undo, redo and other changes of its view."""


@dataclass(frozen=True)
class ClassCounts:
    """How many pixels are painted, per label value; 0 is left out.

    Parameters
    ----------
    pixels : dict of int to int
        Counts of the whole array, by label value.
    slabs : tuple of Counter
        Counts of each index of the first axis; of an array with two axes, one count of it all.
    """

    pixels: dict[int, int] = field(default_factory=dict)
    slabs: tuple[Counter[int], ...] = ()

    @classmethod
    def counted(
        cls, data: Any, before: ClassCounts | None = None, only: Iterable[int] = ()
    ) -> ClassCounts:
        """Count the labels of an array, or only some of its slabs anew.

        Parameters
        ----------
        data : array of int
            The labels.
        before : ClassCounts, optional
            Earlier counts of the same array.
        only : iterable of int
            The indices of the first axis that have changed since; all others are taken from
            `before`, where there is one.
        """
        if data.ndim < 3:
            slabs: tuple[Counter[int], ...] = (_count(data),)
        elif before is None or len(before.slabs) != data.shape[0]:
            slabs = tuple(_count(data[i]) for i in range(data.shape[0]))
        else:
            changed = {i: _count(data[i]) for i in only}
            slabs = tuple(changed.get(i, slab) for i, slab in enumerate(before.slabs))
        total: Counter[int] = sum(slabs, Counter())
        return cls(dict(sorted(total.items())), slabs)


def _count(slab: Any) -> Counter[int]:
    values = np.asarray(slab)
    if not values.any():  # mostly nothing is painted, and this is quick to tell
        return Counter()
    found = np.unique(values[values != 0], return_counts=True)
    return Counter(dict(zip(*map(np.ndarray.tolist, found), strict=True)))


class ClassTable(QWidget):
    """Shows the classes of a Labels layer, or a hint; the names of the classes can be edited.

    Pixels are counted in a thread, a moment after the last change; of a huge layer only the
    slabs where it was painted on.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer is.

    Attributes
    ----------
    changed : Signal()
        There is another count or another name.
    painted : ClassCounts
        The latest counts.
    table : QTableWidget
        The table itself.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.painted = ClassCounts()
        self._layer: Labels | None = None
        self._reading: LabelKind = "strokes"
        self._filling = False
        # Where the first axis was painted on since the last count; None: anywhere.
        self._touched: set[int] | None = None
        self._counter = EventRunner(self)
        self._latest = LatestOnly(self._counter)
        self._latest.due.connect(self._count)
        self._counter.happened.connect(self._take_counts)
        self._recount_soon = qdebounced(self.recount, timeout=RECOUNT_MS)
        self._subscriptions = Subscriptions()
        self._hint = QLabel()
        self._hint.setWordWrap(True)
        self._hint.setProperty("unet", "faint")
        self.table = _table()
        self.table.itemChanged.connect(self._edited)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._hint)
        layout.addWidget(self.table)
        self._fill()

    def set_layer(self, layer: Labels | None) -> None:
        """Show another layer, or none."""
        self.release()
        self._layer = layer
        self.painted = ClassCounts()
        self._touched = None
        if layer is not None:
            events = layer.events
            self._subscriptions.connect(
                self._layer_changed, events.paint, events.data, events.colormap, events.features
            )
            # Undo and redo are heard of only together with every move to another slice.
            if layer.data.size <= MOST_VOXELS:
                self._subscriptions.connect(self._layer_changed, events.set_data)
        self._fill()
        self.recount()

    def set_reading(self, reading: LabelKind) -> None:
        """Show the classes that the labels become when they are read in this way."""
        if reading != self._reading:
            self._reading = reading
            self._fill()

    @property
    def classes(self) -> dict[int, int]:
        """The number of pixels of each class that would be learned, by label value."""
        pixels = self.painted.pixels
        if self._layer is None or self._reading == "strokes" or not pixels:
            return pixels
        labelled = sum(pixels.values())
        rest = prod(array_shape(self._layer)) - labelled
        above = {MERGED: labelled} if self._reading == "objects" else pixels
        return {0: rest, **above} if rest else above

    def set_hint(self, text: str) -> None:
        """Say what to do next, where nothing is painted."""
        self._hint.setText(text)

    def release(self) -> None:
        """Disconnect from the layer."""
        self._subscriptions.release()
        self._layer = None

    def names(self) -> dict[int, str]:
        """Return the names of the classes, by label value."""
        if self._layer is None:
            return {}
        # Where labels are merged, the layer's own names are those of objects.
        own = {} if self._reading == "objects" else class_names_of(self._layer)
        return {**own, **typed_names_of(self._layer)}

    def colors(self) -> dict[int, RGBA]:
        """Return the colours of the classes, by label value."""
        return {} if self._layer is None else colours_of(self._layer, self.classes)

    def recount(self) -> None:
        """Count in a thread; while that counts already, once more afterwards."""
        if self._layer is not None:
            self._latest.request()

    def _count(self) -> None:
        if self._layer is None:
            return
        data = largest_level(self._layer)
        touched = self._touched
        self._touched = set()
        before = None if touched is None else self.painted
        changed = sorted(touched or ())
        self._counter.start_call(lambda: (id(data), ClassCounts.counted(data, before, changed)))

    def _layer_changed(self, event: Any = None) -> None:
        layer = self._layer
        if layer is None:
            return
        small = layer.data.size <= MOST_VOXELS
        if small or getattr(event, "type", "") == "data":
            self._touched = None
        elif self._touched is not None:
            self._touched |= planes_in_reach(self._viewer, layer, event)
        self._recount_soon()

    def _take_counts(self, found: tuple[int, ClassCounts]) -> None:
        data_id, painted = found
        if self._layer is None:
            return
        if data_id == id(largest_level(self._layer)):
            self.painted = painted
            self._fill()
            self.changed.emit()

    def _edited(self, item: QTableWidgetItem) -> None:
        if self._filling or self._layer is None or item.column() != 1:
            return
        value = int(item.data(Qt.ItemDataRole.UserRole))
        name = item.text().strip() or self._usual_name(value)
        name_class(self._layer, value, name)
        self.changed.emit()

    def restore_names(self, names: Mapping[int, str]) -> None:
        """Give classes that have no name the names that they had in an earlier training."""
        if self._layer is not None:
            known = self.names()
            for value in names.keys() - known.keys():
                name_class(self._layer, value, names[value])
            self._fill()

    def _fill(self) -> None:
        if self.table.state() == QAbstractItemView.State.EditingState:
            return  # somebody is typing a name
        pixels = self.classes
        names, colors = {k: self._usual_name(k) for k in pixels} | self.names(), self.colors()
        self._filling = True
        self.table.setRowCount(len(pixels))
        for row, (value, count) in enumerate(pixels.items()):
            for column, item in enumerate(_items(value, count, names, colors)):
                self.table.setItem(row, column, item)
        self._filling = False
        self._hint.setVisible(not pixels)
        self.table.setVisible(bool(pixels))
        rows = min(len(pixels), MOST_ROWS)
        self.table.setFixedHeight(rows * ROW + 2)

    def _usual_name(self, value: int) -> str:
        return usual_name(value, merged=self._reading == "objects")


def planes_in_reach(viewer: ViewerModel, layer: Labels, event: Any = None) -> set[int]:
    """Return the indices of the first axis that a change just made may have touched.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layer is.
    layer : Labels
        The layer that was painted on; its brush may reach into other planes.
    event : Event, optional
        What napari told of the change; where it says what was painted, the view does not count.
    """
    edits = event.value if getattr(event, "type", "") == "paint" else ()
    told = [_planes_of(edit) for edit in edits]
    if told and None not in told:
        return set().union(*filter(None, told))
    planes, geometry = array_shape(layer)[0], ViewGeometry(viewer, layer)
    if 0 in geometry.displayed:
        return set(range(planes))
    reach = 0 if layer.n_edit_dimensions < layer.ndim else layer.brush_size
    at = int(geometry.index[0])
    return set(range(max(0, at - reach), min(planes, at + reach + 1)))


def _planes_of(edit: Any) -> set[int] | None:
    """Return the indices of the first axis that an entry of napari's undo list changed.

    None where it is of a kind that is not known.
    """
    if isinstance(edit, tuple) and len(edit) == 3:  # indices, and the values before and after
        return set(np.unique(np.asarray(edit[0][0])).tolist())
    key = getattr(edit, "slice_key", None)
    return None if not key else set(range(key[0].start, key[0].stop))


def _items(
    value: int, count: int, names: Mapping[int, str], colors: Mapping[int, RGBA]
) -> tuple[QTableWidgetItem, ...]:
    colour = hex_colour(rgb8(colors.get(value, (0.5, 0.5, 0.5, 1))))
    swatch = QTableWidgetItem(colour_icon(colour) if value else clear_icon(), "")
    swatch.setFlags(Qt.ItemFlag.ItemIsEnabled)
    swatch.setToolTip(f"Label {value}")
    name = QTableWidgetItem(names[value])
    name.setData(Qt.ItemDataRole.UserRole, value)
    name.setToolTip(f"Name of label {value}; double-click to change it. It is kept in the model.")
    number = QTableWidgetItem(f"{count:,}")
    number.setFlags(Qt.ItemFlag.ItemIsEnabled)
    number.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    number.setToolTip("Painted pixels" if value else "Pixels with label 0")
    return swatch, name, number


def clear_icon() -> QIcon:
    """Return an empty square with a grey edge, for what is shown in no colour."""
    pixmap = QPixmap(ICON, ICON)
    pixmap.fill(QColor("transparent"))
    painter = QPainter(pixmap)
    painter.setPen(QColor(hex_colour(rgb8(BACKGROUND))))
    painter.drawRect(0, 0, ICON - 1, ICON - 1)
    painter.end()
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Mode.Disabled)
    return icon


def colour_icon(colour: str) -> QIcon:
    """Return a square of one colour (``#rrggbb``)."""
    pixmap = QPixmap(ICON, ICON)
    pixmap.fill(QColor(colour))
    icon = QIcon(pixmap)
    for mode in (QIcon.Mode.Disabled, QIcon.Mode.Selected):  # not tinted: it tells classes apart
        icon.addPixmap(pixmap, mode)
    return icon


def _table() -> QTableWidget:
    table, header = plain_table(3, ROW)
    header.hide()
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Fixed)
    header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
    header.setSectionResizeMode(2, QHeaderView.ResizeMode.ResizeToContents)
    header.setMinimumSectionSize(24)
    table.setColumnWidth(0, 26)
    table.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
    table.setAccessibleName("Classes")
    return table
