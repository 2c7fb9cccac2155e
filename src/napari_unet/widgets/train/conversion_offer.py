"""Offers to make strokes of points and shapes: of the selected layer, or while there are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from napari import Viewer
from napari.layers import Image, Labels, Layer, Points, Shapes
from qtpy.QtCore import QObject, Signal

from napari_unet.display import count
from napari_unet.errors import InputError
from napari_unet.geometry.axes import ChannelAxis
from napari_unet.widgets.layers.paintable import begin_painting
from napari_unet.widgets.layers.provenance import is_result
from napari_unet.widgets.layers.strokes_from import Grouping, group, strokes_from
from napari_unet.widgets.qt.notices import NoticeAction, NoticeBoard
from napari_unet.widgets.qt.subscriptions import Subscriptions

CONVERSION = "conversion"
"""Topic: points or shapes that could become strokes."""

MAKE_BUTTON = "Make strokes of them"
"""The button that makes a new layer of strokes."""

MOST_NAMED = 4
"""Greatest number of classes whose names are said."""

_declined: WeakSet[Points | Shapes] = WeakSet()
"""Layers of which the user does not want strokes."""


class ConversionOffer(QObject):
    """Says that points or shapes can be learned from, once they are strokes, and makes them so.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    board : NoticeBoard
        Where it is said.
    chosen : callable
        Returns the image and the strokes that are chosen, None where none are, and the image's
        axis of channels as it is set.
    region : callable
        Returns the Shapes layer that encloses what is learned from, None where none does: its
        shapes are no strokes.
    parent : QObject
        Its Qt parent, which deletes it.

    Attributes
    ----------
    made : Signal(object)
        A new Labels layer was added to the viewer.
    failed : Signal(object)
        No strokes could be made; a `NapariUnetError`.
    """

    made = Signal(object)
    failed = Signal(object)

    def __init__(
        self,
        viewer: Viewer,
        board: NoticeBoard,
        chosen: Callable[[], tuple[Image | None, Labels | None, ChannelAxis]],
        region: Callable[[], Layer | None],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._board = viewer, board
        self._chosen, self._region = chosen, region
        self._followed = Subscriptions()
        self._subscriptions = Subscriptions()
        layers = viewer.layers
        self._subscriptions.connect(
            self.renew,
            layers.selection.events.active,
            layers.events.inserted,
            layers.events.removed,
        )

    def renew(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        """Say what can be made of which layer now."""
        self._followed.release()
        layer = self._candidate()
        if layer is not None:
            self._followed.connect(self._say, layer.events.data, layer.events.features)
        self._say()

    def release(self) -> None:
        """Disconnect from the viewer."""
        self._followed.release()
        self._subscriptions.release()

    def _candidate(self) -> Points | Shapes | None:
        """Return the selected layer, or the uppermost where nothing is painted at all."""
        layers = self._viewer.layers
        wanted = [layers.selection.active]
        if self._chosen()[1] is None:
            wanted += reversed(layers)
        for layer in wanted:
            is_region = layer is not None and layer is self._region()
            if isinstance(layer, Points | Shapes) and not is_result(layer) and not is_region:
                return None if layer in _declined else layer
        return None

    def _say(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        layer = self._candidate()
        if layer is None or not len(layer.data) or self._chosen()[0] is None:
            self._board.end(CONVERSION)
            return
        number = count(len(layer.data), "point" if isinstance(layer, Points) else "shape")
        text = (
            f"“{layer.name}” holds {number}, {_in_words(group(layer))}. "
            "A network learns from strokes: they can be drawn into a new strokes layer."
        )
        make = NoticeAction(
            MAKE_BUTTON, self._make, f"Adds a Labels layer; “{layer.name}” stays as it is."
        )
        no = NoticeAction("No", self._decline, "This is not asked again for this layer.")
        self._board.say(CONVERSION, text, "info", [make, no])

    def _decline(self) -> None:
        layer = self._candidate()
        if layer is not None:
            _declined.add(layer)
        self.renew()

    def _make(self) -> None:
        layer = self._candidate()
        image, _, channel_axis = self._chosen()
        if layer is None or image is None:
            return
        try:
            strokes = strokes_from(self._viewer, layer, image, channel_axis)
        except InputError as error:
            self.failed.emit(error)
            return
        self._viewer.add_layer(strokes)
        begin_painting(self._viewer, strokes)
        self.made.emit(strokes)


def _in_words(classes: Grouping) -> str:
    names = list(classes.names.values())
    if len(names) == 1:
        return "all of one class"
    shown = names if len(names) <= MOST_NAMED else [*names[:MOST_NAMED], "…"]
    return f"in {len(names)} classes ({', '.join(shown)})"
