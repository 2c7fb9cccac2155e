"""The table of what is painted."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor

from napari_unet.widgets.layers.layer_data import STROKES
from napari_unet.widgets.train import class_table as strokes
from napari_unet.widgets.train.class_table import ClassCounts, ClassTable


@pytest.fixture
def layer():
    data = np.zeros((40, 40), np.uint8)
    data[:5, :5], data[10:12, 10:13] = 2, 7
    return Labels(data)


real = strokes._count


@pytest.fixture
def table(qtbot, layer):
    table = ClassTable(ViewerModel())
    qtbot.addWidget(table)
    table.set_layer(layer)
    qtbot.waitUntil(lambda: table.painted.pixels == {2: 25, 7: 6})
    yield table
    table.release()
    qtbot.waitUntil(lambda: not table._counter.running)


def cells(table):
    return [
        [table.table.item(row, column).text() for column in (1, 2)]
        for row in range(table.table.rowCount())
    ]


def test_lazy_arrays_are_counted_too():
    data = np.random.default_rng(0).integers(0, 3, (4, 5, 6))
    expected = {v: int((data == v).sum()) for v in (1, 2)}
    assert ClassCounts.counted(data).pixels == expected
    assert ClassCounts.counted(da.from_array(data)).pixels == expected
    assert ClassCounts.counted(zarr.array(data)).pixels == expected


def test_a_huge_layer_is_counted_only_where_it_was_painted_on(monkeypatch, qtbot):
    monkeypatch.setattr(strokes, "MOST_VOXELS", 1000)
    viewer, data = ViewerModel(), np.zeros((9, 20, 20), np.uint8)
    layer = viewer.add_labels(data)
    data[7, :2] = 3
    table = ClassTable(viewer)
    qtbot.addWidget(table)
    table.set_layer(layer)
    qtbot.waitUntil(lambda: table.painted.pixels == {3: 40})
    counted = []
    monkeypatch.setattr(strokes, "_count", lambda slab: counted.append(1) or real(slab))
    viewer.dims.set_point(0, 4)
    layer.selected_label, layer.brush_size = 1, 1
    layer.paint((4, 5, 5), 1)
    qtbot.waitUntil(lambda: table.painted.pixels == {1: 1, 3: 40})
    assert len(counted) == 1
    layer.n_edit_dimensions, layer.brush_size = 3, 3
    layer.paint((4, 12, 12), 2)
    qtbot.waitUntil(lambda: table.painted.pixels == {1: 1, 2: int((data == 2).sum()), 3: 40})
    assert len(counted) < 1 + 9
    layer.data = np.ones_like(data)
    qtbot.waitUntil(lambda: table.painted.pixels == {1: data.size})
    table.release()


def test_classes_are_listed_with_colour_name_and_pixels(table, layer):
    assert cells(table) == [["class 2", "25"], ["class 7", "6"]]
    swatch = table.table.item(0, 0).icon().pixmap(14).toImage().pixelColor(7, 7)
    red, green, blue, _ = (round(255 * float(c)) for c in layer.get_color(2))
    assert swatch == QColor(red, green, blue)
    assert table.colors()[2] == pytest.approx(tuple(layer.get_color(2)), abs=1e-3)


def test_painting_and_undoing_are_followed(table, layer, qtbot):
    layer.selected_label, layer.brush_size = 1, 1
    layer.paint((30, 30), 1)
    qtbot.waitUntil(lambda: table.painted.pixels == {1: 1, 2: 25, 7: 6})
    layer.undo()
    qtbot.waitUntil(lambda: table.painted.pixels == {2: 25, 7: 6})
    assert len(cells(table)) == 2


def test_names_are_edited_here_and_live_with_the_layer(table, layer, qtbot):
    before = layer.data.copy(), len(layer.features)
    with qtbot.waitSignal(table.changed):
        table.table.item(0, 1).setText("membrane")
    assert table.names() == {2: "membrane"}
    assert layer.metadata == {STROKES: {"class_names": {"2": "membrane"}}}
    assert np.array_equal(layer.data, before[0])
    assert len(layer.features) == before[1]
    table.set_layer(None)
    assert table.names() == {}
    table.set_layer(layer)
    assert table.names() == {2: "membrane"}


def test_a_name_wiped_out_becomes_the_usual_one(table):
    table.table.item(0, 1).setText(" ")
    assert table.names() == {2: "class 2"}


def test_only_names_can_be_edited(table):
    editable = [
        bool(table.table.item(0, column).flags() & Qt.ItemFlag.ItemIsEditable)
        for column in range(3)
    ]
    assert editable == [False, True, False]


def test_names_that_a_sample_brings_are_shown(qtbot):
    table = ClassTable(ViewerModel())
    qtbot.addWidget(table)
    table.set_layer(Labels(np.eye(4, dtype=np.uint8), metadata={"class_names": {1: "rim"}}))
    qtbot.waitUntil(lambda: cells(table) == [["rim", "4"]])
    table.release()


def test_a_hint_stands_where_nothing_is_painted(qtbot):
    table = ClassTable(ViewerModel())
    qtbot.addWidget(table)
    table.set_hint("Paint!")
    table.set_layer(Labels(np.zeros((4, 4), np.uint8)))
    qtbot.waitUntil(lambda: not table._counter.running)
    assert table._hint.text() == "Paint!"
    assert not table._hint.isHidden()
    assert table.table.isHidden()
    table.set_layer(Labels(np.ones((4, 4), np.uint8)))
    qtbot.waitUntil(lambda: table.painted.pixels == {1: 16})
    assert table._hint.isHidden()
    assert not table.table.isHidden()
    table.release()


def test_a_count_of_another_layer_is_not_taken_over(table, qtbot):
    other = Labels(np.ones((4, 4), np.uint8))
    table.recount()
    table.set_layer(other)
    qtbot.waitUntil(lambda: not table._counter.running)
    assert table.painted.pixels == {1: 16}
