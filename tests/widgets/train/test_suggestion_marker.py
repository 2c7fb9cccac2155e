"""To the places where a stroke would help: what moves, and what must not."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_unet.geometry.axes import AxisLayout
from napari_unet.training.events import Suggested
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.panel import find_panel, paint_here_next
from napari_unet.widgets.train import suggestion_marker as guide
from napari_unet.widgets.train.suggestion_marker import SuggestionNavigator

STACK = AxisLayout((0,), None, (1, 2))


@pytest.fixture
def asked():
    return []


@pytest.fixture
def here(room, asked):
    here = SuggestionNavigator(room.viewer, lambda: asked.append("?"), room.panel)
    room.qtbot.addWidget(here.button)
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
        assert room.viewer.scene.camera.center[-2:] == (y, x)
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
    assert room.viewer.scene.camera.center[-2:] == (90, 26)
    (marker,) = markers(room)
    assert np.allclose(marker.data_to_world(marker.data[0]), (140, 90, 26))


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


def test_the_marker_goes_when_something_is_painted(room, here, stack):
    image, labels = stack
    here.show(Suggested(0, ((2, 5, 5), (3, 5, 5))), image, STACK, labels)
    assert RESULT in markers(room)[0].metadata
    labels.paint((2, 5, 5), 1)
    assert not markers(room)
    assert room.viewer.layers.selection.active is labels
    labels.paint((2, 8, 8), 1)
    here.go()
    assert len(markers(room)) == 1


def test_the_marker_goes_after_a_while(room, here, stack, monkeypatch):
    here._clear_later.setTimeout(50)
    here.show(Suggested(0, ((2, 5, 5),)), stack[0], STACK)
    assert guide.SHOWN_MS >= 3000
    room.wait(lambda: not markers(room))


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
