"""Two images compared: what is seen where, and that nothing of it stays."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import zarr
from napari import Viewer
from napari.components import ViewerModel
from napari.layers import Image

from napari_unet.widgets.layers import compare
from napari_unet.widgets.layers.compare import CompareBar
from napari_unet.widgets.layers.provenance import is_result

SHAPE = (3, 40, 60)


def two_images(shape=SHAPE):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, shape).astype(np.uint8), 200 * rng.random(shape)


@pytest.fixture
def bars(qtbot, notes):
    """Makes bars, and sees to it that they let go."""
    made = []

    def make(viewer):
        bar = CompareBar(viewer)
        made.append(bar)
        if isinstance(viewer, Viewer):
            viewer.window.add_dock_widget(bar, name="compare")
        else:
            qtbot.addWidget(bar)
        return bar

    yield make
    for bar in made:
        bar.release()


@pytest.fixture
def window(make_napari_viewer, notes):
    """A viewer that can be seen."""
    return make_napari_viewer(strict_qt="raise", show=True)


@pytest.fixture
def model():
    viewer = ViewerModel()
    before, after = two_images()
    viewer.add_image(before, name="noisy", contrast_limits=(0, 255))
    viewer.add_image(after, name="clean", contrast_limits=(10, 90), gamma=0.8)
    return viewer


@pytest.fixture
def bar(bars, model):
    bar = bars(model)
    bar.set_layers(*model.layers)
    return bar


def waits(throttled):
    """Tell whether a throttled function was called and has not run since."""
    return throttled._hasPendingEmission


def place(bar, at, qtbot):
    """Put the line at a position in the image before."""
    left, right = bar._handle._visible_range()
    bar._handle.fraction = (at - left) / (right - left)
    qtbot.waitUntil(lambda: not waits(bar._draw_soon))


def look(layer):
    return {
        "visible": layer.visible,
        "limits": list(layer.contrast_limits),
        "range": list(layer.contrast_limits_range),
        "gamma": layer.gamma,
        "planes": [plane.model_dump() for plane in layer.experimental_clipping_planes],
        "mode": layer.mode,
        "box": layer.bounding_box.visible,
        "place": layer.translate.tolist(),
    }


def listeners(viewer):
    """How many there are to whatever a bar follows."""
    groups = [layer.events for layer in viewer.layers]
    groups += [viewer.dims.events, viewer.scene.camera.events, viewer.layers.events]
    count = [len(emitter.callbacks) for group in groups for emitter in group.emitters.values()]
    return [*count, len(viewer.mouse_drag_callbacks), len(viewer.mouse_move_callbacks)]


# What is seen


def seen(viewer, qtbot):
    qtbot.wait(60)
    return viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)


def alone(viewer, shown, qtbot):
    before = {layer: layer.visible for layer in viewer.layers}
    for layer in viewer.layers:
        layer.visible = layer is shown
    picture = seen(viewer, qtbot)
    for layer, visible in before.items():
        layer.visible = visible
    return picture


def test_left_of_the_line_is_the_one_and_right_of_it_the_other(window, bars, qtbot):
    before, after = two_images()
    between = window.add_image(np.full(SHAPE, 77, np.uint8), contrast_limits=(0, 255))
    one = window.add_image(before, contrast_limits=(0, 255))
    window.layers.move(0, 2)
    other = window.add_image(after, contrast_limits=(0, 255), blending="additive")
    assert between.visible
    bar = bars(window)
    bar.set_layers(one, other)
    bar.set_mode("Split")
    usual = window.scene.camera.zoom
    for plane, zoom, center, at in ((0, usual, 30, 12), (2, 3 * usual, 40, 41)):
        window.dims.set_current_step(0, plane)
        window.scene.camera.zoom, window.scene.camera.center = zoom, (0, 20, center)
        qtbot.wait(2 * compare.DRAW_MS + 250)  # until the camera rests
        place(bar, at, qtbot)
        between.visible = False
        split = seen(window, qtbot)
        alone_before, alone_after = alone(window, one, qtbot), alone(window, other, qtbot)
        between.visible = True
        middle = split.shape[1] / 2 + (at - 0.5 - center) * zoom
        left, right = np.s_[60:-60, : int(middle) - 4], np.s_[60:-60, int(middle) + 4 :]
        inside = np.zeros(split.shape[:2], bool)
        inside[left] = inside[right] = True
        frame = np.abs(split - split[..., :1]).max(-1) > 10  # coloured, while the images are grey
        inside &= ~frame
        assert inside[left].mean() > 0.9
        assert inside[right].mean() > 0.9
        # The additive image brightens nothing left of the line.
        near = np.abs(split - alone_before).max(-1) <= 3
        assert near[left][inside[left]].mean() > 0.99
        near = np.abs(split - alone_after).max(-1) <= 3
        assert near[right][inside[right]].mean() > 0.99
        assert np.abs(alone_before - alone_after)[inside].mean() > 20


def test_blinking_shows_one_and_the_other_whatever_lies_between(window, bars, qtbot, monkeypatch):
    monkeypatch.setattr(compare, "BLINK_MS", 100_000)
    one = window.add_image(np.full((40, 40), 50, np.uint8), contrast_limits=(0, 100))
    window.add_image(np.full((40, 40), 100, np.uint8), contrast_limits=(0, 100))
    other = window.add_image(np.full((40, 40), 25.0), contrast_limits=(0, 50))
    bar = bars(window)
    bar.set_layers(one, other)
    qtbot.waitUntil(bar.isVisible)
    bar.set_mode("Blink")
    found = []
    for _ in range(3):
        picture = seen(window, qtbot)
        found.append(int(picture[picture.shape[0] // 2, picture.shape[1] // 2, 0]))
        bar._blink.timeout.emit()
    assert np.allclose(found, [127, 64, 127], atol=2)  # 64: 25 of the limits that both have


def test_in_3d_one_can_blink(model, bar, qtbot):
    one, other = model.layers
    bar.set_mode("Split")
    model.dims.ndisplay = 3
    qtbot.waitUntil(lambda: bar.mode == "After")
    assert "2D" in bar.note.text()
    assert not bar.buttons["Split"].isEnabled()
    bar.set_mode("Blink")
    for _ in range(2):
        assert (one.visible, other.visible) == (True, False)
        bar._show_other()
        assert (one.visible, other.visible) == (False, True)
        bar._show_other()
    assert list(model.layers) == [one, other]
    model.dims.ndisplay = 2
    qtbot.waitUntil(lambda: len(model.layers) == 3)
    assert bar.mode == "Blink"
    assert bar.buttons["Split"].isEnabled()


# The layer that covers


def test_the_layer_shares_the_array_and_says_that_it_is_ours(bar, model, qtbot):
    one, other = model.layers
    model.layers.selection.active = one
    bar.set_mode("Split")
    (layer,) = set(model.layers) - {one, other}
    place(bar, 25, qtbot)
    assert np.shares_memory(layer.data, one.data)
    assert np.array_equal(layer.data, one.data[..., :25])
    assert is_result(layer)
    assert model.layers.index(layer) == 2
    assert model.layers.selection.active is one
    assert (one.visible, other.visible, layer.visible) == (False, True, True)
    model.dims.set_current_step(0, 2)
    assert layer.get_value((2, 7, 8), world=True) == one.data[2, 7, 8]
    bar.slider.setValue(0)
    qtbot.waitUntil(lambda: not layer.visible)  # nothing is left of it
    bar.slider.setValue(1000)
    qtbot.waitUntil(lambda: layer.data.shape == SHAPE)
    bar.set_mode("After")
    assert list(model.layers) == [one, other]


@pytest.mark.parametrize(
    ("where", "part"),
    [
        ({"scale": (1, 2, -1)}, np.s_[:, :, 15:]),
        ({"rotate": -90}, np.s_[:, 15:, :]),
        ({"rotate": 90, "translate": (0, 5, 5)}, np.s_[:, :15, :]),
        ({"affine": [[1, 0, 0, 3], [0, 0, 2, 1], [0, 1, 0, 4], [0, 0, 0, 1]]}, np.s_[:, :15, :]),
    ],
)
def test_left_is_left_on_the_canvas_however_the_image_is_turned(bars, qtbot, where, part):
    model, (data, _) = ViewerModel(), two_images()
    one, other = model.add_image(data, **where), model.add_image(data, **where)
    bar = bars(model)
    bar.set_layers(one, other)
    bar.set_mode("Split")
    place(bar, 15, qtbot)
    layer = model.layers[2]
    assert np.array_equal(layer.data, data[part])
    corner = tuple(s.start or 0 for s in part)
    first = layer.data_to_world((0, 0, 0))
    assert np.allclose(first, one.data_to_world(corner))
    assert layer.extent.world[1, 2] < one.extent.world[1, 2]  # right of the line there is none


@pytest.mark.parametrize("kind", ["zarr", "pyramid", "rgb", "plane"])
def test_whatever_an_image_is_made_of_it_is_cut(bars, qtbot, kind):
    model, (data, _) = ViewerModel(), two_images()
    made = {
        "zarr": lambda: model.add_image(zarr.array(data)),
        "pyramid": lambda: model.add_image([data, data[:, ::2, ::2]]),
        "rgb": lambda: model.add_image(np.stack([data] * 3, -1)),
        "plane": lambda: model.add_image(data[0]),
    }
    one, other = made[kind](), model.add_image(data)
    bar = bars(model)
    bar.set_layers(one, other)
    bar.set_mode("Split")
    place(bar, 31, qtbot)
    layer = model.layers[2]
    if kind == "pyramid":
        assert [np.shape(level)[2] for level in layer.data] == [32, 16]  # at whole pixels of all
        assert np.array_equal(layer.data[1], data[:, ::2, :32:2])
    elif kind == "rgb":
        assert layer.rgb
        assert layer.data.shape == (*SHAPE[:2], 31, 3)
        assert "own contrast" in bar.note.text()
    else:
        wanted = data[0] if kind == "plane" else data
        assert np.array_equal(np.asarray(layer.data), wanted[..., :31])
    bar.set_mode("Blink")
    assert bar.mode == "Blink"
    model.dims.ndisplay = 3
    qtbot.waitUntil(lambda: not waits(bar._restart_soon))
    assert bar.buttons["Blink"].isEnabled() is (kind != "plane")
    assert bar.mode == ("After" if kind == "plane" else "Blink")
    assert len(model.layers) == 2


def test_new_data_or_another_place_is_followed(bar, model, qtbot):
    one, _ = model.layers
    bar.set_mode("Split")
    one.data = 255 - one.data
    one.scale = (1, 2, 2)
    qtbot.waitUntil(lambda: not waits(bar._restart_soon))
    layer = model.layers[2]
    assert np.shares_memory(layer.data, one.data)
    assert np.array_equal(layer.scale, one.scale)
    model.dims.order = (2, 0, 1)
    qtbot.waitUntil(lambda: model.layers[2].data.shape[1] < SHAPE[1])
    assert len(model.layers) == 3


# The contrast


def test_while_compared_both_have_one_contrast(bar, model):
    one, other = model.layers
    bar.set_mode("Split")
    layer = model.layers[2]
    assert other.contrast_limits == layer.contrast_limits == one.contrast_limits == [0, 255]
    other.contrast_limits = (20, 300)
    layer.gamma = 0.5
    assert [x.contrast_limits for x in model.layers] == [[20, 300]] * 3
    assert [x.gamma for x in model.layers] == [0.5] * 3
    bar.set_mode("Blink")
    assert [list(x.contrast_limits) for x in model.layers] == [[20, 300]] * 3  # as it was tuned
    bar.set_mode("After")
    assert (one.contrast_limits, one.gamma) == ([0, 255], 1)
    assert (other.contrast_limits, other.gamma) == ([10, 90], 0.8)
    other.contrast_limits = (1, 2)
    assert one.contrast_limits == [0, 255]


def test_values_of_unlike_kinds_keep_their_contrast(bars, model):
    bar, ratio = bars(model), model.add_image(np.random.default_rng(0).random(SHAPE))
    bar.set_layers(model.layers[0], ratio)
    limits = list(ratio.contrast_limits)
    bar.set_mode("Split")
    assert list(ratio.contrast_limits) == limits
    assert "own contrast" in bar.note.text()


# Nothing stays


@pytest.mark.parametrize("ndisplay", [2, 3])
@pytest.mark.parametrize("end", ["release", "close", "mode", "layers"])
def test_all_is_given_back_as_it_was(bars, model, qtbot, ndisplay, end):
    one, other = model.layers
    other.visible = False
    other.experimental_clipping_planes = [{"position": (1, 2, 3), "normal": (0, 1, 0)}]
    one.contrast_limits_range = (-5, 400)
    model.dims.ndisplay = ndisplay
    nobody, looks = listeners(model), [look(one), look(other)]
    bar = bars(model)
    idle = listeners(model)
    bar.set_layers(one, other)
    for mode in ("Split", "Blink", "Split") if ndisplay == 2 else ("Blink",):
        bar.set_mode(mode)
        place(bar, 20, qtbot) if mode == "Split" else bar._show_other()
        one.contrast_limits = (7, 1000)
        assert [look(one), look(other)] != looks
    ends = {
        "release": bar.release,
        "close": bar.close,
        "mode": lambda: bar.set_mode("After"),
        "layers": lambda: bar.set_layers(None, other),
    }
    ends[end]()
    assert [look(one), look(other)] == looks
    assert list(model.layers) == [one, other]
    assert listeners(model) == (nobody if end == "release" else idle)
    assert not bar._blink.isActive()
    assert not any(map(waits, (bar._draw_soon, bar._restart_soon, bar._handle._at_rest)))


@pytest.mark.parametrize("mode", ["Split", "Blink"])
@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_layer_may_go_while_it_is_compared(bar, model, qtbot, mode, gone):
    images = list(model.layers)
    looks = [look(image) for image in images]
    bar.set_mode(mode)
    removed = model.layers.pop(gone)
    qtbot.waitUntil(lambda: bar.mode == "After")
    assert [look(image) for image in images] == looks
    assert list(model.layers) == [image for image in images if image is not removed]
    assert bar.isHidden() is (gone < 2)
    if gone < 2:
        model.layers.append(removed)  # as by an undo
        qtbot.waitUntil(bar.isVisible)


def test_all_layers_may_go(bar, model, qtbot):
    bar.set_mode("Blink")
    model.layers.clear()
    qtbot.waitUntil(lambda: bar.isHidden() and bar.mode == "After")
    assert not model.layers
    assert not bar._blink.isActive()


def test_a_viewer_closes_while_it_blinks(viewer, qtbot):
    one, other = (viewer.add_image(data) for data in two_images())
    bar = CompareBar(viewer)
    viewer.window.add_dock_widget(bar, name="compare")
    bar.set_layers(one, other)
    bar.set_mode("Blink")
    blink, hidden = bar._blink, []
    bar.destroyed.connect(lambda: hidden.append(True))
    viewer.close()
    assert hidden
    with pytest.raises(RuntimeError, match="deleted"):
        blink.isActive()


def test_nothing_blinks_that_is_hidden(bar, model, qtbot, monkeypatch):
    one, other = model.layers
    bar._blink.setInterval(20)
    bar.set_mode("Blink")
    layer = model.layers[2]
    for _ in range(2):
        qtbot.waitUntil(lambda: layer.visible and not other.visible)
        qtbot.waitUntil(lambda: other.visible and not layer.visible)
    qtbot.waitUntil(lambda: layer.visible)
    bar.hide()
    assert other.visible
    assert not layer.visible
    assert not bar._blink.isActive()
    bar.show()
    qtbot.waitUntil(lambda: layer.visible)
    bar.set_mode("After")
    assert not bar._blink.isActive()
    assert one.visible


def test_it_begins_to_blink_when_it_is_shown(bar, model):
    bar.hide()
    bar.set_mode("Blink")
    assert not bar._blink.isActive()
    bar.show()
    assert bar._blink.isActive()


# When it cannot be


def test_why_not_is_said(bars, model):
    one, other = model.layers
    away = model.add_image(other.data, translate=(0, 1000, 0))
    bar = bars(model)
    assert bar.isHidden()
    bar.set_layers(one, None)
    assert bar.isHidden()
    bar.set_layers(one, Image(other.data))
    assert bar.isHidden()
    for after, why in ((one, "same layer"), (away, "do not overlap")):
        bar.set_layers(one, after)
        assert bar.isVisible()
        assert why in bar.note.text()
        assert not bar.buttons["Split"].isEnabled()
        bar.set_mode("Split")
        assert bar.mode == "After"
    bar.set_layers(one, other)
    assert bar.note.isHidden()
    assert all(button.isEnabled() for button in bar.buttons.values())


def test_unlike_sizes_are_compared_where_they_lie(bars, model, qtbot):
    small = model.add_image(model.layers[1].data[:, :20, :30], scale=(1, 2, 2))
    bar = bars(model)
    for pair in ((model.layers[0], small), (small, model.layers[0])):
        bar.set_layers(*pair)
        bar.set_mode("Split")
        assert "differ in size" in bar.note.text()
        place(bar, 10, qtbot)
        assert model.layers[f"{pair[0].name} – compared"].data.shape[2] == 10


# The line under the mouse


def press(bar, model, start, to):
    """Press the mouse at a place of the world, and drag it."""
    event = SimpleNamespace(type="mouse_press", button=1, handled=False, position=(0, 20, start))
    for move in bar._viewer.mouse_move_callbacks:
        move(model, event)
    (drag,) = [call for call in model.mouse_drag_callbacks if "SplitHandle" in repr(call)]
    steps = drag(model, event)
    held = next(steps, "not held") is None
    if held:
        event.type, event.position = "mouse_move", (0, 20, to)
        next(steps)
        assert event.handled
        event.type = "mouse_release"
        next(steps, None)
    return held


def test_the_line_can_be_dragged(bar, model, qtbot):
    bar.set_mode("Split")
    style = model.cursor.style
    place(bar, 30, qtbot)
    assert not press(bar, model, 29.5 + 8 / model.scene.camera.zoom, 10)
    assert model.cursor.style == style
    assert press(bar, model, 29.5, 9.5)
    assert model.cursor.style == "pointing"
    qtbot.waitUntil(lambda: model.layers[2].data.shape[2] == 10)
    assert bar.slider.value() == round(1000 * bar._handle.fraction)
    labels = model.add_labels(np.zeros(SHAPE, np.uint8))
    labels.mode = "paint"
    assert not press(bar, model, 9.5, 30)
    bar.set_mode("After")
    assert model.cursor.style == style


def test_a_line_that_gets_out_of_view_comes_back(bar, model, qtbot):
    bar.set_mode("Split")
    place(bar, 5, qtbot)
    camera = model.scene.camera
    camera.zoom, camera.center = 4 * camera.zoom, (0, 20, 45)
    left, right = bar._handle._visible_range()
    assert left > 5
    qtbot.waitUntil(lambda: left < bar._handle.at < (left + right) / 2)
    place(bar, 44, qtbot)
    camera.center = (0, 20, 46)
    qtbot.waitUntil(lambda: not waits(bar._handle._at_rest))
    assert bar._handle.at == pytest.approx(44)  # it stays at its place in the image
    bar.slider.setValue(500)
    assert bar._handle.at == pytest.approx(sum(bar._handle._visible_range()) / 2)
