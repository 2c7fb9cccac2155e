"""Runs on the command line: kept while training, compared afterwards."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import tifffile
from rich.console import Console
from typer.testing import CliRunner

from napari_unet.cli import load_app
from napari_unet.cli.describe import validation
from napari_unet.cli.models import _evaluation_table
from napari_unet.cli.runs import summary_rows
from napari_unet.model import load_model
from napari_unet.runs.listing import RunSummary, list_runs
from napari_unet.tasks.evaluate import Evaluation
from napari_unet.training.events import Validated
from tests.runs.states import model as toy_model
from tests.runs.states import started

app = load_app()

QUICK = ("--steps", 3, "--size", "small", "--batch-size", 2, "--threads", 1)


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).normal(100, 9, (64, 64)).astype(np.float32)
    image[:, 32:] += 60
    strokes = np.zeros(image.shape, np.uint8)
    strokes[2:62, 5:15], strokes[2:62, 45:55] = 1, 2
    tifffile.imwrite("image.tif", image)
    tifffile.imwrite("strokes.tif", strokes)
    return tmp_path


def test_trainings_are_kept_and_compared(files):
    for rate in (0.001, 0.002):
        done = run(
            "train", "image.tif", "strokes.tif", "-o", "m", "--runs", "runs",
            "--class-names", "1=wall,2=x;y", "--learning-rate", rate, "--held-out", 0.4, *QUICK,
        )  # fmt: skip
        assert done.exit_code == 0, done.output
    found = list_runs("runs")
    assert [r.status for r in found] == ["finished"] * 2
    model = load_model(found[1].folder / "model.safetensors")
    assert model.digest == load_model("m.safetensors").digest
    told = run("runs", "runs")
    assert told.exit_code == 0
    lines = told.stdout.splitlines()
    assert len(lines) == 3
    assert all(r.name in line for r, line in zip(found, lines[1:], strict=True))
    assert "score: x;y" in lines[0]
    rows = list(csv.DictReader(io.StringIO(run("runs", "runs", "--csv").stdout)))
    assert [row["run"] for row in rows] == [r.name for r in found]
    assert rows[0]["parameters"] == str(found[0].parameters)
    assert rows[0]["strokes"] == found[0].strokes
    differ = list(csv.reader(io.StringIO(run("runs", "runs", "--differ", "--csv").stdout)))
    assert differ[0] == ["run", "learning_rate"]
    assert [row[1] for row in differ[1:]] == ["0.001", "0.002"]


def test_a_log_is_always_written_beside_the_model(files):
    done = run("train", "image.tif", "strokes.tif", "-o", "my.v1", *QUICK)
    assert done.exit_code == 0, done.output
    assert {path.name for path in files.iterdir()} == {
        "image.tif", "strokes.tif", "my.v1.safetensors", "my.v1.csv"
    }  # fmt: skip
    with (files / "my.v1.csv").open(newline="", encoding="utf-8") as file:
        assert [row["step"] for row in csv.DictReader(file)][:3] == ["1", "2", "3"]


def test_an_image_task_is_kept_with_its_log(files):
    done = run(
        "denoise", "image.tif", "out.tif", "--model", "d.safetensors", "--runs", "runs",
        "--tensorboard", *QUICK,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    (kept,) = list_runs("runs")
    assert (kept.task, kept.status) == ("denoise", "finished")
    assert (files / "d.csv").is_file()
    assert list(kept.folder.glob("events.out.tfevents.*"))
    assert "denoise" in run("runs", "runs").stdout


def test_restoring_and_filling_in_are_kept(files):
    kept = ("--runs", "runs", *QUICK)
    restored = run("restore", "image.tif", "image.tif", "-o", "r.safetensors", *kept)
    filled = run("inpaint", "image.tif", "strokes.tif", "out.tif", *kept)
    assert (restored.exit_code, filled.exit_code) == (0, 0), restored.output + filled.output
    assert [r.task for r in list_runs("runs")] == ["restore", "inpaint"]
    assert (files / "r.csv").is_file()


def test_somebodys_table_is_not_replaced_by_a_log(files):
    (files / "m.csv").write_text("cell,size\n1,20\n")
    done = run("train", "image.tif", "strokes.tif", "-o", "m.safetensors", *QUICK)
    assert done.exit_code == 0
    assert (files / "m.csv").read_text() == "cell,size\n1,20\n"
    assert "another file of that name" in " ".join(done.stderr.split())


def test_tensorboard_without_a_folder_is_refused_before_any_work(files):
    done = run("train", "image.tif", "strokes.tif", "-o", "m", "--tensorboard", *QUICK)
    assert done.exit_code == 1
    assert "folder" in done.stderr
    assert not (files / "m.safetensors").exists()


def test_a_folder_without_runs_and_none_at_all_are_said(files):
    (files / "runs").mkdir()
    assert "There are no runs" in run("runs", "runs").stderr
    done = run("runs", "elsewhere")
    assert done.exit_code == 1
    assert "This is not a folder of runs" in done.stderr


def printed(table):
    console = Console(file=io.StringIO(), width=100)
    console.print(table)
    return console.file.getvalue()


def test_too_few_pixels_are_said_and_not_scored(tmp_path):
    few = Validated(9, 0.1, "IoU", (None, 1.0), 31, ((1, 0), (0, 30)))
    told = printed(validation(started(("a", "b")), few))
    assert told.count("too few to tell") == 2  # the class and the mean
    told = printed(_evaluation_table(Evaluation(toy_model(), few.confusion)))
    assert told.count("too few to tell") == 2  # IoU and Dice of the class
    run = RunSummary("x", tmp_path, scores={"a": None, "b": 1.0}, held_out_loss=0.1)
    assert summary_rows([run])[1][9] == "too few to tell"
