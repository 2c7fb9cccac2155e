"""How a result was made: what is said of it, and that the commands make it again."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import napari_unet
from napari_unet.cli import load_app
from napari_unet.data.metadata import AxesMetadata, read_axes_metadata
from napari_unet.data.writers import ImageSpec, new_image
from napari_unet.model import load_model
from napari_unet.network.unet_config import UNetConfig
from napari_unet.postprocessing.options import RefineOptions
from napari_unet.postprocessing.quantised import quantise
from napari_unet.tasks.provenance import (
    Origin,
    as_text,
    predict_command,
    provenance,
    refined,
    rows,
    train_command,
    with_sources,
    with_step,
    without_step,
)

SETTINGS = {
    "steps": 4,
    "seed": 5,
    "size": "small",
    "batch_size": 2,
    "threads": 1,
    "held_out": 0.5,
    "fast": False,
    "patch": (60, 60),
    "class_names": {1: "rim", 2: "inner part"},
    "device": "cpu",
    "spacing": (0.5, 0.5),
}


def picture():
    image = np.random.default_rng(0).normal(100, 10, (96, 96)).astype(np.float32)
    image[:, 48:] += 60
    strokes = np.zeros((96, 96), np.uint8)
    for row in (5, 25, 45, 65):
        strokes[row : row + 10, 5:20], strokes[row : row + 10, 70:85] = 1, 2
    return image, strokes


@pytest.fixture(scope="module")
def model():
    """A model trained in Python, of layers that have files in the folder one works in."""
    trained = napari_unet.fit(*picture(), **SETTINGS)
    pair = Origin("pic", "a picture.tif"), Origin("strokes", "strokes.tif")
    return with_sources(trained, [pair])


def run(command):
    program, *words = shlex.split(command)
    assert program == "napari-unet"
    done = CliRunner().invoke(load_app(), words)
    assert done.exit_code == 0, done.output


def test_the_commands_make_the_same_model_and_the_same_prediction(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image, strokes = picture()
    tifffile.imwrite("a picture.tif", image)
    tifffile.imwrite("strokes.tif", strokes)
    made = provenance(
        model, Origin("pic", "a picture.tif"), request={"channel_axis": None, "rgb": False}
    )
    for command in made["commands"]:
        run(command)
    again = load_model("model.safetensors")
    assert again.digest == model.digest == made["model"]
    assert again.classes == model.classes
    result = tifffile.imread("a picture-prediction.tif")
    assert np.array_equal(result, napari_unet.predict(model, image))


@pytest.mark.parametrize(
    "options",
    [
        {"object_class": 2, "output": "objects", "threshold": 0.45, "smallest": 3},
        {"object_class": 1, "holes": 4, "threshold": 0.55},
        {"output": "objects", "split": True, "distance": 4.0},
        {"smallest": 30},
    ],
)
def test_the_commands_refine_to_the_same_labels(model, options, tmp_path, monkeypatch):
    """From the saved model, as the panel refines: bytes of probabilities, with its arguments."""
    monkeypatch.chdir(tmp_path)
    image = picture()[0]
    tifffile.imwrite("a picture.tif", image)
    model.save("model.safetensors")
    arguments = {"values": (1, 2), "spacing": (0.5, 0.5), "spatial_ndim": 2}
    maps = quantise(napari_unet.predict(model, image, output="probabilities"))
    expected = napari_unet.refine(maps, RefineOptions(**options), **arguments)
    plain = provenance(model, Origin("pic", "a picture.tif"))
    made = refined(plain, options, **arguments)
    assert [step["name"] for step in made["steps"]] == ["Train", "Predict", "Refine"]
    for step in made["steps"][1:]:
        run(step["command"])
    np.testing.assert_array_equal(tifffile.imread("a picture-refined.tif"), expected)
    assert "Refinement" in dict(rows(made))
    assert made["commands"][2] in as_text(made)
    assert refined(made, None) == plain
    again = refined(made, {"smallest": 9}, **arguments)
    assert [step["name"] for step in again["steps"]] == ["Train", "Predict", "Refine"]
    assert "--smallest 9" in again["commands"][2]


def test_a_stack_of_planes_is_refined_plane_by_plane_from_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    maps = np.random.default_rng(0).random((2, 3, 20, 24)).astype(np.float32)
    maps /= maps.sum(0)
    axes = AxesMetadata(
        ("c", "z", "y", "x"), (None, 2.0, 0.5, 0.5), ("", "micrometer", "micrometer", "micrometer")
    )
    with new_image(Path("maps.tif"), ImageSpec(maps.shape, maps.dtype, axes)) as target:
        target[...] = maps
    run("napari-unet refine maps.tif -o a.tif --objects --values 0,4 --spatial-ndim 2")
    options = RefineOptions(output="objects")
    how = {"values": (0, 4), "spacing": (2.0, 0.5, 0.5)}
    expected = napari_unet.refine(quantise(maps), options, spatial_ndim=2, **how)
    np.testing.assert_array_equal(tifffile.imread("a.tif"), expected)
    assert read_axes_metadata(Path("a.tif"), 3) == axes.without(0)
    run("napari-unet refine maps.tif -o b.tif --objects --values 0,4 --split --distance 3")
    options = RefineOptions(output="objects", split=True, distance=3.0)
    expected = napari_unet.refine(quantise(maps), options, **how)
    np.testing.assert_array_equal(tifffile.imread("b.tif"), expected)


def test_how_near_the_commands_come_is_told_as_it_is(model):
    fixed = provenance(model, Origin("pic", "pic.tif"))["notes"][-1]
    assert "has the same weights on a CPU" in fixed
    free = {k: v for k, v in model.training["options"].items() if k != "threads"}
    for options in (free, {**model.training["options"], "make_way": True}):
        note = provenance(changed(model, options), Origin("pic", "pic.tif"))["notes"][-1]
        assert "number of threads was not fixed" in note
        assert "same weights" not in note
        assert "save this model as model.safetensors and leave the first command out" in note


def test_further_steps_are_appended(model):
    made = provenance(model, Origin("pic", "pic.tif"))
    more = with_step(made, "Crop", "napari-unet crop a.tif")
    assert more["commands"] == [*made["commands"], "napari-unet crop a.tif"]
    assert without_step(more, "Crop") == made
    assert with_step(more, "Crop", "b")["commands"] == [*made["commands"], "b"]


def test_another_seed_would_be_another_model(model):
    other = napari_unet.fit(*picture(), **{**SETTINGS, "seed": 6})
    assert other.digest != model.digest
    assert "--seed 6" in train_command(other)


def test_every_option_that_matters_is_in_the_command(model):
    words = shlex.split(train_command(model, "out.safetensors"))
    assert words[:6] == [
        "napari-unet", "train", "a picture.tif", "strokes.tif", "--output", "out.safetensors"
    ]  # fmt: skip
    told = {a: b for a, b in pairwise(words) if a.startswith("--")}
    assert told["--ndim"] == "2"
    assert told["--spacing"] == "0.5,0.5"
    assert told["--class-names"] == "1=rim,2=inner part"
    assert told["--patch"] == "60,60"
    assert "--no-fast" in words


def test_the_record_is_json_and_complete(model):
    made = provenance(model, Origin("pic", "/data/pic.tif"), seconds=1.25)
    assert made == {**json.loads(json.dumps(made)), "classes": made["classes"],
                    "training": made["training"]}  # fmt: skip
    assert made["strokes"] == model.training["strokes"]
    assert (made["seed"], made["path"], made["prediction_seconds"]) == (5, "/data/pic.tif", 1.25)
    assert {"napari-unet-live", "torch", "numpy"} <= set(made["versions"])


def test_it_is_told_in_words(model):
    made = provenance(model, Origin("pic", "/data/pic.tif"), seconds=1.25)
    told = dict(rows(made))
    assert told["Image"] == "pic · /data/pic.tif"
    assert told["Model"] == model.digest
    assert told["Training"].startswith("4 steps, ")
    assert told["Prediction"] == "1.2 s"
    assert told["Classes"] == "1 rim, 2 inner part"
    settings = told["Changed settings"].splitlines()
    assert "Batch size: 2" in settings
    assert any(line.endswith(": 60 × 60") for line in settings)
    assert any(line.endswith(": no") for line in settings)
    assert not any(line.startswith(("Steps", "Random seed")) for line in settings)
    assert "held-out pixels" in told["Validation"]
    text = as_text(made)
    assert made["commands"][0] in text
    assert made["notes"][-1] in text
    assert rows({}) == []
    assert as_text({}) == ""


def test_it_is_honest_about_what_the_commands_cannot_say(model):
    def notes(changed, image=Origin("pic", "pic.tif")):  # noqa: B008 - frozen
        return " ".join(provenance(changed, image)["notes"])

    plain = notes(model)
    assert "alike, not identical" in plain
    assert not any(
        word in plain for word in ("save it first", "stopped by hand", "set up", "not known")
    )
    assert "“my layer” was not read from a file: save it first, as my-layer.tif" in notes(
        model, Origin("my layer")
    )
    options = model.training["options"]
    assert "stopped by hand" in notes(changed(model, options | {"open_ended": True}))
    assert "set up in a way" in notes(changed(model, options | {"from": "the future"}))
    network = UNetConfig(encoder=((6,),), bottom=(8,), decoder=((6,),))
    by_hand = napari_unet.fit(*picture(), network=network, steps=1, batch_size=1, patch=(40, 40))
    assert "set up in a way" in notes(by_hand)
    assert "not known here" in notes(by_hand)


def changed(model, options):
    from dataclasses import replace

    return replace(model, training={**model.training, "options": options})


def test_a_training_on_two_pairs_that_went_on_can_be_repeated_too(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image, strokes = picture()
    pairs = []
    for name in "ab":
        tifffile.imwrite(f"{name}.tif", image)
        tifffile.imwrite(f"{name}-strokes.tif", strokes)
        pairs.append((Origin(name, f"{name}.tif"), Origin(f"{name} strokes")))
        image = image[::-1].copy()
    again = {k: v for k, v in SETTINGS.items() if k not in ("steps", "size", "fast")}
    first = tifffile.imread("a.tif"), tifffile.imread("b.tif")
    further = napari_unet.fit(list(first), [strokes, strokes], start=model, steps=2, **again)
    further = with_sources(further, pairs)
    made = provenance(further, Origin("a", "a.tif"))
    assert made["commands"][0].startswith(
        "napari-unet train a.tif a-strokes.tif b.tif b-strokes.tif --output"
    )
    assert any(f"started from the model {model.digest[:8]}" in note for note in made["notes"])
    assert not any("set up in a way" in note for note in made["notes"])
    model.save("start.safetensors")
    run(made["commands"][0])
    assert load_model("model.safetensors").digest == further.digest


@pytest.mark.parametrize("rate", [{}, {"learning_rate": 0.003}])
def test_denoising_that_went_on_can_be_repeated_at_its_rate(rate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = picture()[0]
    tifffile.imwrite("a.tif", image)
    how = {
        "task": "denoise", "method": "blind_spot", "normalise": "mean_sd", "own_share": 0.1,
        "batch_size": 2, "threads": 1, "device": "cpu", "spacing": (1, 1), "steps": 2,
    }  # fmt: skip
    start = napari_unet.fit(image, size="small", **how)
    start.save("start.safetensors")
    further = napari_unet.fit(image, start=start, **how, **rate)
    command = train_command(with_sources(further, [(Origin("a", "a.tif"),)]))
    assert f"--learning-rate {rate.get('learning_rate', 0.0015)}" in command
    run(command)
    assert load_model("model.safetensors").digest == further.digest


def test_names_that_the_command_line_cannot_read_are_left_out(model):
    odd = changed(model, {"class_names": {"1": "a, b"}, "size": "small"})
    assert "class-names" not in train_command(odd)


def test_probabilities_and_the_way_to_read_the_image():
    words = shlex.split(predict_command(Origin("x"), {"rgb": True, "channel_axis": -1}, True))
    assert words[-4:] == ["--probabilities", "--rgb", "--channel-axis", "-1"]
    assert words[2:6] == ["model.safetensors", "x.tif", "--output", "x-prediction.tif"]


def test_it_needs_no_torch():
    code = "import sys, napari_unet.tasks.provenance; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "False"
