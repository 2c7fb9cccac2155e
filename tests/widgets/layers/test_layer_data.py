"""What is read of a layer is all that a thread needs, and changes nothing of it."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_unet.model import ClassInfo
from napari_unet.widgets.layers.layer_data import (
    LayerData,
    array_shape,
    class_colour,
    class_names_of,
    colours_of,
    distinct_colour,
    largest_level,
)
from napari_unet.widgets.train.live_preview import UNSURE_COLOURS


def test_a_picture_is_all_a_thread_needs_and_no_layer():
    layer = Image(
        np.zeros((4, 8, 9), np.uint8), name="p", scale=(-5, 2, 2), axis_labels=("c", "y", "x")
    )
    picture = LayerData.of(layer)
    assert picture.data is layer.data
    assert (picture.name, picture.rgb, picture.axes) == ("p", False, ("c", "y", "x"))
    assert picture.scale == (5, 2, 2)
    assert picture.channel() == 0
    assert picture.channel(None) is None
    assert picture.channel("auto", (4, 8)) == 0  # a name knows better than a shape
    unnamed = LayerData.of(Image(np.zeros((4, 8, 9), np.uint8)))
    assert unnamed.channel("auto", (4, 8)) == 2
    assert picture.spatial_shape(0) == (8, 9)
    assert picture.spacing(0) == (2, 2)


def test_of_a_pyramid_the_largest_level_is_read():
    levels = [np.zeros((8, 8)), np.zeros((4, 4))]
    assert LayerData.of(Image(levels, multiscale=True)).data is levels[0]


def test_rgb_has_its_colours_last_and_no_scale_for_them():
    picture = LayerData.of(Image(np.zeros((8, 9, 3), np.uint8), rgb=True, scale=(2, 4)))
    assert picture.rgb
    assert picture.channel() == 2
    assert picture.spatial_shape(2) == (8, 9)
    assert picture.spacing(2) == (2, 4)


def test_what_is_painted_on_is_never_copied():
    for data in (np.zeros((8, 8), np.uint8), da.zeros((8, 8), dtype=np.uint8)):
        layer = Labels(data)
        assert largest_level(layer) is layer.data


def test_colours_are_those_that_the_layer_shows():
    layer = Labels(np.array([[0, 1], [2, 5]], np.uint8))
    colors = colours_of(layer, [0, 1, 5])
    assert set(colors) == {1, 5}
    assert np.allclose(colors[5], layer.get_color(5), atol=1e-4)
    direct = DirectLabelColormap(color_dict={None: "gray", 0: "transparent", 2: "red"})
    assert colours_of(Labels(layer.data, colormap=direct), [])[2] == (1, 0, 0, 1)


def test_class_names_are_read_from_metadata_or_features():
    data = np.zeros((4, 4), np.uint8)
    assert class_names_of(Labels(data)) == {}
    assert class_names_of(Labels(data, metadata={"class_names": {1: "rim"}})) == {1: "rim"}
    table = {"index": [1, 2], "class": ["a", "b"]}
    assert class_names_of(Labels(data, features=table)) == {1: "a", 2: "b"}


def test_a_class_without_a_colour_gets_one():
    assert class_colour(ClassInfo(1)) != class_colour(ClassInfo(2))
    assert class_colour(ClassInfo(0))[3] == 1


def test_the_shape_is_that_of_the_array_at_full_resolution():
    levels = [np.zeros((8, 6)), np.zeros((4, 3))]
    assert array_shape(Image(levels, multiscale=True)) == (8, 6)
    assert array_shape(Image(np.zeros((8, 9, 3), np.uint8), rgb=True)) == (8, 9, 3)


def test_a_unit_of_time_names_an_axis_and_no_second_is_a_length():
    layer = Image(np.zeros((4, 8, 9), np.uint8), scale=(30, 2, 3), units=("min", "um", "um"))
    picture = LayerData.of(layer)
    assert picture.axes == ("t", "-2", "-1")
    assert picture.spacing(None) == (3, 2, 3)
    assert picture.channel("auto", (8, 9)) is None


RED = UNSURE_COLOURS[0]
PINK, ORANGE, BLUE = (1.0, 0.4, 0.5, 1.0), (0.9, 0.6, 0.0, 1.0), (0.3, 0.7, 0.9, 1.0)
GREY = np.linspace(0, 1, 64).reshape(8, 8)
STAINED = np.full((8, 8, 3), (230, 60, 90), np.uint8)


@pytest.mark.parametrize(
    ("picture", "classes", "is_red"),
    [
        (GREY, (BLUE, (0.0, 0.6, 0.45, 1.0)), True),
        (GREY, (BLUE, PINK), False),
        (STAINED, (BLUE,), False),
        (GREY, (), True),
    ],
)
def test_a_colour_is_found_that_no_class_and_no_stain_has(picture, classes, is_red):
    image = Image(picture, rgb=picture.ndim == 3)
    image.refresh()
    found = distinct_colour(UNSURE_COLOURS, classes, image)
    assert (found == RED) is is_red
    for colour in classes:
        assert np.abs(np.subtract(found, colour[:3])).max() >= 0.5
