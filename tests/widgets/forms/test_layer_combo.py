"""The choosers follow the viewer."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_unet.widgets.forms.layer_combo import LayerCombo
from napari_unet.widgets.layers.provenance import RESULT


@pytest.fixture
def model():
    return ViewerModel()


@pytest.fixture
def chooser(qtbot, model):
    chooser = LayerCombo(model, Image, "none")
    qtbot.addWidget(chooser)
    return chooser


def names(chooser):
    return [chooser.itemText(i) for i in range(chooser.count())]


def add(model, name, **arguments):
    return model.add_image(np.zeros((4, 4)), name=name, **arguments)


def test_nothing_is_chosen_where_there_is_nothing(chooser, model):
    assert chooser.layer() is None
    model.add_labels(np.zeros((4, 4), np.uint8))
    assert names(chooser) == []
    assert chooser.placeholderText() == "none"


def test_layers_that_are_there_already_are_offered(qtbot, model):
    a = add(model, "a")
    chooser = LayerCombo(model, Image, "none")
    qtbot.addWidget(chooser)
    assert chooser.layer() is a


def test_the_first_is_chosen_and_kept_when_others_come(chooser, model):
    a = add(model, "a")
    assert chooser.layer() is a
    add(model, "b")
    assert chooser.layer() is a
    assert names(chooser) == ["b", "a"]


def test_renaming_and_moving_are_followed(chooser, model):
    a = add(model, "a")
    add(model, "b")
    a.name = "z"
    assert names(chooser) == ["b", "z"]
    assert chooser.currentText() == "z"
    model.layers.move(0, 2)
    assert names(chooser) == ["z", "b"]
    assert chooser.layer() is a


def test_another_is_chosen_when_the_chosen_one_is_removed(chooser, model):
    a, b = add(model, "a"), add(model, "b")
    model.layers.remove(a)
    assert chooser.layer() is b
    model.layers.remove(b)
    assert chooser.layer() is None


def test_the_signal_comes_only_with_another_layer(chooser, model):
    told = []
    chooser.layerChanged.connect(lambda: told.append(chooser.layer()))
    a = add(model, "a")
    a.name = "z"
    b = add(model, "b")
    assert told == [a]
    chooser.set_layer(b)
    assert told == [a, b]
    model.layers.remove(b)
    assert told == [a, b, a]


def test_results_are_offered_and_not_chosen_by_themselves(chooser, model):
    result = add(model, "r", metadata={RESULT: {}})
    assert names(chooser) == ["r"]
    assert chooser.layer() is None
    chooser.set_layer(result)
    assert chooser.layer() is result


def test_a_layer_that_fits_better_is_preferred(qtbot, model):
    small = model.add_labels(np.zeros((2, 2), np.uint8))
    large = model.add_labels(np.zeros((4, 4), np.uint8))
    chooser = LayerCombo(model, Labels, "none")
    qtbot.addWidget(chooser)
    chooser.set_layer(small)
    chooser.prefer(lambda layer: layer.data.shape == (4, 4))
    assert chooser.layer() is large
    chooser.prefer(lambda layer: False)
    assert chooser.layer() is large


def test_released_it_follows_no_longer(chooser, model):
    chooser.release()
    add(model, "a")
    assert names(chooser) == []
