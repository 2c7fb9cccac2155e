"""Where layers lie: in the world, and in the list of layers."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_unet.widgets.layers.placement import active_layer_kept, insert_above, placement

TURN = np.deg2rad(30)


COS, SIN = np.cos(TURN), np.sin(TURN)


WHERE = {
    "scale": (5, 2, 3),
    "translate": (10, 20, 30),
    # napari shows slices only where the first axis keeps to itself.
    "rotate": np.array([[1, 0, 0], [0, COS, -SIN], [0, SIN, COS]]),
    "shear": (0, 0, 0.25),
    "affine": np.array([[1, 0, 0, 4], [0, 2, 0.5, 5], [0, 0, 3, 6], [0, 0, 0, 1.0]]),
    "units": ("s", "um", "um"),
    "axis_labels": ("c", "y", "x"),
}


def same_place(a, b):
    same = np.allclose(a._data_to_world.affine_matrix, b._data_to_world.affine_matrix)
    return same and a.units == b.units and a.axis_labels == b.axis_labels


def test_a_layer_of_the_same_shape_lies_exactly_upon_another():
    below = Image(np.zeros((4, 8, 9)), **WHERE)
    above = Image(np.zeros((4, 8, 9)), **placement(below))
    assert same_place(below, above)
    for name in ("scale", "translate", "rotate", "shear"):
        assert np.allclose(getattr(above, name), getattr(below, name)), name


def test_without_the_channel_axis_the_rest_stays_in_place():
    below = Image(np.zeros((4, 8, 9)), **WHERE)
    above = Labels(np.zeros((8, 9), np.uint8), **placement(below, 0))
    full = below._data_to_world.affine_matrix
    assert np.allclose(above._data_to_world.affine_matrix, full[1:, 1:])
    assert above.units == below.units[1:]
    assert above.axis_labels == ("y", "x")


@pytest.fixture
def layers():
    viewer = ViewerModel()
    for name in ("below", "middle", "top"):
        viewer.add_image(np.zeros((4, 4)), name=name)
    viewer.layers.selection.active = viewer.layers["below"]
    return viewer.layers


def names(layers):
    return [layer.name for layer in layers]


def test_new_layers_lie_directly_above_and_the_active_one_stays(layers):
    new = [Image(np.zeros((4, 4)), name=name) for name in ("first", "second")]
    insert_above(layers, layers["below"], new)
    assert names(layers) == ["below", "first", "second", "middle", "top"]
    assert layers.selection.active is layers["below"]


def test_above_a_layer_that_is_gone_is_on_top(layers):
    gone = layers.pop(1)
    insert_above(layers, gone, [Image(np.zeros((4, 4)), name="new")])
    assert names(layers) == ["below", "top", "new"]


def test_the_active_layer_stays_when_another_one_is_removed(layers):
    with active_layer_kept(layers):
        layers.remove("top")
    assert layers.selection.active is layers["below"]


def test_a_removed_layer_does_not_stay_active(layers):
    gone = layers["below"]
    with active_layer_kept(layers):
        layers.remove(gone)
    assert layers.selection.active is not gone
