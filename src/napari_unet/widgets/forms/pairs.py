"""Further images to train on: a small table of layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from napari import Viewer
from napari.layers import Layer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_unet.display import count
from napari_unet.errors import InputError
from napari_unet.widgets.forms.channels import ChannelChooser
from napari_unet.widgets.forms.layer_combo import LayerCombo
from napari_unet.widgets.layers.layer_data import (
    LayerData,
    array_shape,
    check_paired,
    largest_level,
)
from napari_unet.widgets.qt.style import Section

TIP = "Train on several images together. They may differ in size, but not in their channels"
"""Tooltip of the table, without its end."""

MORE = "More images"
"""Heading of the table where nothing has to go with an image."""


@dataclass(frozen=True)
class PairedLayer:
    """A layer that goes with the image: labels, a target or a mask.

    Parameters
    ----------
    name, tip : str
        Label and tooltip of its field.
    kind : type
        Type of the layers that are offered.
    what : str
        Its name in a sentence.
    none : str
        Text of the choice of no layer; empty if one is needed.
    empty : str
        Text if no layer is offered.
    more : str
        Heading of the table of further images.
    """

    name: str
    tip: str
    kind: type[Layer]
    what: str
    none: str = ""
    empty: str = ""
    more: str = MORE


class PairRow(QWidget):
    """Chooses an image layer, and the layer that goes with it, if any.

    Attributes
    ----------
    changed : Signal()
        Another layer is chosen.
    removed : Signal()
        The user removes this row.
    """

    changed = Signal()
    removed = Signal()

    def __init__(
        self, viewer: Viewer, second: PairedLayer | None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.image = ChannelChooser(viewer, "No image")
        self.other: LayerCombo | None = None
        self.remove = QToolButton()
        self.remove.setText("✕")
        self.remove.setToolTip("Remove this row.")
        choosers: dict[str, ChannelChooser | LayerCombo] = {"Further image": self.image}
        if second is not None:
            self.other = LayerCombo(viewer, second.kind, f"No {second.what}", none=second.none)
            choosers[f"Its {second.what}"] = self.other
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for name, chooser in choosers.items():
            chooser.setToolTip(_tip(second))
            chooser.setAccessibleName(name)
            layout.addWidget(chooser, 1, Qt.AlignmentFlag.AlignTop)
            chooser.layerChanged.connect(self.changed)
        layout.addWidget(self.remove, 0, Qt.AlignmentFlag.AlignTop)
        self.remove.clicked.connect(self.removed)

    def layers(self) -> tuple[Any, Any]:
        """Return the image and what goes with it; None if nothing is chosen."""
        return self.image.layer(), None if self.other is None else self.other.layer()

    def release(self) -> None:
        """Disconnect from the viewer."""
        self.image.release()
        if self.other is not None:
            self.other.release()


class PairsTable(QWidget):
    """Chooses further images, each with what goes with it.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    second : PairedLayer, optional
        What goes with an image, if anything does.
    taken : callable
        Returns layers that are chosen elsewhere; a new row does not choose them.
    channels : callable
        Returns how many layers the channels of the first image are; a new row asks for as many.

    Attributes
    ----------
    valueChanged : Signal()
        A row is added or removed, or another layer is chosen.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(
        self,
        viewer: Viewer,
        second: PairedLayer | None,
        taken: Callable[[], tuple[Any, ...]] = tuple,
        channels: Callable[[], int] = lambda: 1,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._second = viewer, second
        self._taken = taken
        self._channels = channels
        self.rows: list[PairRow] = []
        hint = QLabel(_tip(second))
        hint.setWordWrap(True)
        hint.setProperty("unet", "faint")
        self.button = QPushButton("Add an image" if second is None else "Add a pair")
        along = "" if second is None else f", and the {second.what} that goes with it"
        self.button.setToolTip(f"Choose one more image layer{along}.")
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        self._layout.addWidget(hint)
        self._layout.addWidget(self.button)
        self.button.clicked.connect(lambda: self.add())

    def add(self) -> PairRow:
        """Add a row, which chooses layers that are chosen nowhere else, if there are any."""
        chosen = (*self.layers(), *self.channels(), self._taken())
        used = {id(layer) for layers in chosen for layer in layers}
        row = PairRow(self._viewer, self._second)
        row.image.prefer(lambda layer: id(layer) not in used)
        row.image.set_count(max(1, self._channels()), lambda layer: id(layer) not in used)
        image = row.image.layer()
        if image is not None and row.other is not None:
            used.add(id(image))
            shape = tuple(LayerData.of(image).data.shape)
            row.other.prefer(lambda x: id(x) not in used and may_belong(array_shape(x), shape))
            if row.other.layer() is image:  # an image is no target of itself
                row.other.setCurrentIndex(-1)
        self._layout.insertWidget(self._layout.count() - 1, row)
        self.rows.append(row)
        row.changed.connect(self.valueChanged)
        row.removed.connect(lambda: self.remove(row))
        self.valueChanged.emit()
        return row

    def choose(self, layers: Sequence[tuple[Any, ...]], channels: int = 1) -> None:
        """Replace all rows by one for each of these images and what goes with it.

        Parameters
        ----------
        layers : sequence of tuple of Layer
            The layers of the channels of each image, and what goes with it.
        channels : int
            How many layers are the channels of an image.
        """
        for row in list(self.rows):
            self.remove(row)
        for pair in layers:
            row = self.add()
            row.image.set_layers(pair[:channels])
            if row.other is not None and len(pair) > channels:
                row.other.set_layer(pair[channels])

    def remove(self, row: PairRow) -> None:
        """Remove a row."""
        self.rows.remove(row)
        row.release()
        self._layout.removeWidget(row)
        row.hide()
        row.deleteLater()
        self.valueChanged.emit()

    def layers(self) -> list[tuple[Any, Any]]:
        """Return the image and what goes with it, row by row; None if nothing is chosen."""
        return [row.layers() for row in self.rows]

    def channels(self) -> list[tuple[Any, ...]]:
        """Return the layers of each image, row by row: one, or one for each channel."""
        return [row.image.layers() for row in self.rows]

    def value(self, first: LayerData) -> tuple[tuple[LayerData, Any], ...]:
        """Return the images as another thread may hold them: pixels, no layers.

        Parameters
        ----------
        first : LayerData
            The form's own image.

        Raises
        ------
        InputError
            If a layer is missing, or has other channels than the first; rows are numbered from 2,
            as 1 is the form's own image.
        """
        word = "Image" if self._second is None else "Pair"
        found: list[tuple[LayerData, Any]] = []
        for number, row in enumerate(self.rows, start=2):
            image, other = row.layers()
            lacks = self._lacking(image, other)
            if lacks:
                raise InputError(
                    f"{word} {number} has no {lacks}",
                    todo=f'Choose one under "{heading_of(self._second)}", or remove the row',
                )
            picture = LayerData.of_channels(row.image.complete())
            self._check_channels(picture, first, f"{word} {number}", f"{word.lower()} 1")
            if other is not None:
                check_paired(row.image.layers(), other)
            found.append((picture, None if other is None else largest_level(other)))
        return tuple(found)

    def _check_channels(self, one: LayerData, first: LayerData, name: str, other: str) -> None:
        """Check that an image has as many channels as the first one, and colours if it has."""
        if one.rgb != first.rgb:
            got = "an RGB image and one that is not RGB"
        elif len(one.channel_names) != len(first.channel_names):
            numbers = (count(max(1, len(x.channel_names)), "layer") for x in (one, first))
            got = " beside ".join(numbers)
        else:
            return
        raise InputError(
            f"{name} has other channels than {other}",
            got=got,
            todo="Train on images with the same channels",
        )

    def _lacking(self, image: Any, other: Any) -> str:
        """Return which layer a row lacks, in words; empty if none."""
        if image is None:
            return "image"
        needed = self._second is not None and not self._second.none
        lacks = needed and (other is None or other is image)
        return self._second.what if lacks and self._second else ""

    def release(self) -> None:
        """Disconnect from the viewer."""
        for row in self.rows:
            row.release()


class PairsSection(Section):
    """A foldable table of further images, whose heading shows their number.

    Parameters as for `PairsTable`.
    """

    def __init__(
        self,
        viewer: Viewer,
        second: PairedLayer | None,
        taken: Callable[[], tuple[Any, ...]] = tuple,
        channels: Callable[[], int] = lambda: 1,
    ) -> None:
        self.pairs, self._name = PairsTable(viewer, second, taken, channels), heading_of(second)
        super().__init__(self._name, self.pairs)
        self.pairs.valueChanged.connect(self._count)

    def _count(self) -> None:
        number = len(self.pairs.rows)
        self.set_title(f"{self._name} ({number})" if number else self._name)


def heading_of(second: PairedLayer | None) -> str:
    """Return the heading of the table of further images."""
    return MORE if second is None else second.more


def may_belong(labels: tuple[int, ...], image: tuple[int, ...]) -> bool:
    """Tell whether labels have the image's shape, with or without a channel axis.

    Parameters
    ----------
    labels, image : tuple of int
        Shapes of the arrays.
    """
    lacking = [image[:a] + image[a + 1 :] for a in range(len(image))]
    return labels in (image, *lacking)


def _tip(second: PairedLayer | None) -> str:
    if second is None:
        return f"{TIP}."
    return f"{TIP}; each {'may have' if second.none else 'has'} a {second.what} of its own."
