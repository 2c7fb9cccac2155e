"""Proposes strokes in the planes between two painted ones, which the user accepts or discards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unet.data.interpolation import fill_between, find_gap
from napari_unet.errors import InputError, NapariUnetError
from napari_unet.geometry.axes import is_time
from napari_unet.widgets.layers.editing import change_labels, check_editable
from napari_unet.widgets.layers.layer_data import axis_names, largest_level
from napari_unet.widgets.layers.placement import active_layer_kept, placement
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.layers.view_geometry import ViewGeometry
from napari_unet.widgets.qt.event_thread import EventRunner
from napari_unet.widgets.qt.style import WrappedLabel

TIP = (
    "Interpolate the layer's selected label between the two nearest planes in which it is painted. "
    "The planes in between are shown in a layer of their own; what you painted there stays."
)
"""Tooltip of the button."""


@dataclass(frozen=True, eq=False)
class FilledPlanes:
    """What is proposed between two planes.

    Parameters
    ----------
    layer : Labels
        The layer of strokes.
    value : int
        The label.
    start : tuple of int
        First voxel of `mask` in the layer.
    mask : ndarray of bool
        Where it is proposed; of as many axes as the layer.
    """

    layer: Labels
    value: int
    start: tuple[int, ...]
    mask: NDArray[np.bool_]

    @property
    def planes(self) -> str:
        """The planes, as the slider shows them."""
        first, count = self.start[-3], self.mask.shape[-3]
        return f"plane {first}" if count == 1 else f"planes {first}–{first + count - 1}"


class PlaneFilling(QWidget):
    """Fills a label in between two planes: as a proposal first, then in the layer of strokes.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer is, and the proposal goes.

    Attributes
    ----------
    fill, accept, discard : QPushButton
        The first makes a proposal; the others are shown while there is one.
    line : QLabel
        What is proposed, or why nothing can be.
    proposal : Labels, optional
        The layer of the proposal; the user may change it.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Labels | None = None
        self._filled: FilledPlanes | None = None
        self.proposal: Labels | None = None
        self._runner = EventRunner(self)
        self._runner.happened.connect(self._propose)
        self._runner.failed.connect(self._say_error)
        self.fill = QPushButton("Fill between planes")
        self.fill.setToolTip(TIP)
        self.accept = QPushButton("Accept")
        self.accept.setToolTip("Write it into the layer of strokes; Ctrl+Z takes it back.")
        self.discard = QPushButton("Discard")
        self.discard.setToolTip("Remove the proposal.")
        self.line = WrappedLabel()
        self.line.setProperty("unet", "faint")
        self.fill.clicked.connect(self.start)
        self.accept.clicked.connect(self._accept)
        self.discard.clicked.connect(self.clear)
        buttons = QHBoxLayout()
        for button in (self.fill, self.accept, self.discard):
            buttons.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(buttons)
        layout.addWidget(self.line)
        self.clear()

    def set_layer(self, layer: Labels | None) -> None:
        """Work on another layer of strokes; a proposal is removed."""
        if layer is not self._layer:
            self.clear()
            self._layer = layer
        self.setVisible(layer is not None and layer.ndim > 2)

    def release(self) -> None:
        """Remove a proposal, and follow no layer."""
        self.clear()
        self._layer = None

    def start(self) -> None:
        """Make a proposal for the selected label, around the plane in view."""
        layer = self._layer
        if layer is None or self._runner.running:
            return
        self.clear()
        try:
            check_editable(layer)
            if layer.selected_label == 0:
                raise InputError("Label 0 is no class", todo="Choose the label to fill in")
            index = self._plane(layer)
        except InputError as error:
            self._say_error(error)
            return
        data, value = largest_level(layer), int(layer.selected_label)
        self._runner.start_call(lambda: _filled(layer, data, value, index))

    def clear(self) -> None:
        """Remove the proposal, if there is one."""
        proposal, self.proposal = self.proposal, None
        if proposal is not None and proposal in self._viewer.layers:
            with active_layer_kept(self._viewer.layers):
                self._viewer.layers.remove(proposal)
        self._filled = None
        self._show("")

    def _plane(self, layer: Labels) -> tuple[int, ...]:
        """Return the index of the plane in view, along all axes but the last two."""
        names = axis_names(layer)
        if is_time(names[-3]):
            raise InputError(
                "Filling needs planes of a stack", got="frames of a movie", todo="Paint each frame"
            )
        at = ViewGeometry(self._viewer, layer).index
        last = np.array(layer.data.shape[:-2]) - 1
        return tuple(int(i) for i in np.clip(at[:-2], 0, last))

    def _propose(self, filled: FilledPlanes) -> None:
        is_chosen = filled.layer is self._layer
        if not is_chosen:
            return
        layer = filled.layer
        values = np.where(filled.mask, filled.value, 0).astype(layer.data.dtype)
        self.proposal = Labels(
            values,
            name=f"{layer.name} – proposed",
            opacity=0.5,
            colormap=layer.colormap,
            metadata={RESULT: {"preview": True}},
            **placement(layer, start=filled.start),
        )
        self._filled = filled
        with active_layer_kept(self._viewer.layers):
            self._viewer.add_layer(self.proposal)
        self._show(f"Proposed: label {filled.value} in {filled.planes}. You may change it first.")

    def _accept(self) -> None:
        filled, proposal = self._filled, self.proposal
        if filled is None or proposal is None or proposal not in self._viewer.layers:
            self.clear()
            return
        places = np.nonzero(np.asarray(proposal.data))
        indices = tuple(axis + a for axis, a in zip(places, filled.start, strict=True))
        try:
            count = change_labels(filled.layer, indices, 0, filled.value)
        except InputError as error:
            self._say_error(error)
            return
        self.clear()
        self._viewer.layers.selection.active = filled.layer
        self._show(f"Filled in {filled.planes}: {count:,} pixels. Ctrl+Z takes it back.")

    def _say_error(self, error: NapariUnetError) -> None:
        self._show(str(error))

    def _show(self, text: str) -> None:
        proposed = self.proposal is not None
        self.fill.setVisible(not proposed)
        self.accept.setVisible(proposed)
        self.discard.setVisible(proposed)
        self.line.setText(text)
        self.line.setVisible(bool(text))


def _filled(layer: Labels, data: Any, value: int, index: tuple[int, ...]) -> FilledPlanes:
    """Find the gap around a plane, and fill it; what is painted in it is left out."""
    first, last = find_gap(data, value, index)
    before = index[:-1]
    ends = [np.asarray(data[(*before, z)]) == value for z in (first, last)]
    mask = fill_between(ends[0], ends[1], last - first - 1)
    for i, z in enumerate(range(first + 1, last)):
        mask[i] &= np.asarray(data[(*before, z)]) == 0
    if not mask.any():
        raise InputError(
            f"What is painted in planes {first} and {last} does not overlap",
            todo="Paint the label in a plane between them",
        )
    start = (*before, first + 1, 0, 0)
    return FilledPlanes(layer, value, start, mask.reshape((1,) * len(before) + mask.shape))
