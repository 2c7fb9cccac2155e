from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels, Layer

from napari_unet.samples import layer_data, names, open_cells2d, open_volume3d, sample


@pytest.fixture(params=names())
def name(request):
    return request.param


def test_napari_makes_a_picture_and_its_strokes(name):
    found = sample(name)
    picture, strokes = (Layer.create(*data) for data in layer_data(name))
    assert isinstance(picture, Image)
    assert isinstance(strokes, Labels)
    assert (picture.name, strokes.name) == (name, "strokes")
    assert picture.rgb == found.rgb
    assert (picture.data == found.image).all()
    assert (strokes.data == found.strokes).all()
    assert picture.ndim == strokes.ndim == found.strokes.ndim


def test_both_layers_lie_in_the_same_place(name):
    found = sample(name)
    for layer in (Layer.create(*data) for data in layer_data(name)):
        assert tuple(layer.scale) == found.scale
        assert tuple(str(unit) for unit in layer.units) == found.units
        assert layer.axis_labels == found.axis_labels
        assert layer.metadata["class_names"] == found.class_names
        assert layer.metadata["sample"] == name


def test_strokes_can_be_painted_on_without_touching_the_sample(name):
    strokes = Layer.create(*layer_data(name)[1])
    assert strokes.editable
    strokes.fill((0,) * strokes.ndim, 2)
    assert strokes.data.flat[0] == 2
    assert sample(name).strokes.flat[0] == 0


def test_each_class_has_a_colour_of_its_own_and_unpainted_pixels_none(name):
    strokes = Layer.create(*layer_data(name)[1])
    colours = {tuple(strokes.get_color(value)) for value in sample(name).class_names}
    assert len(colours) == len(sample(name).class_names)
    assert all(colour[3] == 1 for colour in colours)
    assert strokes.colormap.map(np.uint8(0))[3] == 0
    assert strokes.get_color(200)[3] == 1  # further classes can be seen too


def test_napari_knows_the_names_of_the_classes(name):
    strokes = Layer.create(*layer_data(name)[1])
    table = strokes.features
    assert dict(zip(table["index"], table["class"], strict=True)) == sample(name).class_names


def test_the_class_under_the_mouse_is_named():
    strokes = Layer.create(*layer_data("cells2d")[1])
    there = np.argwhere(strokes.data == 1)[0]
    assert "gland" in strokes.get_status(there, world=True)["value"]


def test_the_openers_of_the_manifest_open_the_samples():
    assert [data[1]["name"] for data in open_cells2d()] == ["cells2d", "strokes"]
    assert [data[1]["name"] for data in open_volume3d()] == ["volume3d", "strokes"]
