"""Chooses the layers that are the channels of one image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from napari import Viewer
from napari.layers import Image, Layer
from qtpy.QtCore import QEvent, QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QToolButton, QWidget

from napari_unet.errors import InputError
from napari_unet.widgets.forms.layer_combo import LayerCombo
from napari_unet.widgets.layers.layer_data import array_shape
from napari_unet.widgets.layers.provenance import is_result
from napari_unet.widgets.qt.subscriptions import Subscriptions

ADD_TIP = (
    "Add a channel: choose another layer of the same image, such as the next colour of a "
    "fluorescence image. The order of the channels is kept in the model."
)
"""Tooltip of the button that adds a channel."""

NAME_WIDTH = 110
"""Largest width of the name of a channel, in pixels; the rest is in its tooltip."""


class ChannelCombo(LayerCombo):
    """Chooses the Image layer of one channel.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    wanted : str, optional
        Name of the layer to choose by itself; empty: none. None: any image, as `LayerCombo` does.
    empty : str
        What to show if no layer is chosen.
    """

    def __init__(
        self,
        viewer: Viewer,
        wanted: str | None,
        empty: str,
        parent: QWidget | None = None,
    ) -> None:
        self._wanted = wanted
        super().__init__(viewer, Image, empty, parent)

    def expect(self, wanted: str | None, empty: str) -> None:
        """Choose the layer of another name, or none; `wanted` and `empty` as at the beginning."""
        self._wanted = wanted
        self.setPlaceholderText(empty)
        chosen = self.layer()
        if wanted is None or (chosen is not None and chosen.name == wanted):
            return
        self.setCurrentIndex(self._index_to_keep(None))

    def _index_to_keep(self, before: Any) -> int:
        """Return the index of the layer chosen before, else of that with the wanted name."""
        if self._wanted is None:
            return super()._index_to_keep(before)
        if before in self._layers:
            return self._layers.index(before)
        named = (i for i, layer in enumerate(self._layers) if layer.name == self._wanted)
        return next(named, -1)


class ChannelChooser(QWidget):
    """Chooses an Image layer, or several that are the channels of one image.

    Usually it is one combo box of layers, with a button beside it that adds a channel. The channels
    of a model have names: then there is a combo box for each of them, which finds the layer of
    that name by itself.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    empty : str
        What to show if there is no image.

    Attributes
    ----------
    layerChanged : Signal()
        Another layer is chosen, or a channel is added or removed.
    layerEdited : Signal()
        A chosen layer has other data, axes or another place in the world.
    first : ChannelCombo
        Chooses the image, or its first channel.
    combos : list of ChannelCombo
        One for each channel; `first` is the first of them.
    add : QToolButton
        Adds a channel.
    """

    layerChanged = Signal()  # noqa: N815 - Qt's way of naming
    layerEdited = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(self, viewer: Viewer, empty: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._empty = viewer, empty
        self._names: tuple[str, ...] = ()
        self._holds_all: Callable[[Any], bool] = lambda _: False
        self._labels: list[QLabel] = []
        self._buttons: list[QToolButton] = []
        self.combos: list[ChannelCombo] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(4)
        self._grid.setColumnStretch(1, 1)
        self.add = QToolButton()
        self.add.setText("+")
        self.add.setToolTip(ADD_TIP)
        self.add.setAccessibleName("Add a channel")
        self.add.clicked.connect(lambda: self.add_channel())
        self.first = self._add_row(None, empty)
        self._grid.addWidget(self.add, 0, 2)
        self._subscriptions = Subscriptions()
        events = viewer.layers.events
        self._subscriptions.connect(self._layers_changed, events.inserted, events.removed)
        self._arrange()

    def layer(self) -> Any:
        """Return the layer of the image, or of its first channel; None if none is chosen."""
        return self.first.layer()

    def layers(self) -> tuple[Any, ...]:
        """Return the chosen layers in the order of the channels."""
        chosen = [combo.layer() for combo in self._shown()]
        return tuple(layer for layer in chosen if layer is not None)

    def complete(self) -> tuple[Any, ...]:
        """Return the layers of all channels, in order; empty if no image is chosen at all.

        Raises
        ------
        InputError
            Where the layer of a channel is not chosen.
        """
        layers = self.layers()
        lacking = self.lacking()
        if (layers or self._names) and lacking:
            raise InputError(
                f"The layer of {' and '.join(lacking)} is not chosen",
                todo="Choose it, or remove the channel" if not self._names else "Choose it",
            )
        return layers

    def lacking(self) -> list[str]:
        """Return the names of the channels for which no layer is chosen."""
        shown = enumerate(self._shown())
        return [self._name(k) for k, combo in shown if combo.layer() is None]

    def set_layer(self, layer: Layer | None) -> None:
        """Choose the layer of the image, or of its first channel."""
        self.first.set_layer(layer)

    def set_layers(self, layers: Sequence[Layer]) -> None:
        """Choose the layers of all channels, in order."""
        if not layers:
            return
        with QSignalBlocker(self):
            self._set_count(max(len(layers), len(self._names)))
            for combo, layer in zip(self.combos, layers, strict=False):
                combo.set_layer(layer)
        self._changed()

    def set_count(self, number: int, fits: Callable[[Any], bool]) -> None:
        """Ask for so many channels; the layers of new ones are chosen among those that fit."""
        while len(self.combos) < number:
            self.add_channel(fits)

    def prefer(self, fits: Callable[[Any], bool]) -> None:
        """Choose the uppermost layer that fits, if the chosen one does not."""
        self.first.prefer(fits)

    def expect(self, names: Sequence[str], holds_all: Callable[[Any], bool]) -> None:
        """Ask for the channels of these names, and choose the layers that have them.

        Parameters
        ----------
        names : sequence of str
            Names of the channels; empty: any image.
        holds_all : callable
            Tells whether a layer holds all channels by itself: then there is nothing to ask for.
        """
        self._holds_all = holds_all
        if tuple(names) == self._names:
            self._changed()
            return
        before = self._names
        self._names = tuple(names)
        with QSignalBlocker(self):
            if names or before:
                self._set_count(max(1, len(names)))
            for combo, name in zip(self.combos, names, strict=False):
                combo.expect(name, f"Which layer is “{name}”?")
            if not names:
                self.first.expect(None, self._empty)
                if before and self.first.layer() is None:
                    self.first.prefer(lambda _: True)
        self._changed()

    def add_channel(self, fits: Callable[[Any], bool] = lambda _: True) -> None:
        """Add a channel; its layer is the next one of the same shape that is not chosen yet.

        Parameters
        ----------
        fits : callable
            Tells of such a layer whether it is to be chosen.
        """
        following = next(filter(fits, self._candidates()), None)
        combo = self._add_row("", "Choose a layer")
        if following is not None:
            with QSignalBlocker(combo):
                combo.set_layer(following)
        self._changed()

    def remove_channel(self, index: int) -> None:
        """Remove a channel; the following ones move up."""
        layers = [combo.layer() for combo in self.combos]
        del layers[index]
        with QSignalBlocker(self):
            self._set_count(len(layers))
            for combo, layer in zip(self.combos, layers, strict=True):
                combo.setCurrentIndex(-1 if layer is None else combo.index_of(layer))
        self._changed()

    def release(self) -> None:
        """Disconnect from the viewer."""
        self._subscriptions.release()
        for combo in self.combos:
            combo.release()

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Give the combo boxes the tooltip of this widget."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ToolTipChange:
            for combo in self.combos:
                combo.setToolTip(self.toolTip())

    def _shown(self) -> list[ChannelCombo]:
        """Return the combo boxes that count: only the first where its layer has all channels."""
        layer = self.first.layer()
        alone = bool(self._names) and layer is not None and self._holds_all(layer)
        return self.combos[:1] if alone else self.combos

    def _name(self, index: int) -> str:
        return f"“{self._names[index]}”" if self._names else f"channel {index + 1}"

    def _candidates(self) -> list[Any]:
        """Return the layers that could be the next channel, the likeliest first."""
        chosen = self.layers()
        if not chosen:
            return []
        shape, layers = array_shape(chosen[0]), list(self._viewer.layers)
        place = layers.index(chosen[-1]) if chosen[-1] in layers else 0
        return [
            layer
            for layer in (*layers[place + 1 :], *layers[:place])
            if isinstance(layer, Image)
            and not (layer.rgb or is_result(layer) or layer in chosen)
            and array_shape(layer) == shape
        ]

    def _set_count(self, number: int) -> None:
        """Add empty rows, or remove the last ones."""
        while len(self.combos) < number:
            self._add_row("", "Choose a layer")
        while len(self.combos) > number:
            for widgets in (self.combos, self._labels, self._buttons):
                widget: Any = widgets.pop()
                if isinstance(widget, ChannelCombo):
                    widget.release()
                self._grid.removeWidget(widget)
                widget.hide()
                widget.deleteLater()

    def _add_row(self, wanted: str | None, empty: str) -> ChannelCombo:
        row = len(self.combos)
        combo = ChannelCombo(self._viewer, wanted, empty)
        combo.setToolTip(self.toolTip())
        combo.setAccessibleName("Image" if row == 0 else f"Channel {row + 1}")
        label, remove = QLabel(), QToolButton()
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setMaximumWidth(NAME_WIDTH)
        remove.setText("✕")
        remove.setToolTip("Remove this channel.")
        remove.setAccessibleName(f"Remove channel {row + 1}")
        remove.clicked.connect(lambda: self.remove_channel(self._buttons.index(remove)))
        combo.layerChanged.connect(self._changed)
        combo.layerEdited.connect(self._edited)
        self._grid.addWidget(label, row, 0)
        self._grid.addWidget(combo, row, 1)
        if row:
            self._grid.addWidget(remove, row, 2)
        else:
            remove.setParent(self)
        self.combos.append(combo)
        self._labels.append(label)
        self._buttons.append(remove)
        return combo

    def _changed(self) -> None:
        self._arrange()
        self.layerChanged.emit()

    def _edited(self) -> None:
        self._arrange()
        self.layerEdited.emit()

    def _layers_changed(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        self._arrange()

    def _arrange(self) -> None:
        """Show the rows and buttons that make sense now."""
        shown = len(self._shown())
        rows = zip(self.combos, self._labels, self._buttons, strict=True)
        for index, (combo, label, remove) in enumerate(rows):
            name = self._names[index] if self._names else str(index + 1)
            label.setText(
                label.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, NAME_WIDTH)
            )
            label.setToolTip(f"The channel “{name}” of the model." if self._names else "")
            label.setVisible(shown > 1)
            combo.setVisible(index < shown)
            remove.setVisible(0 < index < shown and not self._names)
        self.add.setVisible(not self._names)
        self.add.setEnabled(bool(self._candidates()))
