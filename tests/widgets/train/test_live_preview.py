"""What the network makes of the part of an image that is in view, shown as a layer."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.control import Previewed, Viewport
from napari_unet.geometry.axes import AxisLayout
from napari_unet.geometry.region import Region
from napari_unet.widgets.layers import overlay
from napari_unet.widgets.layers import view as sight
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.panel import find_panel
from napari_unet.widgets.train.live_preview import LivePreview
from tests.widgets.conftest import PATIENCE, two_classes

COLORS = {1: (1.0, 0.0, 0.0, 1.0), 2: (0.0, 1.0, 0.0, 1.0)}


@pytest.fixture
def labels(room):
    _, layer = room.open(*two_classes())
    return layer


def test_the_preview_is_one_layer_in_the_classes_colours_and_keeps_its_place(room, labels):
    image = room.viewer.layers["picture"]
    image.scale, image.translate = (2.0, 0.5), (7, 9)
    room.viewer.layers.selection.active = labels
    preview = LivePreview(room.viewer, room.panel)
    preview.begin(image, AxisLayout((), None, (0, 1)), lambda view: None)
    view = Viewport((), Region((10, 20), (30, 50)))
    for value in (1, 2):
        said = np.full((20, 30), value, np.uint8)
        preview.show(Previewed(1, view, said, said.astype(np.float32)), COLORS)
    (layer,) = (x for x in room.viewer.layers if "live preview" in x.name)
    assert room.viewer.layers.selection.active is labels
    assert np.array_equal(layer.scale, image.scale)
    assert np.array_equal(layer.translate, image.translate)
    assert (layer.data[10:30, 20:50] == 2).all()
    assert np.count_nonzero(layer.data) == 600
    assert layer.get_color(2).tolist() == [0, 1, 0, 1]
    assert RESULT in layer.metadata  # so that nobody is offered to learn from it
    preview.end()


def test_switched_off_nothing_is_asked_for(room):
    image, _ = room.open(np.zeros((5, 64, 64)))
    asked = []
    preview = LivePreview(room.viewer, room.panel)
    preview.begin(image, AxisLayout((0,), None, (1, 2)), asked.append)
    assert asked[-1] == Viewport((2,), Region((0, 0), (64, 64)))
    preview.enabled = False
    preview.report_view()
    assert asked[-1] is None
    preview.enabled = True
    room.viewer.dims.set_current_step(0, 4)
    preview.report_view()
    assert asked[-1].index == (4,)
    preview.end()


def shown(room, image, layout, pair=0):
    """Begin to follow an image; return the preview and what it asks for."""
    asked = []
    preview = LivePreview(room.viewer, room.panel)
    preview.begin(image, layout, asked.append, pair)
    return preview, asked


def say(preview, view, value=1, unsure=0.5):
    """Answer what was asked for."""
    shape = view.region.shape
    said = Previewed(1, view, np.full(shape, value, np.uint8), np.full(shape, unsure, np.float32))
    preview.show(said, COLORS)


def world_of(layer):
    """Return the voxels of an image without scale that hold something."""
    return np.argwhere(layer.data) * layer.scale + layer.translate


def test_doubt_has_a_layer_only_where_that_is_wanted(room, labels):
    image = room.viewer.layers["picture"]
    preview, asked = shown(room, image, AxisLayout((), None, (0, 1)))
    say(preview, asked[-1])
    assert not any("unsure" in layer.name for layer in room.viewer.layers)
    preview.show_uncertainty(True)
    (layer,) = (x for x in room.viewer.layers if "unsure" in x.name)
    assert room.viewer.layers.index(layer) == room.viewer.layers.index(preview.layer) + 1
    assert (layer.data == 128).all()
    data = layer.data
    say(preview, asked[-1], unsure=1.0)
    assert layer.data is data
    assert (data == 255).all()
    assert tuple(layer.contrast_limits) == (0, 255)
    assert RESULT in layer.metadata
    assert room.viewer.layers.selection.active is labels
    preview.show_uncertainty(False)
    assert layer not in room.viewer.layers
    say(preview, asked[-1])
    assert not any("unsure" in layer.name for layer in room.viewer.layers)
    preview.end()


def test_a_layer_that_was_removed_is_made_again(room, labels):
    preview, asked = shown(room, room.viewer.layers["picture"], AxisLayout((), None, (0, 1)))
    say(preview, asked[-1])
    room.viewer.layers.remove(preview.layer)
    say(preview, asked[-1])
    assert preview.layer in room.viewer.layers
    preview.end()


def test_of_a_large_image_the_layer_covers_the_view_and_goes_along(room, monkeypatch):
    monkeypatch.setattr(overlay, "MOST_SHOWN", {2: 1000, 3: 1000})
    image, _ = room.open(np.zeros((5, 64, 64)), scale=(3, 1, 1), translate=(30, 1, 2))
    preview, _ = shown(room, image, AxisLayout((0,), None, (1, 2)))
    views = [Viewport((3,), Region((10, 20), (30, 50))), Viewport((4,), Region((9, 22), (29, 52)))]
    for view in views:
        say(preview, view)
        layer = preview.layer
        assert layer.data.shape == (1, 20, 30)
        start = np.array([*view.index, *view.region.start])
        assert np.allclose(world_of(layer).min(0), start * [3, 1, 1] + [30, 1, 2])
    data = layer.data
    say(preview, views[0], 2)
    assert layer.data is data  # in place, wherever it lies
    say(preview, Viewport((0,), Region((5, 5), (9, 9))))
    assert preview.layer is layer
    assert layer.data.shape == (1, 4, 4)
    assert room.viewer.dims.range[0].stop == 42
    assert room.viewer.dims.current_step[0] == 2
    preview.end()


def test_a_layer_that_lies_askew_covers_the_same_pixels(room, monkeypatch):
    monkeypatch.setattr(overlay, "MOST_SHOWN", {2: 10, 3: 10})
    turned = {"scale": (2, 0.5), "translate": (7, 9), "rotate": 30, "shear": [0.2]}
    image, _ = room.open(np.zeros((64, 64)), affine=[[1, 0.3, 5], [0, 2, 1], [0, 0, 1]], **turned)
    preview, _ = shown(room, image, AxisLayout((), None, (0, 1)))
    say(preview, Viewport((), Region((10, 20), (30, 50))))
    for pixel in ((0, 0), (19, 29)):
        beneath = image.data_to_world(np.add(pixel, (10, 20)))
        assert np.allclose(preview.layer.data_to_world(pixel), beneath)
    preview.end()


def test_a_label_that_no_longer_fits_makes_the_layer_wider(room, labels):
    preview, asked = shown(room, room.viewer.layers["picture"], AxisLayout((), None, (0, 1)))
    say(preview, asked[-1])
    wide = Previewed(2, asked[-1], np.full((64, 64), 70_000), np.zeros((64, 64), np.float32))
    preview.show(wide, COLORS)
    assert (preview.layer.data == 70_000).all()
    preview.end()


def test_of_a_large_view_the_middle_is_shown_and_that_is_said(room):
    image, _ = room.open(np.zeros((3000, 2000), np.uint8))
    preview, asked = shown(room, image, AxisLayout((), None, (0, 1)))
    assert asked[-1].region == Region((1116, 616), (1884, 1384))
    assert "middle 768 × 768 pixels of the view; zoom in" in preview.note
    notes = []
    preview.noteChanged.connect(notes.append)
    room.viewer.scene.camera.zoom = 2.0  # the canvas has 800 x 600 pixels
    preview.report_view()
    assert asked[-1].region.shape == (401, 301)
    assert notes == [preview.note] == [""]
    room.viewer.scene.camera.center = (0, 0, 1999)
    preview.report_view()
    assert asked[-1].region == Region((0, 1849), (201, 2000))
    room.viewer.scene.camera.center = (0, -5000, 0)
    preview.report_view()
    assert asked[-1] is None
    preview.end()


def test_a_pyramid_is_shown_at_full_resolution_where_that_fits(room):
    levels = [np.zeros((4000 // f, 3000 // f), np.uint8) for f in (1, 2, 4)]
    image, _ = room.open(levels, scale=(0.5, 0.5))
    preview, asked = shown(room, image, AxisLayout((), None, (0, 1)), 3)
    assert image.data_level == 2
    assert asked[-1] == Viewport((), Region((1616, 1116), (2384, 1884)), 3)
    assert "at full resolution" in preview.note
    say(preview, asked[-1])
    assert preview.layer.data.shape == (768, 768)
    assert np.allclose(preview.layer.translate, (808, 558))
    preview.end()


def test_in_3d_a_box_in_the_middle_of_the_view_is_shown(room):
    image, _ = room.open(np.zeros((40, 256, 256), np.uint8), scale=(4, 1, 1))
    room.viewer.dims.ndisplay = 3
    preview, asked = shown(room, image, AxisLayout((), None, (0, 1, 2)))
    box = asked[-1].region
    assert box.size <= sight.MOST_VOXELS_3D
    assert box.size > sight.MOST_VOXELS_3D / 2
    assert box.shape == (33, 133, 133)  # equally long sides, in the world
    assert all(start % 8 == 0 for start in box.start)
    assert "33 × 133 × 133 voxels" in preview.note
    room.viewer.scene.camera.center = (10_000, 0, 128)
    preview.report_view()
    assert asked[-1].region == Region((7, 0, 64), (40, 133, 197))
    say(preview, asked[-1])
    assert preview.layer.data.size <= overlay.MOST_SHOWN[3]
    preview.end()


def test_a_flat_network_shows_the_plane_of_the_slider_in_3d(room):
    image, _ = room.open(np.zeros((9, 64, 64), np.uint8))
    room.viewer.dims.set_current_step(0, 7)
    room.viewer.dims.ndisplay = 3
    preview, asked = shown(room, image, AxisLayout((0,), None, (1, 2)))
    assert asked[-1] == Viewport((7,), Region((0, 0), (64, 64)))
    assert preview.note == ""
    preview.end()


def test_a_plane_across_those_of_a_flat_network_is_not_shown(room):
    image, _ = room.open(np.zeros((9, 64, 64), np.uint8))
    room.viewer.dims.order = (1, 0, 2)
    preview, asked = shown(room, image, AxisLayout((0,), None, (1, 2)))
    assert asked[-1] is None
    assert "other axes" in preview.note
    preview.end()
    assert preview.note == ""


def test_a_solid_network_shows_any_plane(room):
    image, _ = room.open(np.zeros((9, 64, 50), np.uint8))
    room.viewer.dims.order = (1, 0, 2)
    room.viewer.dims.set_current_step(1, 30)
    preview, _ = shown(room, image, AxisLayout((), None, (0, 1, 2)))
    assert preview.in_view() == Viewport((), Region((0, 30, 0), (9, 31, 50)))
    preview.end()


@given(
    sizes=st.lists(st.integers(1, 3000), min_size=2, max_size=3),
    spacing=st.lists(st.floats(0.1, 50), min_size=3, max_size=3),
)
def test_a_box_is_as_large_as_it_may_be(sizes, spacing):
    box = sight._box(sizes, spacing)
    assert all(1 <= b <= n for b, n in zip(box, sizes, strict=True))
    if np.prod(sizes, dtype=float) <= sight.MOST_VOXELS_3D:
        assert box == sizes
    elif min(box) > 1:
        assert np.prod(box) <= sight.MOST_VOXELS_3D


def test_paint_train_see_correct_and_close(viewer, qtbot):
    """As a person would: a window, strokes, Train until stopped, a new class, undo, close."""
    image, strokes = two_classes()
    viewer.add_image(image, name="picture")
    labels = viewer.add_labels(strokes, name="strokes")
    viewer.window.add_plugin_dock_widget("napari-unet-live", "Train")
    page = find_panel(viewer).train
    page.form.net_size.setValue("small")
    page.form.budget.setValue({"open_ended": True})
    page.footer.train.click()

    def wait(condition):
        qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE)

    wait(lambda: page.live.preview.layer is not None)
    shown = page.live.preview.layer
    assert set(np.unique(shown.data)) <= {0, 1, 2}
    labels.brush_size = 9
    labels.paint((32, 32), 5)
    wait(lambda: len(page.progress.names) == 3)
    assert page.progress.names[-1] == "class 5"
    before = page.training.annotations.each[0]._store.version
    labels.undo()
    wait(lambda: page.training.annotations.each[0]._store.version > before)
    assert 5 not in page.training.annotations.each[0]._store.values()
    assert np.array_equal(labels.data, strokes)
    page.live.bar.shown.setChecked(False)
    page.footer.stop.click()
    wait(lambda: not page.runner.running)
    assert "stopped" in page.footer.summary.text()
    page.footer.predict.click()
    assert not shown.visible
    wait(lambda: any("prediction" in layer.name for layer in viewer.layers))
    page.footer.train.click()
    wait(lambda: page.training.started is not None)
    viewer.close()
    # A thread in the midst of a step would abort Python at its end.
    wait(lambda: not any(t.name == "napari-unet" for t in threading.enumerate()))
