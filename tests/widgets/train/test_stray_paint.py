"""Paint on a preview or a result is named, and put into the strokes by a click."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.widgets.train.stray_paint import STRAY


def train(room, *, then):
    """Train shortly, until there is a preview; predict the image, too, if that is wanted."""
    page = room.panel.train
    room.form.advanced.form.editors["batch_size"].setValue(2)
    room.train(steps=2)
    room.wait(lambda: "picture – live preview" in room.viewer.layers)
    if then == "predict":
        room.click(page.footer.predict)
        room.idle()
    return page.form.paint_board


def dab(layer, value, at=(5, 7)):
    layer.brush_size = 3
    layer.selected_label = value
    layer.paint(at, value)


def press(room, board, text):
    (button,) = [b for b in board.buttons(STRAY) if b.text() == text]
    room.click(button)


def test_paint_on_the_preview_is_named_and_moved(painted):
    board = train(painted, then="look")
    layers = painted.viewer.layers
    strokes, preview = layers["strokes"], layers["picture – live preview"]
    for label in (3, 4):  # the second time, too
        dab(preview, label)
        assert "You paint on “picture – live preview”, which the next" in board.text(STRAY)
        assert board.kind(STRAY) == "warning"
        press(painted, board, "Put it into “strokes”")
        assert np.count_nonzero(strokes.data[3:8, 5:10] == label) > 4
        assert layers.selection.active is strokes
        assert strokes.mode == "paint"
        assert board.text() == ""
        strokes.undo()
        assert not strokes.data[3:8, 5:10].any()


def test_of_paint_on_a_result_is_told_once(painted):
    board = train(painted, then="predict")
    result = painted.viewer.layers["picture – prediction"]
    dab(result, 1)
    dab(result, 2, at=(30, 30))
    assert "It is kept, but not learned from" in board.text(STRAY)
    before = painted.viewer.layers["strokes"].data.copy()
    press(painted, board, "Dismiss")
    dab(result, 1)
    assert board.text() == ""
    np.testing.assert_array_equal(painted.viewer.layers["strokes"].data, before)
    painted.viewer.layers.remove(result)


def test_paint_on_strokes_raises_no_question(painted):
    board = train(painted, then="look")
    dab(painted.viewer.layers["strokes"], 2)
    assert board.text() == ""


@pytest.mark.parametrize("how", ["other scale", "read-only"])
def test_paint_is_not_moved_where_that_does_not_work(painted, how):
    strokes = painted.viewer.layers["strokes"]
    board = train(painted, then="look")
    if how == "other scale":
        strokes.scale = (2, 2)
    else:
        strokes.data.setflags(write=False)
    dab(painted.viewer.layers["picture – live preview"], 3)
    assert [b.text() for b in board.buttons(STRAY)] == ["Dismiss"]


def test_labels_with_features_are_no_trap_in_3d(room):
    room.viewer.add_image(np.zeros((4, 20, 20), np.float32), name="picture")
    features = {"index": [1], "class": ["cell"]}
    room.viewer.add_labels(np.ones((4, 20, 20), np.uint8), features=features)
    room.viewer.mouse_over_canvas = True
    room.viewer.dims.ndisplay = 3
    status, _ = room.viewer._calc_status_from_cursor()
    assert status["layer_name"] == "Labels"
