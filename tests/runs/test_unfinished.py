"""Trainings that were interrupted: what their folder holds, and that they are found again."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest

import napari_unet
from napari_unet.control import Control
from napari_unet.errors import TrainingError
from napari_unet.runs.folder import CHECKPOINT, FACTS, MODEL
from napari_unet.runs.listing import list_runs
from napari_unet.runs.unfinished import find_unfinished
from napari_unet.training import trainer
from napari_unet.training.events import Finished, Started, Stepped

HOW = {"size": "small", "batch_size": 1, "patch": (48, 48), "threads": 1}


def dark_and_bright():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(96, 96)).astype(np.float32)
    image[:, 48:] += 3
    labels = np.zeros((96, 96), np.uint8)
    labels[20:70, 10:20] = 1
    labels[20:70, 70:80] = 2
    return image, labels


@pytest.fixture
def often(monkeypatch):
    """Checkpoints after every step."""
    for name in ("RUN_CHECKPOINT", "FIRST_RUN_CHECKPOINT"):
        monkeypatch.setattr(trainer, name, 0.0)
    monkeypatch.setattr("napari_unet.training.budget.SAVING_SHARE", 1e9)


def leave(folder, steps):
    """Train some steps, and stop reading the events."""
    events = napari_unet.train(*dark_and_bright(), steps=20, runs=folder, **HOW)
    for event in events:
        if isinstance(event, Stepped) and event.step == steps:
            break
    next(events)  # the checkpoint of that step is written before
    events.close()


def test_a_run_that_is_left_can_be_gone_on_with(often, tmp_path):
    leave(tmp_path, 4)
    run = find_unfinished(tmp_path)
    assert run.step in (3, 4)
    assert run.layers == (("training image", "strokes"),)
    assert run.checkpoint.model.task == "segment"
    seen = list(napari_unet.resume(run.path, *dark_and_bright(), runs=tmp_path))
    steps = [e.step for e in seen if isinstance(e, Stepped)]
    assert steps == list(range(run.step + 1, 21))
    # The checkpoint went along into the folder of the new run, and away with its end.
    assert find_unfinished(tmp_path) is None
    assert list(tmp_path.glob(f"*/{CHECKPOINT}")) == []
    assert {r.status for r in list_runs(tmp_path)} == {"left before its end", "finished"}


def test_the_weights_are_those_of_a_training_that_was_not_interrupted(often, tmp_path):
    leave(tmp_path, 4)
    path = find_unfinished(tmp_path).path
    *_, resumed = napari_unet.resume(path, *dark_and_bright())
    whole = napari_unet.fit(*dark_and_bright(), steps=20, **HOW)
    assert isinstance(resumed, Finished)
    for name, array in whole.weights.items():
        assert np.array_equal(array, resumed.model.weights[name]), name


def test_while_the_new_run_goes_on_it_is_the_one_to_go_on_with(often, tmp_path):
    leave(tmp_path, 4)
    first = find_unfinished(tmp_path)
    events = napari_unet.resume(first.path, *dark_and_bright(), runs=tmp_path)
    next(e for e in events if isinstance(e, Started))
    next(events)
    events.close()
    second = find_unfinished(tmp_path)
    assert second.folder != first.folder
    assert second.step == first.step


def test_a_finished_or_failed_run_is_nothing_to_go_on_with(often, tmp_path, monkeypatch):
    napari_unet.fit(*dark_and_bright(), steps=2, runs=tmp_path, **HOW)
    assert find_unfinished(tmp_path) is None

    def fail(*_):
        raise TrainingError("The loss was not finite")

    monkeypatch.setattr(trainer.Trainer, "validate", fail)
    with pytest.raises(TrainingError):
        list(napari_unet.train(*dark_and_bright(), steps=20, test_every=3, runs=tmp_path, **HOW))
    assert find_unfinished(tmp_path) is None


def test_stopping_ends_it(often, tmp_path):
    control = Control()
    for event in napari_unet.train(*dark_and_bright(), control=control, runs=tmp_path, **HOW):
        if isinstance(event, Stepped) and event.step == 3:
            control.stop()
    assert find_unfinished(tmp_path) is None
    assert len(list(tmp_path.glob(f"*/{MODEL}"))) == 1


def test_dismissed_it_is_a_model_of_the_past(often, tmp_path):
    leave(tmp_path, 4)
    run = find_unfinished(tmp_path)
    run.dismiss()
    assert find_unfinished(tmp_path) is None
    assert napari_unet.load_model(run.folder / MODEL).digest == run.checkpoint.model.digest


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"status": "unfinished"}'])
def test_a_damaged_folder_is_passed_over(often, tmp_path, damage):
    leave(tmp_path, 4)
    (folder,) = tmp_path.iterdir()
    (folder / FACTS).write_bytes(damage)
    assert find_unfinished(tmp_path) is None
    assert find_unfinished(tmp_path / "nowhere") is None


KILLED = """
import sys, numpy as np, napari_unet
from napari_unet.training import trainer
trainer.FIRST_RUN_CHECKPOINT = trainer.RUN_CHECKPOINT = 0.0
from tests.runs.test_unfinished import dark_and_bright, HOW
for _ in napari_unet.train(*dark_and_bright(), seconds=600, runs=sys.argv[1], **HOW): pass
"""


def test_a_killed_process_leaves_a_checkpoint_but_a_running_one_is_left_alone(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
    try:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(f"*/{CHECKPOINT}")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert process.poll() is None
        assert find_unfinished(tmp_path) is None  # it runs
    finally:
        process.kill()
        process.wait()
    run = find_unfinished(tmp_path)
    assert run is not None
    assert run.step > 0
    facts = json.loads((run.folder / FACTS).read_text())
    assert facts["status"] == "unfinished"
