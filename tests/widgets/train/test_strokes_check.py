"""Finished masks and layers that cannot be painted on are named as soon as they are chosen."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from qtpy.QtWidgets import QRadioButton

from napari_unet.model import TrainedModel
from napari_unet.widgets.train.strokes_check import (
    MANY,
    MASK_BUTTON,
    MERGE_BUTTON,
    PAINTING,
    PLACE,
    READING,
    STROKES_BUTTON,
)
from tests.data.test_label_kind import cells
from tests.widgets.conftest import two_classes

SIDE = 96
IDS = cells(SIDE, 36)


def open_labels(room, labels, **arguments):
    image = np.random.default_rng(0).normal(size=IDS.shape).astype(np.float32) + 4 * (IDS > 0)
    room.open(image)
    layer = room.viewer.add_labels(labels, name="cells", **arguments)
    room.form.advanced.form.editors["batch_size"].setValue(2)
    room.wait(lambda: room.form.check.survey is not None)
    room.wait(lambda: room.form.strokes.painted.pixels or not np.any(labels))
    return layer


def press(room, topic, text):
    """Click the button of a notice."""
    (button,) = [b for b in room.form.check.board.buttons(topic) if b.text() == text]
    room.click(button)


def rows(room):
    """Return the names and counts of the class table."""
    table = room.form.strokes.table
    return [
        (table.item(row, 1).text(), int(table.item(row, 2).text().replace(",", "")))
        for row in range(table.rowCount())
    ]


def train(room):
    """Train, and return the classes of the model."""
    room.train(steps=2)
    model: TrainedModel = room.panel.train.training.model.model
    return [(c.value, str(c)) for c in model.classes]


def test_a_mask_of_0_and_1_trains_after_one_click(room):
    mask = (IDS > 0).astype(np.uint8)
    layer = open_labels(room, mask.copy())
    board = room.form.check.board
    assert "looks like a finished mask" in board.text(READING)
    assert [b.text() for b in board.buttons(READING)] == [MASK_BUTTON, STROKES_BUTTON]
    press(room, READING, MASK_BUTTON)
    assert board.text() == ""
    assert room.form.zero.value() == "background"
    n = int(mask.sum())
    assert rows(room) == [("background", mask.size - n), ("class 1", n)]
    assert train(room) == [(0, "background"), (1, "class 1")]
    assert train(room) == [(0, "background"), (1, "class 1")]  # the second time, too
    np.testing.assert_array_equal(layer.data, mask)


def test_numbered_objects_are_learned_as_one_class_after_one_click(room):
    layer = open_labels(room, IDS.copy())
    board = room.form.check.board
    assert "looks like numbered objects: 36 labels" in board.text(READING)
    press(room, READING, MERGE_BUTTON)
    n = int(np.count_nonzero(IDS))
    assert rows(room) == [("background", IDS.size - n), ("object", n)]
    assert train(room) == [(0, "background"), (1, "object")]
    options = room.panel.train.training.model.model.training["options"]
    assert options["merge_labels"] is True
    assert options["zero"] == "background"
    np.testing.assert_array_equal(layer.data, IDS)
    assert "learned as one class" in board.text(READING)
    press(room, READING, "Make each label a class")
    assert len(rows(room)) == 37


def test_a_training_that_waits_starts_by_the_click(room):
    open_labels(room, (IDS > 0).astype(np.uint8))
    page = room.panel.train
    room.form.budget.setValue({"steps": 2})
    room.click(page.footer.train)
    room.wait(lambda: "Waiting" in page.notice.text())
    assert room.form.check.board.isVisible()
    press(room, READING, MASK_BUTTON)
    room.wait(lambda: page.training.model is not None)
    room.idle()
    assert [c.value for c in page.training.model.model.classes] == [0, 1]


def test_what_is_painted_on_merged_objects_is_merged_too(room):
    layer = open_labels(room, IDS.copy())
    press(room, READING, MERGE_BUTTON)
    page = room.panel.train
    room.form.budget.setValue({"open_ended": True})
    room.click(page.footer.train)
    room.wait(lambda: page.training.started is not None)
    store = page.training.annotations.each[0]._store
    before = store.values()
    layer.selected_label = 90
    layer.brush_size = 1
    layer.paint((0, 0), 90)
    room.wait(lambda: store.values() != before)
    room.click(page.footer.stop)
    room.idle()
    assert store.values() == {0: before[0] - 1, 1: before[1] + 1}
    assert layer.data[0, 0] == 90


def test_strokes_are_left_alone_and_that_is_remembered(room):
    layer = open_labels(room, (IDS > 0).astype(np.uint8))
    press(room, READING, STROKES_BUTTON)
    board, choice = room.form.check.board, room.form.labels
    assert board.text() == ""
    other = room.viewer.add_labels(np.zeros_like(IDS), name="other")
    choice.set_layer(other)
    choice.set_layer(layer)
    assert board.text() == ""
    assert room.form.zero.value() == "unpainted"


def test_how_labels_are_read_belongs_to_the_layer(room):
    mask = open_labels(room, (IDS > 0).astype(np.uint8))
    press(room, READING, MASK_BUTTON)
    strokes = room.viewer.add_labels(two_classes(IDS.shape)[1], name="strokes")
    room.form.labels.set_layer(strokes)
    assert room.form.zero.value() == "unpainted"
    room.form.labels.set_layer(mask)
    assert room.form.zero.value() == "background"
    room.form.zero.setValue("unpainted")
    assert not room.form.check.merged
    room.form.labels.set_layer(strokes)
    room.form.labels.set_layer(mask)
    assert room.form.zero.value() == "unpainted"


def test_more_than_fifty_classes_need_a_click(room):
    ids = cells(SIDE, 64)
    open_labels(room, ids)
    press(room, READING, STROKES_BUTTON)
    board, page = room.form.check.board, room.panel.train
    assert "64 labels" in board.text(MANY)
    room.click(page.footer.train)
    room.idle()
    assert page.training.model is None
    assert "would become 64 classes" in page.notice.text()
    press(room, MANY, "Train 64 classes")
    assert board.text() == ""
    assert len(train(room)) == 64


def test_strokes_raise_no_question(painted):
    painted.wait(lambda: painted.form.check.survey is not None)
    assert painted.form.check.board.text() == ""
    assert painted.form.check.board.isHidden()


def test_a_new_strokes_layer_is_looked_at_but_never_asked_about(room):
    room.open(two_classes()[0])
    room.click(room.form.new)
    layer = room.form.labels.layer()
    assert layer.mode == "paint"
    layer.paint((20, 20), 1)
    room.counted({1: int(np.count_nonzero(layer.data))})
    assert room.form.check.board.text() == ""


def read_only(labels):
    labels = labels.copy()
    labels.setflags(write=False)
    return labels


def zarr_read_only(labels, folder):
    zarr.save_array(str(folder / "labels.zarr"), labels)
    return zarr.open_array(str(folder / "labels.zarr"), mode="r")


def mapped(labels, folder):
    np.save(folder / "labels.npy", labels)
    return np.load(folder / "labels.npy", mmap_mode="r")


STROKES = two_classes((SIDE, SIDE))[1]
UNPAINTABLE = {
    "array": (lambda folder: read_only(STROKES), "read-only"),
    "memory map": (lambda folder: mapped(STROKES, folder), "read-only"),
    "zarr": (lambda folder: zarr_read_only(STROKES, folder), "reading only"),
    "dask": (lambda folder: da.from_array(STROKES, chunks=32), "dask"),
    "pyramid": (lambda folder: [STROKES, STROKES[::2, ::2]], "pyramid"),
}


@pytest.mark.parametrize("kind", UNPAINTABLE)
def test_a_layer_that_cannot_be_painted_on_is_named_when_it_is_chosen(room, kind, tmp_path):
    make, reason = UNPAINTABLE[kind]
    room.open(two_classes((SIDE, SIDE))[0], scale=(2, 3))
    room.viewer.add_labels(make(tmp_path), name="strokes", scale=(2, 3))
    check = room.form.check
    assert "“strokes” can be used for training, but not be painted on" in check.board.text(PAINTING)
    assert reason in check.board.text(PAINTING)
    press(room, PAINTING, "Make an editable copy")
    room.wait(lambda: "strokes – copy" in room.viewer.layers)
    copy = room.viewer.layers["strokes – copy"]
    assert room.form.labels.layer() is copy
    assert check.board.text() == ""
    assert tuple(copy.scale) == (2, 3)
    np.testing.assert_array_equal(copy.data, STROKES)
    copy.paint((2, 2), 2)
    assert copy.data[2, 2] == 2
    assert not room.viewer.layers["strokes"].visible


def test_strokes_that_lie_elsewhere_are_named_and_moved_by_a_click(room):
    image, strokes = two_classes()
    room.open(image, scale=(0.5, 0.5), translate=(3, 4))
    layer = room.viewer.add_labels(strokes, name="strokes")
    board = room.form.check.board
    assert "“strokes” is not aligned with “picture”" in board.text(PLACE)
    press(room, PLACE, "Align it with the image")
    assert board.text(PLACE) == ""
    assert tuple(layer.scale) == (0.5, 0.5)
    assert tuple(layer.translate) == (3, 4)
    np.testing.assert_array_equal(layer.data, strokes)


def test_the_toolbar_shows_the_brush_of_a_new_strokes_layer(viewer):
    viewer.add_image(two_classes()[0], name="picture")
    _, host = viewer.window.add_plugin_dock_widget("napari-unet-live", "Train")
    host.panel.train.form.new.click()
    layer = viewer.layers.selection.active
    buttons = viewer.window._qt_viewer.controls.widgets[layer].findChildren(QRadioButton)
    (pressed,) = [button for button in buttons if button.isChecked()]
    assert "paint brush" in pressed.toolTip()
    assert layer.mode == "paint"
