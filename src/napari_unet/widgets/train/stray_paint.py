"""Notices paint on previews and results, from which nothing is learned; moves it to the strokes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakSet

import numpy as np
from napari import Viewer
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from napari_unet.widgets.layers.paintable import begin_painting, why_not_paintable
from napari_unet.widgets.layers.provenance import RESULT, is_result
from napari_unet.widgets.qt.notices import NoticeAction, NoticeBoard
from napari_unet.widgets.qt.subscriptions import Subscriptions

STRAY = "stray paint"
"""Topic: the user paints on a layer that nothing learns from."""

Edit = tuple[NDArray[np.intp], NDArray[Any]]
"""Indices of pixels, shape (pixels, axes), and the labels that were painted there."""


class StrayPaint(QObject):
    """Says that what is painted on a preview or a result is not learned from.

    The preview is overwritten, so this is said whenever somebody paints on it; a result is kept
    when it was edited, so this is said once.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    board : NoticeBoard
        Where it is said.
    strokes : callable
        Returns the layer of strokes that is chosen; None where none is.
    parent : QObject
        Its Qt parent, which deletes it.
    """

    def __init__(
        self,
        viewer: Viewer,
        board: NoticeBoard,
        strokes: Callable[[], Labels | None],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._board = viewer, board
        self._strokes = strokes
        self._layer: Labels | None = None
        self._edits: list[Edit] = []
        self._mentioned: WeakSet[Labels] = WeakSet()
        self._subscriptions = Subscriptions()
        self._subscriptions.connect(self._inserted, viewer.layers.events.inserted)
        self._subscriptions.connect(self._removed, viewer.layers.events.removed)
        for layer in viewer.layers:
            self._follow(layer)

    def release(self) -> None:
        """Disconnect from the viewer."""
        self._subscriptions.release()

    def _inserted(self, event: Any) -> None:
        self._follow(event.value)

    def _follow(self, layer: Any) -> None:
        if isinstance(layer, Labels) and is_result(layer):
            self._subscriptions.connect(self._painted, layer.events.paint)

    def _removed(self, event: Any) -> None:
        if event.value is self._layer:
            self._forget()

    def _painted(self, event: Any) -> None:
        layer: Labels = event.source
        if layer is self._strokes():
            return
        is_preview = bool(layer.metadata[RESULT].get("preview"))
        edits = [edit for edit in map(_pixels, event.value) if edit is not None]
        if layer is not self._layer:
            if layer in self._mentioned and not is_preview:
                return
            self._forget()
        self._mentioned.add(layer)
        self._layer = layer
        self._edits += edits
        self._say(layer, is_preview=is_preview)

    def _say(self, layer: Labels, *, is_preview: bool) -> None:
        what = (
            f"You paint on “{layer.name}”, which the next preview overwrites."
            if is_preview
            else f"You paint on the result “{layer.name}”. It is kept, but not learned from."
        )
        strokes = self._strokes()
        actions = [NoticeAction("Dismiss", self._forget)]
        if strokes is not None and self._edits:
            shift = _shift(layer, strokes)
            if shift is not None and not why_not_paintable(strokes):
                tip = f"Paints the same on “{strokes.name}”, and selects that layer."
                move = partial(self._move, strokes, shift)
                actions.insert(0, NoticeAction(f"Put it into “{strokes.name}”", move, tip))
        self._board.say(STRAY, what, "warning" if is_preview else "info", actions)

    def _move(self, strokes: Labels, shift: NDArray[np.intp]) -> None:
        shape = np.array(strokes.data.shape)
        for indices, labels in self._edits:
            moved = indices + shift
            kept = ((moved >= 0) & (moved < shape)).all(1) & (labels > 0)
            if kept.any():
                strokes.data_setitem(tuple(moved[kept].T), labels[kept])
        self._forget()
        begin_painting(self._viewer, strokes)

    def _forget(self) -> None:
        self._layer = None
        self._edits = []
        self._board.end(STRAY)


def _pixels(edit: Any) -> Edit | None:
    """Return the pixels of an entry of napari's undo list; None where its kind is not known."""
    key = getattr(edit, "slice_key", None)
    if key is None:
        if not isinstance(edit, tuple) or len(edit) != 3:
            return None
        indices, _, labels = edit
        where = np.stack([np.ravel(axis) for axis in indices], 1)
        return where, np.broadcast_to(np.ravel(labels), len(where)).copy()
    sides = [part.stop - part.start for part in key]
    mask = np.ones(sides, bool) if edit.mask is None else edit.mask
    where = np.argwhere(mask) + [part.start for part in key]
    return where, np.full(len(where), edit.new_value)


def _shift(layer: Labels, onto: Labels) -> NDArray[np.intp] | None:
    """Return what to add to indices of a layer for those of another one.

    None where that is no shift by whole pixels.
    """
    if layer.ndim != onto.ndim:
        return None
    corners = np.concatenate([np.zeros((1, layer.ndim)), np.eye(layer.ndim)])
    there = np.array([onto.world_to_data(layer.data_to_world(corner)) for corner in corners])
    shift = np.rint(there[0])
    return shift.astype(np.intp) if np.allclose(there, corners + shift, atol=1e-3) else None
