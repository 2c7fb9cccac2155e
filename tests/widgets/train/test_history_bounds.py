"""What is kept of a training, and what goes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.data.normalisation import Normalisation
from napari_unet.model import TrainedModel
from napari_unet.training.events import Snapshot
from napari_unet.widgets.train.history import Grade, History
from tests.training.toys import CONFIG

BYTES = 400


def moment(elapsed, score=0.5, loss=1.0, pixels=100, step=None, size=BYTES):
    facts = {"validation": {"IoU": (score, score, None), "loss": loss, "pixels": pixels}}
    model = TrainedModel(
        CONFIG,
        {"w": np.zeros(size, np.uint8)},
        Normalisation("none", (0.0,), (1.0,)),
        training={} if score is None else facts,
    )
    return Snapshot(int(10 * elapsed) if step is None else step, elapsed, model)


TIMES = st.lists(st.floats(0, 1e5), min_size=1, max_size=40)


@given(TIMES, st.integers(3, 10), st.integers(3, 10))
def test_it_is_bounded_and_in_order(times, items, models):
    history = History(items, models * BYTES)
    for t in times:
        history.add(moment(t, score=None))
        assert len(history.items) <= min(items, models)
        assert history.bytes <= history.max_bytes
        assert sorted(history.items, key=lambda k: k.elapsed) == list(history.items)
    assert history.items[0].elapsed == min(times)
    assert history.items[-1].elapsed == max(times)


@given(TIMES, st.data())
def test_the_pinned_and_the_best_stay(times, data):
    history, pinned = History(5), []
    for t in sorted(set(times)):
        kept = moment(t, score=data.draw(st.floats(0, 1)))
        history.add(kept)
        if len(pinned) < 2 and data.draw(st.booleans()):
            history.pin(kept)
            pinned.append(kept)
        assert all(any(item is p for item in history.items) for p in pinned)
    seen = [moment(t) for t in times]
    assert len(history.items) <= min(5, len(seen))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_best_of_all_is_still_there(scores):
    history = History(4)
    for t, score in enumerate(scores):
        history.add(moment(t + 1.0, score=score))
    assert Grade.of(history.best.model).score == max(scores)


def test_many_moments_are_spread_evenly_in_log_time():
    history = History(10)
    for t in range(5, 2000):
        history.add(moment(float(t), score=None))
    ratios = np.diff(np.log([item.elapsed for item in history.items]))
    assert len(ratios) == 9
    assert ratios.max() < 3 * np.median(ratios)
    assert sum(item.elapsed < 100 for item in history.items) >= 3


def test_only_pins_may_exceed_the_bounds():
    history = History(3)
    for t in range(1, 6):
        kept = moment(float(t))
        history.add(kept)
        history.pin(kept)
    assert len(history.items) == 5
    history.unpin(history.items[2])
    history.add(moment(6.0))
    assert 3.0 not in [item.elapsed for item in history.items]


def test_the_same_moment_is_kept_once_and_stays_pinned():
    history = History(3)
    for t in (1.0, 2.0):
        history.add(moment(t, score=None))
    history.pin(history.items[1])
    again = moment(2.0, score=None)
    history.add(again)
    assert len(history.items) == 2
    for t in (3.0, 4.0, 5.0):
        history.add(moment(t, score=None))
    assert any(item is again for item in history.items)


def test_scores_on_other_strokes_are_not_compared():
    history = History()
    history.add(moment(1, score=0.9))
    history.add(moment(2, score=0.4, pixels=130))
    history.add(moment(3, score=0.6, pixels=130))
    history.add(moment(4, score=0.5, pixels=130))
    assert history.best.elapsed == 3


def test_level_scores_are_told_apart_by_the_loss():
    history = History()
    for t, loss in ((1, 0.3), (2, 0.2), (3, 0.25)):
        history.add(moment(t, score=1.0, loss=loss))
    assert history.best.elapsed == 2


def test_without_validation_there_is_no_best():
    history = History()
    assert history.best is None
    history.add(moment(1, score=None))
    assert history.best is None
    history.clear()
    assert history.items == ()


def test_a_grade_without_a_score_goes_by_the_loss():
    model = moment(1).model
    model.training["validation"] = {"loss": 0.3, "pixels": 9}
    grade = Grade.of(model)
    assert (grade.metric, grade.score, grade.rank[1]) == ("", None, -0.3)


def test_one_number_for_the_whole_image_is_a_score():
    model = moment(1).model
    model.training["validation"] = {"PSNR": 31.2, "loss": 0.3, "pixels": 9}
    grade = Grade.of(model)
    assert (grade.metric, grade.score, grade.rank) == ("PSNR", 31.2, (31.2, -0.3))
