"""A line that says how an image is read, before anything starts."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget

from napari_unet.geometry.axes import AxisLayout, describe_layout
from napari_unet.widgets.layers.layer_data import LayerData
from napari_unet.widgets.qt.style import mark

TIP = (
    "How the image is read: by the names and units of its axes, or, if they have none, by its "
    "shape. Time is processed frame by frame."
)
"""Tooltip of the line, without what it says about a change."""


class ReadingLine(QLabel):
    """Shows the roles of an image's axes in one line, or why it cannot be read.

    It is hidden while there is nothing to say.

    Parameters
    ----------
    change : str
        How the user changes it, a sentence for the tooltip.
    parent : QWidget, optional
        The Qt parent.
    """

    def __init__(self, change: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("unet", "faint")
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setToolTip(f"{TIP} {change}")
        self.setAccessibleName("How the image is read")
        self.hide()

    def show_layout(self, image: LayerData, layout: AxisLayout) -> None:
        """Show how an image is read.

        Parameters
        ----------
        image : LayerData
            The image.
        layout : AxisLayout
            Roles of its axes.
        """
        shape: Any = image.data.shape
        self.show_text(describe_layout(shape, layout, image.axes, rgb=image.rgb))

    def show_problem(self, text: str) -> None:
        """Show why it cannot be read."""
        self.show_text(text)
        mark(self, "error")

    def show_text(self, text: str) -> None:
        """Show another text; empty to hide the line."""
        self.setText(text)
        self.setVisible(bool(text))
        mark(self, "faint")
