"""The learning rate: each schedule's shape, and that a training follows it."""

from __future__ import annotations

from math import nan
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from napari_unet.errors import InputError
from napari_unet.training import budget
from napari_unet.training.events import Stepped, StrokesChanged, Validated, Warned
from napari_unet.training.options import TrainingOptions
from napari_unet.training.schedule import (
    END,
    START,
    STEADY_WARM_UP,
    WARM_UP,
    Plateau,
    Schedule,
    one_cycle,
    steady,
    step_decay,
    warm_restarts,
)
from napari_unet.training.trainer import train_network
from tests.training.toys import Toy, options

PROGRESS = st.floats(0, 1)
ALL = ("auto", "one_cycle", "constant", "step", "plateau", "warm_restarts")


def torch_rates(make, steps: int) -> list[float]:
    """The rates that a scheduler of torch gives, from a peak of 1."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, rates = make(optimiser), []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return rates


@given(PROGRESS, PROGRESS)
def test_up_to_the_peak_and_down_again(a, b):
    first, second = sorted((a, b))
    rates = [one_cycle(first), one_cycle(second)]
    assert min(END, START) - 1e-9 <= min(rates) <= max(rates) <= 1 + 1e-9
    if second <= WARM_UP:
        assert rates[0] <= rates[1] + 1e-9
    if first >= WARM_UP:
        assert rates[0] >= rates[1] - 1e-9


def test_its_corners():
    assert one_cycle(0) == pytest.approx(START)
    assert one_cycle(WARM_UP) == pytest.approx(1)
    assert one_cycle(WARM_UP - 1e-6) == pytest.approx(1, abs=1e-4)
    assert one_cycle(1) == pytest.approx(END)
    # The last step of a budget of seconds begins in time and may end late.
    assert one_cycle(1.3) == one_cycle(1)
    assert one_cycle(1, lowest=0.2) == pytest.approx(0.2)


def test_without_an_end_it_rises_and_stays():
    rates = [steady(step) for step in range(2 * STEADY_WARM_UP)]
    assert rates == sorted(rates)
    assert 0 < rates[0] <= 0.1
    assert set(rates[STEADY_WARM_UP:]) == {1.0}
    assert steady(10**6) == 1.0


@given(st.integers(1, 9), st.floats(0.1, 0.9))
@limits(deadline=None, max_examples=20)
def test_steps_are_those_of_torch(every, factor):
    theirs = torch_rates(lambda o: torch.optim.lr_scheduler.StepLR(o, every, factor), 30)
    assert [step_decay(s, every, factor) for s in range(30)] == pytest.approx(theirs)


@given(st.integers(1, 9), st.integers(1, 3), st.floats(0, 0.5))
@limits(deadline=None, max_examples=20)
def test_warm_restarts_are_those_of_torch(first, growth, lowest):
    make = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts
    theirs = torch_rates(lambda o: make(o, first, growth, eta_min=lowest), 60)
    ours = [warm_restarts(step, first, growth, lowest) for step in range(60)]
    assert ours == pytest.approx(theirs, abs=1e-9)


@given(st.integers(5, 50), st.floats(1.2, 3), st.integers(0, 3000))
def test_cycles_that_grow_by_any_factor_stay_between_lowest_and_peak(first, growth, step):
    rate = warm_restarts(step, first, growth, 0.1)
    assert 0.1 - 1e-9 <= rate <= 1
    end_of_second = first + first * growth
    if first <= step < end_of_second:
        later = warm_restarts(min(step + 1, int(end_of_second)), first, growth, 0.1)
        assert later < rate or step + 1 >= end_of_second


def test_after_long_it_still_restarts_at_once():
    assert warm_restarts(10**9, 1, 1.0, 0.0) == 1
    assert 0 <= warm_restarts(10**9, 7, 1.01, 0.0) <= 1


LOSSES = st.lists(st.floats(0.1, 2) | st.just(nan) | st.sampled_from([0.5, 0.6]), max_size=60)


@given(LOSSES, st.integers(1, 6))
@limits(deadline=None, max_examples=50)
def test_a_plateau_is_what_torch_takes_for_one(losses, patience):
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    # torch lets the rate fall after more than `patience` bad ones, we after so many.
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=0.5, patience=patience - 1, eps=0
    )
    ours = Plateau(0.5, patience)
    for loss in losses:
        theirs.step(loss)
        ours.record_loss(loss)
        assert ours.rate == pytest.approx(optimiser.param_groups[0]["lr"])


@pytest.mark.parametrize("name", ALL)
def test_every_schedule_warms_up_and_keeps_between_its_limits(name):
    schedule = Schedule(TrainingOptions(steps=900, schedule=name, lowest_rate=0.1, patience=99))
    rates: list[float] = []
    for step in range(900):
        rates.append(schedule.rate(step, step / 900))
        schedule.record_loss(1.0)
    assert rates[0] <= 0.1
    assert max(rates) == pytest.approx(1)
    assert min(rates[180:]) >= 0.1 - 1e-9
    if name in ("auto", "one_cycle", "plateau"):
        assert rates[-1] == pytest.approx(0.1, abs=1e-4)


def test_auto_is_one_cycle_with_a_budget_and_constant_without():
    within, endless = Schedule(TrainingOptions(steps=9)), Schedule(TrainingOptions(open_ended=True))
    assert within.rate(500, 0.6) == one_cycle(0.6)
    assert [endless.rate(step, 0.0) for step in (0, 500)] == [steady(0), 1.0]


def test_one_cycle_without_an_end_is_refused():
    with pytest.raises(InputError, match=r"^Option schedule: one cycle needs an end: set seconds"):
        TrainingOptions.parse({"open_ended": True, "schedule": "one_cycle", "seconds": 60})
    for name in set(ALL) - {"one_cycle"}:
        assert TrainingOptions.parse({"open_ended": True, "schedule": name}).schedule == name


@pytest.fixture
def ticking(monkeypatch):
    """The keyword that lets each step of a toy take one second."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def tick(size):
        clock.now += 1

    return {"on_batch": tick}


def test_a_training_falls_when_its_validations_bring_nothing(ticking):
    how = options(steps=45, schedule="plateau", patience=5, decay_factor=0.1, learning_rate=0.02)
    rate, judged = 0.0, 0
    for event in train_network(Toy(**ticking), how):
        if isinstance(event, Validated):
            judged += 1
        elif isinstance(event, Stepped):
            before, rate = rate, event.learning_rate
            if event.step > STEADY_WARM_UP:
                # The first one is the best there was; each fifth after it is one too many.
                assert rate == pytest.approx(0.02 * max(0.01, 0.1 ** ((judged - 1) // 5)))
    assert judged > 11
    assert rate == pytest.approx(0.02 * 0.01)
    assert before == rate


def test_new_strokes_are_learned_at_the_peak_again(ticking):
    class Painted(Toy):
        annotations_changed = True

        def sync_annotations(self):
            if len(self.sizes) == 40:
                self.counts = (6, 7)

    how = options(steps=42, schedule="plateau", patience=2)
    events = list(train_network(Painted(**ticking), how))
    (at,) = (i for i, event in enumerate(events) if isinstance(event, StrokesChanged))
    rates = [[e.learning_rate for e in es if isinstance(e, Stepped)] for es in
             (events[:at], events[at:])]  # fmt: skip
    assert rates[0][-1] < 0.1 * how.learning_rate
    assert rates[1][0] == how.learning_rate


def test_without_validations_a_plateau_is_never_seen():
    how = options(steps=60, schedule="plateau", patience=1)
    events = list(train_network(Toy(validates=False), how))
    rates = [e.learning_rate for e in events if isinstance(e, Stepped)]
    assert set(rates[STEADY_WARM_UP:]) == {how.learning_rate}


def test_where_nothing_is_held_out_it_is_said_once_what_comes_of_it():
    def told(**fields):
        how = options(steps=6, test_every=2, **fields)
        events = train_network(Toy(validates=False), how)
        return [e.message for e in events if isinstance(e, Warned)]

    (text,) = told(schedule="plateau", stop_after=3, keep="best")
    assert text == (
        "Nothing is held out for validation, so the learning rate stays at its peak and the "
        "training does not end by itself and the last weights are kept instead of the best."
    )
    assert told() == []
