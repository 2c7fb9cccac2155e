"""The commands whose result is an image, on files as a user has them."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from typer.testing import CliRunner

from napari_unet import fit, load_model, predict
from napari_unet.cli import load_app
from napari_unet.tasks.provenance import (
    MODEL_FILE,
    Origin,
    predict_command,
    train_command,
    with_sources,
)

app = load_app()

FIXED = {"steps": 4, "size": "small", "threads": 1}
QUICK = ("--steps", "30", "--size", "small", "--threads", "1")


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    clean = gaussian_filter(random.normal(size=(3, 64, 64)), (1, 3, 3))
    clean = (clean - clean.min()) / np.ptp(clean) * 100 + 20
    noisy = random.poisson(clean).astype(np.uint16)
    mask = np.zeros(clean.shape, np.uint8)
    mask[:, 20:24] = 1
    axes = {
        "imagej": True,
        "resolution": (4.0, 4.0),
        "metadata": {"axes": "ZYX", "spacing": 2.0, "unit": "um"},
    }
    tifffile.imwrite("noisy.tif", noisy, **axes)
    tifffile.imwrite("clean.tif", clean.astype(np.float32), **axes)
    tifffile.imwrite("mask.tif", mask, **axes)
    return clean, noisy, mask


def test_denoise_writes_an_image_of_the_same_shape_units_and_pixel_size(files):
    clean, noisy, _ = files
    done = run(
        "denoise",
        "noisy.tif",
        "out.tif",
        "--model",
        "m.safetensors",
        "--flips",
        *QUICK,
        "--steps",
        90,
    )
    assert done.exit_code == 0, done.output
    with tifffile.TiffFile("out.tif") as file:
        found = file.asarray()
        described = file.ome_metadata
    assert (found.shape, found.dtype) == (noisy.shape, np.float32)
    assert np.sqrt(np.mean((found - clean) ** 2)) < 0.7 * np.sqrt(np.mean((noisy - clean) ** 2))
    assert 'PhysicalSizeX="0.25"' in described
    assert "Method: blind spots (Noise2Void)" in " ".join(done.stderr.split())  # what was chosen
    assert "held-out loss" in done.stdout
    model = load_model("m.safetensors")
    assert model.task == "denoise"
    told = run("info", "m.safetensors")
    assert told.exit_code == 0, told.output
    assert "denoise" in told.stdout
    assert "blind_spot" in told.stdout
    again = run("predict", "m.safetensors", "noisy.tif", "-o", "again.tif", "--flips")
    assert again.exit_code == 0, again.output
    assert np.array_equal(tifffile.imread("again.tif"), found)


def test_inpaint_leaves_known_pixels_as_they_are(files):
    _, noisy, mask = files
    done = run("inpaint", "noisy.tif", "mask.tif", "out.zarr", "--model", "m.safetensors", *QUICK)
    assert done.exit_code == 0, done.output
    run("predict", "m.safetensors", "noisy.tif", "-o", "again.tif", "--mask", "mask.tif")
    found = tifffile.imread("again.tif")
    assert np.array_equal(found[mask == 0], noisy[mask == 0])
    assert not np.array_equal(found[mask == 1], noisy[mask == 1])
    without = run("predict", "m.safetensors", "noisy.tif", "-o", "bad.tif")
    assert without.exit_code == 1
    assert "needs to know which pixels are missing" in without.stderr
    assert not Path("bad.tif").exists()


def test_restore_learns_from_pairs_and_predict_applies_it(files):
    loss = ("--loss", "l1=1,ms_ssim=0.5")
    done = run("restore", "noisy.tif", "clean.tif", "-o", "m", "--planes", 3, *loss, *QUICK)
    assert done.exit_code == 0, done.output
    model = load_model("m.safetensors")
    assert (model.task, model.input_spec.context_planes) == ("restore", 3)
    assert model.training["options"]["loss"] == {"l1": 1, "ms_ssim": 0.5}
    done = run("predict", "m.safetensors", "noisy.tif", "-o", "out.tif")
    assert done.exit_code == 0, done.output
    assert tifffile.imread("out.tif").shape == (3, 64, 64)
    odd = run("restore", "noisy.tif", "clean.tif", "noisy.tif", "-o", "m", *QUICK)
    assert odd.exit_code == 2


def test_several_images_are_learned_from_together_and_each_is_written(files):
    _, noisy, mask = files
    gaps = np.where(mask, np.nan, noisy).astype(np.float32)[:, :48]
    tifffile.imwrite("gaps.tif", gaps, photometric="minisblack")
    first, second = ("noisy.tif", "mask.tif", "a.tif"), ("gaps.tif", "none", "b.tif")
    done = run("inpaint", *first, *second, "--model", "m", *QUICK)
    assert done.exit_code == 0, done.output
    one, two = tifffile.imread("a.tif"), tifffile.imread("b.tif")
    assert np.array_equal(one[mask == 0], noisy[mask == 0])
    assert np.isfinite(two).all()
    assert np.array_equal(two[mask[:, :48] == 0], noisy[:, :48][mask[:, :48] == 0])
    sources = [(Origin("noisy.tif"), Origin("mask.tif")), (Origin("gaps.tif"),)]
    told = shlex.split(train_command(with_sources(load_model("m.safetensors"), sources)))
    given = ["noisy-tif.tif", "mask-tif.tif", "result.tif", "gaps-tif.tif", "none", "result-2.tif"]
    assert told[2:8] == given
    done = run("denoise", "noisy.tif", "c.tif", "clean.tif", "d.tif", "--planes", 1, *QUICK)
    assert done.exit_code == 0, done.output
    assert [tifffile.imread(name).shape for name in ("c.tif", "d.tif")] == [noisy.shape] * 2


@pytest.mark.parametrize("task", ["denoise", "restore", "inpaint"])
def test_the_command_that_is_told_makes_the_same_model_and_result(files, task):
    names = {"denoise": (), "restore": ("clean.tif",), "inpaint": ("mask.tif",)}[task]
    options = {"loss": {"l2": 1.0}} if task == "restore" else {"planes": 1}
    model = fit("noisy.tif", *names, task=task, seed=3, **FIXED, **options)
    sources = tuple(Origin(name, name) for name in ("noisy.tif", *names))
    model = with_sources(model, [sources])
    done = run(*shlex.split(train_command(model, "again.safetensors"))[1:])
    assert done.exit_code == 0, done.output
    assert load_model("again.safetensors").digest == model.digest
    mask = Origin("mask.tif", "mask.tif") if task == "inpaint" else None
    told = predict_command(sources[0], {"flips": True}, mask=mask)
    done = run(*shlex.split(told.replace(MODEL_FILE, "again.safetensors"))[1:])
    assert done.exit_code == 0, done.output
    missing = None if mask is None else "mask.tif"
    expected = predict(model, "noisy.tif", flips=True, mask=missing)
    assert np.array_equal(tifffile.imread("noisy-prediction.tif"), expected)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("denoise", "none.tif", "out.tif"), "none.tif"),
        (("denoise", "noisy.tif", "noisy.tif"), "overwrite"),
        (("denoise", "noisy.tif", "out.png"), "no known suffix"),
        (("denoise", "noisy.tif", "out.tif", "clean.tif"), "Too many or too few paths"),
        (("denoise", "noisy.tif", "out.tif", "clean.tif", "out.tif"), "to one file"),
        (("denoise", "noisy.tif", "out.tif", "clean.tif", "noisy.tif"), "overwrite"),
        (("denoise", "noisy.tif", "out.tif", "--planes", "2"), "odd"),
        (("restore", "noisy.tif", "clean.tif", "-o", "m", "--loss", "l3=1"), "l3"),
        (("predict", "none.safetensors", "noisy.tif", "-o", "out.tif"), "no such model"),
    ],
)
def test_bad_input_is_one_clean_line_and_leaves_no_trace(files, command, message):
    before = {p.name for p in Path().iterdir()}
    done = run(*command, *(QUICK if command[0] != "predict" else ()))
    assert done.exit_code in (1, 2)
    assert message in " ".join(done.output.replace("│", " ").split())
    assert "Traceback" not in done.output
    assert {p.name for p in Path().iterdir()} == before
