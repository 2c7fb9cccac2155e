"""Fill between planes: proposed, then accepted or discarded, and never over what was painted."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels


def start(room, strokes=None, **arguments):
    if strokes is None:
        strokes = np.zeros((9, 40, 40), np.uint8)
        strokes[2, 10:20, 10:20] = 2
        strokes[6, 10:20, 14:24] = 2
        strokes[4, 12:14, :] = 1
    room.viewer.add_image(np.zeros(strokes.shape, np.float32), name="picture", **arguments)
    layer = room.viewer.add_labels(strokes, name="strokes", **arguments)
    room.click(room.form.strokes_section.button)
    layer.selected_label = 2
    room.viewer.dims.set_current_step(0, 3)
    return layer, room.form.stroke_list.filling


def propose(room, filling):
    room.click(filling.fill)
    room.wait(lambda: not filling._runner.running)


@pytest.mark.parametrize("scale", [(1, 1, 1), (4, 0.5, 0.5)])
def test_a_proposal_is_accepted_in_one_step_of_undo_twice(room, scale):
    layer, filling = start(room, scale=scale, translate=(3, 10, 20))
    before = layer.data.copy()
    for _ in range(2):
        propose(room, filling)
        proposal = filling.proposal
        assert isinstance(proposal, Labels)
        assert proposal.data.shape == (3, 40, 40)
        assert np.allclose(proposal.data_to_world((0, 0, 0)), layer.data_to_world((3, 0, 0)))
        assert "label 2 in planes 3–5" in filling.line.text()
        assert np.array_equal(layer.data, before)
        room.click(filling.accept)
        assert proposal not in room.viewer.layers
        assert (layer.data[3:6] == 2).any(axis=(1, 2)).all()
        assert (layer.data[4, 12:14] == 1).all()  # what was painted stays
        assert layer.data[4, 15, 16] == 2
        assert room.viewer.layers.selection.active is layer
        layer.undo()
        assert np.array_equal(layer.data, before)
        assert filling.fill.isVisible()


def test_a_proposal_may_be_changed_or_discarded(room):
    layer, filling = start(room)
    before = layer.data.copy()
    propose(room, filling)
    room.click(filling.discard)
    assert filling.proposal is None
    assert np.array_equal(layer.data, before)
    assert [x.name for x in room.viewer.layers] == ["picture", "strokes"]
    propose(room, filling)
    filling.proposal.data[0] = 0
    room.click(filling.accept)
    assert not layer.data[3].any()
    assert (layer.data[5] == 2).any()


def test_a_proposal_that_the_user_removed_or_whose_strokes_changed_is_gone(room):
    _, filling = start(room)
    propose(room, filling)
    room.viewer.layers.remove(filling.proposal)
    room.click(filling.accept)
    assert filling.proposal is None
    assert filling.fill.isVisible()
    propose(room, filling)
    other = room.viewer.add_labels(np.zeros((9, 40, 40), np.uint8), name="others")
    room.form.labels.set_layer(other)
    assert [x.name for x in room.viewer.layers] == ["picture", "strokes", "others"]


def test_the_proposal_is_no_layer_to_learn_from(room):
    layer, filling = start(room)
    propose(room, filling)
    assert room.form.labels.layer() is layer


@pytest.mark.parametrize("why", ["label 0", "one plane", "movie", "outside"])
def test_it_says_why_it_cannot(room, why):
    arguments = {"axis_labels": ("t", "y", "x")} if why == "movie" else {}
    layer, filling = start(room, **arguments)
    if why == "label 0":
        layer.selected_label = 0
    elif why == "one plane":
        layer.selected_label = 1
    elif why == "outside":
        room.viewer.dims.set_current_step(0, 8)
    propose(room, filling)
    expected = {
        "label 0": "Label 0 is no class",
        "one plane": "Label 1 is painted in plane 4 only",
        "movie": "frames of a movie",
        "outside": "Go to a plane between 2 and 6",
    }
    assert expected[why] in filling.line.text()
    assert filling.proposal is None


def test_there_is_no_button_where_there_are_no_planes(room):
    _, filling = start(room, np.ones((40, 40), np.uint8))
    assert not filling.isVisible()
