"""Painting while it trains: strokes go in, previews come out; with a window and real brushes."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.control import Viewport
from napari_unet.data.annotations import AnnotationStore
from napari_unet.geometry.axes import AxisLayout
from napari_unet.geometry.region import Region
from napari_unet.training.events import Previewed
from napari_unet.widgets import live
from napari_unet.widgets.choosers import RESULT
from napari_unet.widgets.live import LivePreview, StrokesFeed, _middle
from napari_unet.widgets.panel import find_panel
from tests.widgets.conftest import PATIENCE, two_classes

COLORS = {1: (1.0, 0.0, 0.0, 1.0), 2: (0.0, 1.0, 0.0, 1.0)}


@pytest.fixture
def labels(room):
    _, layer = room.open(*two_classes())
    return layer


@pytest.fixture
def feed(room, labels):
    store, feed = AnnotationStore((64, 64), 2), StrokesFeed(room.viewer, room.panel)
    feed.follow(labels)
    feed.open(store)
    yield room, labels, store
    room.wait(lambda: not feed._runner.running)
    feed.let_go()


def same(labels, store):
    return np.array_equal(store.read(Region((0, 0), (64, 64))), labels.data)


def test_whatever_is_done_to_a_layer_arrives(feed):
    room, labels, store = feed
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
    store, feed = AnnotationStore((64, 64), 2), StrokesFeed(room.viewer, room.panel)
    feed.follow(labels)
    labels.paint((30, 30), 3)
    room.qtbot.wait(600)
    feed.open(store)
    room.wait(lambda: same(labels, store))
    room.wait(lambda: not feed._runner.running)
    feed.let_go()


def test_a_stack_is_compared_plane_by_plane_and_only_what_differs_is_written(room):
    _, labels = room.open(np.zeros((5, 64, 64)), np.zeros((5, 64, 64), np.uint8))
    store, feed = AnnotationStore((5, 64, 64), 2), StrokesFeed(room.viewer, room.panel)
    feed.follow(labels)
    feed.open(store)
    labels.data_setitem((np.array([3]), np.array([10]), np.array([20])), 2)
    room.wait(lambda: store.values() == {2: 1})
    assert store.version == 1
    room.wait(lambda: not feed._runner.running)
    feed.let_go()


def test_of_a_huge_layer_the_plane_in_view_is_compared(room, monkeypatch):
    monkeypatch.setattr(live, "MOST_VOXELS", 100)
    _, labels = room.open(np.zeros((5, 64, 64)), np.zeros((5, 64, 64), np.uint8))
    store, feed = AnnotationStore((5, 64, 64), 2), StrokesFeed(room.viewer, room.panel)
    feed.follow(labels)
    feed.open(store)
    room.viewer.dims.set_current_step(0, 3)
    assert [r.start[0] for r in live._regions(labels, room.viewer)] == [3]
    labels.paint((3, 30, 30), 2)
    room.wait(lambda: bool(store.values()))
    room.wait(lambda: not feed._runner.running)
    feed.let_go()


def test_the_preview_is_one_layer_in_the_classes_colours_and_keeps_its_place(room, labels):
    image = room.viewer.layers["picture"]
    image.scale, image.translate = (2.0, 0.5), (7, 9)
    room.viewer.layers.selection.active = labels
    preview = LivePreview(room.viewer, room.panel)
    preview.begin(image, AxisLayout((), None, (0, 1)), lambda view: None)
    view = Viewport((), Region((10, 20), (30, 50)))
    for value in (1, 2):
        said = np.full((20, 30), value, np.uint8)
        preview.show(Previewed(1, view, said, said.astype(np.float32)), COLORS)
    (layer,) = (x for x in room.viewer.layers if "live preview" in x.name)
    assert room.viewer.layers.selection.active is labels
    assert np.array_equal(layer.scale, image.scale)
    assert np.array_equal(layer.translate, image.translate)
    assert (layer.data[10:30, 20:50] == 2).all()
    assert np.count_nonzero(layer.data) == 600
    assert layer.get_color(2).tolist() == [0, 1, 0, 1]
    assert RESULT in layer.metadata  # so that nobody is offered to learn from it
    preview.end()


def test_switched_off_or_in_3d_nothing_is_asked_for(room):
    image, _ = room.open(np.zeros((5, 64, 64)))
    asked = []
    preview = LivePreview(room.viewer, room.panel)
    preview.begin(image, AxisLayout((0,), None, (1, 2)), asked.append)
    assert asked[-1].index == (2,)
    preview.enabled = False
    preview.look()
    assert asked[-1] is None
    preview.enabled = True
    room.viewer.dims.ndisplay = 3
    preview.look()
    assert asked[-1] is None
    room.viewer.dims.ndisplay = 2
    room.viewer.dims.set_current_step(0, 4)
    preview.look()
    assert asked[-1].index == (4,)
    preview.end()


@pytest.mark.parametrize(
    ("span", "size", "expected"),
    [((-20, 90), 64, (0, 64)), ((10, 30), 64, (10, 30)), ((80, 90), 64, (0, 64))],
)
def test_the_part_in_view_lies_in_the_image(span, size, expected):
    assert _middle(*span, size) == expected


def test_of_a_long_view_the_middle_is_shown():
    low, high = _middle(0, 5000, 5000)
    assert high - low < 1000
    assert abs((low + high) / 2 - 2500) <= 1


def test_paint_train_see_correct_and_close(viewer, qtbot):
    """As a person would: a window, strokes, Train until stopped, a new class, undo, close."""
    image, strokes = two_classes()
    viewer.add_image(image, name="picture")
    labels = viewer.add_labels(strokes, name="strokes")
    viewer.window.add_plugin_dock_widget("napari-unet-live", "Train")
    page = find_panel(viewer).train
    page.form.net_size.setValue("small")
    page.form.budget.setValue({"open_ended": True})
    page.train.click()

    def wait(condition):
        qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE)

    wait(lambda: page.preview._layer is not None)
    shown = page.preview._layer
    assert set(np.unique(shown.data)) <= {0, 1, 2}
    labels.brush_size = 9
    labels.paint((32, 32), 5)
    wait(lambda: len(page._started.class_names) == 3)
    assert page._started.class_names[-1] == "class 5"
    before = page.feed._store.version
    labels.undo()
    wait(lambda: page.feed._store.version > before)
    assert 5 not in page.feed._store.values()
    assert np.array_equal(labels.data, strokes)
    page.live.setChecked(False)
    page.stop.click()
    wait(lambda: not page.runner.running)
    assert "stopped" in page.summary.text()
    page.predict.click()
    assert not shown.visible
    wait(lambda: any("prediction" in layer.name for layer in viewer.layers))
    page.train.click()
    wait(lambda: page._started is not None)
    viewer.close()
