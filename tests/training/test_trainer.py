"""The loop: what it says and in what order, how it ends, and what it survives."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_unet.control import Control, Viewport
from napari_unet.errors import OutOfMemoryError, TrainingError
from napari_unet.geometry.region import Region
from napari_unet.training import budget
from napari_unet.training.events import (
    Finished,
    Previewed,
    Snapshot,
    Started,
    Stepped,
    Suggested,
    Validated,
    Warned,
)
from napari_unet.training.optimiser import ExponentialMovingAverage
from napari_unet.training.schedule import one_cycle
from napari_unet.training.task import Batch
from napari_unet.training.trainer import train_network
from tests.training.toys import CONFIG, Toy, options


def names(events) -> list[str]:
    return [type(event).__name__ for event in events]


def same_weights(a, b) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is told what time it is."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def ticking(clock, **kwargs) -> Toy:
    """A toy whose steps take one second each."""

    def tick(size):
        clock.now += 1

    return Toy(on_batch=tick, **kwargs)


def test_events_come_in_order(clock):
    toy = Toy(warnings=("Mind the gap.", "Mind the step."))
    events = list(train_network(toy, options(steps=3)))
    expected = ["Started", "Warned", "Warned", "Stepped", "Stepped", "Stepped"]
    assert names(events) == [*expected, "Validated", "Finished"]
    assert [e.message for e in events[1:3]] == ["Mind the gap.", "Mind the step."]
    assert [e.step for e in events[3:]] == [1, 2, 3, 3, 3]
    assert toy.settled == 1


def test_who_stops_it_does_not_wait_for_a_last_validation(clock):
    control = Control()
    toy = Toy(on_batch=lambda size: control.stop())
    events = list(train_network(toy, options(steps=3), control))
    assert names(events) == ["Started", "Stepped", "Finished"]
    assert toy.settled == 1


def test_the_start_says_what_is_ahead():
    toy = Toy()
    started = next(train_network(toy, options(steps=3, seconds=60, threads=1)))
    assert started == Started(
        device="CPU",
        threads=1,
        parameters=sum(p.numel() for p in toy.network.parameters()),
        steps=3,
        seconds=60,
        batch_size=2,
        patch=toy.input_shape,
        core=(2, 2),
        class_names=("below", "above"),
        counts=(5, 7),
        class_values=(1, 2),
    )


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_budget_of_steps_is_kept_exactly(steps):
    toy = Toy(validates=False)
    events = list(train_network(toy, options(steps=steps, learning_rate=0.01)))
    assert names(events) == ["Started", *["Stepped"] * steps, "Finished"]
    assert [e.step for e in events[1:]] == [*range(1, steps + 1), steps]
    assert [e.progress for e in events[1:-1]] == [k / steps for k in range(1, steps + 1)]
    rates = [0.01 * one_cycle(k / steps) for k in range(steps)]
    assert [e.learning_rate for e in events[1:-1]] == pytest.approx(rates)
    assert len(toy.sizes) == steps
    assert (events[-1].reason, events[-1].model.training["steps"]) == ("budget", steps)


@pytest.mark.parametrize(
    ("budget", "steps"), [({"seconds": 5}, 5), ({"seconds": 5, "steps": 3}, 3),
                          ({"seconds": 5, "steps": 300}, 5)]
)  # fmt: skip
def test_the_first_budget_to_be_used_up_ends_it(clock, budget, steps):
    events = list(train_network(ticking(clock, validates=False), options(**budget)))
    assert events[-1].step == steps
    stepped = [e for e in events if isinstance(e, Stepped)]
    assert [e.elapsed for e in stepped] == list(range(1, steps + 1))
    limit = min(5, budget.get("steps", 5))
    assert [e.remaining for e in stepped] == pytest.approx([limit - e.elapsed for e in stepped])
    assert stepped[-1].progress == 1


def test_seconds_are_seconds():
    began = time.monotonic()
    events = list(train_network(Toy(), options(seconds=0.5)))
    assert time.monotonic() - began >= 0.5
    assert 0.5 <= events[-1].elapsed < 5
    assert events[-1].step > 3


def test_a_pause_does_not_count(clock):
    class Paused(Control):
        def wait(self, timeout=None):
            clock.now += 100
            self.resume()
            return 100.0

    control, events = Paused(), []
    for event in train_network(ticking(clock, validates=False), options(seconds=4), control):
        control.pause()
        events.append(event)
    assert events[-1].step == 4
    assert [e.elapsed for e in events if isinstance(e, Stepped)] == [1, 2, 3, 4]
    assert events[-1].elapsed == 4
    assert clock.now >= 404


def test_a_pause_answers_what_is_asked_and_looked_at():
    control, seen = Control(), []
    view = Viewport((), Region((0, 0), (2, 2)))
    for event in train_network(Toy(validates=False), options(steps=30), control):
        match event:
            case Stepped(step=20):
                control.pause()
                control.look(view)
                control.ask("keep")
            case Snapshot(step=20):
                control.ask("suggest")
                control.ask("preview")
                seen.append("kept")
            case Suggested() | Previewed(step=20):
                seen.append(type(event).__name__)
                if len(seen) == 4:
                    control.resume()
    assert sorted(seen) == ["Previewed", "Previewed", "Suggested", "kept"]
    assert event.step == 30


def test_what_is_asked_before_the_first_step_is_answered_after_it():
    control = Control()
    control.ask("keep")
    events = list(train_network(Toy(validates=False), options(steps=2), control))
    assert names(events) == ["Started", "Stepped", "Snapshot", "Stepped", "Finished"]


def test_history_is_kept_at_growing_intervals(clock):
    events = list(
        train_network(ticking(clock, validates=False), options(seconds=100, keep_history=True))
    )
    kept = [e.elapsed for e in events if isinstance(e, Snapshot)]
    assert kept[0] == 5
    gaps = np.diff(kept)
    assert (gaps >= 1).all()
    assert gaps[-1] > 3 * gaps[0]
    assert 8 <= len(kept) <= 20


def test_what_is_kept_is_what_would_be_saved_then():
    control = Control()
    for event in train_network(Toy(), options(steps=9), control):
        if isinstance(event, Stepped) and event.step == 8:
            control.pause()
            control.ask("keep")
        if isinstance(event, Snapshot):
            kept = event.model
            control.stop()
    assert event.step == kept.training["steps"] == 8
    assert same_weights(kept.weights, event.model.weights)


def test_paused_before_the_first_step_it_takes_none():
    control, toy = Control(), Toy()
    control.pause()
    events = []
    thread = threading.Thread(
        target=lambda: events.extend(train_network(toy, options(steps=2), control))
    )
    thread.start()
    time.sleep(0.3)
    assert (thread.is_alive(), toy.sizes) == (True, [])
    control.resume()
    thread.join(10)
    assert events[-1].step == 2


@pytest.mark.parametrize("paused", [False, True])
def test_stopped_from_another_thread_it_ends_at_once_with_what_it_has(paused):
    control, toy, events = Control(), Toy(), []
    running = threading.Event()

    def run():
        for event in train_network(toy, options(steps=10**9), control):
            events.append(event)
            if isinstance(event, Stepped) and event.step == 5:
                running.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert running.wait(20)
    if paused:
        control.pause()
        time.sleep(0.1)
    control.stop()
    steps = len(toy.sizes)
    thread.join(20)
    assert not thread.is_alive()
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "stopped"
    assert 5 <= events[-1].step == len(toy.sizes) <= steps + 2


def test_after_a_stop_no_step_is_taken():
    control, seen = Control(), []
    for event in train_network(Toy(), options(steps=100), control):
        seen.append(event)
        if isinstance(event, Stepped) and event.step == 3:
            control.stop()
    after = seen[[getattr(e, "step", 0) for e in seen].index(3) + 1 :]
    assert "Stepped" not in names(after)
    assert after[-1].step == 3


def test_stopped_before_it_begins_it_gives_the_fresh_network():
    control, toy = Control(), Toy()
    fresh = {name: value.clone() for name, value in toy.network.state_dict().items()}
    control.stop()
    events = list(train_network(toy, options(steps=3), control))
    assert names(events) == ["Started", "Finished"]
    assert same_weights(events[-1].model.weights, fresh)


class Spoilt(Toy):
    """Some batches (counted from 1) hold infinities; or are left out, for comparison."""

    def __init__(self, spoilt, leave_out=False):
        super().__init__()
        self.spoilt, self.leave_out, self.number = spoilt, leave_out, 0

    def batch(self, size):
        self.number += 1
        batch = super().batch(size)
        if self.number in self.spoilt:
            if self.leave_out:
                return self.batch(size)
            batch.inputs[0, 0, 5, 5] = torch.inf
        return batch


def test_a_step_whose_loss_is_not_finite_is_left_out_as_if_it_had_not_been():
    events = list(train_network(Spoilt({3, 4}), options(steps=6)))
    warned = [e.message for e in events if isinstance(e, Warned)]
    assert len(warned) == 1
    assert "not finite" in warned[0]
    assert events[-1].step == 6
    weights = events[-1].model.weights
    assert all(np.isfinite(w).all() for w in weights.values())
    *_, clean = train_network(Spoilt({3, 4}, leave_out=True), options(steps=6))
    assert same_weights(weights, clean.model.weights)


def test_nor_is_a_step_taken_whose_gradient_is_not_finite():
    class Steep(Toy):
        def loss(self, outputs, targets):
            loss = super().loss(outputs, targets)
            # 0, with the infinite slope of a square root there.
            return loss + (outputs * 0).abs().sqrt().sum() if len(self.sizes) == 2 else loss

    events = list(train_network(Steep(), options(steps=4)))
    assert sum(isinstance(e, Warned) for e in events) == 1
    weights = events[-1].model.weights
    assert all(np.isfinite(w).all() for w in weights.values())


def test_where_no_loss_is_finite_it_gives_up():
    toy, seen = Spoilt(range(1, 1000)), []
    with pytest.raises(TrainingError, match=r"not finite 10 times in a row.*lower learning rate"):
        seen.extend(event for event in _kept(seen, train_network(toy, options(steps=50))))
    assert names(seen) == ["Started", "Warned"]
    assert toy.number == 10


def _kept(seen, events):
    for event in events:
        seen.append(event)
    yield from ()


def test_bad_steps_that_are_not_in_a_row_are_borne():
    toy = Spoilt({*range(2, 11), *range(12, 21)})
    events = list(train_network(toy, options(steps=5)))
    assert events[-1].step == 5
    assert sum(isinstance(e, Warned) for e in events) == 2


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allo"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda e: str(e)[:30])
def test_where_memory_runs_out_batches_halve_and_it_goes_on(error):
    def on_batch(size):
        if size > 2:
            raise error

    toy = Toy(on_batch)
    events = list(train_network(toy, options(steps=3, batch_size=11)))
    warned = [e.message for e in events if isinstance(e, Warned)]
    assert warned == [
        f"Memory ran out: the training continues with {n} patches per step." for n in (5, 2)
    ]
    assert toy.sizes == [11, 5, 2, 2, 2]
    assert events[-1].step == 3


def test_memory_that_runs_out_in_the_network_is_noticed_too():
    toy = Toy()

    def too_large(module, inputs):
        if len(inputs[0]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    toy.network.register_forward_pre_hook(too_large)
    events = list(train_network(toy, options(steps=2, batch_size=4)))
    assert toy.sizes == [4, 2, 1, 1]
    assert events[-1].step == 2


def test_where_one_patch_is_too_much_it_says_so():
    def on_batch(size):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(OutOfMemoryError, match=r"not enough memory on.*smaller network"):
        list(train_network(Toy(on_batch), options(steps=2, batch_size=4)))
    assert issubclass(OutOfMemoryError, TrainingError)
    assert not issubclass(OutOfMemoryError, RuntimeError)


def test_other_errors_pass_as_they_are():
    def on_batch(size):
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        list(train_network(Toy(on_batch), options(steps=2)))


def test_one_seed_gives_one_network_bit_by_bit():
    config = CONFIG.model_copy(update={"dropout": (0.2, 0.5)})
    runs = []
    for seed in (3, 3, 4):
        *_, finished = train_network(Toy(config=config), options(steps=5, seed=seed))
        runs.append(finished.model.weights)
    assert same_weights(runs[0], runs[1])
    assert not same_weights(runs[0], runs[2])


def test_global_random_states_are_left_alone():
    config = CONFIG.model_copy(update={"dropout": (0.2, 0.5)})
    ours, theirs = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    for _ in train_network(Toy(config=config), options(steps=3)):
        assert torch.equal(torch.get_rng_state(), ours)
    assert torch.equal(torch.get_rng_state(), ours)
    assert (np.random.get_state()[1] == theirs).all()  # noqa: NPY002


@pytest.mark.parametrize("ending", ["finished", "closed", "failed"])
def test_the_number_of_threads_is_given_back(ending):
    before = torch.get_num_threads()
    events = train_network(Spoilt(range(99)) if ending == "failed" else Toy(),
                           options(steps=3, threads=before + 1))  # fmt: skip
    next(events)
    assert torch.get_num_threads() == before + 1
    if ending == "finished":
        list(events)
    elif ending == "closed":
        events.close()
    else:
        with pytest.raises(TrainingError):
            list(events)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_what_is_saved_is_the_running_average(decay):
    toy = Toy()
    mean = {name: w.clone().double() for name, w in toy.network.state_dict().items()}
    step = 0
    for event in train_network(toy, options(steps=20, averaging=decay)):
        if isinstance(event, Stepped):
            step += 1
            horizon = min(step / 4, 20)
            keep = min(decay, horizon / (horizon + 1))
            for name, now in toy.network.state_dict().items():
                mean[name] = keep * mean[name] + (1 - keep) * now.double()
    saved = event.model.weights
    for name, expected in mean.items():
        if name.endswith("num_batches_tracked"):
            assert saved[name] == 20
        else:
            assert np.allclose(saved[name], expected, atol=1e-6)
            exact = np.array_equal(saved[name], toy.network.state_dict()[name])
            assert exact == (decay == 0)


def test_the_average_forgets_where_it_began():
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 1000.0)
    average = ExponentialMovingAverage(network, 0.99)
    torch.nn.init.ones_(network.weight)
    for _ in range(30):
        average.update(network)
    assert average.network.weight.item() == pytest.approx(1, abs=0.05)
    assert not average.network.weight.requires_grad


def test_validation_takes_but_a_small_part_of_the_time(clock):
    class Slow(Toy):
        def validate(self, network, device, step):
            clock.now += 10
            return super().validate(network, device, step)

    toy = Slow(on_batch=lambda size: setattr(clock, "now", clock.now + 5))
    events = list(train_network(toy, options(seconds=1500)))
    validated = sum(isinstance(e, Validated) for e in events)
    # The last one comes when the time is up.
    assert 5 < validated - 1 <= 0.09 * 1500 / 10


def test_the_model_knows_how_well_it_did():
    *_, finished = train_network(Toy(), options(steps=2))
    facts = finished.model.training
    assert facts["validation"] == {"IoU": (0.5, None), "loss": 0.7, "pixels": 12}
    assert facts["seconds"] >= 0
    *_, finished = train_network(Toy(validates=False), options(steps=2))
    assert "validation" not in finished.model.training


def test_the_mean_score_leaves_out_what_has_none():
    assert Validated(1, 0.1, "IoU", (0.5, None, 0.7), 9).mean == pytest.approx(0.6)
    assert Validated(1, 0.1, "IoU", (None,), 9).mean is None
    assert Validated(1, 0.1, "IoU", (None, 1.0), 9).mean is None  # all would be called that


def test_weights_come_plain_and_apart_from_the_loop():
    toy = Toy()
    *_, finished = train_network(toy, options(steps=1))
    weights = finished.model.weights
    assert weights.keys() == toy.network.state_dict().keys()
    before = {name: w.copy() for name, w in weights.items()}
    with torch.no_grad():
        for parameter in toy.network.parameters():
            parameter += 1
    assert same_weights(weights, before)


def test_it_learns():
    """Where the noise is above zero is easy to learn for a network that sees the noise."""
    toy = Toy(validates=False)
    events = list(train_network(toy, options(steps=150, batch_size=16, learning_rate=0.03)))
    losses = [e.loss for e in events if isinstance(e, Stepped)]
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])


def test_a_batch_is_frozen():
    with pytest.raises(AttributeError):
        Batch(torch.zeros(1), torch.zeros(1)).inputs = None
