"""More images to learn from together: a small table of image and labels layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari import Viewer
from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_unet.errors import InputError
from napari_unet.widgets.choosers import LayerChooser
from napari_unet.widgets.layers import Picture, painted_data

TIP = (
    "Learn from several images together. They may differ in size, but not in their channels; each "
    "has a Labels layer of its own."
)


class PairRow(QWidget):
    """Chooses one image layer and its labels layer.

    Attributes
    ----------
    changed : Signal()
        Another layer is chosen.
    removed : Signal()
        The user wants this row no longer.
    """

    changed = Signal()
    removed = Signal()

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image = LayerChooser(viewer, Image, "No image")
        self.labels = LayerChooser(viewer, Labels, "No labels")
        self.remove = QToolButton()
        self.remove.setText("✕")
        self.remove.setToolTip("Do not learn from this pair.")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for chooser, name in ((self.image, "Further image"), (self.labels, "Its strokes")):
            chooser.setToolTip(TIP)
            chooser.setAccessibleName(name)
            layout.addWidget(chooser, 1)
            chooser.layerChanged.connect(self.changed)
        layout.addWidget(self.remove)
        self.remove.clicked.connect(self.removed)

    def layers(self) -> tuple[Any, Any]:
        """Return the image and the labels layer that are chosen, None where none is."""
        return self.image.layer(), self.labels.layer()

    def let_go(self) -> None:
        """Follow the viewer no longer."""
        self.image.let_go()
        self.labels.let_go()


class PairsTable(QWidget):
    """Chooses further pairs of an image and a labels layer; at first there are none.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    taken : callable
        Returns layers that are chosen elsewhere, and so are no good first choice here.

    Attributes
    ----------
    valueChanged : Signal()
        There is a pair more or less, or another layer is chosen.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(
        self,
        viewer: Viewer,
        taken: Callable[[], tuple[Any, ...]] = tuple,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._taken = viewer, taken
        self.rows: list[PairRow] = []
        hint = QLabel(TIP)
        hint.setWordWrap(True)
        hint.setProperty("unet", "faint")
        self.button = QPushButton("Add a pair")
        self.button.setToolTip("Choose one more image layer and the Labels layer painted on it.")
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        self._layout.addWidget(hint)
        self._layout.addWidget(self.button)
        self.button.clicked.connect(lambda: self.add())

    def add(self) -> PairRow:
        """Add a row; it chooses layers that are chosen nowhere else, if there are any."""
        used = {id(layer) for pair in (*self.layers(), self._taken()) for layer in pair}
        row = PairRow(self._viewer)
        row.image.prefer(lambda layer: id(layer) not in used)
        if row.image.layer() is not None:
            shape = tuple(Picture.of(row.image.layer()).data.shape)
            row.labels.prefer(lambda x: id(x) not in used and may_belong(_shape(x), shape))
        self._layout.insertWidget(self._layout.count() - 1, row)
        self.rows.append(row)
        row.changed.connect(self.valueChanged)
        row.removed.connect(lambda: self.remove(row))
        self.valueChanged.emit()
        return row

    def remove(self, row: PairRow) -> None:
        """Take a row away."""
        self.rows.remove(row)
        row.let_go()
        self._layout.removeWidget(row)
        row.hide()
        row.deleteLater()
        self.valueChanged.emit()

    def layers(self) -> list[tuple[Any, Any]]:
        """Return the image and the labels layer of each pair, None where none is chosen."""
        return [row.layers() for row in self.rows]

    def value(self) -> tuple[tuple[Picture, Any], ...]:
        """Return the pairs as a thread may hold them: pixels, no layers.

        Raises
        ------
        InputError
            Where a layer is missing; pairs are numbered from 2, for 1 is the form's own.
        """
        pairs = []
        for number, (image, labels) in enumerate(self.layers(), start=2):
            if image is None or labels is None:
                raise InputError(
                    f"Pair {number} has no {'image' if image is None else 'Labels layer'}",
                    todo='Choose one under "More pairs", or remove the pair',
                )
            pairs.append((Picture.of(image), painted_data(labels)))
        return tuple(pairs)

    def let_go(self) -> None:
        """Follow the viewer no longer."""
        for row in self.rows:
            row.let_go()


def may_belong(labels: tuple[int, ...], image: tuple[int, ...]) -> bool:
    """Tell whether labels have the image's shape, with or without one axis for channels."""
    lacking = [image[:a] + image[a + 1 :] for a in range(len(image))]
    return labels in (image, *lacking)


def _shape(layer: Labels) -> tuple[int, ...]:
    return tuple((layer.data[0] if layer.multiscale else layer.data).shape)
