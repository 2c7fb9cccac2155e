"""More images to learn from together: a small table of layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from napari import Viewer
from napari.layers import Image, Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_unet.errors import InputError
from napari_unet.widgets.forms.layer_combo import LayerCombo
from napari_unet.widgets.layers.layer_data import LayerData, array_shape, largest_level
from napari_unet.widgets.qt.style import Section

TIP = "Learn from several images together. They may differ in size, but not in their channels"


@dataclass(frozen=True)
class PairedLayer:
    """A layer besides the image that a task learns from.

    Parameters
    ----------
    name, tip : str
        Of the field.
    kind : type
        What layers to offer.
    what : str
        How to call it in a sentence.
    none : str
        How to say that there is none; empty where there has to be one.
    empty : str
        What to show where no layer is offered.
    """

    name: str
    tip: str
    kind: type[Layer]
    what: str
    none: str = ""
    empty: str = ""


class PairRow(QWidget):
    """Chooses one image layer, and the layer that goes with it if any does.

    Attributes
    ----------
    changed : Signal()
        Another layer is chosen.
    removed : Signal()
        The user wants this row no longer.
    """

    changed = Signal()
    removed = Signal()

    def __init__(
        self, viewer: Viewer, second: PairedLayer | None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.image = LayerCombo(viewer, Image, "No image")
        self.other: LayerCombo | None = None
        self.remove = QToolButton()
        self.remove.setText("✕")
        self.remove.setToolTip("Do not learn from this.")
        choosers = {"Further image": self.image}
        if second is not None:
            self.other = LayerCombo(viewer, second.kind, f"No {second.what}", none=second.none)
            choosers[f"Its {second.what}"] = self.other
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for name, chooser in choosers.items():
            chooser.setToolTip(_tip(second))
            chooser.setAccessibleName(name)
            layout.addWidget(chooser, 1)
            chooser.layerChanged.connect(self.changed)
        layout.addWidget(self.remove)
        self.remove.clicked.connect(self.removed)

    def layers(self) -> tuple[Any, Any]:
        """Return the image and what goes with it, None where nothing is chosen."""
        return self.image.layer(), None if self.other is None else self.other.layer()

    def release(self) -> None:
        """Follow the viewer no longer."""
        self.image.release()
        if self.other is not None:
            self.other.release()


class PairsTable(QWidget):
    """Chooses further images, each with what goes with it; at first there are none.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    second : Second, optional
        What goes with an image, if anything does.
    taken : callable
        Returns layers that are chosen elsewhere, and so are no good first choice here.

    Attributes
    ----------
    valueChanged : Signal()
        There is a row more or less, or another layer is chosen.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(
        self,
        viewer: Viewer,
        second: PairedLayer | None,
        taken: Callable[[], tuple[Any, ...]] = tuple,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._second, self._taken = viewer, second, taken
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
        """Add a row; it chooses layers that are chosen nowhere else, if there are any."""
        used = {id(layer) for pair in (*self.layers(), self._taken()) for layer in pair}
        row = PairRow(self._viewer, self._second)
        row.image.prefer(lambda layer: id(layer) not in used)
        image = row.image.layer()
        if image is not None and row.other is not None:
            used.add(id(image))
            shape = tuple(LayerData.of(image).data.shape)
            row.other.prefer(lambda x: id(x) not in used and may_belong(array_shape(x), shape))
            if row.other.layer() is image:  # nothing is learned from an image that is its own goal
                row.other.setCurrentIndex(-1)
        self._layout.insertWidget(self._layout.count() - 1, row)
        self.rows.append(row)
        row.changed.connect(self.valueChanged)
        row.removed.connect(lambda: self.remove(row))
        self.valueChanged.emit()
        return row

    def remove(self, row: PairRow) -> None:
        """Take a row away."""
        self.rows.remove(row)
        row.release()
        self._layout.removeWidget(row)
        row.hide()
        row.deleteLater()
        self.valueChanged.emit()

    def layers(self) -> list[tuple[Any, Any]]:
        """Return the image and what goes with it, row by row, None where nothing is chosen."""
        return [row.layers() for row in self.rows]

    def value(self, first: LayerData) -> tuple[tuple[LayerData, Any], ...]:
        """Return the images as a thread may hold them: pixels, no layers.

        Parameters
        ----------
        first : Picture
            The form's own image.

        Raises
        ------
        InputError
            Where a layer is missing, or has other channels than the first; they are numbered from
            2, for 1 is the form's own.
        """
        word = "Image" if self._second is None else "Pair"
        found: list[tuple[LayerData, Any]] = []
        for number, (image, other) in enumerate(self.layers(), start=2):
            lacks = self._lacking(image, other)
            if lacks:
                raise InputError(
                    f"{word} {number} has no {lacks}",
                    todo=f'Choose one under "{heading_of(self._second)}", or remove the row',
                )
            picture = LayerData.of(image)
            if picture.rgb != first.rgb:
                raise InputError(
                    f"{word} {number} has other channels than {word.lower()} 1",
                    got="an image in colours beside one without",
                    todo="Learn from images of one kind together",
                )
            found.append((picture, None if other is None else largest_level(other)))
        return tuple(found)

    def _lacking(self, image: Any, other: Any) -> str:
        """Return what is missing of a row, in words."""
        if image is None:
            return "image"
        needed = self._second is not None and not self._second.none
        lacks = needed and (other is None or other is image)
        return self._second.what if lacks and self._second else ""

    def release(self) -> None:
        """Follow the viewer no longer."""
        for row in self.rows:
            row.release()


class PairsSection(Section):
    """Folds the table of further images; its heading says how many there are, even folded.

    Parameters as for `PairsTable`.
    """

    def __init__(
        self,
        viewer: Viewer,
        second: PairedLayer | None,
        taken: Callable[[], tuple[Any, ...]] = tuple,
    ) -> None:
        self.pairs, self._name = PairsTable(viewer, second, taken), heading_of(second)
        super().__init__(self._name, self.pairs)
        self.pairs.valueChanged.connect(self._count)

    def _count(self) -> None:
        text, before, number = self.button.text(), self.title, len(self.pairs.rows)
        self.title = f"{self._name} ({number})" if number else self._name
        self.button.setText(text.replace(before, self.title))


def heading_of(second: PairedLayer | None) -> str:
    """Return what further images are called."""
    return "More images" if second is None else "More pairs"


def may_belong(labels: tuple[int, ...], image: tuple[int, ...]) -> bool:
    """Tell whether labels have the image's shape, with or without one axis for channels."""
    lacking = [image[:a] + image[a + 1 :] for a in range(len(image))]
    return labels in (image, *lacking)


def _tip(second: PairedLayer | None) -> str:
    if second is None:
        return f"{TIP}."
    return f"{TIP}; each {'may have' if second.none else 'has'} a {second.what} of its own."
