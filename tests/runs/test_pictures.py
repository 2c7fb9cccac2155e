"""Runs as users keep them: trainings of each kind, from Python, with pictures in the report."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

import napari_unet
from napari_unet.errors import InputError
from napari_unet.model import load_model
from napari_unet.runs.listing import list_runs
from napari_unet.runs.pictures import SamplePictures, as_lists, sources_of
from napari_unet.tasks.provenance import Origin
from napari_unet.training.events import Finished, Preparing, Started, Warned

QUICK = {"steps": 3, "size": "small", "batch_size": 2, "threads": 1, "device": "cpu"}


@pytest.fixture
def painted():
    image = np.random.default_rng(0).normal(size=(3, 64, 70))
    image[..., 35:] += 3
    labels = np.zeros(image.shape, np.uint8)
    labels[1, 20:40, 10:20], labels[1, 20:40, 50:60] = 1, 2
    return image, labels


def test_train_keeps_what_fit_keeps(painted, tmp_path):
    model = napari_unet.fit(*painted, runs=tmp_path, class_names={1: "a", 2: "b"}, **QUICK)
    (run,) = list_runs(tmp_path)
    assert (run.status, run.steps, run.task, run.seed) == ("finished", 3, "segment", 0)
    assert load_model(run.folder / "model.safetensors").digest == model.digest
    assert run.strokes == model.training["strokes"]
    assert (run.settings["size"], run.settings["batch_size"]) == ("small", 2)
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2
    assert "The sample pictures could not be made" not in page


@pytest.mark.parametrize("task", ["denoise", "restore", "inpaint"])
def test_image_tasks_are_kept_with_pictures(tmp_path, task):
    random = np.random.default_rng(0)
    clean = gaussian_filter(random.normal(size=(64, 64)), 3) * 100
    noisy = clean + random.normal(size=clean.shape)
    other = {"denoise": None, "restore": clean, "inpaint": (noisy > 3).astype(np.uint8)}[task]
    events = list(napari_unet.train(noisy, other, task=task, runs=tmp_path, **QUICK))
    assert isinstance(next(e for e in events if not isinstance(e, Preparing)), Started)
    assert isinstance(events[-1], Finished)
    (run,) = list_runs(tmp_path)
    assert (run.task, run.status, run.steps) == (task, "finished", 3)
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2
    assert "The sample pictures could not be made" not in page


def test_pictures_are_the_middle_of_each_image_beside_the_result(painted):
    model = napari_unet.fit(*painted, **QUICK)
    image = np.zeros((5, 500, 420), np.float32)
    image[2, 58:-58, 18:-18] = 1  # the middle of the middle plane: 384 pixels a side
    image[2, 250, 210] = 0
    pictures = list(SamplePictures([image, painted[0]])(model))
    assert [caption for caption, _ in pictures] == [
        "image 1", "image 1, result", "image 2", "image 2, result"
    ]  # fmt: skip
    assert [picture.shape for _, picture in pictures] == [(384, 384, 3)] * 2 + [(64, 70, 3)] * 2


def test_files_are_named_in_the_command_that_makes_the_model_again(painted, tmp_path):
    image, strokes = tmp_path / "image.tif", tmp_path / "my strokes.tif"
    tifffile.imwrite(image, painted[0], photometric="minisblack")
    tifffile.imwrite(strokes, painted[1], photometric="minisblack")
    napari_unet.fit(image, strokes, runs=tmp_path / "runs", **QUICK)
    (run,) = list_runs(tmp_path / "runs")
    facts = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    command = facts["command"]
    assert command.startswith(f"napari-unet train {image} '{strokes}' ")
    assert "--steps 3" in command
    plan = facts["plan"]
    assert (plan["axes"], plan["class_values"]) == (["y", "x"], [1, 2])
    assert plan["input_shape"] == facts["patch"]
    assert plan["network"]["out_channels"] == 2


def test_what_is_no_file_is_named_by_what_it_is():
    images, others = as_lists("segment", ["a.tif", np.zeros(2)], [np.zeros(2), "b.tif"])
    assert sources_of("segment", images, others) == [
        (Origin("a.tif", "a.tif"), Origin("strokes")),
        (Origin("training image"), Origin("b.tif", "b.tif")),
    ]
    assert sources_of("denoise", ["a.tif"], [None]) == [(Origin("a.tif", "a.tif"),)]


def test_tensorboard_needs_a_folder(painted):
    with pytest.raises(InputError, match="Give `runs`"):
        list(napari_unet.train(*painted, tensorboard=True, **QUICK))


def test_refused_input_leaves_no_folder_and_a_refusing_disk_stops_no_training(painted, tmp_path):
    with pytest.raises(InputError, match="differ in shape"):
        napari_unet.fit(painted[0], painted[1][:2], runs=tmp_path / "runs", **QUICK)
    assert not (tmp_path / "runs").exists()
    (tmp_path / "runs").write_text("taken")
    events = list(napari_unet.train(*painted, runs=tmp_path / "runs", **QUICK))
    assert isinstance(events[-1], Finished)
    assert [e for e in events if isinstance(e, Warned) and "no longer recorded" in e.message]
