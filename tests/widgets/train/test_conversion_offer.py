"""Points and shapes are offered to be made into strokes, and stay as they are."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.widgets.train.conversion_offer import CONVERSION, MAKE_BUTTON
from tests.widgets.conftest import two_classes

SEEDS = [[20, 10], [40, 10], [20, 54], [40, 54]]


@pytest.fixture
def board(room):
    room.open(two_classes()[0])
    return room.form.check.board


def press(room, board, text):
    (button,) = [b for b in board.buttons(CONVERSION) if b.text() == text]
    room.click(button)


def test_points_train_after_one_click(room, board):
    features = {"class": ["dark", "dark", "bright", "bright"]}
    points = room.viewer.add_points(SEEDS, size=8, name="seeds", features=features)
    assert "“seeds” holds 4 points, in 2 classes (bright, dark)" in board.text(CONVERSION)
    press(room, board, MAKE_BUTTON)
    strokes = room.form.labels.layer()
    assert strokes.name == "seeds – strokes"
    assert (strokes.mode, room.viewer.layers.selection.active) == ("paint", strokes)
    assert board.text() == ""
    np.testing.assert_array_equal(points.data, SEEDS)
    room.wait(lambda: len(room.form.strokes.painted.pixels) == 2)
    room.form.advanced.form.editors["batch_size"].setValue(2)
    room.train(steps=2)
    classes = room.panel.train.training.model.model.classes
    assert [str(c) for c in classes] == ["bright", "dark"]


def test_shapes_are_offered_as_soon_as_one_is_drawn(room, board):
    shapes = room.viewer.add_shapes(name="outlines")
    assert board.text() == ""
    shapes.add([[4, 4], [4, 20], [20, 20], [20, 4]], shape_type="polygon")
    assert "“outlines” holds 1 shape, all of one class" in board.text(CONVERSION)


def test_nothing_is_offered_beside_strokes_unless_the_layer_is_selected(room, board):
    points = room.viewer.add_points(SEEDS, name="seeds")
    strokes = room.viewer.add_labels(two_classes()[1], name="strokes")
    assert room.form.labels.layer() is strokes
    assert board.text(CONVERSION) == ""
    room.viewer.layers.selection.active = points
    assert "“seeds”" in board.text(CONVERSION)
    room.viewer.layers.remove(points)
    assert board.text(CONVERSION) == ""


def test_no_is_remembered(room, board):
    points = room.viewer.add_points(SEEDS, name="seeds")
    press(room, board, "No")
    room.viewer.layers.selection.active = room.viewer.layers["picture"]
    room.viewer.layers.selection.active = points
    assert board.text() == ""


def test_shapes_that_are_the_region_are_not_offered(room, board):
    corners = [[4, 4], [4, 20], [20, 20], [20, 4]]
    shapes = room.viewer.add_shapes(corners, shape_type="polygon", name="part")
    assert "“part”" in board.text(CONVERSION)
    room.form.region.combo.set_layer(shapes)
    assert board.text() == ""
    room.form.region.combo.set_layer(None)
    assert "“part”" in board.text(CONVERSION)
