"""Scrubbing through a training."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor

from napari_unet.data.normalisation import Normalisation
from napari_unet.model import TrainedModel
from napari_unet.network.unet_config import UNetConfig
from napari_unet.training.events import Snapshot
from napari_unet.widgets.qt.style import Palette
from napari_unet.widgets.train.history import HANDLE, History, HistorySlider, describe


def moment(step, score=0.5, seconds=None):
    facts = {"validation": {"IoU": (score,), "loss": 1 - score, "pixels": 9}}
    model = TrainedModel(
        UNetConfig(),
        {"w": np.zeros(8, np.uint8)},
        Normalisation("none", (0.0,), (1.0,)),
        training=facts if score else {},
    )
    return Snapshot(step, step / 10 if seconds is None else seconds, model)


@pytest.fixture
def scrub(qtbot):
    scrub = HistorySlider(Palette.of("dark"), History(5))
    qtbot.addWidget(scrub)
    scrub.seen = []
    scrub.moved.connect(scrub.seen.append)
    return scrub


def filled(scrub, scores=(0.3, 0.7, 0.5)):
    moments = [moment(100 * (k + 1), score) for k, score in enumerate(scores)]
    for kept in moments:
        scrub.add(kept)
    return moments


def test_it_hides_until_there_is_something_to_choose(scrub):
    assert scrub.isHidden()
    scrub.add(moment(1))
    assert scrub.isHidden()
    scrub.add(moment(2))
    assert not scrub.isHidden()
    scrub.clear()
    assert scrub.isHidden()


def test_it_begins_at_now_and_stays_there_as_moments_come(scrub):
    moments = filled(scrub)
    assert scrub.selected is None
    assert scrub.slider.value() == scrub.slider.maximum() == len(moments)
    assert scrub.seen == []
    assert scrub.label.text() == "now · best: step 200 · 0:20 · IoU 0.70"
    assert not scrub.branch.isEnabled()


def test_the_keyboard_goes_through_the_moments(scrub, qtbot):
    moments = filled(scrub)
    scrub.show()
    for _ in range(2):
        qtbot.keyClick(scrub.slider, Qt.Key.Key_Left)
    assert scrub.seen == [moments[2], moments[1]]
    assert scrub.label.text() == "step 200 · 0:20 · IoU 0.70 · best"
    qtbot.keyClick(scrub.slider, Qt.Key.Key_End)
    assert scrub.seen[-1] is None
    assert scrub.slider.accessibleDescription() == scrub.label.text()


def test_what_is_looked_at_stays_whatever_comes(scrub):
    moments = filled(scrub)
    scrub.slider.setValue(1)
    for step in range(400, 2000, 100):
        scrub.add(moment(step))
        assert scrub.selected is moments[1]
        assert scrub.history.items[scrub.slider.value()] is moments[1]
    assert scrub.seen == [moments[1]]
    assert len(scrub.history.items) == 5
    scrub.slider.setValue(scrub.slider.maximum())
    assert scrub.seen == [moments[1], None]


def test_buttons_say_which_moment_they_mean(scrub, qtbot):
    moments, kept, branched = filled(scrub), [], []
    scrub.kept.connect(kept.append)
    scrub.branched.connect(branched.append)
    scrub.show()
    qtbot.mouseClick(scrub.keep, Qt.MouseButton.LeftButton)
    scrub.slider.setValue(0)
    qtbot.mouseClick(scrub.keep, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(scrub.branch, Qt.MouseButton.LeftButton)
    assert kept == [None, moments[0]]
    assert branched == [moments[0]]


def test_a_moment_that_was_kept_is_not_thinned_out(scrub):
    moments = filled(scrub, (0.3, 0.4, 0.5))
    scrub.slider.setValue(1)
    scrub.keep.click()
    scrub.slider.setValue(scrub.slider.maximum())
    for step in range(400, 2000, 100):
        scrub.add(moment(step, 0.6))
    assert moments[1] in scrub.history.items


def test_a_moment_that_was_only_looked_at_is(scrub):
    moments = filled(scrub, (0.3, 0.4, 0.5))
    scrub.slider.setValue(1)
    scrub.slider.setValue(scrub.slider.maximum())
    for step in (3200, 6400, 12800, 25600):
        scrub.add(moment(step, 0.6))
    assert len(scrub.history.items) == 5
    assert moments[1] not in scrub.history.items


def test_after_the_training_the_right_end_is_its_end(scrub):
    filled(scrub)
    scrub.set_live(False)
    assert scrub.label.text().startswith("the end · best")
    assert not scrub.keep.isEnabled()
    scrub.slider.setValue(0)
    assert scrub.keep.isEnabled()


def test_the_best_is_marked_in_another_colour(scrub):
    filled(scrub)
    scrub.resize(300, 120)
    scrub.show()
    palette = Palette.of("light")
    scrub.set_palette(palette)
    picture = scrub.slider.grab().toImage()
    y = scrub.slider.height() - 4
    marked = [
        x for x in range(picture.width()) if picture.pixelColor(x, y) == QColor(palette.contrast)
    ]
    middle = scrub.slider.x_of(1)
    assert marked
    assert all(abs(x - middle) < 6 for x in marked)
    assert scrub.slider.x_of(0) == HANDLE / 2


def test_moments_without_a_score_are_told_all_the_same():
    assert describe(moment(1200, 0, 61)) == "step 1,200 · 1:01"
    kept = moment(5)
    kept.model.training["validation"] = {"loss": 0.25, "pixels": 3}
    assert describe(kept) == "step 5 · 0:00 · loss 0.250"
    kept.model.training["validation"] = {"IoU": (None, 1.0), "loss": 0.25, "pixels": 30}
    assert describe(kept) == "step 5 · 0:00 · IoU too few to tell"


def test_the_moment_of_least_loss_is_offered_and_named(scrub):
    moments = filled(scrub, (0.3, 0.7, 0.5))
    least = moment(150, 0.4)
    scrub.add_least(least)
    assert scrub.history.items == (moments[0], least, *moments[1:])
    scrub.slider.setValue(1)
    assert scrub.selected is least
    assert scrub.label.text() == f"{describe(least)} · lowest held-out loss"
    scrub.slider.setValue(0)
    assert "least" not in scrub.label.text()
    for step in range(400, 1000, 100):  # it stays, however many come
        scrub.add(moment(step))
    assert least in scrub.history.items
    scrub.clear()
    assert scrub.least is None


def test_a_moment_that_is_there_already_is_not_offered_twice(scrub):
    moments = filled(scrub)
    scrub.add_least(moment(200, 0.7, seconds=20.004))
    assert scrub.history.items == tuple(moments)
    scrub.slider.setValue(1)
    assert scrub.label.text().endswith("· best · lowest held-out loss")


def test_the_end_is_not_said_to_be_worse_than_it_is(scrub):
    filled(scrub)
    scrub.set_live(False)
    scrub.set_end(moment(400, score=0.6).model)
    assert scrub.label.text() == "the end · best: step 200 · 0:20 · IoU 0.70"
    scrub.set_end(moment(400, score=0.8).model)
    assert scrub.label.text() == "the end"
    scrub.clear()
    filled(scrub)
    assert "best" in scrub.label.text()
