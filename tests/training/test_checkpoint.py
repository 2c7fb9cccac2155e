"""A training that is interrupted and goes on gives the very bits of one that was not."""

from __future__ import annotations

import json

import numpy as np
import pytest

import napari_unet
from napari_unet.control import Control
from napari_unet.errors import InputError, ModelFileError
from napari_unet.model import load_model
from napari_unet.network.unet_config import UNetConfig
from napari_unet.training.checkpoint import load_checkpoint
from napari_unet.training.events import Finished, Stepped, Validated, Warned
from napari_unet.training.trainer import train_network
from tests.tasks.segmentation.test_segment import halves
from tests.training.toys import Toy, options

TINY = UNetConfig(encoder=((6,),), bottom=(8,), decoder=((6,),), dropout=(0.2, 0.3))
SET = {"network": TINY, "batch_size": 2, "patch": (40, 40), "threads": 1, "device": "cpu"}


def last(events):
    return next(e for e in events if isinstance(e, Finished))


def interrupted(events, control, at):
    """Follow a training up to a step, and stop it there."""
    for event in events:
        if isinstance(event, Stepped) and event.step == at:
            control.stop()
        if isinstance(event, Finished):
            return event
    raise AssertionError


def cut_in_two(image, other, path, **fields):
    control = Control()
    events = napari_unet.train(
        image, other, control=control, checkpoint=str(path), **{**SET, **fields}
    )
    first = interrupted(events, control, at=4)
    assert first.step == 4
    return last(napari_unet.resume(path, image, other))


def same(one, two):
    assert one.config == two.config
    assert one.weights.keys() == two.weights.keys()
    for name, array in one.weights.items():
        np.testing.assert_array_equal(array, two.weights[name])


@pytest.mark.parametrize("optimiser", ["adamw", "adam", "sgd"])
def test_segmenting_goes_on_bit_for_bit(tmp_path, optimiser):
    image, labels = halves()
    fields = {"steps": 9, "optimiser": optimiser, "test_every": 3, "schedule": "plateau"}
    fields |= {"patience": 1, "augment": {"noise": 0.3, "elastic": 2}}
    whole = last(napari_unet.train(image, labels, **SET, **fields))
    again = cut_in_two(image, labels, tmp_path / "c.safetensors", **fields)
    assert again.step == 9
    same(whole.model, again.model)
    same(whole.best, again.best)
    for name in ("validation", "calibration", "painted", "strokes", "options"):
        assert whole.model.training.get(name) == again.model.training.get(name), name
    assert "continued_from" not in again.model.training


@pytest.mark.parametrize("task", ["denoise", "restore", "inpaint"])
def test_images_go_on_bit_for_bit(tmp_path, task):
    image = np.random.default_rng(0).normal(size=(80, 96)).astype(np.float32).cumsum(1)
    other = {"denoise": None, "restore": image**2, "inpaint": np.eye(80, 96) > 0}[task]
    fields = {"steps": 7, "task": task, "network": TINY.model_copy(update={"padding": "same"})}
    whole = last(napari_unet.train(image, other, **{**SET, **fields}))
    same(whole.model, cut_in_two(image, other, tmp_path / "c.safetensors", **fields).model)


def test_a_checkpoint_is_a_model_too(tmp_path):
    image, labels = halves()
    path = tmp_path / "c.safetensors"
    events = napari_unet.train(image, labels, **SET, steps=3, checkpoint=str(path))
    trained = last(events).model
    loaded = load_model(path)
    assert loaded.digest == trained.digest
    np.testing.assert_array_equal(
        napari_unet.predict(loaded, image), napari_unet.predict(trained, image)
    )
    assert "checkpoint" not in json.dumps(loaded.header())


def test_what_was_trained_from_a_model_stays_so(tmp_path):
    image, labels = halves()
    start = napari_unet.fit(image, labels, **SET, steps=2)
    path = tmp_path / "c.safetensors"
    fields = {k: v for k, v in SET.items() if k != "network"}
    whole = last(napari_unet.train(image, labels, start=start, steps=6, **fields))
    control = Control()
    events = napari_unet.train(
        image, labels, start=start, steps=6, control=control, checkpoint=str(path), **fields
    )
    interrupted(events, control, at=3)
    again = last(napari_unet.resume(path, image, labels))
    same(whole.model, again.model)
    assert again.model.training["continued_from"] == start.digest


def test_a_longer_budget_can_be_given(tmp_path):
    image, labels = halves()
    path = tmp_path / "c.safetensors"
    list(napari_unet.train(image, labels, **SET, steps=3, checkpoint=str(path)))
    again = last(napari_unet.resume(path, image, labels, steps=5))
    assert (again.step, again.reason) == (5, "budget")


def test_another_checkpoint_can_be_written_from_then_on(tmp_path):
    image, labels = halves()
    path, later = tmp_path / "c.safetensors", tmp_path / "later.safetensors"
    list(napari_unet.train(image, labels, **SET, steps=3, checkpoint=str(path)))
    before = path.read_bytes()
    list(napari_unet.resume(path, image, labels, steps=4, checkpoint=str(later)))
    assert load_checkpoint(later).state["step"] == 4
    assert path.read_bytes() == before


def test_what_differs_is_said(tmp_path):
    image, labels = halves()
    path = tmp_path / "c.safetensors"
    list(napari_unet.train(image, labels, **SET, steps=3, checkpoint=str(path)))
    said = [e.message for e in napari_unet.resume(path, image, labels) if isinstance(e, Warned)]
    assert not any("continues with these" in message for message in said)
    fewer = labels.copy()
    fewer[:20] = 0
    events = list(napari_unet.resume(path, 2 * image, fewer, steps=4))
    said = [e.message for e in events if isinstance(e, Warned)]
    assert any(m.startswith("These are not the images") for m in said)
    assert any(m.startswith("These are not the strokes") for m in said)
    with pytest.raises(InputError, match=r"classes that this training does not know .*labels 9"):
        list(napari_unet.resume(path, image, np.where(labels == 3, 9, labels)))
    with pytest.raises(InputError, match="keeps its settings"):
        list(napari_unet.resume(path, image, labels, learning_rate=1e-4))


def test_a_model_is_no_checkpoint(tmp_path):
    image, labels = halves()
    path = napari_unet.fit(image, labels, **SET, steps=1).save(tmp_path / "m")
    with pytest.raises(ModelFileError, match="is a model without the state"):
        list(napari_unet.resume(path, image, labels))


def test_a_folder_that_cannot_be_written_to_does_not_end_a_training(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "c.safetensors"
    events = list(train_network(Toy(), options(steps=2, checkpoint=str(path))))
    said = [e.message for e in events if isinstance(e, Warned)]
    assert len(said) == 1
    assert "could not be saved" in said[0]
    assert said[0].endswith("The training continues.")
    assert isinstance(events[-1], Finished)


def test_it_is_written_now_and_then(tmp_path):
    path = tmp_path / "c.safetensors"
    events = train_network(Toy(), options(steps=40, checkpoint=str(path), checkpoint_seconds=1e-3))
    written = [
        load_checkpoint(path).state["step"]
        for event in events
        if isinstance(event, Stepped) and path.exists()
    ]
    assert written
    assert written[0] < 40
    assert load_checkpoint(path).state["step"] == 40


def test_tests_go_on_where_they_were(tmp_path):
    path, control = tmp_path / "c.safetensors", Control()
    fields = {"steps": 12, "test_every": 2, "stop_after": 4}
    interrupted(
        train_network(Toy(), options(**fields, checkpoint=str(path)), control), control, at=5
    )
    found = load_checkpoint(path)
    assert found.state["judge"]["waited"] == 1
    events = list(train_network(Toy(), options(**fields), resume=found))
    # The tests all say the same: the first is the best, and four more are enough.
    assert [e.step for e in events if isinstance(e, Validated)] == [6, 8, 10, 10]
    assert events[-1].reason == "no gain"
    assert events[-1].best.training["steps"] == 2


def test_damage_is_found(tmp_path):
    path = tmp_path / "c.safetensors"
    list(train_network(Toy(), options(steps=2, checkpoint=str(path))))
    found = load_checkpoint(path)
    for change in ({"step": None}, {"judge": {}}, {"learner": {}}):
        state = {k: v for k, v in {**found.state, **change}.items() if v is not None}
        broken = type(found)(found.model, found.options, state, found.arrays)
        with pytest.raises(ModelFileError, match="damaged"):
            list(train_network(Toy(), options(steps=3), resume=broken))
