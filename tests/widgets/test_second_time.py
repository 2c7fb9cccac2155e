"""The panel, the second time: what is seen after train, predict, train, predict, whatever the task.

It is looked at the layers, their order and what lies on top, not at what the check boxes say.
"""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from napari_unet.errors import InputError
from napari_unet.training.events import Snapshot
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.panel import UNetPanel
from napari_unet.workers.process import InProcessWorker
from tests.widgets.conftest import two_classes

DONE = {
    "segment": "picture – prediction",
    "denoise": "picture – denoised",
    "restore": "picture – restored",
    "inpaint": "picture – filled in",
}
"""Names of the first result of each task."""


def prepare(room, task):
    """Open what a task needs, and set up a short training."""
    image, strokes = two_classes()
    if task == "inpaint":
        image[20:24] = np.nan
    room.viewer.add_image(image, name="picture", contrast_limits=(-2, 6))
    if task == "restore":
        room.viewer.add_image(2 * image, name="good", visible=False)
    if task == "segment":
        room.viewer.add_labels(strokes, name="strokes")
    room.panel.train.tasks.choice.setValue(task)
    form = room.form
    form.net_size.setValue("small")
    form.budget.setValue({"steps": 2})
    form.advanced.form.editors["batch_size"].setValue(2)
    form.image.set_layer(room.viewer.layers["picture"])
    if task == "restore":
        form.other.set_layer(room.viewer.layers["good"])
    if task == "segment":
        room.counted({1: 288, 2: 288})


def seen(room):
    """Return the names of the visible layers from the bottom to the top."""
    return [layer.name for layer in room.viewer.layers if layer.visible]


def ours(room):
    """Return the names of our visible layers from the bottom to the top."""
    return [x.name for x in room.viewer.layers if x.visible and RESULT in x.metadata]


def preview_name(task):
    return "picture – live preview" if task == "segment" else "picture – preview"


def train(room, task="segment"):
    """Train, and wait for a preview of the finished model."""
    page = room.panel.train
    room.panel.show_page("train")
    room.click(page.footer.train)
    room.idle()
    model = page.training.model.model
    followed = page.live.model_preview
    room.wait(lambda: followed._asked is not None and followed._asked[0] is model)
    room.wait(lambda: not followed.runner.running)
    room.wait(lambda: preview_name(task) in room.viewer.layers)


def predict(room):
    room.click(room.panel.train.footer.predict)
    room.idle()


@pytest.mark.parametrize("task", DONE)
def test_what_is_seen_is_what_was_asked_for_last(room, task):
    prepare(room, task)
    user = ["strokes"] if task == "segment" else []
    base = [name for name in seen(room) if name not in user]
    for _ in range(2):
        train(room, task)
        assert seen(room) == [*base[:1], preview_name(task), *base[1:], *user]
        assert room.panel.train.live.bar.shown.isChecked()
        predict(room)
        assert seen(room) == [*base[:1], DONE[task], *base[1:], *user]
        assert not room.panel.train.live.bar.shown.isChecked()
    names = [layer.name for layer in room.viewer.layers if RESULT in layer.metadata]
    assert names == [f"{DONE[task]} (previous)", DONE[task], preview_name(task)]


def test_the_previous_result_is_one_click_away(room):
    prepare(room, "segment")
    kept = []
    train(room)
    for _ in range(4):
        predict(room)
        kept.append(room.viewer.layers["picture – prediction"].data)
    assert room.viewer.layers["picture – prediction (previous)"].data is kept[-2]
    assert len(room.viewer.layers) == 5


def test_previews_of_another_task_give_way(room):
    prepare(room, "segment")
    train(room)
    predict(room)
    prepare_denoising(room)
    train(room, "denoise")
    assert ours(room) == ["picture – preview"]
    predict(room)
    assert ours(room) == ["picture – denoised"]
    room.panel.train.tasks.choice.setValue("segment")
    train(room)
    assert ours(room) == ["picture – denoised", "picture – live preview"]
    predict(room)
    assert ours(room) == ["picture – denoised", "picture – prediction"]


def prepare_denoising(room):
    room.panel.train.tasks.choice.setValue("denoise")
    form = room.form
    form.net_size.setValue("small")
    form.budget.setValue({"steps": 2})
    form.image.set_layer(room.viewer.layers["picture"])


def test_the_box_shows_the_preview_and_hides_the_prediction_and_back(room):
    prepare(room, "segment")
    train(room)
    predict(room)
    box = room.panel.train.live.bar.shown
    box.setChecked(True)
    assert ours(room) == ["picture – live preview"]
    box.setChecked(False)
    assert ours(room) == ["picture – prediction"]
    room.panel.show_page("train")
    room.train(2)  # the user has switched it off, so off it stays
    assert ours(room) == ["picture – prediction"]


def test_an_eye_that_the_user_closed_opens_with_the_next_training(room):
    prepare(room, "segment")
    train(room)
    room.viewer.layers["picture – live preview"].visible = False
    train(room)
    assert ours(room) == ["picture – live preview"]


def test_an_earlier_moment_is_seen_after_a_prediction(room):
    prepare(room, "segment")
    train(room)
    predict(room)
    training = room.panel.train.training
    moment = Snapshot(1, 0.1, training.model.model)
    room.panel.train.progress.history.moved.emit(moment)
    assert ours(room) == ["picture – live preview"]


def test_a_prediction_from_its_own_page_is_seen_as_well(room):
    prepare(room, "segment")
    train(room)
    room.panel.show_page("predict")
    page = room.panel.predict
    page.choose(room.panel.session.models[-1], room.viewer.layers["picture"])
    room.click(page.footer.predict)
    room.idle()
    assert ours(room) == ["picture – prediction"]


# What the user has made his own


def test_what_was_painted_on_is_kept_and_hidden(room):
    prepare(room, "segment")
    train(room)
    for _ in range(2):
        predict(room)
        layer = room.viewer.layers["picture – prediction"]
        layer.data_setitem((np.array([3]), np.array([4])), 7)
        room.panel.show_page("train")
    predict(room)
    predict(room)
    assert ours(room) == ["picture – prediction"]
    names = [layer.name for layer in room.viewer.layers]
    assert names == [
        "picture",
        "picture – prediction (edited)",
        "picture – prediction (edited) [1]",
        "picture – prediction (previous)",
        "picture – prediction",
        "picture – live preview",
        "strokes",
    ]
    for name in names[1:3]:
        assert room.viewer.layers[name].data[3, 4] == 7


@pytest.mark.parametrize("mark", ["name", "locked", "copy", "chosen"])
def test_what_the_user_named_locked_copied_or_learned_from_is_kept(room, mark):
    prepare(room, "segment")
    room.form.budget.setValue({"steps": 20})  # it has to find both classes, to be learned from
    train(room)
    predict(room)
    layer = room.viewer.layers["picture – prediction"]
    if mark == "copy":
        layer = type(layer).create(*layer.as_layer_data_tuple())
        room.viewer.add_layer(layer)
    elif mark == "chosen":
        assert len(np.unique(layer.data)) == 2
        room.form.labels.set_layer(layer)
        train(room)
    else:
        setattr(layer, mark, "mine" if mark == "name" else True)
    for _ in range(3):
        predict(room)
    assert layer in room.viewer.layers
    others = [x for x in room.viewer.layers if RESULT in x.metadata and x is not layer]
    assert len(others) == 3  # the newest one, the one before, and the preview


def test_an_image_that_others_were_predicted_from_is_kept(room):
    prepare(room, "segment")
    prepare_denoising(room)
    train(room, "denoise")
    predict(room)
    denoised = room.viewer.layers["picture – denoised"]
    denoiser = room.panel.session.models[-1]
    page = room.panel.predict
    for image in (denoised, *3 * [room.viewer.layers["picture"]]):
        page.choose(denoiser, image)
        room.click(page.footer.predict)
        room.idle()
    assert denoised in room.viewer.layers


def test_refined_labels_are_no_edits(room):
    prepare(room, "segment")
    train(room)
    predict(room)
    refine = room.panel.predict.refine
    room.wait(lambda: refine._session is not None)
    refine.form.object_class.setValue(1)
    refine.form.editors["output"].setValue("objects")
    room.wait(refine.apply.isEnabled)
    refine.apply.click()
    room.wait(lambda: not refine.applier.running)
    for _ in range(2):
        predict(room)
    assert [x.name for x in room.viewer.layers if RESULT in x.metadata] == [
        "picture – prediction (previous)",
        "picture – prediction",
        "picture – live preview",
    ]


# What goes wrong


def test_a_prediction_that_fails_changes_nothing(room, monkeypatch):
    prepare(room, "segment")
    train(room)
    predict(room)
    room.panel.train.live.bar.shown.setChecked(True)
    before = [(layer, layer.name, layer.visible) for layer in room.viewer.layers]

    def fail(*_, **__):
        raise InputError("No memory is left")

    with monkeypatch.context() as patched:
        patched.setattr("napari_unet.widgets.layers.results.allocate_result", fail)
        predict(room)
    after = [(layer, layer.name, layer.visible) for layer in room.viewer.layers]
    assert after == before

    with monkeypatch.context() as patched:
        patched.setattr(InProcessWorker, "run", fail)
        predict(room)
    after = [(layer, layer.name, layer.visible) for layer in room.viewer.layers]
    assert after == before
    room.panel.train.live.bar.shown.setChecked(False)
    assert ours(room) == ["picture – prediction"]


def test_a_result_removed_by_the_user_is_no_trouble(room):
    prepare(room, "segment")
    train(room)
    predict(room)
    room.viewer.layers.remove("picture – prediction")
    predict(room)
    assert ours(room) == ["picture – prediction"]
    train(room)
    assert ours(room) == ["picture – live preview"]


def test_no_preview_is_left_when_the_panel_closes(room):
    other, room.panel = room.panel, UNetPanel(room.viewer)
    prepare(room, "segment")
    train(room)
    predict(room)
    train(room)
    assert ours(room) == ["picture – live preview"]
    room.panel.release()
    room.panel.deleteLater()
    assert seen(room) == ["picture", "picture – prediction", "strokes"]
    # Another panel knows the results of the one that was closed.
    room.panel = other
    page = other.predict
    page.choose(other.session.models[-1], room.viewer.layers["picture"])
    for _ in range(2):
        room.click(page.footer.predict)
        room.idle()
    assert seen(room) == ["picture", "picture – prediction", "strokes"]
    assert len(room.viewer.layers) == 4


def test_the_thumbnail_of_a_preview_follows(room):
    prepare(room, "segment")
    train(room)
    layer = room.viewer.layers["picture – live preview"]
    assert isinstance(room.viewer.layers["picture"], Image)
    before = layer.thumbnail.copy()
    train(room)
    layer.data[...] = 1
    room.panel.train.live.preview._layers_of[room.viewer.layers["picture"]].labels._draw_thumbnail()
    assert not np.array_equal(layer.thumbnail, before)


# Previews whose image is gone, and the eye of a preview


@pytest.mark.parametrize("task", ["segment", "denoise"])
def test_the_previews_of_an_image_go_with_it(room, task):
    prepare(room, task)
    train(room, task)
    room.viewer.layers.remove("picture")
    room.wait(lambda: preview_name(task) not in room.viewer.layers)
    room.viewer.add_image(two_classes()[0], name="picture")
    form = room.form
    form.image.set_layer(room.viewer.layers["picture"])
    train(room, task)
    assert ours(room) == [preview_name(task)]


def test_all_layers_may_be_removed_at_once(room):
    prepare(room, "segment")
    train(room)
    room.viewer.layers.select_all()
    room.viewer.layers.remove_selected()
    room.qtbot.wait(50)
    assert list(room.viewer.layers) == []


@pytest.mark.parametrize("task", ["segment", "denoise"])
def test_the_eye_of_a_preview_and_the_box_say_the_same(room, task):
    prepare(room, task)
    train(room, task)
    box = room.panel.train.live.bar.shown
    layer = room.viewer.layers[preview_name(task)]
    layer.visible = False
    assert not box.isChecked()
    layer.visible = True
    assert box.isChecked()
    layer.visible = False
    train(room, task)  # opens it
    assert box.isChecked()
    assert ours(room) == [preview_name(task)]


def test_comparing_moves_eyes_but_not_the_box(room):
    prepare(room, "denoise")
    train(room, "denoise")
    live = room.panel.train.live
    for mode in ("Blink", "Split", "After"):
        live.compare.set_mode(mode)
        assert live.bar.shown.isChecked()
    assert room.viewer.layers["picture – preview"].visible
