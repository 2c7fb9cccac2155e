"""Carries what the user paints while a training runs from the Labels layers into that training.

How a stroke gets from the layer to the sampler that draws training patches. First, when the
training starts:

1. `TrainForm.request` (``segmentation_form.py``) puts the arrays of the Labels layers into a
   `TrainRequest`. `TrainingRun.start` (``training.py``) connects an `AnnotationSync` to each of
   these layers, and starts `TrainRequest.events` in a thread, with the callback
   `AnnotationSyncGroup.open` as its ``opened``.
2. `TrainRequest.events` (``request.py``) copies the arrays into one `AnnotationStore` each
   (``data/annotations.py``), calls ``opened`` with these stores, and hands them to the worker in a
   `TrainJob` (``workers/jobs.py``).
3. A worker in another process (``workers/process.py``) sends a copy of each store there and then,
   many times a second, the blocks that have changed (`SharedObjects` in ``workers/messages.py``).
   The other process (``workers/server.py``) writes them into its copy. A worker in this process
   uses the stores themselves.

Then, whenever the layer has changed:

4. `AnnotationSync` compares the layer with its store, in a thread, and writes what differs.
5. Between two steps, the training looks at the versions of its stores (`sync_annotations` in
   ``tasks/segmentation/task.py``); where one has changed, the sampler (``data/sampling.py``) draws
   the next patches from the new snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

from napari import Viewer
from napari.layers import Labels
from qtpy.QtCore import QObject
from superqt.utils import qthrottled

from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.source import ArraySource, Source
from napari_unet.geometry.region import Region
from napari_unet.widgets.layers.layer_data import largest_level
from napari_unet.widgets.layers.region_of_interest import RegionOfInterest
from napari_unet.widgets.qt.event_thread import EventRunner
from napari_unet.widgets.qt.subscriptions import Subscriptions
from napari_unet.widgets.train.class_table import MOST_VOXELS, planes_in_reach

SYNC_MS = 250
"""Longest time in milliseconds between a stroke and its copy into the store."""


class AnnotationSync(QObject):
    """Copies what is painted on one layer into the store that a training reads from.

    Whatever changed the layer (brush, fill, eraser, undo, new data), the layer is compared with
    the store, in a thread; only blocks that differ are replaced.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer is; of a huge layer only what the brush may have reached is compared.
    parent : QObject
        Its Qt parent, which deletes it.
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Labels | None = None
        self._store: AnnotationStore | None = None
        self._interest: RegionOfInterest | None = None
        # Where the first axis of a huge layer was changed since the last copy.
        self._touched: set[int] = set()
        self._runner = EventRunner(self)
        self._copy_soon = qthrottled(self._copy_changes, timeout=SYNC_MS, leading=False)
        self._subscriptions = Subscriptions()

    def follow(self, layer: Labels, interest: RegionOfInterest | None = None) -> None:
        """Begin; what is painted from now on is copied as soon as there is a store.

        Parameters
        ----------
        layer : Labels
            The layer.
        interest : RegionOfInterest, optional
            The part of it that is learned from.
        """
        self.release()
        self._layer = layer
        self._interest = interest
        self._touched = set()
        events = layer.events
        self._subscriptions.connect(self._changed, events.paint, events.data, events.set_data)

    def open(self, store: AnnotationStore) -> None:
        """Take the store of the training (called in the thread of the training)."""
        self._store = store

    def release(self) -> None:
        """Disconnect from the layer."""
        self._copy_soon.cancel()
        self._subscriptions.release()
        self._layer = self._store = None

    def _changed(self, event: Any = None) -> None:
        if self._layer is not None and self._layer.data.size > MOST_VOXELS:
            self._touched |= planes_in_reach(self._viewer, self._layer, event)
        self._copy_soon()

    def _copy_changes(self) -> None:
        layer, store = self._layer, self._store
        if layer is None:
            return
        if store is None or self._runner.running:
            self._copy_soon()
            return
        data = largest_level(layer)
        interest = self._interest
        labels = ArraySource(data) if interest is None else interest.part_of(data)
        if labels is None or labels.shape != store.shape:
            return  # the layer now holds another array than the one that is learned from
        first = 0 if interest is None else interest.region.start[0]
        touched = {plane - first for plane in self._touched}
        regions = _changed_regions(labels.shape, touched, huge=prod(data.shape) > MOST_VOXELS)
        self._touched = set()
        self._runner.start_call(lambda: _copy(labels, store, regions))


class AnnotationSyncGroup(QObject):
    """An `AnnotationSync` for each layer that a training learns from.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    parent : QObject
        Its Qt parent, which deletes it.

    Attributes
    ----------
    each : list of AnnotationSync
        In the order of the layers.
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.each: list[AnnotationSync] = []

    def follow(self, layers: Iterable[Labels], interest: RegionOfInterest | None = None) -> None:
        """Copy what is painted on these layers from now on, and on no others.

        Parameters
        ----------
        layers : iterable of Labels
            The layers.
        interest : RegionOfInterest, optional
            The part of the first of them that is learned from.
        """
        self.release()
        for labels in layers:
            sync = AnnotationSync(self._viewer, self)
            sync.follow(labels, None if self.each else interest)
            self.each.append(sync)

    def open(self, stores: Sequence[AnnotationStore]) -> None:
        """Take the stores of the training, in the order of the layers.

        It is the callback of `TrainRequest`, called in the thread of the training.
        """
        for sync, store in zip(self.each, stores, strict=True):
            sync.open(store)

    def release(self) -> None:
        """Disconnect from all layers."""
        for sync in self.each:
            sync.release()
            sync.deleteLater()
        self.each.clear()


def _changed_regions(shape: tuple[int, ...], touched: set[int], *, huge: bool) -> list[Region]:
    """Return where a change may be, plane by plane; in a huge layer the touched planes alone."""
    whole = Region.whole(shape)
    if len(shape) == 2:
        return [whole]
    planes = sorted(touched & set(range(shape[0]))) if huge else range(shape[0])
    return [Region((i, *whole.start[1:]), (i + 1, *whole.stop[1:])) for i in planes]


def _copy(labels: Source, store: AnnotationStore, regions: list[Region]) -> None:
    for region in regions:
        store.write(region, labels.read(region))
