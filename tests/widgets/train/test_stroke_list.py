"""The list of strokes: what it says, where a click leads, and that removing can be undone."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_unet.widgets.layers.view_geometry import ViewGeometry
from napari_unet.widgets.train import annotation_sync, class_table, stroke_list
from napari_unet.widgets.train.stroke_list import CLASS, PLANE, REMOVE, SIZE
from tests.widgets.conftest import two_classes


def cells(room):
    model = room.form.stroke_list.model
    return [
        tuple(model.data(model.index(row, column)) for column in (CLASS, PLANE, SIZE))
        for row in range(model.rowCount())
    ]


def open_list(room, strokes, **arguments):
    image = np.zeros(strokes.shape, np.float32)
    room.viewer.add_image(image, name="picture", **arguments)
    layer = room.viewer.add_labels(strokes, name="strokes", **arguments)
    button = room.form.strokes_section.button
    with room.qtbot.waitSignal(room.form.stroke_list.listed):
        room.click(button)
    return layer


def click(room, row, column):
    table = room.form.stroke_list.table
    place = table.visualRect(room.form.stroke_list.model.index(row, column)).center()
    room.qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)


def stack():
    """Return strokes in three planes; the second is a column through two of them."""
    strokes = np.zeros((9, 40, 60), np.uint8)
    strokes[2, 4:8, 10:16] = 1
    strokes[3:5, 20:24, 50:52] = 2
    strokes[7, 30:33, 5:8] = 1
    return strokes


def test_strokes_are_listed_with_class_plane_and_size(room):
    layer = open_list(room, stack())
    assert cells(room) == [("class 1", "2", "24"), ("class 2", "3–4", "16"), ("class 1", "7", "9")]
    layer.metadata["class_names"] = {1: "nucleus"}
    click(room, 0, CLASS)
    assert cells(room)[0][0] == "nucleus"
    header = room.form.stroke_list.table.horizontalHeader()
    header.sectionClicked.emit(SIZE)
    room.form.stroke_list.table.sortByColumn(SIZE, Qt.SortOrder.AscendingOrder)
    assert [row[2] for row in cells(room)] == ["9", "16", "24"]


def test_a_plane_column_is_shown_for_stacks_only(room):
    _, strokes = two_classes()
    open_list(room, strokes)
    table = room.form.stroke_list.table
    assert table.isColumnHidden(PLANE)
    assert cells(room) == [("class 1", "", "288"), ("class 2", "", "288")]
    assert "2 strokes" in room.form.stroke_list.line.text()


def test_a_click_goes_there(room):
    layer = open_list(room, stack(), scale=(2, 0.5, 0.5), translate=(0, 100, 0))
    room.viewer.layers.selection.active = room.viewer.layers["picture"]
    room.viewer.scene.camera.zoom = 60
    click(room, 2, CLASS)
    assert room.viewer.dims.current_step[0] == 7
    away = np.subtract(
        layer.data_to_world((7, 31, 6)), ViewGeometry(room.viewer, layer).world_centre
    )
    assert (abs(away[-2:]) <= ViewGeometry(room.viewer, layer).half_canvas).all()
    assert room.viewer.layers.selection.active is layer


def test_a_stroke_is_removed_and_undo_brings_it_back(room):
    layer = open_list(room, stack())
    before = layer.data.copy()
    click(room, 1, REMOVE)
    room.wait(lambda: len(cells(room)) == 2)
    assert not layer.data[3:5].any()
    assert np.array_equal(layer.data[[2, 7]], before[[2, 7]])
    room.counted({1: 33})
    layer.undo()
    assert np.array_equal(layer.data, before)
    room.wait(lambda: len(cells(room)) == 3)


def test_the_delete_key_removes_one_after_the_other(room):
    layer = open_list(room, stack())
    click(room, 0, CLASS)
    for left in (2, 1, 0):
        room.qtbot.keyClick(room.form.stroke_list.table, Qt.Key.Key_Delete)
        room.wait(lambda left=left: len(cells(room)) == left)
    assert not layer.data.any()
    assert room.form.stroke_list.line.text() == "Nothing is painted yet."


def test_what_was_painted_meanwhile_is_left_alone(room):
    layer = open_list(room, stack())
    stroke = room.form.stroke_list.model.strokes[0]
    layer.data[2, 4:6] = 3
    room.form.stroke_list.remove(stroke)
    room.wait(lambda: not room.form.stroke_list._remover.running)
    assert (layer.data[2, 4:6] == 3).all()


def test_painting_shows_up_and_a_closed_list_looks_at_nothing(room, monkeypatch):
    layer = open_list(room, stack())
    layer.selected_label, layer.brush_size = 3, 2
    room.viewer.dims.set_point(0, 5)
    layer.paint((5, 20, 20), 3)
    room.wait(lambda: len(cells(room)) == 4)
    room.click(room.form.strokes_section.button)
    looks = []
    monkeypatch.setattr(stroke_list.StrokeIndex, "of", lambda *_, **__: looks.append(1))
    layer.paint((5, 30, 30), 3)
    room.counted({1: 33, 2: 16, 3: int((layer.data == 3).sum())})
    assert not looks


def test_time_does_not_connect_strokes(room):
    strokes = np.zeros((3, 20, 20), np.uint8)
    strokes[:, 5:8, 5:8] = 1
    open_list(room, strokes, axis_labels=("t", "y", "x"))
    assert [row[1] for row in cells(room)] == ["0", "1", "2"]


@pytest.mark.parametrize("kind", ["read-only", "pyramid", "not editable"])
def test_what_cannot_be_edited_says_why(room, kind):
    strokes = np.zeros((32, 32), np.uint8)
    strokes[4:8, 4:8] = 1
    strokes.setflags(write=kind != "read-only")
    room.viewer.add_image(np.zeros((32, 32), np.float32), name="picture")
    data = [strokes, strokes[::2, ::2]] if kind == "pyramid" else strokes
    layer = room.viewer.add_labels(data, name="strokes")
    layer.editable = kind != "not editable"
    with room.qtbot.waitSignal(room.form.stroke_list.listed):
        room.click(room.form.strokes_section.button)
    click(room, 0, REMOVE)
    assert kind in room.form.stroke_list.line.text()
    assert (strokes[4:8, 4:8] == 1).all()


def test_a_running_training_forgets_a_removed_stroke_wherever_it_is_in_a_huge_layer(
    room, monkeypatch
):
    for module in (annotation_sync, class_table, stroke_list):
        monkeypatch.setattr(module, "MOST_VOXELS", 100)
    strokes = stack()
    layer = open_list(room, strokes)
    sync = annotation_sync.AnnotationSyncGroup(room.viewer, room.panel)
    sync.follow([layer])
    store = annotation_sync.AnnotationStore(strokes.shape, 3)
    for i, plane in enumerate(strokes):
        region = annotation_sync.Region((i, 0, 0), (i + 1, 40, 60))
        store.write(region, plane[None])
    sync.open([store])
    click(room, 1, REMOVE)
    room.viewer.dims.set_point(0, 0)
    room.wait(lambda: store.values() == {1: 33})
    room.counted({1: 33})
    sync.release()
