"""To the places where a stroke would help: what moves, and what must not."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_unet.geometry.axes import AxisLayout
from napari_unet.training.events import Suggested
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.layers.view_geometry import ViewGeometry
from napari_unet.widgets.panel import find_panel, paint_here_next
from napari_unet.widgets.train.suggestion_marker import SuggestionNavigator

STACK = AxisLayout((0,), None, (1, 2))


@pytest.fixture
def asked():
    return []


@pytest.fixture
def here(room, asked):
    here = SuggestionNavigator(room.viewer, lambda: asked.append("?"), room.panel)
    room.qtbot.addWidget(here.button)
    room.qtbot.addWidget(here.reason)
    here.set_enabled(True)
    return here


@pytest.fixture
def stack(room):
    image, labels = room.open(np.zeros((9, 64, 64)), np.zeros((9, 64, 64), np.uint8))
    room.viewer.layers.selection.active = image
    return image, labels


def markers(room):
    return [layer for layer in room.viewer.layers if layer.name == "paint here"]


def test_a_press_asks_once_until_there_is_an_answer(room, here, stack, asked):
    for _ in range(3):
        room.qtbot.mouseClick(here.button, Qt.MouseButton.LeftButton)
    assert asked == ["?"]
    assert here.show(Suggested(0, ()), stack[0], STACK) is False
    here.go()
    assert asked == ["?", "?"]


def test_it_goes_from_place_to_place_and_then_asks_again(room, here, stack, asked):
    image, labels = stack
    places = ((7, 10, 50), (1, 60, 3))
    assert here.show(Suggested(0, places), image, STACK, labels) is True
    for plane, y, x in places:
        assert room.viewer.dims.current_step[0] == plane
        assert room.viewer.scene.camera.center[-2:] == (31.5, 31.5)  # all of it is in view
        (marker,) = markers(room)
        assert (marker.data == (plane, y, x)).all()
        assert room.viewer.layers.selection.active is labels
        here.go()
    assert asked == ["?"]
    assert room.viewer.dims.current_step[0] == 1


def test_nothing_is_painted_and_no_label_is_chosen(here, stack):
    image, labels = stack
    labels.selected_label, labels.mode, labels.brush_size = 3, "paint", 7
    here.show(Suggested(0, ((2, 5, 5),)), image, STACK, labels)
    assert (labels.selected_label, str(labels.mode), labels.brush_size) == (3, "paint", 7)
    assert not labels.data.any()


def test_a_scaled_image_with_channels_and_another_slider(room, here):
    room.viewer.add_image(np.zeros((4, 2, 9, 30, 30)), name="movie")  # has a slider more
    image = room.viewer.add_image(
        np.zeros((2, 9, 64, 64)), scale=(1, 5, 2, 0.5), translate=(0, 100, 10, 20)
    )
    room.viewer.dims.set_current_step(0, 3)
    room.viewer.dims.set_current_step(1, 1)
    layout = AxisLayout((1,), 0, (2, 3))
    here.show(Suggested(0, ((8, 40, 12),)), image, layout)
    assert room.viewer.dims.point[:3] == (3, 1, 140)
    assert np.allclose(room.viewer.scene.camera.center[-2:], (90, 35.75))  # all columns are in view
    (marker,) = markers(room)
    assert np.allclose(marker.data_to_world(marker.data[0]), (140, 90, 26))


def test_the_view_stays_within_the_image(room, here, stack):
    image, _ = stack
    camera = room.viewer.scene.camera
    camera.zoom = 40
    half = ViewGeometry(room.viewer, image).half_canvas
    assert half.max() < 16
    for place in ((2, 1, 1), (2, 62, 1), (2, 62, 62), (2, 32, 40)):
        here.show(Suggested(0, (place,)), image, STACK)
        middle = np.array(camera.center[-2:])
        assert np.all(middle - half >= -0.51)  # the image begins half a pixel before 0
        assert np.all(middle + half <= 63.51)
        assert np.all(np.abs(middle - place[1:]) <= half + 1)  # and the place is in view
    assert np.allclose(camera.center[-2:], (32, 40))


def test_the_zoom_stays_unless_the_place_would_be_a_speck(room, here, stack):
    image, _ = stack
    room.viewer.scene.camera.zoom = 3.5
    here.show(Suggested(0, ((2, 5, 5),)), image, STACK)
    assert room.viewer.scene.camera.zoom == 3.5
    image.scale = (1, 0.01, 0.01)
    here.show(Suggested(0, ((2, 5, 5),)), image, STACK)
    assert room.viewer.scene.camera.zoom == 100


def test_in_3d_no_slider_moves(room, here, stack):
    image, _ = stack
    room.viewer.dims.set_current_step(0, 4)
    room.viewer.dims.ndisplay = 3
    here.show(Suggested(0, ((7, 10, 50),)), image, AxisLayout((), None, (0, 1, 2)))
    assert room.viewer.dims.current_step[0] == 4
    assert room.viewer.scene.camera.center == (7, 10, 50)


def test_the_marker_stays_until_something_is_painted_there(room, here, stack):
    image, labels = stack
    room.viewer.scene.camera.zoom = 20
    here.show(Suggested(0, ((2, 5, 5), (3, 5, 5))), image, STACK, labels)
    assert RESULT in markers(room)[0].metadata
    labels.paint((2, 40, 40), 1)
    labels.paint((3, 5, 5), 1)
    room.qtbot.wait(50)
    assert len(markers(room)) == 1
    labels.paint((2, 5, 5), 1)
    assert not markers(room)
    assert room.viewer.layers.selection.active is labels
    here.go()
    assert len(markers(room)) == 1


def test_the_marker_goes_when_the_next_place_is_asked_for(here, stack, room, asked):
    here.show(Suggested(0, ((2, 5, 5),)), stack[0], STACK)
    assert len(markers(room)) == 1
    here.go()
    assert asked == ["?"]
    assert not markers(room)


def test_the_reason_is_said_as_long_as_the_ring_is_there(here, stack):
    image, labels = stack
    places = ((2, 5, 5), (3, 5, 5))
    names = {1: "nucleus", 7: "rest"}
    here.show(Suggested(0, places, ((7, 1), None)), image, STACK, labels, names)
    assert here.reason.text() == "In the ring the network is unsure: rest / nucleus."
    here.go()
    assert here.reason.text() == "In the ring: nothing like it has been painted yet."
    assert not here.reason.isHidden()
    labels.paint((3, 5, 5), 1)
    assert here.reason.isHidden()


def test_a_marker_that_the_user_removed_is_not_missed(room, here, stack):
    image, labels = stack
    here.show(Suggested(0, ((2, 5, 5),)), image, STACK, labels)
    room.viewer.layers.remove(markers(room)[0])
    here.clear()
    here.clear()


def test_an_image_that_was_removed_is_not_visited(room, here, stack):
    image, labels = stack
    here.show(Suggested(0, ((2, 5, 5), (3, 5, 5))), image, STACK, labels)
    here.clear()
    room.viewer.layers.remove(image)
    here.go()
    assert not markers(room)


def test_switched_off_it_forgets_and_asks_nobody(room, here, stack, asked):
    here.show(Suggested(0, ((2, 5, 5), (3, 5, 5))), stack[0], STACK)
    here.set_enabled(False)
    assert not markers(room)
    here.go()
    assert asked == []
    assert not here.button.isEnabled()


def test_the_key_leads_to_the_panel(viewer, qtbot, monkeypatch):
    viewer.window.add_plugin_dock_widget("napari-unet-live", "Train")
    page, pressed = find_panel(viewer).train, []
    press = lambda self: pressed.append(self)  # noqa: E731 - a method of the page
    monkeypatch.setattr(type(page), "paint_here", press, raising=False)
    (key,) = [k for k in viewer.keymap if str(k) == "Shift+N"]
    viewer.keymap[key](viewer)
    paint_here_next(viewer)
    assert pressed == [page, page]
