"""Training from the panel, with real clicks and real, tiny networks."""

from __future__ import annotations

import re
import threading

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog, QPushButton

import napari_unet
from napari_unet.data.augment_options import AugmentOptions
from napari_unet.errors import TrainingError
from napari_unet.geometry.region import Region
from napari_unet.tasks.option_groups import group_of
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.training.events import (
    Finished,
    Preparing,
    Started,
    Stepped,
    Validated,
    Warned,
)
from napari_unet.widgets.forms.editors import ChoiceEdit, NumberEdit, SwitchEdit, TextEdit
from napari_unet.widgets.forms.layer_combo import LayerCombo
from napari_unet.widgets.models import score_of
from tests.widgets.conftest import at_rest, two_classes


@pytest.fixture
def page(painted):
    return painted.panel.train


def fake_training(monkeypatch, events):
    """Let the panel train with a generator of ours."""
    import napari_unet.api

    calls = []

    def train_task(task, image, labels, options, *, control, **others):
        calls.append({"task": task, "image": image, "labels": labels, "options": options, **others})
        yield from events(control)

    monkeypatch.setattr(napari_unet.api, "train_task", train_task)
    return calls


def started(**changes):
    facts = {
        "device": "CPU",
        "threads": 1,
        "parameters": 10,
        "steps": None,
        "seconds": 60,
        "batch_size": 8,
        "patch": (176, 176),
        "core": (96, 96),
        "class_names": ("class 1", "class 2"),
        "counts": (288, 288),
        "class_values": (1, 2),
    }
    return Started(**{**facts, **changes})


def until_stopped(control):
    yield started()
    step = 0
    while not control.stopped:
        control.wait()
        step += 1
        yield Stepped(step, 1 / step, 1e-3, 31.2, 28.9, 0.5)
        threading.Event().wait(0.005)
    raise TrainingError("Stopped, and there is nothing to keep")


def test_a_click_trains_and_leaves_a_model(painted, page):
    painted.train(steps=5)
    (named,) = painted.panel.session.models
    score = f" · {score_of(named.model)}" if score_of(named.model) else ""
    assert re.fullmatch(rf"picture · \d\d:\d\d{re.escape(score)}", named.name)
    assert named.model.training["steps"] == 5
    assert page.progress.plot.training.size == 5
    assert page.progress.plot.validation.size >= 1
    assert "Trained for 5 steps" in page.footer.summary.text()
    assert not page.footer.summary.isHidden()
    assert page.footer.train.text() == "Train again"
    assert page.footer.progress.isHidden()
    assert not page.form._above.isHidden()


def test_the_model_knows_names_and_colours_of_the_classes(painted, page):
    painted.form.strokes.table.item(0, 1).setText("dark")
    painted.train(steps=1)
    dark, bright = painted.panel.session.models[0].model.classes
    assert (dark.value, dark.name, bright.name) == (1, "dark", "class 2")
    assert dark.color == pytest.approx(painted.form.labels.layer().get_color(1), abs=1e-3)
    assert [s.name for s in page.progress.board.bars.scores] in ([], ["dark", "class 2"])


def test_what_is_asked_of_the_core(painted, page, monkeypatch):
    requests = []
    calls = fake_training(
        monkeypatch, lambda control: iter(requests.append(page.training.request) or ())
    )
    layer = painted.form.image.layer()
    layer.scale = painted.form.labels.layer().scale = (2, 3)
    painted.form.ndim.setValue(2)
    painted.form.zero.setValue("background")
    painted.form.budget.setValue({"seconds": 120})
    painted.click(page.footer.train)
    painted.idle()
    (call,) = calls
    assert call.pop("image") is layer.data
    strokes = painted.form.labels.layer().data
    assert np.array_equal(call.pop("labels").read(Region.whole(strokes.shape)), strokes)
    assert requests[0].pairs[0][1] is strokes
    options = call.pop("options")
    assert set(options.class_colors) == {1, 2}
    assert options == SegmentOptions(
        zero="background",
        seconds=120,
        size="small",
        spacing=(2, 3),
        axes=layer.axis_labels,
        class_colors=options.class_colors,
        make_way=True,
        keep_history=True,
    )
    names = [[origin.name for origin in pair] for pair in call.pop("sources")]
    assert names == [["picture", "strokes"]]
    assert call == {"task": "segment", "ndim": 2, "start": None, "runs": None, "tensorboard": False}


def test_class_weights_can_be_set(painted):
    painted.form.advanced.form.editors["class_weights"].setText("1=2, 2=0.5")
    assert painted.form.request().options.class_weights == {1: 2.0, 2: 0.5}


def test_the_budget_alone_says_whether_a_training_ends(painted):
    form = painted.form
    assert "open_ended" not in form.advanced.form.editors
    form.budget.setValue({"open_ended": True})
    assert form.request().options.open_ended
    form.budget.setValue({"seconds": 120})
    options = form.request().options
    assert (options.open_ended, options.seconds, options.steps) == (False, 120, None)


@pytest.mark.parametrize("name", ["make_way", "keep_history"])
def test_what_the_panel_turns_on_is_shown_and_can_be_turned_off(painted, page, monkeypatch, name):
    calls = fake_training(monkeypatch, lambda control: iter(()))
    painted.click(painted.form.advanced_section.button)
    switch = painted.form.advanced.form.editors[name]
    painted.click(painted.form.advanced.form.sections[group_of(name)].button)
    assert switch.isVisible()
    assert switch.isChecked()
    switch.setChecked(False)
    painted.click(page.footer.train)
    painted.idle()
    assert getattr(calls[0]["options"], name) is False


def test_the_learning_rate_that_is_shown_is_the_one_that_is_used(painted, page, monkeypatch):
    painted.train(steps=1)
    calls = fake_training(monkeypatch, lambda control: iter(()))
    form, rate = painted.form, painted.form.advanced.form.editors["learning_rate"]
    (named,) = painted.panel.session.models

    def used(start, shown):
        form.start.setValue(start)
        if shown is not None:
            rate.setValue(shown)
        painted.click(page.footer.train)
        painted.idle()
        assert calls[-1]["options"].learning_rate == rate.value()
        return rate.value()

    assert used(None, None) == 0.006
    assert used(named, None) == 0.003
    assert used(named, 0.006) == 0.006
    assert calls[-1]["start"] is named.model
    assert used(named, 0.003) == 0.003
    assert used(None, None) == 0.006
    assert used(None, 0.01) == 0.01
    assert used(named, None) == 0.01


def test_while_it_runs_it_says_how_far_it_is(painted, page, monkeypatch):
    fake_training(monkeypatch, until_stopped)
    painted.click(page.footer.train)
    assert page.form._above.isHidden()
    assert page.footer.train.isHidden()
    painted.wait(lambda: page.footer.progress.value() == 500)
    assert "· 0:31 elapsed · 0:29 left · CPU" in page.footer.line.text()
    painted.click(page.footer.stop)
    assert page.footer.line.text() == "Stopping …"
    painted.idle()


def test_until_the_first_step_it_says_what_is_done_and_for_how_long(painted, page, monkeypatch):
    going_on = threading.Event()

    def prepare(control):
        yield Preparing("Measuring the image", 0.4)
        going_on.wait()
        yield from until_stopped(control)

    fake_training(monkeypatch, prepare)
    for _ in range(2):
        going_on.clear()
        painted.click(page.footer.train)
        painted.wait(lambda: page.footer.line.text() == "Measuring the image … 0:01")
        assert page.footer.progress.value() == 400
        going_on.set()
        painted.wait(lambda: page.footer.line.text().startswith("step "))
        painted.click(page.footer.stop)
        painted.idle()
    painted.qtbot.wait(1100)
    assert page.footer.line.text() == "Stopping …"


def test_while_it_waits_for_strokes_no_time_is_counted(room):
    room.open(two_classes()[0])
    room.click(room.form.new)
    room.click(room.panel.train.footer.train)
    room.wait(lambda: room.panel.train.footer.line.text() == "Waiting …")
    room.qtbot.wait(1100)
    assert room.panel.train.footer.line.text() == "Waiting …"
    room.click(room.panel.train.footer.stop)
    room.idle()


def test_pause_resume_and_stop_answer_at_once(painted, page, monkeypatch):
    fake_training(monkeypatch, until_stopped)
    painted.click(page.footer.train)
    painted.wait(lambda: page.progress.plot.training.size > 3)
    painted.click(page.footer.pause)
    assert page.footer.pause.text() == "Resume"
    size = at_rest(painted.qtbot, lambda: page.progress.plot.training.size)
    assert page.footer.line.text().startswith("Paused · ")
    painted.click(page.footer.pause)
    assert page.footer.pause.text() == "Pause"
    painted.wait(lambda: page.progress.plot.training.size > size)
    painted.click(page.footer.pause)
    painted.click(page.footer.stop)
    painted.idle()


def test_stopping_a_real_training_keeps_the_model(painted, page):
    painted.form.budget.setValue({"seconds": 600})
    painted.click(page.footer.train)
    painted.wait(lambda: page.progress.plot.training.size >= 2)
    painted.click(page.footer.stop)
    painted.idle()
    assert len(painted.panel.session.models) == 1
    assert "stopped" in page.footer.summary.text()


def test_the_gui_goes_on_while_it_trains(painted, page):
    painted.form.budget.setValue({"seconds": 600})
    painted.click(page.footer.train)
    painted.wait(lambda: page.progress.plot.training.size >= 1)
    layer = painted.form.labels.layer()
    layer.paint((32, 32), 1)
    painted.viewer.add_image(np.zeros((8, 8)))
    assert page.runner.running
    painted.click(page.footer.stop)
    painted.idle()


def test_an_error_is_shown_and_the_panel_is_idle_again(painted, page, monkeypatch, notes):
    def events(control):
        yield started()
        raise TrainingError("The loss was not finite", todo="Choose a lower learning rate")

    fake_training(monkeypatch, events)
    painted.click(page.footer.train)
    painted.idle()
    text = "The loss was not finite. Choose a lower learning rate."
    assert notes == []
    assert page.notice.text() == text
    assert page.notice.kind("problem") == "error"
    assert page.footer.train.text() == "Train"
    assert not page.form._above.isHidden()
    assert not page.footer.train.isHidden()


def test_an_error_of_torch_is_heard_of_too(painted, page, monkeypatch, notes):
    def events(control):
        yield started()
        raise RuntimeError("CUDA error: device-side assert triggered")

    fake_training(monkeypatch, events)
    painted.click(page.footer.train)
    painted.idle()
    assert notes == []
    text = page.notice.text()
    assert "CUDA error: device-side assert triggered" in text
    assert "Traceback" not in text


def test_an_error_later_does_not_cost_the_model_before(painted, page, monkeypatch):
    painted.train(steps=1)
    fake_training(monkeypatch, lambda control: iter([started(), 1 / 0]))
    painted.click(page.footer.train)
    painted.idle()
    assert len(painted.panel.session.models) == 1
    assert painted.panel.predict.form.model.value() is not None


def test_advice_stands_in_the_panel_and_each_sentence_once(painted, page, monkeypatch, notes):
    advice = [Warned("Few pixels."), Warned("Few pixels."), Warned("No validation.")]
    fake_training(monkeypatch, lambda control: iter([started(), *advice]))
    painted.click(page.footer.train)
    painted.idle()
    assert page.notice.text() == "Few pixels.\nNo validation."
    assert notes == []


def test_scores_come_with_what_they_rest_on(painted, page, monkeypatch):
    scores = Validated(3, 0.5, "IoU", (0.25, None), 1240)
    fake_training(monkeypatch, lambda control: iter([started(), scores]))
    painted.click(page.footer.train)
    painted.idle()
    shown = [(s.name, s.value) for s in page.progress.board.bars.scores]
    assert shown == [("class 1", 0.25), ("class 2", None)]
    assert page.progress.board.caption.text() == "1,240 held-out pixels"
    page.footer.show_finished(Finished(None, "budget", 3, 1.0), scores)
    assert page.footer.summary.text().endswith("Mean IoU: too few to tell.")
    assert not page.progress.board.bars.isHidden()


def test_saving_and_opening_a_model(painted, page, tmp_path, monkeypatch, notes):
    painted.train(steps=1)
    path = tmp_path / "mine.safetensors"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (str(path), ""))
    painted.click(page.footer.save)
    painted.wait(path.is_file)
    painted.wait(lambda: notes != [])
    assert notes == [("info", f"Saved {path}")]
    model = painted.panel.session.models[0].model
    assert napari_unet.load_model(path).digest == model.digest


def test_a_file_that_cannot_be_written_is_said(painted, page, tmp_path, monkeypatch, notes):
    painted.train(steps=1)
    path = tmp_path / "nowhere" / "mine.safetensors"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (str(path), ""))
    painted.click(page.footer.save)
    painted.wait(lambda: notes != [])
    assert "could not be saved" in notes[0][1]
    assert not page.footer.save.isHidden()


def test_saving_can_be_called_off(painted, page, monkeypatch):
    painted.train(steps=1)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: ("", ""))
    painted.click(page.footer.save)
    assert not page._saver.running


@pytest.mark.parametrize("which", ["image", "labels"])
def test_a_layer_removed_while_training(painted, page, which, notes):
    layer = getattr(painted.form, which).layer()
    painted.form.budget.setValue({"seconds": 600})
    painted.click(page.footer.train)
    painted.wait(lambda: page.progress.plot.training.size >= 1)
    painted.viewer.layers.remove(layer)
    assert f"“{layer.name}” was removed; the training continues" in page.notice.text()
    size = page.progress.plot.training.size
    painted.wait(lambda: page.progress.plot.training.size > size)
    painted.click(page.footer.stop)
    painted.idle()
    assert len(painted.panel.session.models) == 1
    assert page.footer.predict.isEnabled() == (which == "labels")
    assert notes == []


def test_new_strokes_by_a_click_and_painted_with_the_mouse(room, qtbot):
    image, _ = two_classes()
    layer, _ = room.open(image, scale=(3, 2), translate=(5, 6))
    assert room.form.new.isEnabled()
    room.click(room.form.new)
    strokes = room.form.labels.layer()
    assert room.viewer.layers.selection.active is strokes
    assert strokes.mode == "paint"
    assert tuple(strokes.scale) == (3, 2)
    strokes.paint((10, 10), 1)
    strokes.selected_label = 2
    strokes.paint((10, 50), 2)
    room.wait(lambda: set(room.form.strokes.painted.pixels) == {1, 2})
    assert np.array_equal(layer.data, image)


def test_without_an_image_there_is_nothing_to_paint_on(room):
    assert not room.form.new.isEnabled()


def test_a_newcomer_is_told_what_to_do_next(room):
    hint = room.form.strokes._hint
    assert "Open Sample" in hint.text()
    room.open(two_classes()[0])
    assert "Press “New strokes layer”" in hint.text()
    room.click(room.form.new)
    assert "Press M" in hint.text()
    assert not hint.isHidden()


def test_the_strokes_that_belong_to_the_image_are_found(room):
    small, _ = room.open(*two_classes((32, 32)))
    large = room.viewer.add_image(np.zeros((3, 48, 48)))
    strokes = room.viewer.add_labels(np.zeros((48, 48), np.uint8))
    room.form.image.set_layer(large)
    assert room.form.labels.layer() is strokes
    room.form.image.set_layer(small)
    assert room.form.labels.layer().data.shape == (32, 32)


def test_a_custom_network_is_set_in_full_and_trained(painted, page):
    painted.form.net_size.setValue("custom")
    assert not painted.form.network.isHidden()
    assert not painted.form.ndim.isEnabled()
    editor = painted.form.network
    editor.form.editors["encoder"].setText("4, 4")
    editor.form.editors["bottom"].setText("8")
    editor.form.editors["decoder"].setText("4")
    for name in ("poolings", "kernels", "dropout", "filters"):
        editor.form.editors[name].setText("")
    painted.train(steps=1)
    config = painted.panel.session.models[0].model.config
    assert (config.encoder, config.bottom, config.decoder) == (((4, 4),), (8,), ((4,),))


def test_a_custom_network_that_cannot_be_is_refused(painted, page):
    painted.form.net_size.setValue("custom")
    painted.form.network.form.editors["head_kernel"].setText("2, 2")
    painted.click(page.footer.train)
    assert "must be odd" in page.notice.text()
    assert not page.runner.running


@pytest.fixture
def advanced(painted):
    assert painted.form.advanced.isHidden()
    painted.click(painted.form.advanced_section.button)
    assert not painted.form.advanced.isHidden()
    return painted.form.advanced


def test_advanced_settings_are_folded_away_and_go_into_the_training(painted, page, advanced):
    advanced.form.editors["batch_size"].setValue(2)
    advanced.form.editors["threads"].setValue(1)
    advanced.form.editors["augment"].setValue(AugmentOptions(blur=0.5))
    painted.train(steps=1)
    options = painted.panel.session.models[0].model.training["options"]
    assert options["batch_size"] == 2
    assert options["augment"]["blur"] == 0.5


def test_an_advanced_setting_out_of_its_range_is_refused(painted, page, advanced):
    advanced.form.editors["batch_size"].setValue(1000)
    painted.click(page.footer.train)
    assert page.notice.text() == "Batch size: Should be less than or equal to 256."
    assert not page.runner.running


def test_the_network_that_follows_is_shown_before_anything_is_trained(painted, advanced):
    painted.wait(lambda: advanced.network.table.rowCount() > 5)
    first = advanced.network.table.item(0, 0).text()
    assert first == "input"
    small = advanced.network.facts.text()
    painted.form.net_size.setValue("large")
    painted.wait(lambda: advanced.network.facts.text() != small)
    painted.wait(lambda: not advanced._planner.running)


def test_the_budget_can_be_any_time_or_number_of_steps(painted):
    budget = painted.form.budget
    for value in ({"seconds": 30}, {"seconds": 600}, {"seconds": 77}, {"steps": 5}):
        budget.setValue(value)
        assert budget.value() == value
    budget.choice.setValue(60)
    assert budget.value() == {"seconds": 60}
    assert budget.number.isHidden()


def test_every_field_has_a_tooltip(painted, advanced):
    fields = [
        editor
        for form in (painted.form, painted.panel.predict)
        for kind in (ChoiceEdit, NumberEdit, TextEdit, SwitchEdit, LayerCombo, QPushButton)
        for editor in form.findChildren(kind)
        if editor.property("unet") != "fold"
    ]

    def explained(widget):
        return widget is not None and bool(widget.toolTip() or explained(widget.parentWidget()))

    assert len(fields) > 50
    assert [f for f in fields if not explained(f)] == []


def test_what_is_painted_and_named_later_has_its_colour_and_name_in_the_model(painted, page):
    painted.form.budget.setValue({"open_ended": True})
    painted.click(page.footer.train)
    painted.wait(lambda: page.progress.plot.training.size > 0)
    layer = painted.form.labels.layer()
    layer.selected_label, layer.brush_size = 7, 5
    layer.paint((50, 32), 7)
    painted.wait(lambda: len(page.progress.names) == 3)
    painted.wait(lambda: 7 in painted.form.strokes.painted.pixels)
    painted.form.strokes.table.item(2, 1).setText("vesicle")
    painted.click(page.footer.stop)
    painted.idle()
    classes = page.training.model.model.classes
    assert [(c.value, c.name) for c in classes][2] == (7, "vesicle")
    assert classes[2].color == pytest.approx(tuple(layer.get_color(7)), abs=1e-3)
