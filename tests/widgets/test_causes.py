"""Every notice goes with its cause, and every error is said once: a table of both."""

from __future__ import annotations

import numpy as np
import pytest

import napari_unet
from napari_unet.errors import TrainingError
from napari_unet.training.advice import FEW_AFTER
from napari_unet.training.events import Snapshot, Started, Stepped, StrokesChanged, Suggested
from napari_unet.workers.process import InProcessWorker
from tests.widgets.conftest import two_classes


def said(room, notes):
    """Return what the pages and the notifications say, each sentence as often as it is said."""
    train, predict = room.panel.train, room.panel.predict
    lines = [*train.notice.text().splitlines(), *predict.notice.text().splitlines()]
    places = [train.form.reading, predict.form.compatibility]
    lines += [x.text() for x in places if not x.isHidden() and x.property("unet") != "faint"]
    return lines + [text for _, text in notes]


def gone(room, notes, part):
    room.wait(lambda: not any(part in line for line in said(room, notes)))


def once(room, notes, part):
    """Wait until a sentence is said, and check that it is said once."""
    room.wait(lambda: any(part in line for line in said(room, notes)))
    room.qtbot.wait(450)  # for what is planned in a thread and may say the same
    assert [part in line for line in said(room, notes)].count(True) == 1


def press_train(room):
    room.click(room.panel.train.footer.train)
    room.idle()


def press_predict(room):
    room.panel.show_page("predict")
    room.click(room.panel.predict.footer.predict)
    room.idle()


def picture(room):
    room.open(two_classes()[0])


def painted(room):
    room.open(*two_classes())
    room.counted({1: 288, 2: 288})


# Causes: what is done wrong.


def nothing_open(room):
    press_train(room)


def no_strokes(room):
    picture(room)
    press_train(room)


def strokes_of_another_size(room):
    image, _ = two_classes()
    room.open(image, two_classes((32, 32))[1])
    press_train(room)


def a_setting_out_of_range(room):
    painted(room)
    room.form.advanced.form.editors["batch_size"].setValue(1000)
    press_train(room)


def pixels_that_are_not_finite(room):
    image, strokes = two_classes()
    room.open(np.full_like(image, np.nan), strokes, contrast_limits=(0, 1))
    press_train(room)


def a_training_that_fails(room, monkeypatch):
    painted(room)

    def fail(*_, **__):
        raise TrainingError("Memory ran out")

    with monkeypatch.context() as patched:
        patched.setattr(InProcessWorker, "run", fail)
        press_train(room)


def no_target(room):
    picture(room)
    room.panel.train.tasks.choice.setValue("restore")
    press_train(room)


def no_model(room):
    press_predict(room)


def a_model_but_no_image(room, model):
    room.panel.session.add("mine", model)
    press_predict(room)


def an_image_with_colours(room, model):
    room.panel.session.add("mine", model)
    room.open(np.zeros((64, 64, 3), np.uint8), rgb=True)
    press_predict(room)


def predicted(room, model):
    room.panel.session.add("mine", model)
    picture(room)
    press_predict(room)


# Cures: what is done about it.


def open_image(room):
    room.viewer.add_image(two_classes()[0], name="another")


def open_strokes(room):
    room.viewer.add_labels(two_classes()[1])


def new_strokes(room):
    room.click(room.form.new)


def right_strokes(room):
    room.form.labels.set_layer(room.viewer.add_labels(two_classes()[1]))


def smaller_batch(room):
    room.form.advanced.form.editors["batch_size"].setValue(2)


def repaired(room):
    room.viewer.layers["picture"].data = two_classes()[0]


def other_network(room):
    room.form.net_size.setValue("medium")


def other_task(room):
    room.panel.train.tasks.choice.setValue("denoise")


def trained_again(room):
    room.train(1)


def strokes_painted(room):
    room.viewer.layers["strokes"].paint((32, 32), 8)


def open_model(room, model):
    room.panel.session.add("mine", model)


def other_image(room):
    open_image(room)
    room.panel.predict.form.image.set_layer(room.viewer.layers["another"])


TABLE = [
    (nothing_open, "There is no image", open_image),
    (no_strokes, "no Labels layer", open_strokes),
    (no_strokes, "no Labels layer", new_strokes),
    (strokes_of_another_size, "differ in shape", right_strokes),
    (a_setting_out_of_range, "less than or equal to 256", smaller_batch),
    (a_setting_out_of_range, "less than or equal to 256", other_task),
    (pixels_that_are_not_finite, "finite", repaired),
    (a_training_that_fails, "Memory ran out", other_network),
    (a_training_that_fails, "Memory ran out", strokes_painted),
    (a_training_that_fails, "Memory ran out", trained_again),
    (no_target, "no target", other_task),
    (no_model, "There is no model", open_model),
    (a_model_but_no_image, "There is no image", open_image),
    (an_image_with_colours, "channels", other_image),
    (predicted, "Predicted in", other_image),
]
"""What is wrong, a part of what is said of it, and what ends it."""


@pytest.fixture(scope="module")
def model():
    return napari_unet.fit(*two_classes(), steps=1, size="small", batch_size=1, threads=1)


@pytest.mark.parametrize(
    ("cause", "part", "cure"), TABLE, ids=[f"{c.__name__}-{r.__name__}" for c, _, r in TABLE]
)
def test_a_notice_goes_with_its_cause(room, notes, monkeypatch, model, cause, part, cure):
    given = {"monkeypatch": monkeypatch, "model": model}

    def do(step):
        wanted = step.__code__.co_varnames[1 : step.__code__.co_argcount]
        step(room, *(given[name] for name in wanted))

    do(cause)
    once(room, notes, part)
    do(cure)
    gone(room, notes, part)


def test_waiting_for_a_second_class_ends_when_it_is_painted(room, notes):
    image, strokes = two_classes()
    room.open(image, np.where(strokes == 1, strokes, 0))
    page = room.panel.train
    room.form.budget.setValue({"seconds": 600})
    room.click(page.footer.train)
    waits = "paint at least one stroke of a second label"
    once(room, notes, waits)
    layer = room.viewer.layers["strokes"]
    layer.selected_label, layer.brush_size = 2, 3
    layer.paint((32, 50), 2)
    gone(room, notes, waits)
    # The stroke is small; it grows, and that is no longer said either.
    few = "Few pixels are painted of class 2"
    once(room, notes, few)
    layer.brush_size = 12
    layer.paint((32, 52), 2)
    gone(room, notes, few)
    assert page.runner.running
    room.click(page.footer.stop)
    room.idle()


def test_a_removed_layer_is_spoken_of_as_long_as_the_training_runs(room, notes):
    painted(room)
    page = room.panel.train
    room.form.budget.setValue({"seconds": 600})
    room.click(page.footer.train)
    room.wait(lambda: page.progress.plot.training.size >= 1)
    room.viewer.layers.remove("picture")
    once(room, notes, "was removed")
    room.click(page.footer.stop)
    room.idle()
    gone(room, notes, "was removed")


def test_what_was_kept_is_said_until_the_next_training(room, notes):
    painted(room)
    room.train(1)
    room.panel.train._keep(Snapshot(1, 0.1, room.panel.train.training.model.model))
    once(room, notes, "Saved as")
    room.train(1)
    gone(room, notes, "Saved as")


def test_that_no_place_stands_out_is_said_until_one_does(room, notes):
    painted(room)
    page = room.panel.train
    room.train(1)
    page.training.started = started()
    page._show_event(Suggested(0, ()))
    once(room, notes, "confident everywhere")
    page._show_event(Suggested(0, ((32, 32),)))
    gone(room, notes, "confident everywhere")
    page._show_event(Suggested(0, ()))
    once(room, notes, "confident everywhere")
    strokes_painted(room)
    gone(room, notes, "confident everywhere")


def started():
    return Started("CPU", 1, 10, None, 60, 8, (64, 64), (32, 32), ("a", "b"), (288, 5), (1, 2))


def test_advice_goes_with_its_cause(room):
    progress = room.panel.train.progress
    progress.show_event(started())
    progress.show_event(Stepped(1, 0.5, 0.1, FEW_AFTER, None, None))
    assert "few strokes" in progress.advice.shown.message
    assert not progress.advice.isHidden()
    progress.show_event(StrokesChanged((288, 300)))
    assert progress.advice.shown is None
    assert progress.advice.isHidden()
    assert progress.advice.said == []


def test_an_error_behind_another_page_is_announced_once(room, notes, monkeypatch):
    room.panel.show_page("predict")
    a_training_that_fails_unseen(room, monkeypatch)
    assert room.panel.train.notice.text() == "Memory ran out."
    assert notes == [("info", "The training has failed: the Train page says why.")]


def a_training_that_fails_unseen(room, monkeypatch):
    painted(room)

    def fail(*_, **__):
        raise TrainingError("Memory ran out")

    with monkeypatch.context() as patched:
        patched.setattr(InProcessWorker, "run", fail)
        room.panel.train.start()
        room.idle()
