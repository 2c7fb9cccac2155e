"""Closing the viewer while it trains, and going on the next day; names that live with strokes."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import QPoint

from napari_unet.runs.folder import CHECKPOINT, FACTS
from napari_unet.runs.state import INTERRUPTED
from napari_unet.training import trainer
from napari_unet.widgets.layers.layer_data import STROKES
from napari_unet.widgets.panel import UNetPanel
from napari_unet.widgets.train.runs import KEEP
from napari_unet.widgets.train.unfinished import OFFER, describe
from tests.widgets.conftest import two_classes


@pytest.fixture
def runs(monkeypatch, own_folders):
    """Trainings are kept, with a checkpoint after every step."""
    KEEP.remember(True)
    for name in ("RUN_CHECKPOINT", "FIRST_RUN_CHECKPOINT"):
        monkeypatch.setattr(trainer, name, 0.0)
    monkeypatch.setattr("napari_unet.training.budget.SAVING_SHARE", 1e9)
    return own_folders


def closed_while_training(room, runs):
    """Open layers, train in another panel, and close it in the middle, as napari does."""
    image, strokes = two_classes()
    room.viewer.add_image(image, name="nuclei")
    room.viewer.add_labels(strokes, name="strokes")
    panel = UNetPanel(room.viewer)
    panel.train.runs.keep.setChecked(True)
    form = panel.train.form
    form.net_size.setValue("small")
    form.budget.setValue({"steps": 60})
    form.advanced.form.editors["batch_size"].setValue(2)
    room.wait(lambda: form.strokes.painted.pixels == {1: 288, 2: 288})
    form.strokes.table.item(0, 1).setText("dark")
    panel.train.start()
    room.wait(lambda: list(runs.glob(f"*/{CHECKPOINT}")))
    close(room, panel)


def close(room, panel):
    """Close a panel, and wait until its training has ended, as the end of a program does."""
    threads = [thread for thread in threading.enumerate() if thread.name == "napari-unet"]
    panel.release()
    panel.deleteLater()
    room.wait(lambda: not any(thread.is_alive() for thread in threads))


def offered(room):
    page = room.panel.train
    page.unfinished.look(page.runs.folder)
    room.wait(lambda: page.offer.text(OFFER))
    return page


def test_a_training_is_gone_on_with_after_the_viewer_was_closed(room, runs, notes):
    closed_while_training(room, runs)
    page = offered(room)
    run = page.unfinished.run
    assert page.offer.text(OFFER).startswith("Today's training")
    assert f"on “nuclei” was interrupted at step {run.step:,}" in page.offer.text(OFFER)
    go_on, _, _ = page.offer.buttons(OFFER)
    above, form = (part.mapTo(page, QPoint(0, 0)).y() for part in (go_on, page.tasks))
    assert 0 < above < form  # in sight at once, however small the window is
    room.click(go_on)
    room.wait(lambda: page.training.started is not None)
    assert page.offer.text(OFFER) == ""
    room.idle()
    assert page.notice.kind("problem") is None
    (named,) = room.panel.session.models
    facts = named.model.training
    assert facts["steps"] == 60
    assert facts["options"]["batch_size"] == 2
    assert [c.name for c in named.model.classes] == ["dark", "class 2"]
    assert page.form.budget.value() == {"steps": 60}
    assert page.form.net_size.value() == "small"
    assert list(runs.glob(f"*/{CHECKPOINT}")) == []
    assert notes == []


def test_it_waits_until_its_layers_are_open(room, runs):
    closed_while_training(room, runs)
    image, strokes = room.viewer.layers["nuclei"], room.viewer.layers["strokes"]
    room.viewer.layers.clear()
    page = offered(room)
    assert "Open “nuclei” and “strokes” to go on with it." in page.offer.text(OFFER)
    assert not page.offer.buttons(OFFER)[0].isEnabled()
    room.viewer.add_layer(image)
    assert "Open “strokes” to go on" in page.offer.text(OFFER)
    room.viewer.add_layer(strokes)
    assert "Open" not in page.offer.text(OFFER)
    assert page.offer.buttons(OFFER)[0].isEnabled()


def test_its_model_can_be_used_without_its_layers(room, runs):
    closed_while_training(room, runs)
    room.viewer.layers.clear()
    page = offered(room)
    model = page.unfinished.run.checkpoint.model
    room.click(page.offer.buttons(OFFER)[1])
    assert page.offer.text(OFFER) == ""
    assert page.form.start.value().digest == model.digest
    assert page.form.budget.value() == {"steps": 60}
    page.unfinished.look(page.runs.folder)
    room.wait(lambda: not page.unfinished._finder.running)
    assert page.offer.text(OFFER) == ""


def test_dismissed_it_is_not_offered_again(room, runs):
    closed_while_training(room, runs)
    page = offered(room)
    room.click(page.offer.buttons(OFFER)[2])
    assert page.offer.text(OFFER) == ""
    page.unfinished.look(page.runs.folder)
    room.wait(lambda: not page.unfinished._finder.running)
    assert page.offer.text(OFFER) == ""


def test_yesterday_is_called_so(room, runs):
    closed_while_training(room, runs)
    run = offered(room).unfinished.run
    for days, start in (
        (0, "Today's training ("),
        (1, "Yesterday's training on “nuclei”"),
        (2, f"The training of {run.began.astimezone():%Y-%m-%d} on “nuclei”"),
    ):
        later = datetime.now().astimezone() + timedelta(days=days)
        assert describe(run, later).startswith(start)


def test_a_new_panel_offers_it_by_itself(room, runs):
    closed_while_training(room, runs)
    (folder,) = {path.parent for path in runs.glob(f"*/{CHECKPOINT}")}
    assert json.loads((folder / FACTS).read_text())["layers"] == [["nuclei", "strokes"]]
    panel = UNetPanel(room.viewer)
    room.wait(lambda: panel.train.offer.text(OFFER))
    panel.release()
    panel.deleteLater()


# Names of classes


def test_names_of_classes_live_with_the_strokes(room):
    _, layer = room.open(*two_classes())
    room.counted({1: 288, 2: 288})
    room.form.strokes.table.item(1, 1).setText("nucleus")
    assert json.loads(json.dumps(layer.metadata[STROKES])) == {"class_names": {"2": "nucleus"}}
    copy = Labels.create(*layer.as_layer_data_tuple())
    copy.name = "copy"
    room.viewer.add_layer(copy)
    room.form.labels.set_layer(copy)
    room.counted({1: 288, 2: 288})
    assert room.form.names() == {2: "nucleus"}
    panel = UNetPanel(room.viewer)
    room.wait(lambda: panel.train.form.strokes.painted.pixels)
    assert panel.train.form.names() == {2: "nucleus"}
    panel.release()
    panel.deleteLater()


def test_nothing_painted_is_changed_by_a_name(room):
    _, layer = room.open(*two_classes())
    room.counted({1: 288, 2: 288})
    before = layer.data.copy()
    room.form.strokes.table.item(0, 1).setText("cell")
    assert np.array_equal(layer.data, before)


def test_a_new_panel_begins_with_the_settings_of_the_strokes(room):
    _, layer = room.open(*two_classes())
    room.counted({1: 288, 2: 288})
    room.form.zero.setValue("background")
    room.form.advanced.form.editors["batch_size"].setValue(3)
    room.train(2)
    json.dumps(layer.metadata[STROKES])
    panel = UNetPanel(room.viewer)
    form = panel.train.form
    assert form.budget.value() == {"steps": 2}
    assert form.net_size.value() == "small"
    assert form.zero.value() == "background"
    assert form.advanced.form.editors["batch_size"].value() == 3
    panel.release()
    panel.deleteLater()


def test_settings_of_another_version_are_passed_over(room):
    _, layer = room.open(*two_classes())
    layer.metadata[STROKES] = {"settings": {"no_such_option": 1}, "class_names": {"1": "cell"}}
    panel = UNetPanel(room.viewer)
    assert panel.train.form.net_size.value() == "medium"
    assert panel.train.form.names()[1] == "cell"
    panel.release()
    panel.deleteLater()


@pytest.mark.parametrize("steps", [1, 2])
def test_the_end_of_the_panel_is_no_end_of_the_training(room, runs, steps):
    """However fast it reacts: it is not told to stop by the user, and is gone on with."""
    room.open(*two_classes())
    panel = UNetPanel(room.viewer)
    form = panel.train.form
    form.net_size.setValue("small")
    form.advanced.form.editors["batch_size"].setValue(2)
    form.budget.setValue({"steps": 1000})
    room.wait(lambda: form.strokes.painted.pixels == {1: 288, 2: 288})
    panel.train.start()
    room.wait(lambda: panel.train.progress.plot.training.size >= steps)
    close(room, panel)
    (facts,) = (json.loads(path.read_text()) for path in runs.glob(f"*/{FACTS}"))
    assert facts["status"] == INTERRUPTED
    run = offered(room).unfinished.run
    assert steps <= run.step == facts["steps"]


def test_a_training_that_the_user_stopped_is_not_offered(room, runs):
    room.open(*two_classes())
    room.counted({1: 288, 2: 288})
    page = room.panel.train
    page.runs.keep.setChecked(True)
    page.form.budget.setValue({"steps": 1000})
    room.click(page.footer.train)
    room.wait(lambda: page.progress.plot.training.size >= 1)
    room.click(page.footer.stop)
    room.idle()
    page.unfinished.look(page.runs.folder)
    room.wait(lambda: not page.unfinished._finder.running)
    assert page.offer.text(OFFER) == ""
    assert list(runs.glob(f"*/{CHECKPOINT}")) == []
