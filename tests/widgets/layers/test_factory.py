"""New layers lie where they belong, in the colours they should have."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_unet.data.normalisation import Normalisation
from napari_unet.display import hex_colour, rgb8
from napari_unet.model import ClassInfo, TrainedModel
from napari_unet.network.unet_config import UNetConfig
from napari_unet.widgets.layers.factory import (
    PAINTS,
    result_labels,
    result_probabilities,
    strokes_layer,
)
from napari_unet.widgets.layers.layer_data import (
    class_colour,
    class_names_of,
    colours_of,
)
from napari_unet.widgets.layers.provenance import RESULT, is_result

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


@pytest.fixture
def model():
    classes = (ClassInfo(1, "rim", (1, 0, 0, 1)), ClassInfo(3, "core", (0, 0.5, 1, 1)))
    return TrainedModel(
        UNetConfig(),
        {},
        Normalisation("none", (0.0,), (1.0,)),
        classes=classes,
        training={"steps": 9},
    )


def test_new_strokes_lie_upon_the_image_ready_to_be_painted():
    image = Image(
        np.zeros((20, 1024, 512), np.float32), name="vnc", scale=(45, 4, 4), units=("nm",) * 3
    )
    layer = strokes_layer(image)
    assert layer.data.shape == image.data.shape
    assert layer.data.dtype == np.uint8
    assert not layer.data.any()
    assert same_place(layer, image)
    assert (layer.selected_label, layer.brush_size) == (1, 5)
    assert layer.name == "vnc – strokes"
    assert hex_colour(rgb8(colours_of(layer, [1])[1])) == PAINTS[0]


@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((3, 20, 30), {"axis_labels": ("c", "y", "x")}),
        ((20, 30, 3), {"rgb": True}),
        ((20, 30, 2), {"axis_labels": ("y", "x", "channel")}),
    ],
)
def test_new_strokes_have_no_channels(shape, arguments):
    layer = strokes_layer(Image(np.zeros(shape, np.uint8), **arguments))
    assert layer.data.shape == (20, 30)
    assert tuple(layer.axis_labels)[-1] != "channel"


def test_the_channel_axis_can_be_given():
    assert strokes_layer(Image(np.zeros((3, 20, 30))), channel_axis=0).data.shape == (20, 30)


def test_predicted_labels_lie_upon_the_image_in_the_classes_colours(model):
    image = Image(np.zeros((4, 8, 9)), name="vnc", **WHERE)
    data = np.array(np.random.default_rng(0).choice([1, 3], (4, 8, 9)), np.uint8)
    layer = result_labels(data, model, image, None)
    assert layer.data is data
    assert same_place(layer, image)
    assert layer.name == "vnc – prediction"
    assert tuple(layer.get_color(3)) == pytest.approx((0, 0.5, 1, 1), abs=1e-3)
    assert class_names_of(layer) == {1: "rim", 3: "core"}
    assert is_result(layer)
    facts = layer.metadata[RESULT]
    assert facts["model"] == model.digest
    assert facts["training"] == {"steps": 9}
    assert facts["image"] == "vnc"


def test_predicted_probabilities_are_a_layer_per_class_without_the_channel_axis(model):
    image = Image(np.zeros((4, 8, 9)), name="vnc", **WHERE)
    data = np.zeros((2, 8, 9), np.float32)
    layers = result_probabilities(data, model, image, 0)
    assert [layer.name for layer in layers] == ["vnc – rim", "vnc – core"]
    for layer, channel in zip(layers, data, strict=True):
        assert np.shares_memory(layer.data, channel)
        assert layer.blending == "additive"
        assert layer.contrast_limits == [0, 1]
        assert layer.units == image.units[1:]
        assert tuple(layer.scale) == (2, 3)
    brightest = layers[1].colormap.map(np.array([1.0]))[0]
    assert tuple(brightest) == pytest.approx((0, 0.5, 1, 1))


def test_the_background_is_clear_in_results_and_grey_in_tables(model):
    classes = (ClassInfo(0, "background", (1.0, 0.0, 0.0, 1.0)), ClassInfo(1, "object"))
    image = Image(np.zeros((4, 5)))
    layer = result_labels(np.zeros((4, 5), int), model.with_facts(classes=classes), image, None)
    assert layer.colormap.map(0)[3] == 0
    assert layer.colormap.map(1)[3] == 1
    assert class_colour(ClassInfo(0)) == (0.5, 0.5, 0.5, 1.0)
    assert class_colour(ClassInfo(1))[:3] != class_colour(ClassInfo(0))[:3]


def test_results_can_be_shown_together_with_the_image(model):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((8, 9)), name="p")
    for layer in result_probabilities(np.zeros((2, 8, 9), np.float32), model, image, None):
        viewer.add_layer(layer)
    assert len(viewer.layers) == 3
