"""Tests at set steps, an end where nothing is gained, best and last weights, the optimisers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_unet.training.events import Finished, Stepped, Validated
from napari_unet.training.trainer import train_network
from tests.training.toys import Toy, options


class Judged(Toy):
    """A toy whose tests say what they are told to, and which remembers what was tested."""

    def __init__(self, losses):
        super().__init__()
        self.losses, self.tested = list(losses), []

    def validate(self, network, device, step):
        self.tested.append({k: v.numpy().copy() for k, v in network.state_dict().items()})
        loss = self.losses.pop(0) if len(self.losses) > 1 else self.losses[0]
        return Validated(step, loss, "IoU", (0.5, None), 120, confusion=((30, 10), (0, 80)))


def run(toy, **fields):
    return list(train_network(toy, options(**fields)))


def only(events, kind):
    return [e for e in events if isinstance(e, kind)]


def test_it_is_tested_every_so_many_steps_and_at_the_end():
    events = run(Toy(), steps=10, test_every=3)
    assert [e.step for e in only(events, Validated)] == [3, 6, 9, 10]


def test_it_stops_after_tests_without_a_gain():
    toy = Judged([0.9, 0.8, 0.85, 0.8, 0.7, 0.7, 0.71, 0.7])
    events = run(toy, steps=100, test_every=2, stop_after=3)
    finished = events[-1]
    assert (finished.reason, finished.step) == ("no gain", 16)
    assert len(only(events, Stepped)) == 16


def test_without_being_asked_it_does_not_stop():
    assert run(Judged([0.5]), steps=30, test_every=1)[-1].reason == "budget"


def test_the_best_weights_are_kept_beside_the_last():
    toy = Judged([0.9, 0.3, 0.5])
    finished = run(toy, steps=9, test_every=3)[-1]
    best, last = finished.best, finished.model
    assert best.training["steps"] == 6
    assert best.training["validation"]["loss"] == 0.3
    assert last.training["steps"] == 9
    for name, weights in toy.tested[1].items():
        np.testing.assert_array_equal(best.weights[name], weights)
    assert any((best.weights[n] != last.weights[n]).any() for n in best.weights)


@pytest.mark.parametrize(("keep", "step"), [("best", 6), ("last", 9)])
def test_the_model_is_made_of_those_that_are_asked_for(keep, step):
    finished = run(Judged([0.9, 0.3, 0.5]), steps=9, test_every=3, keep=keep)[-1]
    assert finished.model.training["steps"] == step


def test_without_a_test_there_is_no_best():
    finished = run(Toy(validates=False), steps=3, test_every=1, keep="best")[-1]
    assert finished.best is None
    assert finished.model.training["steps"] == 3


def test_a_model_tells_accuracy_and_dice():
    facts = run(Judged([0.4]), steps=1)[-1].model.training["validation"]
    assert facts["accuracy"] == pytest.approx(11 / 12)
    assert facts["Dice"] == pytest.approx((6 / 7, 16 / 17))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)],
)
def test_each_optimiser_learns(name, kind):
    from napari_unet.training.optimiser import build_optimiser

    set_to = {"optimiser": name, "learning_rate": 0.05, "seed": 3}
    built = build_optimiser(Toy().network, options(**set_to))
    assert type(built) is kind
    steps = only(run(Toy(), steps=60, **set_to), Stepped)
    losses = [e.loss for e in steps]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])


def test_a_clipped_gradient_goes_no_further():
    """Plain descent moves by rate times gradient, so that its length shows in the weights."""
    moved = {}
    for clip in (None, 1e-3):
        toy = Toy()
        before = [p.detach().clone() for p in toy.network.parameters()]
        set_to = {"optimiser": "sgd", "momentum": 0.0, "weight_decay": 0.0, "learning_rate": 1.0}
        run(toy, steps=1, schedule="step", clip_gradient=clip, **set_to)
        steps = [a.detach() - b for a, b in zip(toy.network.parameters(), before, strict=True)]
        moved[clip] = torch.cat([s.flatten() for s in steps]).norm().item()
    assert moved[1e-3] == pytest.approx(1e-3 / 30, rel=1e-3)  # a thirtieth: the warm-up
    assert moved[None] > 10 * moved[1e-3]


def test_a_penalty_keeps_outputs_small():
    """Without it logits grow as the network gets sure of itself."""
    sizes = {}
    for penalty in (0.0, 1.0):
        toy = Toy()
        run(toy, steps=60, learning_rate=0.05, output_penalty=penalty)
        with torch.no_grad():
            sizes[penalty] = toy.network.eval()(toy.batch(8).inputs).square().mean().item()
    assert sizes[1.0] < 0.2 * sizes[0.0]


def test_the_same_seed_gives_the_same_bits():
    one, two = (run(Toy(), steps=6, seed=5)[-1].model for _ in range(2))
    assert one.digest == two.digest
    assert isinstance(one.training, dict)
    assert one.with_facts(training={}).header() == two.with_facts(training={}).header()


def test_the_last_event_is_the_end():
    assert isinstance(run(Toy(), steps=1)[-1], Finished)
