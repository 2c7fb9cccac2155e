"""What shapes enclose: in which voxels, in which planes, wherever the layers lie."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unet.errors import InputError
from napari_unet.geometry.region import Region
from napari_unet.widgets.layers.region_of_interest import region_of_interest

SQUARE = np.array([[2, 3], [2, 8], [6, 8], [6, 3]], float)


@pytest.fixture
def viewer():
    return ViewerModel()


def in_plane(square, plane):
    return np.insert(square, 0, plane, axis=1)


def test_a_rectangle_is_the_box_of_its_voxels(viewer):
    image = viewer.add_image(np.zeros((20, 30)))
    shapes = viewer.add_shapes([SQUARE], shape_type="rectangle")
    found = region_of_interest(viewer, shapes, image)
    assert found.region == Region((2, 3), (7, 9))
    assert found.inside is None
    assert str(found) == "5 × 6 pixels"
    assert not found.is_in_planes


def test_a_polygon_holds_the_voxels_whose_centres_it_encloses(viewer):
    image = viewer.add_image(np.zeros((20, 30)))
    triangle = np.array([[-1, -1], [-1, 11.5], [11.5, -1]])
    shapes = viewer.add_shapes([triangle], shape_type="polygon")
    found = region_of_interest(viewer, shapes, image)
    rows, columns = np.mgrid[:12, :12]
    assert found.region == Region((0, 0), (12, 12))
    assert np.array_equal(found.inside, rows + columns <= 10)
    assert str(found) == "Shape of 12 × 12 pixels"
    mask = found.mask(Region((8, 1), (13, 4)))
    assert mask.tolist() == [[True, True, False], [True, False, False], *[[False] * 3] * 3]


def test_an_ellipse_and_several_shapes(viewer):
    image = viewer.add_image(np.zeros((40, 40)))
    box = np.array([[0, 0], [0, 20], [20, 20], [20, 0]], float)
    shapes = viewer.add_shapes([box], shape_type="ellipse")
    shapes.add_rectangles(SQUARE + 25)
    found = region_of_interest(viewer, shapes, image)
    assert found.region == Region((0, 0), (32, 34))
    rows, columns = np.mgrid[:21, :21]
    circle = np.hypot(rows - 10, columns - 10)
    assert found.inside[:21, :21][circle < 9.8].all()
    assert not found.inside[:21, :21][circle > 10.1].any()
    assert found.inside[27:32, 28:34].all()
    assert found.inside.sum() == found.inside[:21, :21].sum() + 30


def test_what_lies_outside_of_the_image_is_cut_off(viewer):
    image = viewer.add_image(np.zeros((20, 30)))
    shapes = viewer.add_shapes([SQUARE * 5 - 15], shape_type="rectangle")
    assert region_of_interest(viewer, shapes, image).region == Region((0, 0), (16, 26))


def test_scale_and_translation_of_both_layers_count(viewer):
    image = viewer.add_image(np.zeros((20, 30)), scale=(2, 0.5), translate=(10, -5))
    shapes = viewer.add_shapes([SQUARE], shape_type="rectangle", scale=(4, 1), translate=(6, -5))
    # Rows 14 to 30 in the world are rows 2 to 10 of the image; columns -2 to 3 are 6 to 16.
    assert region_of_interest(viewer, shapes, image).region == Region((2, 6), (11, 17))


def test_a_turned_rectangle_is_a_polygon(viewer):
    image = viewer.add_image(np.zeros((20, 30)))
    shapes = viewer.add_shapes(
        [[[10, -0.2], [-0.2, 10], [10, 20.2], [20.2, 10]]], shape_type="rectangle"
    )
    found = region_of_interest(viewer, shapes, image)
    rows, columns = np.mgrid[:20, :21]
    assert np.array_equal(found.inside, abs(rows - 10) + abs(columns - 10) <= 10)


def test_a_flat_layer_of_shapes_counts_in_all_planes(viewer):
    image = viewer.add_image(np.zeros((7, 20, 30)))
    shapes = viewer.add_shapes([SQUARE], shape_type="rectangle")
    found = region_of_interest(viewer, shapes, image)
    assert found.region == Region((0, 2, 3), (7, 7, 9))
    assert str(found) == "5 × 6 pixels, in all planes"


def test_a_shape_counts_in_the_plane_that_it_was_drawn_in(viewer):
    image = viewer.add_image(np.zeros((7, 20, 30)), scale=(3, 1, 1))
    shapes = viewer.add_shapes(
        [in_plane(SQUARE, 12), in_plane(SQUARE + 3, 6)], shape_type="rectangle"
    )
    found = region_of_interest(viewer, shapes, image)
    assert found.region == Region((2, 2, 3), (5, 10, 12))
    assert found.inside.shape == (3, 8, 9)
    assert found.inside.any(axis=(1, 2)).tolist() == [True, False, True]
    assert found.is_in_planes
    assert str(found) == "Shape of 8 × 9 pixels in planes 2–4"
    everywhere = region_of_interest(viewer, shapes, image, all_planes=True)
    assert everywhere.region == Region((0, 2, 3), (7, 10, 12))
    assert everywhere.inside.shape == (1, 8, 9)
    one = viewer.add_shapes([in_plane(SQUARE, 12)], shape_type="rectangle")
    assert str(region_of_interest(viewer, one, image)) == "5 × 6 pixels in plane 4"


def test_the_axis_of_channels_is_no_plane(viewer):
    image = viewer.add_image(np.zeros((3, 20, 30)))
    shapes = viewer.add_shapes([in_plane(SQUARE, 1)], shape_type="rectangle")
    found = region_of_interest(viewer, shapes, image, 0)
    assert found.region == Region((2, 3), (7, 9))


def test_a_shape_drawn_in_another_view_is_a_slab(viewer):
    image = viewer.add_image(np.zeros((9, 20, 30)))
    shapes = viewer.add_shapes(np.insert(SQUARE, 1, 5, axis=1)[None], shape_type="rectangle")
    assert region_of_interest(viewer, shapes, image).region == Region((2, 5, 3), (7, 6, 9))


@pytest.mark.parametrize(
    ("shape", "kind", "word"),
    [
        (None, "rectangle", "no shape that encloses"),
        (SQUARE[:2], "line", "no shape that encloses"),
        (SQUARE + 100, "rectangle", "enclose nothing"),
        (SQUARE * [[0, 1]], "rectangle", "enclose nothing"),
    ],
)
def test_what_encloses_nothing_says_so(viewer, shape, kind, word):
    image = viewer.add_image(np.zeros((20, 30)), name="cells")
    data = [] if shape is None else [shape]
    shapes = viewer.add_shapes(data, shape_type=kind, ndim=2, name="here")
    with pytest.raises(InputError, match=word):
        region_of_interest(viewer, shapes, image)
