"""Points and shapes become strokes upon the image, in classes by a feature or a colour."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unet.errors import InputError
from napari_unet.widgets.layers.strokes_from import group, strokes_from


@pytest.fixture
def viewer():
    return ViewerModel()


def test_points_become_discs_of_their_size_where_they_are_seen(viewer):
    image = viewer.add_image(np.zeros((40, 60)), scale=(0.5, 0.5), translate=(10, 20))
    points = viewer.add_points([[15, 30], [25, 40]], size=[4, 8])
    strokes = strokes_from(viewer, points, image)
    y, x = np.indices((40, 60))
    one = (y - 10) ** 2 + (x - 20) ** 2 <= 4**2
    other = (y - 30) ** 2 + (x - 40) ** 2 <= 8**2
    np.testing.assert_array_equal(strokes.data, one | other)
    assert tuple(strokes.scale) == (0.5, 0.5)
    assert strokes.metadata["class_names"] == {1: "Points"}


def test_points_in_a_volume_lie_in_their_plane(viewer):
    image = viewer.add_image(np.zeros((5, 20, 30)), scale=(3, 1, 1))
    points = viewer.add_points([[6, 10, 10], [100, 10, 10]], size=1)
    strokes = strokes_from(viewer, points, image)
    assert np.argwhere(strokes.data).tolist() == [[2, 10, 10]]


def test_flat_points_lie_in_the_plane_in_view(viewer):
    image = viewer.add_image(np.zeros((5, 20, 30)))
    points = viewer.add_points([[10, 12]], size=1)
    viewer.dims.set_point(0, 3)
    assert np.argwhere(strokes_from(viewer, points, image).data).tolist() == [[3, 10, 12]]


def test_classes_follow_a_feature(viewer):
    image = viewer.add_image(np.zeros((20, 30)))
    features = {"score": [0.1, 0.2, 0.3], "id": ["x", "y", "z"], "class": ["cell", "rest", "cell"]}
    points = viewer.add_points([[2, 2], [2, 20], [12, 2]], size=1, features=features)
    strokes = strokes_from(viewer, points, image)
    assert [int(strokes.data[tuple(at)]) for at in points.data.astype(int)] == [1, 2, 1]
    assert strokes.metadata["class_names"] == {1: "cell", 2: "rest"}


def test_classes_follow_the_colour_where_there_is_no_feature(viewer):
    points = viewer.add_points(
        [[2, 2], [2, 20], [12, 2]],
        face_color=["red", "blue", "red"],
        features={"score": [1.5, 2, 3]},
    )
    assert group(points).values == (1, 2, 1)
    shapes = viewer.add_shapes(
        [[[0, 0], [5, 5]], [[0, 9], [5, 12]]], shape_type="line", edge_color=["red", "lime"]
    )
    assert group(shapes).values == (1, 2)


KINDS = {
    "rectangle": ([[2, 3], [2, 12], [9, 12], [9, 3]], 8 * 10),
    "polygon": ([[2, 3], [2, 12], [11, 3]], 55),
    "ellipse": ([[2, 3], [2, 13], [12, 13], [12, 3]], round(np.pi * 25)),
    "line": ([[3, 4], [3, 20]], 17 * 3),
    "path": ([[3, 4], [3, 20], [13, 20]], 17 * 3 + 10 * 3),
}


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_are_filled_and_lines_are_as_wide_as_drawn(viewer, kind):
    corners, area = KINDS[kind]
    image = viewer.add_image(np.zeros((20, 30)))
    shapes = viewer.add_shapes([corners], shape_type=kind, edge_width=2)
    before = [data.copy() for data in shapes.data]
    drawn = np.count_nonzero(strokes_from(viewer, shapes, image).data)
    assert drawn == pytest.approx(area, abs=8)
    np.testing.assert_array_equal(shapes.data, before)


def test_channels_are_no_place(viewer):
    image = viewer.add_image(np.zeros((3, 20, 30)), axis_labels=("c", "y", "x"))
    shapes = viewer.add_shapes([[[2, 3], [2, 12], [9, 12], [9, 3]]], shape_type="rectangle")
    strokes = strokes_from(viewer, shapes, image)
    assert strokes.data.shape == (20, 30)
    assert np.count_nonzero(strokes.data) == 80


def test_what_lies_elsewhere_is_refused(viewer):
    image = viewer.add_image(np.zeros((20, 30)))
    points = viewer.add_points([[100, 100]], size=2)
    with pytest.raises(InputError, match="Nothing of “Points” lies upon"):
        strokes_from(viewer, points, image)
