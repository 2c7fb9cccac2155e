"""A line that says how an image is read, before anything starts, and a menu that changes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QMenu, QToolButton, QWidget

from napari_unet.geometry.axes import (
    CHANNEL_NAMES,
    SPACE_NAMES,
    TIME_NAMES,
    AxisLayout,
    describe_layout,
    plain_name,
)
from napari_unet.widgets.layers.layer_data import LayerData, array_shape, axis_names
from napari_unet.widgets.qt.style import WrappedLabel, mark

TIP = (
    "How the image is read: by the names and units of its axes, or, if they have none, by its "
    "shape. Time is processed frame by frame."
)
"""Tooltip of the line, without what it says about a change."""

CHANGE_TIP = (
    "Say what an axis of the image is, for instance that merged layers are channels. It names the "
    "axis of the layer; the pixels stay as they are."
)
"""Tooltip of the button."""

ROLES = (
    ("holds channels", "c", CHANNEL_NAMES),
    ("is time", "t", TIME_NAMES),
    ("is depth", "z", SPACE_NAMES),
)
"""What an axis can be: in words, the name that the axis gets, and the names that mean the same."""


class ReadingLine(QWidget):
    """Shows the roles of an image's axes in one line, or why it cannot be read.

    It is hidden while there is nothing to say. A button beside it names the axes of the layer,
    where there are more than two.

    Parameters
    ----------
    change : str
        How else the user changes it, a sentence for the tooltip.
    parent : QWidget, optional
        The Qt parent.

    Attributes
    ----------
    button : QToolButton
        Opens the menu.
    """

    def __init__(self, change: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tip = f"{TIP} {change}"
        self._layers: tuple[Any, ...] = ()
        self._label = WrappedLabel()
        self._label.setProperty("unet", "faint")
        self._label.setTextFormat(Qt.TextFormat.PlainText)
        self._label.setToolTip(self._tip)
        self._label.setAccessibleName("How the image is read")
        self.menu = QMenu(self)
        self.menu.aboutToShow.connect(self._fill)
        self.button = QToolButton()
        self.button.setText("Change")
        self.button.setProperty("unet", "menu")
        self.button.setToolTip(CHANGE_TIP)
        self.button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.button.setMenu(self.menu)
        self.button.setAccessibleName("Change how the image is read")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._label, 1)
        layout.addWidget(self.button, 0, Qt.AlignmentFlag.AlignTop)
        self.button.hide()
        self.hide()

    def text(self) -> str:
        """Return the text of the line; empty while it is hidden."""
        return self._label.text()

    def set_layers(self, layers: Sequence[Layer]) -> None:
        """Take the layer of the image, or those of its channels, whose axes can be named."""
        self._layers = tuple(layers)
        self.button.setVisible(bool(layers) and layers[0].ndim > 2)

    def show_layout(
        self,
        image: LayerData,
        layout: AxisLayout,
        others: Sequence[tuple[LayerData, AxisLayout]] = (),
    ) -> None:
        """Show how an image is read.

        Parameters
        ----------
        image : LayerData
            The image.
        layout : AxisLayout
            Roles of its axes.
        others : sequence of (LayerData, AxisLayout)
            Further images; they are shown as far as they are read in another way.
        """
        first = _described(image, layout)
        different = [
            f"{other.name}: {_described(other, roles)}"
            for other, roles in others
            if _pattern(_described(other, roles)) != _pattern(first)
        ]
        self.show_text("\n".join([first, *different]))

    def show_problem(self, text: str) -> None:
        """Show why it cannot be read."""
        self.show_text(text)
        mark(self._label, "error")

    def show_text(self, text: str) -> None:
        """Show another text; empty to hide the line."""
        self._label.setText(text)
        self.set_details("")
        self.setVisible(bool(text))
        mark(self._label, "faint")

    def set_details(self, text: str) -> None:
        """Say more in the tooltip."""
        self._label.setToolTip(f"{self._tip}\n{text}" if text else self._tip)

    def _fill(self) -> None:
        """Fill the menu with what each axis but the last two can be."""
        self.menu.clear()
        if not self._layers:
            return
        layer = self._layers[0]
        roles = ROLES if len(self._layers) == 1 and not layer.rgb else ROLES[1:]
        names, shape = axis_names(layer), array_shape(layer)
        for axis in range(layer.ndim - 2):
            if axis:
                self.menu.addSeparator()
            for what, name, same in roles:
                action = self.menu.addAction(f"Axis {axis} (size {shape[axis]}) {what}")
                assert action is not None
                action.setCheckable(True)
                action.setChecked(plain_name(names[axis]) in same)
                action.triggered.connect(lambda _=False, a=axis, n=name: self._name_axis(a, n))

    def _name_axis(self, axis: int, name: str) -> None:
        for layer in self._layers:
            labels = list(map(str, layer.axis_labels))
            labels[axis] = name
            layer.axis_labels = tuple(labels)


def _described(image: LayerData, layout: AxisLayout) -> str:
    shape: Any = image.data.shape
    names = image.channel_names
    return describe_layout(shape, layout, image.axes, rgb=image.rgb, channels=names)


def _pattern(text: str) -> str:
    """Return what is said of an image without sizes and names of channels."""
    return re.sub(r"(axis )?\d+:?|\(.*\)", "", text)
