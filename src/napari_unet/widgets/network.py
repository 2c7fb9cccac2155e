"""The network: everything about it to be set, and what follows from that."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_unet.errors import InputError
from napari_unet.network.architecture import Architecture
from napari_unet.network.config import UNetConfig
from napari_unet.network.table import Row, shape_table
from napari_unet.widgets.editors import ChoiceEdit, TextEdit
from napari_unet.widgets.form import ModelForm, form_layout
from napari_unet.widgets.lists import read_list, write_list
from napari_unet.widgets.parts import heading, plain_table
from napari_unet.widgets.words import sizes

PER_AXIS = ("poolings", "kernels", "head_kernel", "stem", "filters")
ROW = 19
"""Height of a row, in pixels."""
USUAL_INPUT = {2: 176, 3: 56}


def starting_points() -> dict[str, UNetConfig]:
    """Return networks to begin with, by name: ours in three sizes, and published ones."""
    ours = {
        f"{size.capitalize()} {ndim}D": UNetConfig.sized(size, ndim)
        for ndim in (2, 3)
        for size in ("small", "medium", "large")
    }
    names = {
        "Ronneberger 2015 (2D)": "ronneberger2015",
        "Çiçek 2016 (3D)": "cicek2016",
        "Neurons (3D)": "neurons3d",
        "NDNet v3 (3D)": "ndnet_unetv3",
    }
    return ours | {text: UNetConfig.preset(name) for text, name in names.items()}


class NetworkEditor(QWidget):
    """Edits a whole `UNetConfig`; channels in and out follow from the image and the classes."""

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        points = starting_points()
        self.start = ChoiceEdit([(config, text) for text, config in points.items()])
        self.start.setToolTip("Fill in a network of ours or a published one, to be changed below.")
        self.form: ModelForm[UNetConfig] = ModelForm(
            UNetConfig, exclude=("in_channels", "out_channels")
        )
        top = form_layout()
        top.addRow("Start from", self.start)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(heading("Custom network"))
        layout.addLayout(top)
        layout.addWidget(self.form)
        self.setValue(points["Medium 2D"])
        self.start.setValue(points["Medium 2D"])
        self.start.valueChanged.connect(lambda: self.setValue(self.start.value()))
        self.form.editors["ndim"].valueChanged.connect(self._axes_changed)
        self.form.valueChanged.connect(self.valueChanged)

    def value(self) -> UNetConfig:
        """Return the network.

        Raises
        ------
        InputError
            Where there is none of that kind.
        """
        return self.form.value()

    def setValue(self, value: UNetConfig) -> None:  # noqa: N802 - Qt's name
        """Show another network."""
        self._ndim = value.ndim
        self.form.setValue(value)

    def _axes_changed(self) -> None:
        """Forget what was set per axis, for there are more or fewer of them now."""
        ndim = self.form.editors["ndim"].value()
        if ndim != self._ndim:
            self._ndim = ndim
            for name in PER_AXIS:
                self.form.editors[name].setValue(())


class NetworkTable(QWidget):
    """What a network does to a picture: shapes through all layers, parameters, sizes that fit."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._config: Architecture | None = None
        self.facts = QLabel()
        self.facts.setWordWrap(True)
        self.facts.setTextFormat(Qt.TextFormat.RichText)
        self.facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.input_size = TextEdit(read_list, write_list)
        self.input_size.setToolTip("Size of the picture that goes in, per axis, in voxels.")
        self.reason = QLabel()
        self.reason.setWordWrap(True)
        self.reason.setProperty("unet", "error")
        self.table = _empty_table()
        row = form_layout()
        row.addRow("Input size", self.input_size)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(heading("The network"))
        layout.addWidget(self.facts)
        layout.addLayout(row)
        layout.addWidget(self.reason)
        layout.addWidget(self.table)
        self.input_size.valueChanged.connect(self._refill)

    def set_network(self, config: Architecture | None, problem: str = "") -> None:
        """Show another network, or say why there is none."""
        before, self._config = self._config, config
        self.facts.setText(describe_network(config) if config else problem)
        self.input_size.setEnabled(config is not None)
        if config and (before is None or before.geometry != config.geometry):
            usual = (USUAL_INPUT[config.ndim],) * config.ndim
            self.input_size.setValue(
                tuple(
                    g.largest_input(max(n, g.smallest_input))
                    for g, n in zip(config.geometry, usual, strict=True)
                )
            )
        self._refill()

    def _refill(self) -> None:
        rows, reason = self._rows()
        self.reason.setText(reason)
        self.reason.setVisible(bool(reason))
        self.table.setRowCount(len(rows))
        # As tall as it is long: the page scrolls, and nothing in it does.
        self.table.setFixedHeight(ROW * (len(rows) + 1) + 4)
        for y, row in enumerate(rows):
            parameters = f"{row.parameters:,}" if row.parameters else ""
            cells = (row.name, sizes(row.shape), f"{row.channels:,}", parameters)
            for x, text in enumerate(cells):
                item = QTableWidgetItem(text)
                if x:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                self.table.setItem(y, x, item)

    def _rows(self) -> tuple[list[Row], str]:
        if self._config is None:
            return [], ""
        shape: Any = self.input_size.value()
        if len(shape) != self._config.ndim or not all(isinstance(n, int) for n in shape):
            return [], f"{self._config.ndim} whole numbers are needed, one per axis."
        try:
            return shape_table(self._config, shape), ""
        except InputError as error:
            return [], str(error)


def describe_network(config: Architecture) -> str:
    """Return what follows from a network's architecture, as rich text."""
    smallest = [axis.smallest_input for axis in config.geometry]
    total = sum(row.parameters for row in shape_table(config, smallest))
    axes = ("z", "y", "x")[-config.ndim :]
    allowed = "; ".join(
        f"{name}: {', '.join(map(str, g.allowed_inputs(g.smallest_input + 3 * g.stride)))}, …"
        for name, g in _unlike(axes, config.geometry)
    )
    lines = {
        "Parameters": f"{total:,}",
        "Sees": f"{sizes(config.receptive_field)} voxels",
        "Context": f"{sizes(tuple(g.context for g in config.geometry))} voxels more in than out",
        "Input sizes": allowed,
    }
    return "<br>".join(f"<b>{name}</b> {text}" for name, text in lines.items())


def _unlike(axes: tuple[str, ...], geometry: tuple[Any, ...]) -> list[tuple[str, Any]]:
    """Return the axes' names with their geometry; axes that behave alike share an entry."""
    names: dict[Any, list[str]] = {}
    for axis, g in zip(axes, geometry, strict=True):
        names.setdefault(g, []).append(axis)
    return [(", ".join(found), g) for g, found in names.items()]


def _empty_table() -> QTableWidget:
    table, header = plain_table(4, ROW)
    header.setFixedHeight(ROW)
    texts = {"layer": "", "shape": "Voxels per axis", "ch.": "Channels", "param.": "Parameters"}
    for column, (text, tip) in enumerate(texts.items()):
        item = QTableWidgetItem(text)
        item.setToolTip(tip)
        table.setHorizontalHeaderItem(column, item)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.setProperty("unet", "small")
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    return table
