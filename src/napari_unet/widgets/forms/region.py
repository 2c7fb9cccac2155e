"""Chooses the part of an image that is learned from or predicted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari import Viewer
from napari.layers import Layer, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget
from superqt.utils import qdebounced

from napari_unet.errors import InputError
from napari_unet.widgets.forms.editors import SwitchEdit
from napari_unet.widgets.forms.layer_combo import LayerCombo
from napari_unet.widgets.layers.region_of_interest import RegionOfInterest, region_of_interest
from napari_unet.widgets.qt.style import WrappedLabel
from napari_unet.widgets.qt.subscriptions import Subscriptions

WHOLE = "Whole image"
"""Text of the choice of no region."""

TIP = (
    "The whole image, or only what the shapes of a layer enclose: add a Shapes layer and draw a "
    "rectangle or a polygon. Pixels count whose centres lie inside."
)
"""Tooltip of the chooser."""

FOLLOW_MS = 300
"""Milliseconds without another change of the shapes after which they are looked at."""


class RegionChooser(QWidget):
    """Chooses the whole image, or the region that a Shapes layer encloses, and says which that is.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    target : callable
        Returns the image's layer, None where none is chosen, and its axis of channels.

    Attributes
    ----------
    valueChanged : Signal()
        There is another region.
    combo : LayerCombo
        The Shapes layers.
    everywhere : SwitchEdit
        Whether a shape that was drawn in one plane counts in all of them; only shown then.
    line : QLabel
        Which region it is, or why it is none.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(
        self,
        viewer: Viewer,
        target: Callable[[], tuple[Layer | None, int | None]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._target = viewer, target
        self._subscriptions = Subscriptions()
        self.combo = LayerCombo(viewer, Shapes, none=WHOLE)
        self.everywhere = SwitchEdit("In all planes")
        self.everywhere.setToolTip(
            "A shape counts only in the plane that it was drawn in, unless this is ticked."
        )
        self.line = WrappedLabel()
        self.line.setProperty("unet", "faint")
        self._follow_soon = qdebounced(self._changed, timeout=FOLLOW_MS)
        self.combo.setAccessibleName("Region")
        self.combo.setToolTip(TIP)
        self.combo.layerChanged.connect(self._layer_changed)
        self.everywhere.valueChanged.connect(self._changed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for part in (self.combo, self.line, self.everywhere):
            layout.addWidget(part)
        self.refresh()

    def value(self) -> RegionOfInterest | None:
        """Return the region; None for the whole image, or where there is no image.

        Raises
        ------
        InputError
            Where the shapes enclose nothing of the image.
        """
        shapes = self.combo.layer()
        layer, channel = (None, None) if shapes is None else self._target()
        if layer is None:
            return None
        everywhere = self.everywhere.value()
        return region_of_interest(self._viewer, shapes, layer, channel, all_planes=everywhere)

    def refresh(self) -> None:
        """Say again which region it is; to be called when another image is chosen."""
        text, in_planes = "", False
        try:
            found = self.value()
            if found is not None:
                text, in_planes = str(found), found.is_in_planes
        except InputError as error:
            text = str(error)
        self.line.setText(text)
        self.line.setVisible(bool(text))
        self.everywhere.setVisible(in_planes or self.everywhere.value())

    def release(self) -> None:
        """Disconnect from the viewer."""
        self._follow_soon.cancel()
        self._subscriptions.release()
        self.combo.release()

    def _layer_changed(self) -> None:
        self._subscriptions.release()
        shapes: Any = self.combo.layer()
        if shapes is not None:
            events = shapes.events
            self._subscriptions.connect(
                self._shapes_changed, events.data, events.scale, events.translate, events.affine
            )
        self._changed()

    def _shapes_changed(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        self._follow_soon()

    def _changed(self) -> None:
        self.refresh()
        self.valueChanged.emit()
