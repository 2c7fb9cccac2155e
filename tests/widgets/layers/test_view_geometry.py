"""Axes and voxels of a layer against those of its viewer."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unet.widgets.layers.view_geometry import ViewGeometry


@pytest.fixture
def viewer():
    """A viewer of four axes, for one of its layers has four."""
    viewer = ViewerModel()
    viewer.add_image(np.zeros((2, 6, 20, 30), np.float32), name="stack")
    viewer.add_image(
        np.zeros((6, 20, 30), np.float32), name="volume", scale=(4, 2, 2), translate=(0, 10, 0)
    )
    viewer.add_image(np.zeros((20, 30), np.float32), name="plane")
    return viewer


def geometry(viewer, name):
    return ViewGeometry(viewer, viewer.layers[name])


def test_a_layer_has_the_last_axes_of_the_viewer(viewer):
    assert [geometry(viewer, name).offset for name in ("stack", "volume", "plane")] == [0, 1, 2]
    assert geometry(viewer, "stack").displayed == [2, 3]
    assert geometry(viewer, "stack").hidden == [0, 1]
    assert geometry(viewer, "volume").displayed == [1, 2]
    assert geometry(viewer, "volume").hidden == [0]
    assert geometry(viewer, "plane").displayed == [0, 1]
    assert geometry(viewer, "plane").hidden == []


def test_the_order_is_that_of_the_canvas(viewer):
    viewer.dims.order = (2, 0, 3, 1)
    assert geometry(viewer, "stack").canvas_axes == [3, 1]
    assert geometry(viewer, "volume").canvas_axes == [2, 0]
    assert geometry(viewer, "plane").canvas_axes == [1, -1]
    assert geometry(viewer, "plane").displayed == [1]
    assert geometry(viewer, "plane").hidden == [0]


def test_the_sliders_stand_at_a_voxel_of_each_layer(viewer):
    viewer.dims.set_point(1, 8.0)
    np.testing.assert_allclose(geometry(viewer, "volume").position[0], 2)
    assert geometry(viewer, "volume").index[0] == 2
    assert geometry(viewer, "stack").index[1] == 8  # outside of it


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_the_middle_of_the_view_lies_in_the_layer(viewer, ndisplay):
    viewer.dims.ndisplay = ndisplay
    viewer.dims.set_point(1, 12.0)
    viewer.scene.camera.center = (12.0, 30.0, 14.0)
    volume = geometry(viewer, "volume")
    np.testing.assert_allclose(volume.world_centre[1:], (12, 30, 14))
    np.testing.assert_allclose(volume.centre, (3, 10, 7))
    np.testing.assert_allclose(volume.to_world(volume.centre), (12, 30, 14))


def test_the_canvas_has_a_size_in_the_world(viewer):
    volume = geometry(viewer, "volume")
    before = volume.half_canvas
    viewer.scene.camera.zoom *= 2
    np.testing.assert_allclose(volume.half_canvas, before / 2)
