"""Combo boxes of layers that follow the viewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from napari import Viewer
from napari.layers import Labels, Layer
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_unet.widgets.layers.layer_data import array_shape
from napari_unet.widgets.layers.provenance import is_result
from napari_unet.widgets.qt.style import guard_wheel
from napari_unet.widgets.qt.subscriptions import Subscriptions


class LayerCombo(QComboBox):
    """Chooses one of a viewer's layers of some kind.

    It follows layers that are added, removed, renamed and moved, and keeps its choice as long as
    that layer exists. Results of our own predictions are offered, but never chosen automatically.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    kind : type
        What layers to offer, such as `napari.layers.Image`.
    empty : str
        What to show if there is none.
    none : str
        Text of the choice of no layer; empty if one has to be chosen.

    Attributes
    ----------
    layerChanged : Signal()
        Another layer is chosen, or none.
    layerEdited : Signal()
        The chosen layer has other data, axes or another place in the world.
    """

    layerChanged = Signal()  # noqa: N815 - Qt's way of naming
    layerEdited = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(
        self,
        viewer: Viewer,
        kind: type[Layer],
        empty: str = "",
        parent: QWidget | None = None,
        *,
        none: str = "",
    ) -> None:
        super().__init__(parent)
        self._viewer, self._kind = viewer, kind
        self._none = none
        self._layers: list[Any] = []
        self.setPlaceholderText(empty)
        self.setMinimumContentsLength(8)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        guard_wheel(self)
        events = viewer.layers.events
        self._subscriptions = Subscriptions()
        self._subscriptions.connect(
            self._follow, events.inserted, events.removed, events.reordered, events.renamed
        )
        self._of_chosen = Subscriptions()
        self.layerChanged.connect(self._follow_chosen)
        self.currentIndexChanged.connect(lambda _: self.layerChanged.emit())
        self._follow()

    def layer(self) -> Any:
        """Return the chosen layer, or None."""
        index = self.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def set_layer(self, layer: Layer | None) -> None:
        """Choose a layer, or none if that is a choice."""
        if layer in self._layers:
            self.setCurrentIndex(self.index_of(layer))

    def index_of(self, layer: Layer | None) -> int:
        """Return the index of a layer among those that are offered; -1 if it is not."""
        return self._layers.index(layer) if layer in self._layers else -1

    def prefer(self, fits: Callable[[Any], bool]) -> None:
        """Choose the uppermost layer that fits, if the chosen one does not."""
        chosen = self.layer()
        if chosen is None or not fits(chosen):
            own = (x for x in self._layers if x is not None and not is_result(x))
            better = next((x for x in own if fits(x)), None)
            if better is not None:
                self.set_layer(better)

    def release(self) -> None:
        """Disconnect from the viewer."""
        self._subscriptions.release()
        self._of_chosen.release()

    def _follow_chosen(self) -> None:
        self._of_chosen.release()
        layer = self.layer()
        if layer is not None:
            events = layer.events
            place = (events.scale, events.translate, events.rotate, events.shear, events.affine)
            self._of_chosen.connect(
                self._edited, events.data, events.axis_labels, events.units, *place
            )

    def _edited(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        self.layerEdited.emit()

    def _follow(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        before = self.layer()
        offered = self._offered()
        self._layers = [None, *offered] if self._none else offered
        with QSignalBlocker(self):
            self.clear()
            self.addItems([self._none if x is None else x.name for x in self._layers])
            self.setCurrentIndex(self._index_to_keep(before))
        if self.layer() is not before:
            self.layerChanged.emit()

    def _offered(self) -> list[Any]:
        """Return the layers to choose from; the uppermost comes first."""
        return [x for x in reversed(self._viewer.layers) if isinstance(x, self._kind)]

    def _index_to_keep(self, before: Any) -> int:
        """Return the index of the layer chosen before, else of the first that is no result."""
        if before in self._layers or self._none:
            return self._layers.index(before) if before in self._layers else 0
        own = (i for i, layer in enumerate(self._layers) if not is_result(layer))
        return next(own, -1)


class MaskCombo(LayerCombo):
    """Chooses the Labels layer that marks missing pixels, or none."""

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(viewer, Labels, parent=parent, none="Only NaN pixels")

    def suit(self, shape: Sequence[int]) -> None:
        """Choose a layer that could be the mask of an image of this shape, if there is one."""
        axes = range(len(shape))
        shapes = [tuple(shape), *(tuple(shape[a] for a in axes if a != c) for c in axes)]
        self.prefer(lambda layer: array_shape(layer) in shapes)
