"""An editor of a network's configuration, and a table of its layers."""

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

from napari_unet.display import voxels
from napari_unet.errors import InputError
from napari_unet.network.architecture import Architecture, shape_table
from napari_unet.network.cost import NetworkCost, megabytes, network_cost
from napari_unet.network.layers import LayerRow
from napari_unet.network.presets import PRESETS
from napari_unet.network.registry import preset
from napari_unet.network.unet_config import UNetConfig
from napari_unet.widgets.forms.editors import ChoiceEdit, TextEdit
from napari_unet.widgets.forms.model_form import ModelForm, form_layout
from napari_unet.widgets.qt.style import heading, plain_table
from napari_unet.widgets.qt.text import read_list, sizes, write_list

PER_AXIS = ("poolings", "kernels", "head_kernel", "stem", "filters", "up_kernel")
HIDDEN_FIELDS = ("kind", "in_channels", "out_channels")
"""Fields that follow from the starting point, the image and the classes."""

ROW = 19
"""Height of a row, in pixels."""
USUAL_INPUT = {2: 176, 3: 56}
"""Size of the input that is shown at first, per axis in voxels, by dimensions."""

PUBLISHED = {
    "ronneberger2015": "Ronneberger 2015 (2D)",
    "cicek2016": "Çiçek 2016 (3D)",
    "neurons3d": "Neurons (3D)",
    "ndnet_unetv3": "NDNet v3 (3D)",
    "sinogram2019": "Sinograms (2D)",
    "semantic2d": "Semantic (2D)",
    "fcdensenet56": "FC-DenseNet-56",
    "fcdensenet67": "FC-DenseNet-67",
    "fcdensenet103": "FC-DenseNet-103",
    "fcn32s": "FCN-32s",
    "fcn16s": "FCN-16s",
    "fcn8s": "FCN-8s",
}
"""Names of the published networks for people."""


def starting_points() -> dict[str, Architecture]:
    """Return the networks that are offered, by name: ours in three sizes, and published ones."""
    ours: dict[str, Architecture] = {
        f"{size.capitalize()} {ndim}D": UNetConfig.sized(size, ndim)
        for ndim in (2, 3)
        for size in ("small", "medium", "large")
    }
    return ours | {PUBLISHED.get(name, name): preset(name) for name in PRESETS}


class NetworkEditor(QWidget):
    """Edits the configuration of a network, but for its channels, which follow from the data.

    Each kind of network has a form of its own, which is created when it is first needed.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        points = starting_points()
        self.start = ChoiceEdit([(config, text) for text, config in points.items()])
        self.start.setToolTip(
            "Fill the form with a built-in or a published network; it can then be changed below."
        )
        self._forms: dict[str, ModelForm[Any]] = {}
        top = form_layout()
        top.addRow("Start from", self.start)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(heading("Custom network"))
        layout.addLayout(top)
        self.setValue(points["Medium 2D"])
        self.start.setValue(points["Medium 2D"])
        self.start.valueChanged.connect(lambda: self.setValue(self.start.value()))

    @property
    def form(self) -> ModelForm[Any]:
        """The form of the kind of network that is shown."""
        return self._forms[self._kind]

    def value(self) -> Architecture:
        """Return the network.

        Raises
        ------
        InputError
            Where there is none of that kind.
        """
        network: Architecture = self.form.value()
        return network

    def setValue(self, value: Architecture) -> None:  # noqa: N802 - Qt's name
        """Show another network."""
        self._kind, self._ndim = value.kind, value.ndim
        if value.kind not in self._forms:
            self._add_form(type(value))
        for kind, form in self._forms.items():
            form.setVisible(kind == value.kind)
        self.form.setValue(value)

    def _add_form(self, config: type[Architecture]) -> None:
        form: ModelForm[Any] = ModelForm(config, exclude=HIDDEN_FIELDS)
        self._forms[self._kind] = form
        layout = self.layout()
        assert layout is not None
        layout.addWidget(form)
        form.editors["ndim"].valueChanged.connect(self._axes_changed)
        form.valueChanged.connect(self.valueChanged)

    def _axes_changed(self) -> None:
        """Clear what was set per axis, as the number of axes has changed."""
        ndim = self.form.editors["ndim"].value()
        if ndim != self._ndim:
            self._ndim = ndim
            for name in set(PER_AXIS) & set(self.form.editors):
                self.form.editors[name].setValue(())


class NetworkTable(QWidget):
    """Shows what follows from a network: shapes of all layers, parameters, valid input sizes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._config: Architecture | None = None
        self._problem = ""
        self.facts = QLabel()
        self.facts.setWordWrap(True)
        self.facts.setTextFormat(Qt.TextFormat.RichText)
        self.facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.input_size = TextEdit(read_list, write_list)
        self.input_size.setToolTip("Size of the network's input, per axis, in pixels.")
        self.reason = QLabel()
        self.reason.setWordWrap(True)
        self.reason.setProperty("unet", "error")
        self.table = _empty_table()
        self._input = QWidget()
        form_layout(self._input).addRow("Input size", self.input_size)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(heading("The network"))
        layout.addWidget(self.facts)
        layout.addWidget(self._input)
        layout.addWidget(self.reason)
        layout.addWidget(self.table)
        self.input_size.valueChanged.connect(self._refill)
        self._show_parts()

    def _show_parts(self) -> None:
        """Hide what has no meaning without a network: a heading stands above something."""
        for part in (self._input, self.table):
            part.setVisible(self._config is not None)

    def set_network(self, config: Architecture | None, problem: str = "") -> None:
        """Show another network, or why there is none.

        Parameters
        ----------
        config : Architecture, optional
            The network's configuration.
        problem : str
            Why there is no network.
        """
        before, self._config = self._config, config
        self._problem = problem
        self._show_parts()
        if config and (before is None or before.passing != config.passing):
            usual = (USUAL_INPUT[config.ndim],) * config.ndim
            self.input_size.setValue(
                tuple(
                    g.largest_input(max(n, g.smallest_input))
                    for g, n in zip(config.passing, usual, strict=True)
                )
            )
        self._refill()

    def _refill(self) -> None:
        rows, reason = self._rows()
        self.facts.setText(self._facts())
        self.reason.setText(reason)
        self.reason.setVisible(bool(reason))
        self.table.setRowCount(len(rows))
        # As high as all its rows: the page scrolls, not the table.
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

    def _facts(self) -> str:
        if self._config is None:
            return self._problem
        shape = self._shape()
        return describe_network(self._config, network_cost(self._config, shape))

    def _shape(self) -> tuple[int, ...] | None:
        """Return the input size that is typed, if it is valid."""
        shape: Any = self.input_size.value()
        assert self._config is not None
        whole = len(shape) == self._config.ndim and all(isinstance(n, int) for n in shape)
        return tuple(shape) if whole and min(shape) > 0 else None

    def _rows(self) -> tuple[list[LayerRow], str]:
        if self._config is None:
            return [], ""
        shape = self._shape()
        if shape is None:
            return [], f"{self._config.ndim} whole numbers are needed, one per axis."
        try:
            return shape_table(self._config, shape), ""
        except InputError as error:
            return [], str(error)


def describe_network(config: Architecture, found: NetworkCost) -> str:
    """Return a description of a network as rich text.

    Parameters
    ----------
    config : Architecture
        The network.
    found : NetworkCost
        What follows from it for an input size.
    """
    axes = ("z", "y", "x")[-config.ndim :]
    unit = voxels(config.ndim)
    allowed = "; ".join(
        f"{name}: {', '.join(map(str, g.allowed_inputs(g.smallest_input + 3 * g.stride)))}, …"
        for name, g in _by_geometry(axes, config.passing)
    )
    read = "each tile" if config.padded else "the network"
    lines = {
        "Parameters": f"{found.parameters:,}",
        "Receptive field": f"{sizes(found.receptive_field)} {unit}",
        "Context": f"the input of {read} is {sizes(found.context)} {unit} larger than its output",
        "Input sizes": allowed,
    }
    if found.wished not in (found.cropped, found.padded):
        cropped = f"{sizes(found.cropped)} by cropping, " if found.cropped else ""
        lines["Nearest sizes"] = f"{cropped}{sizes(found.padded)} by padding"
    lines[f"Input {sizes(found.shape)}"] = (
        # A gigaflop per million voxels is a thousand per voxel.
        f"output {sizes(found.output)}; "
        f"{found.flops_per_voxel / 1e3:,.0f} GFLOP per million {unit}; memory about "
        f"{megabytes(found.training_bytes)} to train on one patch, "
        f"{megabytes(found.prediction_bytes)} to predict"
    )
    return "<br>".join(f"<b>{name}</b> {text}" for name, text in lines.items())


def _by_geometry(axes: tuple[str, ...], geometry: tuple[Any, ...]) -> list[tuple[str, Any]]:
    """Return the axes' names with their geometry; axes of the same geometry share an entry."""
    names: dict[Any, list[str]] = {}
    for axis, g in zip(axes, geometry, strict=True):
        names.setdefault(g, []).append(axis)
    return [(", ".join(found), g) for g, found in names.items()]


def _empty_table() -> QTableWidget:
    table, header = plain_table(4, ROW)
    header.setFixedHeight(ROW)
    texts = {"layer": "", "shape": "Pixels per axis", "ch.": "Channels", "param.": "Parameters"}
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
