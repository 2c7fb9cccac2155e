"""Augmentation from the command line into the model, and from the model into a command again."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_unet.cli import commands
from napari_unet.model import load_model
from napari_unet.tasks.provenance import Origin, provenance, train_command

QUICK = [
    *("--size", "small", "--patch", "60,60", "--batch-size", "1", "--steps", "2"),
    *("--threads", "1", "--device", "cpu", "--held-out", "0.2"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).normal(100, 10, (96, 96)).astype(np.float32)
    strokes = np.zeros((96, 96), np.uint8)
    for row in (5, 25, 45, 65):
        strokes[row : row + 10, 5:20], strokes[row : row + 10, 70:85] = 1, 2
    # So the command that a model tells of finds them.
    tifffile.imwrite("training-image.tif", image)
    tifffile.imwrite("strokes.tif", strokes)
    return tmp_path


def train(*augment):
    words = ("train", "training-image.tif", "strokes.tif", "-o", "out.safetensors", *QUICK)
    return CliRunner().invoke(commands.app, [*words, *augment], env={"COLUMNS": "200"})


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (
            "rotate_degrees=90,noise=0.1,flip=no,chance.noise=0.5",
            {"rotate_degrees": 90.0, "noise": 0.1, "flip": False, "chance": {"noise": 0.5}},
        ),
        ("none", {"flip": False, "scale": 0.0, "rotate_degrees": 0.0}),
    ],
)
def test_what_is_typed_is_learned_with_and_told_again(folder, text, kept):
    done = train("--augment", text)
    assert done.exit_code == 0, done.output
    model = load_model("out.safetensors")
    assert kept.items() <= model.training["options"]["augment"].items()
    command = train_command(model, "again.safetensors")
    assert "--augment" in command
    assert not any("augmentation" in note for note in provenance(model, Origin("x"))["notes"])
    again = CliRunner().invoke(commands.app, shlex.split(command)[1:])
    assert again.exit_code == 0, again.output
    assert load_model("again.safetensors").digest == model.digest


def test_another_augmentation_is_another_model(folder):
    digests = set()
    for more in ((), ("--augment", "none"), ("--augment", "gamma=0.5,jitter=4")):
        assert train(*more).exit_code == 0
        digests.add(load_model("out.safetensors").digest)
    assert len(digests) == 3


def test_what_is_wrong_is_said_in_a_line_and_nothing_is_written(folder):
    done = train("--augment", "rotate=90")
    assert done.exit_code == 2
    said = " ".join(done.output.replace("│", " ").split())
    assert "rotate=90: there is no rotate; there are flip, rotate_degrees" in said
    assert "Traceback" not in done.output
    assert not (folder / "out.safetensors").exists()
