"""Going on and judging from the command line."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import napari_unet
from napari_unet.cli import load_app

app = load_app()

QUICK = ("--size", "small", "--batch-size", 2, "--threads", 1, "--device", "cpu")


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).normal(100, 9, (64, 64)).astype(np.float32)
    image[:, 32:] += 60
    truth = np.where(np.arange(64) < 32, 1, 2).astype(np.uint8) * np.ones((64, 1), np.uint8)
    strokes = np.zeros_like(truth)
    strokes[10:40, 5:15], strokes[10:40, 45:55] = 1, 2
    for name, data in {"image": image, "truth": truth, "strokes": strokes}.items():
        tifffile.imwrite(f"{name}.tif", data)
    return tmp_path


def test_a_training_goes_on_from_its_checkpoint(files):
    begin = ("train", "image.tif", "strokes.tif", "-o", "m", "--checkpoint", "c.safetensors")
    done = run(*begin, "--steps", 3, *QUICK)
    assert done.exit_code == 0, done.output
    done = run("resume", "c.safetensors", "image.tif", "strokes.tif", "-o", "more", "--steps", 5)
    assert done.exit_code == 0, done.output
    assert "Saved more.safetensors after 5 steps in all." in done.stderr
    model = napari_unet.load_model("more.safetensors")
    assert model.training["steps"] == 5
    assert model.training["options"]["size"] == "small"
    assert (files / "more.csv").exists()


def test_another_checkpoint_is_written_from_then_on(files):
    run("train", "image.tif", "strokes.tif", "-o", "m", "--checkpoint", "c", "--steps", 2, *QUICK)
    again = ("resume", "c.safetensors", "image.tif", "strokes.tif", "-o", "more")
    done = run(*again, "--steps", 3, "--checkpoint", "later")
    assert done.exit_code == 0, done.output
    assert (files / "later.safetensors").exists()


def test_denoising_goes_on_with_the_image_alone(files):
    done = run("denoise", "image.tif", "clean.tif", "--checkpoint", "c", "--steps", 2, *QUICK)
    assert done.exit_code == 0, done.output
    done = run("resume", "c.safetensors", "image.tif", "-o", "more", "--steps", 3)
    assert done.exit_code == 0, done.output
    assert napari_unet.load_model("more.safetensors").training["steps"] == 3


def test_what_cannot_go_on_is_one_clean_line(files):
    run("train", "image.tif", "strokes.tif", "-o", "m", "--steps", 1, *QUICK)
    done = run("resume", "m.safetensors", "image.tif", "strokes.tif", "-o", "more")
    assert done.exit_code == 1
    assert "without the state that is needed" in done.stderr
    assert "Traceback" not in done.output
    assert run("resume", "m.safetensors", "image.tif", "-o", "more").exit_code == 2


def test_a_prediction_is_compared_with_the_truth(files):
    run("train", "image.tif", "strokes.tif", "-o", "m", "--steps", 30, *QUICK)
    done = run("evaluate", "m.safetensors", "image.tif", "truth.tif", "--threads", 1)
    assert done.exit_code == 0, done.output
    found = napari_unet.evaluate(napari_unet.load_model("m.safetensors"), "image.tif", "truth.tif")
    for score in (found.accuracy, *found.iou, *found.dice):
        assert f"{score:.3f}" in done.stdout
    assert "4,096" in done.stdout
    wrong = run("evaluate", "m.safetensors", "image.tif", "image.tif")
    assert wrong.exit_code == 1
    assert "not a label image" in wrong.stderr


def test_images_are_compared_by_psnr_and_ssim(files):
    tifffile.imwrite("other.tif", tifffile.imread("image.tif")[::-1])
    run("restore", "image.tif", "other.tif", "-o", "m", "--steps", 2, *QUICK)
    done = run("evaluate", "m.safetensors", "image.tif", "other.tif", "--data-range", 200)
    assert done.exit_code == 0, done.output
    like = napari_unet.evaluate(
        napari_unet.load_model("m.safetensors"), "image.tif", "other.tif", data_range=200
    ).likeness
    assert f"{like.psnr:.2f} dB" in done.stdout
    assert f"{like.ssim:.4f}" in done.stdout


def test_classes_are_weighed_from_the_command_line(files):
    begin = ("train", "image.tif", "strokes.tif", "-o", "m", "--steps", 1, *QUICK)
    done = run(*begin, "--class-weights", "1=2,2=0.5", "--loss", "focal+dice")
    assert done.exit_code == 0, done.output
    options = napari_unet.load_model("m.safetensors").training["options"]
    assert options["class_weights"] == {"1": 2.0, "2": 0.5}
    assert options["loss"] == "focal+dice"
    assert run(*begin, "--loss", "hinge").exit_code == 2


def test_a_network_is_named_or_read_from_a_file(files):
    begin = ("train", "image.tif", "strokes.tif", "-o", "m", "--steps", 1, *QUICK[2:])
    (files / "net.json").write_text('{"encoder": [[3]], "bottom": [4], "decoder": [[3]]}')
    (files / "fcn.json").write_text('{"kind": "fcn", "width": 0.02}')
    for name, title in (("net.json", "1 poolings"), ("fcn.json", "FCN")):
        done = run(*begin, "--network", name)
        assert done.exit_code == 0, done.output
        assert title in napari_unet.load_model("m.safetensors").config.title
    for wrong in ("no2015", "missing.json", "image.tif"):
        done = run(*begin, "--network", wrong)
        assert done.exit_code == 2
        assert "Traceback" not in done.output
    assert "ronneberger2015" in " ".join(run(*begin, "--network", "no").output.split())


def test_a_network_is_named_in_python():
    image = np.random.default_rng(0).normal(size=(64, 64))
    labels = np.zeros((64, 64), int)
    labels[5:20, 5:20], labels[5:20, 40:60] = 1, 2
    model = napari_unet.fit(image, labels, steps=1, network="semantic2d", batch_size=1)
    assert model.config == napari_unet.preset("semantic2d", in_channels=1, out_channels=2)
    with pytest.raises(napari_unet.InputError, match="no such preset"):
        napari_unet.fit(image, labels, steps=1, network="vgg")
