"""When advice must be given, and when it must not."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.api import train
from napari_unet.network.unet_config import UNetConfig
from napari_unet.training.advice import Adviser
from napari_unet.training.events import ClassesGrew, Started, Stepped, Validated, Warned
from napari_unet.training.trainer import train_network
from tests.training.toys import Toy, options

GOOD = ((90.0, 10.0), (8.0, 92.0))
HELD_OUT = ((40, 10), (10, 40))
NAMES = ("membrane", "cell")


def started(counts=(500, 600), names=NAMES):
    return Started("CPU", 1, 1, None, None, 2, (8, 8), (4, 4), names, counts)


class Run:
    """Feeds a training of ten steps and one validation a second, and collects what is said."""

    def __init__(self, counts=(500, 600), names=NAMES, endless=True):
        self.adviser, self.said, self.endless = Adviser(), [], endless
        self.time, self.step = 0, 0
        self.feed(started(counts, names))

    def feed(self, event):
        new = self.adviser.feed(event)
        self.said += [(self.time, advice) for advice in new]
        return new

    def go(self, seconds, loss=0.5, training=None, learned=GOOD, held_out=HELD_OUT):
        """Pass some time; losses are numbers or functions of the time."""
        for _ in range(seconds):
            self.time += 1
            value = loss(self.time) if callable(loss) else loss
            trained = value if training is None else training(self.time)
            for part in range(10):
                self.step += 1
                at = self.time - 1 + part / 10
                progress = None if self.endless else 0.5
                self.feed(Stepped(self.step, trained, 1e-3, at, None, progress))
            table = learned(self.time) if callable(learned) else learned
            self.feed(Validated(self.step, value, "IoU", (0.6, 0.6), 100, held_out, table))
        return self

    @property
    def keys(self):
        return [advice.key for _, advice in self.said]

    def only(self):
        assert len(self.said) == 1, self.said
        return self.said[0]


def falling(scale=60.0):
    return lambda t: 0.05 + 0.7 * np.exp(-t / scale)


def noisy(loss, part, seed=0):
    random = np.random.default_rng(seed)
    return lambda t: loss(t) * float(np.exp(part * random.normal()))


# No gain


def test_it_says_so_when_training_brings_nothing():
    time, advice = Run().go(300).only()
    assert advice.message.startswith("No improvement for 60 s: more training will not help. New")
    assert 70 <= time <= 110


def test_the_longer_it_took_the_longer_it_waits():
    run = Run().go(400, lambda t: 1 / (1 + t / 20)).go(600, 1 / 21)
    time, advice = run.only()
    assert (
        "No improvement for 4 min" in advice.message or "No improvement for 5 min" in advice.message
    )
    assert 500 < time < 800


@pytest.mark.parametrize("seed", range(5))
def test_noise_neither_hides_that_nor_makes_it_up(seed):
    assert Run().go(300, noisy(lambda t: 0.5, 0.15, seed)).keys == ["no gain"]
    assert Run().go(180, noisy(falling(90), 0.15, seed)).keys == []


def test_spikes_of_the_first_seconds_are_no_matter():
    assert Run().go(150, lambda t: 9.0 if 2 < t < 12 else falling(80)(t)).keys == []
    assert Run().go(150, lambda t: 0.4 if t < 6 else 0.3 + falling(60)(t)).keys == []


def test_a_budget_brings_its_gain_at_the_end():
    assert Run(endless=False).go(300).keys == []


def test_new_strokes_are_given_time_and_then_it_may_be_said_again():
    run = Run().go(120)
    assert run.keys == ["no gain"]
    run.go(69, held_out=((60, 10), (10, 40)))
    assert run.keys == ["no gain"]
    run.go(100, held_out=((60, 10), (10, 40)))
    assert run.keys == ["no gain"] * 2


def test_counts_that_grow_are_new_strokes_too():
    run = Run().go(60)
    run.feed(ClassesGrew(NAMES, (700, 600)))
    assert run.go(69).keys == []


def test_when_gain_returns_it_may_be_said_again():
    run = Run().go(110).go(60, lambda t: 0.5 * 0.97 ** (t - 110))
    assert run.keys == ["no gain"]
    assert run.go(200, 0.08).keys == ["no gain"] * 2


# Few strokes


def test_a_class_with_few_strokes_is_named_once():
    run = Run((31, 600)).go(60, falling(), held_out=((4, 2), (10, 40)))
    time, advice = run.only()
    assert time == pytest.approx(21, abs=1)
    assert advice.message == "“membrane” has few strokes (31 pixels): paint more of it."
    assert advice.classes == ("membrane",)


def test_few_beside_the_largest_class_is_few_unless_it_is_enough_by_itself():
    assert Run((200, 20_000)).go(30, falling()).keys == ["few:membrane"]
    assert Run((2000, 200_000)).go(30, falling()).keys == []
    assert Run((60, 600)).go(30, falling()).keys == []


def test_few_strokes_are_seen_without_any_validation():
    adviser = Adviser()
    adviser.feed(started((3, 600)))
    said = [a for t in range(300) for a in adviser.feed(Stepped(t, 0.5, 1, t / 10, None, None))]
    assert [a.key for a in said] == ["few:membrane"]


def test_what_was_painted_meanwhile_counts():
    run = Run((31, 600)).go(10, falling())
    run.feed(ClassesGrew(NAMES, (310, 600)))
    assert run.go(40, falling()).keys == []
    grown = Run((31, 600)).go(10, falling())
    assert grown.go(40, falling(), held_out=((70, 0), (5, 40))).keys == []


# Strokes that contradict, and classes that look alike


def test_strokes_that_contradict_the_image_are_named():
    run = Run().go(60, falling(), learned=((20.0, 80.0), (4.0, 96.0)))
    time, advice = run.only()
    assert (advice.key, advice.kind) == ("contradict:membrane", "warning")
    assert "Some strokes of “membrane” seem to be wrong" in advice.message
    assert time >= 20  # 150 steps, and it lasted


@pytest.mark.parametrize(
    "learned",
    [
        GOOD,
        ((60.0, 40.0), (4.0, 96.0)),
        ((40.0, 60.0), (40.0, 60.0)),  # nothing is learned: not this class's fault
        lambda t: ((20 + 1.0 * t, 80 - 1.0 * t), (4.0, 96.0)),  # it is on its way
        lambda t: ((20.0, 80.0), (4.0, 96.0)) if t < 18 else GOOD,
        ((0.0, 0.0), (4.0, 96.0)),
        (),
    ],
)
def test_nothing_contradicts_where_it_learns(learned):
    keys = Run().go(60, falling(), learned=learned).keys
    assert [key for key in keys if key.startswith("contradict")] == []


def test_classes_that_look_alike_are_named_instead():
    run = Run().go(60, falling(), learned=((45.0, 55.0), (30.0, 70.0)))
    _, advice = run.only()
    assert advice.classes == NAMES
    assert advice.message.startswith("The network confuses “membrane” and “cell”:")


def test_one_sided_mistakes_are_no_likeness():
    assert Run().go(60, falling(), learned=((70.0, 30.0), (20.0, 80.0))).keys == []


def test_among_many_classes_only_the_two_are_named():
    table = ((60.0, 40.0, 0.0), (35.0, 65.0, 0.0), (2.0, 0.0, 98.0))
    held_out = ((30, 0, 0), (0, 30, 0), (0, 0, 30))
    run = Run((90, 90, 90), ("a", "b", "c")).go(60, falling(), learned=table, held_out=held_out)
    assert run.only()[1].classes == ("a", "b")


# By heart


def overfit(t):
    return falling(20)(t) if t < 40 else 0.145 + 0.004 * (t - 40)


@pytest.mark.parametrize("part", [0.0, 0.1])
def test_learning_by_heart_is_said_with_the_best_moment(part):
    run = Run().go(200, noisy(overfit, part), training=lambda t: 0.9 ** (t / 5))
    time, advice = run.only()
    assert advice.key == "by heart"
    step = int(advice.message.split("step ")[1].rstrip(".").replace(",", ""))
    assert 250 <= step <= 520
    assert 50 < time < 140


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_not_learning_by_heart(seed):
    run = Run(endless=False)
    run.go(300, noisy(lambda t: 0.5, 0.2, seed), training=lambda t: 0.9 ** (t / 5))
    assert run.keys == []


def test_where_training_gets_no_better_either_it_is_not_by_heart():
    run = Run(endless=False).go(200, overfit, training=lambda t: 0.3)
    assert run.keys == []


def test_tiny_losses_may_double():
    run = Run(endless=False)
    assert run.go(200, lambda t: 1e-3 * (1 + t / 50), training=lambda t: 1 / t).keys == []


# Not finite


def test_steps_left_out_again_and_again_become_one_line():
    calls = iter(range(1000))

    class Breaks(Toy):
        def loss(self, outputs, targets):
            loss = super().loss(outputs, targets)
            return loss * float("nan") if next(calls) % 4 == 3 else loss

    adviser, said, warned = Adviser(), [], 0
    for event in train_network(Breaks(), options(steps=12)):
        warned += isinstance(event, Warned)
        said += adviser.feed(event)
    assert warned >= 3
    assert [(advice.key, advice.kind) for advice in said] == [("not finite", "warning")]


def test_one_step_left_out_is_the_trainers_matter():
    run = Run()
    once = Warned("The loss or its gradient was not finite; this step was skipped.")
    assert run.feed(once) == []
    assert run.feed(Warned("2% of the pixels are not finite; they are left out.")) == []
    assert run.feed("what is this?") == []


# All together


def test_a_healthy_training_hears_nothing():
    for seed in range(3):
        loss = noisy(falling(50), 0.1, seed)
        assert Run().go(120, loss, training=noisy(falling(40), 0.2, seed)).keys == []


def test_a_real_training_that_goes_well_hears_nothing():
    random = np.random.default_rng(0)
    image = random.normal(0, 0.3, (96, 96)).astype(np.float32)
    labels = np.zeros((96, 96), np.uint8)
    image[:, 48:] += 1
    labels[8:-8, 8:40], labels[8:-8, 56:-8] = 1, 2
    network = UNetConfig(encoder=((6,),), bottom=(8,), decoder=((6,),))
    adviser, said, tests = Adviser(), [], 0
    # As if every step took a third of a second.
    for event in train(
        image, labels, network=network, steps=300, batch_size=2, patch=(40, 40), threads=1,
    ):  # fmt: skip
        if isinstance(event, Stepped):
            slow = Stepped(event.step, event.loss, 1e-3, event.step / 3, None, None)
            said += adviser.feed(slow)
        else:
            tests += isinstance(event, Validated)
            said += adviser.feed(event)
    assert tests > 1
    assert said == []
