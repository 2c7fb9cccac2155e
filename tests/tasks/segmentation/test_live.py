"""Strokes, classes and views that change while a training runs."""

from __future__ import annotations

import threading
from itertools import islice

import numpy as np
import pytest
import torch

from napari_unet import fit, predict, train
from napari_unet.control import Control, Viewport
from napari_unet.data.annotations import AnnotationStore
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region
from napari_unet.model import weights_of
from napari_unet.network.build import build_network, expand_head
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.segmentation.data import plan_segmentation
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.tasks.segmentation.task import SegmentationTask
from napari_unet.training.events import (
    ClassesGrew,
    Finished,
    Preparing,
    Previewed,
    Resolved,
    Started,
    Stepped,
    Warned,
)
from tests.tasks.segmentation.annotated import open_annotated

TINY = UNetConfig(encoder=((8,),), bottom=(8,), decoder=((8,),), stem=(2, 2), up="nearest")
HOW = {"network": TINY, "batch_size": 2, "patch": (48, 48), "open_ended": True, "threads": 1}


@pytest.fixture
def image() -> np.ndarray:
    """Three bands, one above the other, with noise."""
    bands = np.repeat([0.0, 3.0, 6.0], 40)[:, None]
    return bands + np.random.default_rng(0).normal(size=(120, 100))


def stroke(store: AnnotationStore, row: int, value: int) -> None:
    store.write(Region((row, 10), (row + 5, 90)), np.full((5, 80), value))


@pytest.fixture
def store() -> AnnotationStore:
    store = AnnotationStore((120, 100), 2)
    stroke(store, 15, 1)
    stroke(store, 55, 2)
    return store


def learner(image, store, **options) -> SegmentationTask:
    parsed = SegmentOptions.parse({**HOW, **options})
    return SegmentationTask.of([open_annotated(image, store, 2, parsed)], parsed)


@pytest.mark.parametrize("stem", [(1, 1), (2, 2)])
def test_a_network_that_grows_a_class_says_the_same_of_the_others(stem):
    network = build_network(UNetConfig(out_channels=2, stem=stem)).eval()
    grown = expand_head(network, 4).eval()
    x = torch.randn(1, 1, *network.config.input_for((8, 8)))
    with torch.no_grad():
        assert torch.allclose(grown(x)[:, :2], network(x), atol=1e-5)
    assert grown.config.out_channels == 4
    assert network.config.out_channels == 2


def test_a_class_that_comes_later_grows_alike_for_the_same_seed(image):
    def grown(seed):
        torch.manual_seed(int(np.random.default_rng().integers(2**31)))  # what else draws from it
        own = AnnotationStore((120, 100), 2)
        for row, value in ((15, 1), (55, 2)):
            stroke(own, row, value)
        learning = learner(image, own, seed=seed)
        stroke(own, 95, 7)
        grow = learning.sync_annotations()
        before = torch.random.get_rng_state()
        found = [weights_of(grow(learning.network)) for _ in range(2)]
        assert torch.equal(torch.random.get_rng_state(), before)
        return found

    first, twin = grown(3)
    for other in (twin, *grown(3)):
        assert all(np.array_equal(first[name], other[name]) for name in first)
    assert any(not np.array_equal(first[name], grown(4)[0][name]) for name in first)


def test_new_strokes_are_learned_from_and_erased_ones_are_not(image, store):
    learning = learner(image, store, held_out=0)
    assert learning.sync_annotations() is None
    store.write(Region((15, 10), (20, 90)), np.zeros((5, 80), int))
    stroke(store, 30, 1)
    assert learning.sync_annotations() is None  # no class is new: the network stays
    assert learning.counts == (400, 400)
    rows = {int(r) for r in learning.sampler.splits[0].train_index[1][:, 0]}
    assert rows == set(range(30, 35))


def test_a_new_class_makes_the_network_grow(image, store):
    learning = learner(image, store)
    before = learning.network.eval()
    stroke(store, 95, 7)
    grow = learning.sync_annotations()
    assert grow is not None
    assert grow(before).config.out_channels == 3
    assert (learning.values, learning.counts) == ((1, 2, 7), (400, 400, 400))
    assert learning.batch(4).targets.max() == 2


def test_a_class_that_comes_after_the_plan_is_taken_up_by_the_first_step(image, store):
    options = SegmentOptions.parse(HOW)
    annotated = [open_annotated(image, store, 2, options)]
    plan = plan_segmentation(annotated, options)
    stroke(store, 95, 7)
    learning = SegmentationTask(annotated, plan, options)
    assert learning.values == (1, 2) == learning.plan.class_values
    assert learning.annotations_changed
    grow = learning.sync_annotations()
    assert grow is not None
    assert grow(learning.network).config.out_channels == 3
    assert learning.values == (1, 2, 7) == learning.plan.class_values
    assert not learning.annotations_changed


def test_a_training_takes_up_a_class_and_names_it(image, store):
    control, events = Control(), []
    for event in train(image, store, control=control, **HOW):
        events.append(event)
        if isinstance(event, Stepped) and event.step == 5:
            stroke(store, 95, 7)
        if isinstance(event, Stepped) and event.step == 15:
            control.stop()
    grew = next(e for e in events if isinstance(e, ClassesGrew))
    assert grew.class_names == ("class 1", "class 2", "class 7")
    model = events[-1].model
    assert [c.value for c in model.classes] == [1, 2, 7]
    assert predict(model, image, output="probabilities").shape == (3, 120, 100)


def test_where_all_is_erased_it_waits_and_loses_nothing(image, store):
    control, seen = Control(), []
    blank = np.zeros((120, 100), int)
    for event in train(image, store, control=control, **HOW):
        seen.append(event)
        if isinstance(event, Stepped) and event.step == 3:
            store.write(Region((0, 0), (120, 100)), blank)
            threading.Timer(0.3, stroke, (store, 40, 2)).start()
        if isinstance(event, Stepped) and event.step == 6:
            control.stop()
    steps = {e.step: e.elapsed for e in seen if isinstance(e, Stepped)}
    assert steps[4] - steps[3] >= 0.25
    assert seen[-1].model.config.out_channels == 2


def test_without_an_end_nothing_is_left_and_stopping_ends_it(image, store):
    control = Control()
    events = train(image, store, control=control, seconds=0.01, **HOW)
    steps = [e for e in islice(events, 12) if isinstance(e, Stepped)]
    assert len(steps) >= 8
    assert {(e.remaining, e.progress) for e in steps} == {(None, None)}
    control.stop()
    assert isinstance(list(events)[-1], Finished)


def test_fit_refuses_to_go_on_for_ever(image, store):
    with pytest.raises(InputError, match="needs a training that ends"):
        fit(image, store, **HOW)


def test_it_waits_for_the_second_class(image):
    store, control = AnnotationStore((120, 100), 2), Control()
    stroke(store, 15, 1)
    events = train(image, store, control=control, **HOW)
    waiting = next(events)
    assert isinstance(waiting, Warned)
    assert "a second label" in waiting.message
    threading.Timer(0.3, stroke, (store, 55, 2)).start()
    assert next(events) == Resolved(waiting.message)
    assert isinstance(next(events), Preparing)
    assert isinstance(next(events), Started)
    control.stop()
    list(events)


def test_stopping_while_it_waits_ends_it_without_a_model(image):
    control = Control()
    events = train(image, AnnotationStore((120, 100), 2), control=control, **HOW)
    waiting = next(events)
    control.stop()
    assert list(events) == [Resolved(waiting.message)]


def test_a_preview_comes_when_somebody_looks(image, store):
    control = Control()
    view = Viewport((), Region((30, 21), (71, 80)))
    control.look(view)
    preview = next(
        e for e in train(image, store, control=control, **HOW) if isinstance(e, Previewed)
    )
    assert preview.view == view
    assert preview.labels.shape == preview.unsure.shape == (41, 59)
    assert set(np.unique(preview.labels)) <= {1, 2}
    assert preview.unsure.min() >= 0
    assert preview.unsure.max() <= 1 + 1e-6


def test_nobody_looks_no_preview_comes(image, store):
    events = islice(train(image, store, **HOW), 25)
    assert not any(isinstance(e, Previewed) for e in events)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_preview_is_what_the_prediction_will_be(image, store, padding):
    network = TINY.model_copy(update={"padding": padding})
    learning = learner(image, store, calibrate=False, network=network)
    net, cpu = learning.network.eval(), torch.device("cpu")
    preview = learning.preview(net, cpu, 0, Viewport((), Region((33, 7), (90, 100))))
    model = learning.build_model(weights_of(net), {})
    probabilities = predict(model, image, output="probabilities")[:, 33:90, 7:100]
    order = np.sort(probabilities, axis=0)
    assert np.allclose(preview.unsure, 1 - order[-1] + order[-2], atol=1e-5)
    clear = order[-1] - order[-2] > 1e-4
    whole = predict(model, image)[33:90, 7:100]
    assert np.array_equal(preview.labels[clear], whole[clear])
