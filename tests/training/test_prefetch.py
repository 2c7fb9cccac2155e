"""Patches prepared ahead: the same, in the same order, none out of date; no thread is left."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

import napari_unet
from napari_unet.control import Control
from napari_unet.data.annotations import AnnotationStore
from napari_unet.geometry.region import Region
from napari_unet.training import prefetch
from napari_unet.training.events import (
    ClassesGrew,
    Decision,
    Resolved,
    Stepped,
    StrokesChanged,
    Warned,
)
from napari_unet.training.prefetch import BatchPrefetcher
from napari_unet.training.task import Batch
from napari_unet.training.trainer import train_network
from tests.tasks.segmentation.test_segment import FAST, halves
from tests.training.toys import Toy, options


def numbered(delay=0.0):
    """Return what draws batches 0, 1, 2, … of the size that is asked for."""
    count = iter(range(10**6))

    def draw(size):
        time.sleep(delay)
        value = torch.full((size, 1), float(next(count)))
        return Batch(value, value)

    return draw


def names():
    return [t.name for t in threading.enumerate()]


@pytest.fixture
def reader():
    made = []

    def make(draw, ahead):
        made.append(BatchPrefetcher(draw, ahead))
        return made[-1]

    yield make
    for one in made:
        one.close()
    assert "patches" not in names()


@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_batches_come_in_the_order_in_which_they_are_drawn(reader, ahead):
    read = reader(numbered(), ahead)
    assert [int(read.next(2).inputs[0, 0]) for _ in range(20)] == list(range(20))
    assert ("patches" in names()) == (ahead > 0)


def test_no_more_are_drawn_than_are_asked_for_ahead(reader):
    drawn = []
    read = reader(lambda size: drawn.append(size) or Batch(torch.zeros(1), torch.zeros(1)), 3)
    read.next(2)
    most, until = 1 + 3 + 1, time.monotonic() + 60  # taken, waiting, and in hand
    while len(drawn) < most and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(drawn) == most


def test_what_was_drawn_before_a_change_is_not_given(reader):
    state = {"value": 0.0}
    read = reader(lambda size: Batch(torch.full((size,), state["value"]), torch.zeros(1)), 4)
    read.next(1)
    time.sleep(0.1)
    with read.lock:
        state["value"] = 7.0
        read.discard()
    assert [read.next(1).inputs.item() for _ in range(10)] == [7.0] * 10


def test_another_size_holds_from_the_next_batch_on(reader):
    read = reader(numbered(), 4)
    assert len(read.next(8).inputs) == 8
    assert len(read.next(4).inputs) == 4


def test_what_goes_wrong_is_raised_where_it_is_waited_for(reader):
    def draw(size):
        raise ValueError("no such patch")

    read = reader(draw, 2)
    for _ in range(2):
        with pytest.raises(ValueError, match="no such patch"):
            read.next(1)


def test_starving_is_told_once_and_so_is_the_end_of_it(reader):
    delay = {"seconds": 0.02}

    def draw(size):
        time.sleep(delay["seconds"])
        return Batch(torch.zeros(1), torch.zeros(1))

    read, said = reader(draw, 2), []
    while not read.data_starved and len(said) < 1000:
        read.next(1)
        said.append(read.starvation_change())
    delay["seconds"] = 0.0
    while read.data_starved and len(said) < 2000:
        time.sleep(0.005)  # the network computes
        read.next(1)
        said.append(read.starvation_change())
    assert [s for s in said if s] == [Warned(prefetch.STARVATION), Resolved(prefetch.STARVATION)]


def test_the_loop_tells_it_too(monkeypatch):
    monkeypatch.setattr(prefetch, "STARVED", -1.0)  # however busy the machine is with others
    monkeypatch.setattr(prefetch, "RECOVERED", -1.0)
    toy = Toy()
    events = list(train_network(toy, options(steps=30, read_ahead=2)))
    warned = [e.message for e in events if isinstance(e, Warned)]
    assert sum("waits for data" in message for message in warned) == 1
    assert not [e for e in events if isinstance(e, Decision)]
    assert "patches" not in names()


def test_reading_ahead_changes_no_bit():
    image, labels = halves()
    fields = {**FAST, "steps": 5, "threads": 1, "device": "cpu"}
    one, two = (napari_unet.fit(image, labels, **fields, read_ahead=n) for n in (0, 3))
    assert one.digest == two.digest


def test_strokes_and_new_classes_come_in_while_it_reads_ahead():
    image, labels = halves()
    store = AnnotationStore(image.shape, 2)
    region = Region.whole(image.shape)
    store.write(region, labels.astype(np.int32))
    control, seen = Control(), []
    for event in napari_unet.train(
        image, store, **{**FAST, "steps": None}, open_ended=True, read_ahead=3, control=control
    ):
        seen.append(event)
        steps = sum(isinstance(e, Stepped) for e in seen)
        if isinstance(event, Stepped) and steps == 5:
            store.write(Region((2, 2), (6, 40)), np.full((4, 38), 9))
        if isinstance(event, Stepped) and steps == 10:
            store.write(Region((2, 2), (6, 20)), np.zeros((4, 18), np.int32))
        if steps == 20:
            control.stop()
    assert [e.class_values for e in seen if isinstance(e, ClassesGrew)] == [(3, 7, 9)]
    assert any(isinstance(e, StrokesChanged) for e in seen)
    assert len(seen[-1].model.classes) == 3
    assert "patches" not in names()


def test_a_training_that_nobody_follows_any_more_leaves_no_thread():
    events = train_network(Toy(), options(steps=50, read_ahead=2))
    while not isinstance(next(events), Stepped):
        pass
    assert "patches" in names()
    events.close()
    assert "patches" not in names()
