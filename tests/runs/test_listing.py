"""Runs read back: to compare them, whatever lies in their folder."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_unet.errors import InputError
from napari_unet.runs.folder import record
from napari_unet.runs.listing import differing, list_runs
from tests.runs.states import EVIL, started, steps, whole


@pytest.fixture
def runs(tmp_path):
    for size in ("small", "large"):
        list(record(whole(), tmp_path, options={"size": size, "seed": 7, "augment": {"flip": 1}}))
    return tmp_path


def test_what_came_of_each_run_is_read_back(runs):
    first, second = list_runs(runs)
    assert first.name < second.name
    assert (first.task, first.status, first.steps, first.seconds) == (
        "segment",
        "finished",
        3,
        0.75,
    )
    assert (first.parameters, first.held_out_loss) == (123, 0.25)
    assert (first.metric, first.score) == ("IoU", "too few to tell")
    assert (first.scores, first.seed) == ({"cell": 0.5, EVIL: None}, 7)
    assert first.strokes == "ab" * 32
    assert first.network.startswith("2D U-Net")
    assert first.started is not None
    assert first.settings["augment.flip"] == 1
    assert first.settings["network"] == f"{first.network}, 123 parameters"


def test_only_settings_that_differ_are_told(runs):
    assert differing(list_runs(runs)) == {"size": ["small", "large"]}
    assert differing(list_runs(runs)[:1]) == {}
    assert differing([]) == {}


def test_a_run_that_goes_on_or_was_cut_off_tells_its_last_step(tmp_path):
    events = record([started(), *steps(5)], tmp_path)
    for _ in range(4):
        next(events)
    (run,) = list_runs(tmp_path)
    assert (run.status, run.steps, run.seconds) == ("unfinished", 3, 0.75)


def test_what_is_no_run_is_left_out(runs):
    (runs / "notes").mkdir()
    (runs / "file.txt").write_text("mine")
    assert len(list_runs(runs)) == 2
    with pytest.raises(InputError, match="not a folder of runs"):
        list_runs(runs / "elsewhere")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
KEYS = (
    "status",
    "parameters",
    "began",
    "steps",
    "seconds",
    "scores",
    "task",
    "seed",
    "network",
    "strokes",
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.dictionaries(st.sampled_from(KEYS), json_values).map(json.dumps)
    | st.text(max_size=20)
    | json_values.map(json.dumps)
)
def test_a_damaged_run_is_listed_and_breaks_nothing(tmp_path, text):
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    (tmp_path / "run").mkdir()
    for name in ("run.json", "config.json"):
        (tmp_path / "run" / name).write_text(text, encoding="utf-8")
    (run,) = list_runs(tmp_path)
    assert run.name == "run"
    assert isinstance(run.status, str)
    assert differing([run, run]) == {}


@pytest.mark.parametrize("missing", ["parameters", "network", "status", "scores", "began"])
def test_a_run_that_lacks_a_fact_tells_the_others(runs, missing):
    (run, _) = list_runs(runs)
    facts = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    del facts[missing]
    (run.folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    (again,) = (r for r in list_runs(runs) if r.name == run.name)
    assert (again.steps, again.held_out_loss, again.seed) == (3, 0.25, 7)


def test_an_unreadable_file_is_said_to_be_damaged(runs):
    (run, _) = list_runs(runs)
    (run.folder / "run.json").write_bytes(b"\xff\xfe{")
    found = {again.name: again.status for again in list_runs(runs)}
    assert sorted(found.values()) == ["damaged", "finished"]
    assert found[run.name] == "damaged"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400])
def test_numbers_that_are_none_are_not_known(runs, number):
    (run, _) = list_runs(runs)
    for name in ("run.json", "config.json"):
        names = ("status", "seconds", "held_out_loss", "mean_score", "rate")
        facts = ", ".join(f'"{each}": {number}' for each in names)
        (run.folder / name).write_text(f"{{{facts}}}", encoding="utf-8")
    (again,) = (r for r in list_runs(runs) if r.name == run.name)
    assert again.status == "damaged"
    assert (again.seconds, again.held_out_loss, again.mean_score) == (None, None, None)
    assert differing([again, again]) == {}
