"""A folder per run: what it holds, whatever becomes of the training."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.errors import InputError, TrainingError
from napari_unet.model import load_model
from napari_unet.runs import folder as folders
from napari_unet.runs.folder import new_folder, record
from napari_unet.runs.listing import list_runs
from napari_unet.tasks.provenance import Origin
from napari_unet.training.events import Finished, Warned
from tests.runs.states import EVIL, model, preview, started, steps, whole
from tests.training.toys import Toy, options

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def only_run(runs):
    (run,) = runs.iterdir()
    return run


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_whole_run_keeps_everything_and_the_events_pass_by(tmp_path):
    events = whole()
    told = {"seed": 7, "size": "small"}
    sources = [(Origin("a.tif", "/data/a.tif"), Origin("strokes"))]
    assert list(record(events, tmp_path / "runs", options=told, sources=sources)) == events
    run = only_run(tmp_path / "runs")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ-segment", run.name)
    assert {path.name for path in run.iterdir()} == {
        "log.csv", "config.json", "run.json", "model.safetensors", "report.html"
    }  # fmt: skip
    assert load_model(run / "model.safetensors").digest == events[-1].model.digest
    config, facts = read(run / "config.json"), read(run / "run.json")
    assert (config["options"], config["seed"], config["strokes"]) == (told, 7, "ab" * 32)
    assert config["network"]["bottom"] == [3]
    assert config["painted"] == {"cell": 10, EVIL: 11}
    assert (facts["status"], facts["steps"], facts["seconds"]) == ("finished", 3, 0.75)
    assert (facts["scores"], facts["mean_score"]) == ({"cell": 0.5, EVIL: None}, None)
    assert "napari-unet train /data/a.tif strokes.tif" in facts["command"]


def test_everything_is_there_before_the_model_is_handed_out(tmp_path):
    # `fit` listens no longer once it has the model.
    events = record(whole(), tmp_path)
    assert next(event for event in events if isinstance(event, Finished))
    assert (only_run(tmp_path) / "report.html").is_file()
    events.close()
    assert read(only_run(tmp_path) / "run.json")["status"] == "finished"


def test_the_best_model_is_kept_beside_the_last_where_it_is_told(tmp_path):
    ended = Finished(model(), "no gain", 3, 0.75, best=model(better=True))
    list(record([*whole()[:-1], ended], tmp_path))
    run = only_run(tmp_path)
    assert load_model(run / "best.safetensors").training["better"] is True
    assert "better" not in load_model(run / "model.safetensors").training
    assert read(run / "run.json")["status"] == "finished early: no gain"


@pytest.mark.parametrize("count", [0, 2])
def test_a_training_that_fails_leaves_a_folder_that_says_so(tmp_path, count):
    def failing():
        yield from (started(), *steps(count))
        raise TrainingError(f"The loss is {EVIL}")

    with pytest.raises(TrainingError, match="The loss is"):
        list(record(failing(), tmp_path))
    run = only_run(tmp_path)
    assert read(run / "run.json")["status"] == f"failed: The loss is {EVIL}."
    assert len((run / "log.csv").read_text().splitlines()) == count + 2  # the head has two lines
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "failed: The loss is" in page
    assert "<script" not in page
    assert not (run / "model.safetensors").exists()


def test_a_training_that_nobody_listens_to_any_longer_says_so(tmp_path):
    events = record(whole(), tmp_path)
    for _ in range(4):
        next(events)
    assert read(only_run(tmp_path) / "run.json")["status"] == "unfinished"
    events.close()
    assert read(only_run(tmp_path) / "run.json")["status"] == "left before its end"


def test_input_that_is_refused_leaves_no_folder(tmp_path):
    def refusing():
        raise InputError("Nothing is painted")
        yield

    with pytest.raises(InputError, match="Nothing is painted"):
        list(record(refusing(), tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_a_training_stopped_before_its_first_step_keeps_no_model(tmp_path):
    list(record([started(), Finished(model(), "stopped", 0, 0.0)], tmp_path))
    run = only_run(tmp_path)
    assert read(run / "run.json")["status"] == "stopped"
    assert (run / "report.html").is_file()
    assert not (run / "model.safetensors").exists()


def test_where_no_folder_can_be_made_one_warning_says_so(tmp_path):
    taken = tmp_path / "runs"
    taken.write_text("a file")
    events = whole()
    said = [event for event in record(events, taken) if event not in events]
    assert len(said) == 1
    assert isinstance(said[0], Warned)
    assert str(taken) in said[0].message
    assert taken.read_text() == "a file"


def test_a_disk_that_is_full_at_the_end_is_said_before_the_model_is_handed_out(
    tmp_path, monkeypatch
):
    def full(*_):
        raise OSError(28, "No space left on device")

    events, heard = whole(), []
    recorded = record(events, tmp_path)
    for event in recorded:
        heard.append(event)
        if len(heard) == len(events) - 1:
            monkeypatch.setattr(folders, "write_atomically", full)
        if isinstance(event, Finished):
            break
    assert [e for e in heard if e in events] == events
    assert "No space left on device" in heard[-2].message


def test_no_model_is_lost_to_a_report_that_cannot_be_made(tmp_path, monkeypatch):
    def broken(*_):
        raise TypeError("no such page")

    monkeypatch.setattr(folders, "report", broken)
    events = whole()
    heard = list(record(events, tmp_path))
    assert heard[-1] is events[-1]
    assert "no such page" in heard[-2].message


def test_samples_are_shown_and_may_fail(tmp_path):
    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = 200
    list(record(whole(), tmp_path / "a", samples=lambda _: [(EVIL, red)]))
    page = (only_run(tmp_path / "a") / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2  # and the preview
    assert "<script" not in page

    def broken(_):
        raise RuntimeError("out of luck")

    events = whole()
    assert list(record(events, tmp_path / "b", samples=broken)) == events
    run = only_run(tmp_path / "b")
    assert "out of luck" in (run / "report.html").read_text(encoding="utf-8")
    assert (run / "model.safetensors").is_file()


def test_two_runs_of_one_seed_have_the_same_settings_and_weights(tmp_path):
    from napari_unet.training.trainer import train_network

    for name in ("a", "b"):
        events = train_network(Toy(), options(steps=4, seed=3))
        list(record(events, tmp_path / name, options={"seed": 3}))
    a, b = (only_run(tmp_path / name) for name in ("a", "b"))
    assert (a / "config.json").read_bytes() == (b / "config.json").read_bytes()
    assert len({load_model(run / "model.safetensors").digest for run in (a, b)}) == 1


def test_an_open_ended_training_that_is_stopped(tmp_path):
    told = [started(steps=None), *steps(30), preview(), Finished(model(), "stopped", 30, 7.5)]
    list(record(told, tmp_path))
    (run,) = list_runs(tmp_path)
    assert (run.status, run.steps, run.seconds) == ("stopped", 30, 7.5)


def test_names_sort_by_time_and_never_collide(tmp_path):
    made = [new_folder(tmp_path, "segment", NOON + timedelta(seconds=k // 12)) for k in range(24)]
    assert made == sorted(made)
    assert len(set(made)) == 24
    assert made[0].name == "2026-11-22T12-00-00Z-segment"
    assert made[1].name == "2026-11-22T12-00-00Z-segment-02"


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))
def test_names_are_allowed_on_every_system(when):
    made: list[Path] = []

    class Parent:
        def mkdir(self, **_):
            pass

        def __truediv__(self, name):
            made.append(name)
            return self

    new_folder(Parent(), "segment", when)
    assert re.fullmatch(r"[0-9A-Za-z-]+", made[0])
