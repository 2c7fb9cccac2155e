"""What is painted on all layers of a training goes into it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from napari import Viewer
from napari.layers import Labels
from qtpy.QtCore import QObject

from napari_unet.data.annotations import AnnotationStore
from napari_unet.widgets.train.live_preview import AnnotationSync


class AnnotationSyncGroup(QObject):
    """A `AnnotationSync` for each layer that a training learns from.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    parent : QObject
        What it dies with.
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.each: list[AnnotationSync] = []

    def follow(self, layers: Iterable[Labels]) -> None:
        """Carry what is painted from now on into the training."""
        self.release()
        for labels in layers:
            feed = AnnotationSync(self._viewer, self)
            feed.follow(labels)
            self.each.append(feed)

    def open(self, stores: Sequence[AnnotationStore]) -> None:
        """Take the stores of the training (called in its thread)."""
        for feed, store in zip(self.each, stores, strict=True):
            feed.open(store)

    def release(self) -> None:
        """Follow the layers no longer."""
        for feed in self.each:
            feed.release()
            feed.deleteLater()
        self.each.clear()
