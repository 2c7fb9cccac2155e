"""`sizes`: what fits through a network, and what it costs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from napari_unet.cli import load_app
from napari_unet.network.cost import network_cost
from napari_unet.network.registry import preset
from tests.inference.models import model

app = load_app()


def run(*words: str):
    return CliRunner().invoke(app, ["sizes", *words])


def test_a_published_network_by_name():
    done = run("ronneberger2015", "--input", "572,572", "--batch", "2")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    found = network_cost(preset("ronneberger2015"), (572, 572), 2)
    assert "head 388 x 388 2 130" in lines
    assert "total 31,030,658" in lines
    assert any(line.startswith("y: inputs 188, 204, 220, ... (every 16)") for line in lines)
    assert "input -> output 572 x 572 -> 388 x 388" in lines
    assert "cut per side 92 x 92" in lines
    sums = f"{found.multiply_adds_per_voxel:,.0f}"
    assert any(line.startswith(f"computing {sums} multiply-adds") for line in lines)
    memory = f"to train about {found.training_bytes / 1e9:.1f} GB for a batch of 2 images"
    assert any(line.startswith(memory) for line in lines)
    assert run("--preset", "ronneberger2015", "--input", "572,572", "--batch", "2").stdout == (
        done.stdout
    )


def test_other_kinds_and_dimensions():
    assert "FC-DenseNet of 56 layers, 3D" in run("fcdensenet56", "--ndim", "3").stdout
    assert "receptive field 468" in run("fcn8s").stdout
    assert "3D U-Net" in run("--size", "small", "--ndim", "3").stdout


def test_a_models_own_network(tmp_path: Path):
    path = tmp_path / "m.safetensors"
    trained = model()
    trained.save(path)
    done = run(str(path))
    total = f"{network_cost(trained.config).parameters:,}"
    assert done.exit_code == 0
    assert trained.config.title in done.stdout
    assert any(line.split() == ["total", total] for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("ronneberger2016", "There is no preset of this name.*expected cicek2016 or .*safetensors"),
        ("--preset unet", "There is no preset of this name"),
        ("--input 57,64", "does not accept this input size"),
        ("nowhere.safetensors", "no such model file"),
        ("ronneberger2015 --input 570,572", "got 570 pixels, expected 556 or 572"),
        ("fcn8s --input 40,64", "got 40 pixels, expected 32 or 64"),
        ("fcn8s --input 64", "expected 2 sizes"),
        ("ndnet_unetv3 --ndim 2", "does not exist for this number of dimensions"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(words, message):
    done = run(*words.split())
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert done.stdout == ""
    assert re.search(message, line)


def test_a_name_twice_is_refused():
    done = run("fcn8s", "--preset", "fcn16s")
    assert done.exit_code == 2
    assert "not both" in done.stderr
