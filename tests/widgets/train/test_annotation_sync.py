"""Strokes that are painted while it trains reach the training; with real brushes."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.data.annotations import AnnotationStore
from napari_unet.geometry.region import Region
from napari_unet.widgets.train import annotation_sync, class_table
from napari_unet.widgets.train.annotation_sync import AnnotationSync
from tests.widgets.conftest import two_classes


@pytest.fixture
def labels(room):
    _, layer = room.open(*two_classes())
    return layer


@pytest.fixture
def synced(room, labels):
    store, sync = AnnotationStore((64, 64), 2), AnnotationSync(room.viewer, room.panel)
    sync.follow(labels)
    sync.open(store)
    yield room, labels, store
    room.wait(lambda: not sync._runner.running)
    sync.release()


def same(labels, store):
    return np.array_equal(store.read(Region((0, 0), (64, 64))), labels.data)


def test_whatever_is_done_to_a_layer_arrives(synced):
    room, labels, store = synced
    labels.paint((30, 30), 3)
    room.wait(lambda: same(labels, store))
    labels.fill((30, 30), 4)
    room.wait(lambda: same(labels, store))
    labels.undo()
    room.wait(lambda: same(labels, store))
    labels.redo()
    room.wait(lambda: same(labels, store))
    labels.data_setitem((np.array([1]), np.array([1])), 9)
    room.wait(lambda: same(labels, store))
    labels.data[5:9, 5:9] = 2
    labels.refresh()
    room.wait(lambda: same(labels, store))
    labels.data = np.roll(labels.data, 3, 0)
    room.wait(lambda: same(labels, store))
    assert 4 in store.values()


def test_what_is_painted_before_there_is_a_store_waits_for_it(room, labels):
    store, sync = AnnotationStore((64, 64), 2), AnnotationSync(room.viewer, room.panel)
    sync.follow(labels)
    labels.paint((30, 30), 3)
    room.qtbot.wait(600)
    sync.open(store)
    room.wait(lambda: same(labels, store))
    room.wait(lambda: not sync._runner.running)
    sync.release()


def test_a_stack_is_compared_plane_by_plane_and_only_what_differs_is_written(room):
    _, labels = room.open(np.zeros((5, 64, 64)), np.zeros((5, 64, 64), np.uint8))
    store, sync = AnnotationStore((5, 64, 64), 2), AnnotationSync(room.viewer, room.panel)
    sync.follow(labels)
    sync.open(store)
    labels.data_setitem((np.array([3]), np.array([10]), np.array([20])), 2)
    room.wait(lambda: store.values() == {2: 1})
    assert store.version == 1
    room.wait(lambda: not sync._runner.running)
    sync.release()


def test_of_a_huge_layer_the_plane_in_view_is_compared(room, monkeypatch):
    monkeypatch.setattr(annotation_sync, "MOST_VOXELS", 100)
    _, labels = room.open(np.zeros((5, 64, 64)), np.zeros((5, 64, 64), np.uint8))
    store, sync = AnnotationStore((5, 64, 64), 2), AnnotationSync(room.viewer, room.panel)
    sync.follow(labels)
    sync.open(store)
    room.viewer.dims.set_current_step(0, 3)
    reach = class_table.planes_in_reach
    assert reach(room.viewer, labels) == {3}
    labels.paint((3, 30, 30), 2)
    room.viewer.dims.set_current_step(0, 0)  # before it is copied
    room.wait(lambda: bool(store.values()))
    # A ball, and planes seen from the side, reach further.
    room.viewer.dims.set_current_step(0, 3)
    labels.n_edit_dimensions, labels.brush_size = 3, 1
    assert reach(room.viewer, labels) == {2, 3, 4}
    room.viewer.dims.order = (1, 0, 2)
    assert reach(room.viewer, labels) == {0, 1, 2, 3, 4}
    room.wait(lambda: not sync._runner.running)
    sync.release()
