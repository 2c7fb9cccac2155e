"""What the metadata of results and the facts of models say of layers."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_unet.data.normalisation import Normalisation
from napari_unet.model import ClassInfo, TrainedModel
from napari_unet.network.unet_config import UNetConfig
from napari_unet.widgets.layers.provenance import (
    RESULT,
    is_result,
    note_time,
    with_training_layers,
)


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


def test_a_model_says_what_it_was_trained_on_and_how_its_classes_are_called(model):
    image, labels = Image(np.zeros((4, 4)), name="i"), Labels(np.zeros((4, 4), int), name="l")
    known = with_training_layers(model, {3: "nucleus"}, {1: (0, 0, 1, 1)}, [((image,), labels)])
    assert [(c.value, c.name, c.color) for c in known.classes] == [
        (1, "rim", (0, 0, 1, 1)),
        (3, "nucleus", (0, 0.5, 1, 1)),
    ]
    (pair,) = known.training["sources"]
    assert [source["name"] for source in pair] == ["i", "l"]
    assert known.training["steps"] == 9
    assert model.classes[1].name == "core"


def test_an_image_may_have_no_other_layer(model):
    known = with_training_layers(model, {}, {}, [((Image(np.zeros((4, 4)), name="i"),), None)])
    (pair,) = known.training["sources"]
    assert [source["name"] for source in pair] == ["i"]
    assert known.classes == model.classes


def test_the_time_is_noted_in_results():
    layer = Image(np.zeros((4, 4)), metadata={RESULT: {}})
    assert is_result(layer)
    note_time([layer], 1.2345)
    assert layer.metadata[RESULT]["prediction_seconds"] == 1.23
