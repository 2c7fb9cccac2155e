"""Axes named in a file decide how the command line reads it, and it says how."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from typer.testing import CliRunner

from napari_unet.cli import load_app
from napari_unet.data.metadata import read_axes_metadata
from napari_unet.model import load_model

QUICK = ("--steps", "2", "--size", "small", "--batch-size", "1", "--threads", "1", "--no-filters")


def run(*words):
    done = CliRunner().invoke(load_app(), [str(word) for word in words])
    return done.exit_code, " ".join(done.output.split())


@pytest.fixture
def movie(tmp_path, monkeypatch):
    """A movie of 12 frames as an array, its painted labels as a file, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).normal(size=(12, 40, 40)).astype(np.float32)
    image[..., 20:] += 4
    labels = np.zeros(image.shape, np.uint8)
    labels[:, 4:20, 4:9], labels[:, 4:20, -9:-4] = 1, 2
    tifffile.imwrite("labels.tif", labels)
    return image


def write_zarr(path, data, axes):
    """Write an OME-Zarr of one level, of version 0.4."""
    level = zarr.open_group(path, mode="w", zarr_format=2).create_array(
        "0", shape=data.shape, dtype=data.dtype
    )
    level[:] = data
    scale = [{"type": "scale", "scale": [2.0, 0.5, 0.5]}]
    multiscales = [
        {
            "version": "0.4",
            "axes": axes,
            "datasets": [{"path": "0", "coordinateTransformations": scale}],
        }
    ]
    Path(path, ".zattrs").write_text(json.dumps({"multiscales": multiscales}))


def learn(image):
    code, said = run("train", image, "labels.tif", "-o", "model", *QUICK)
    assert code == 0, said
    return load_model(Path("model.safetensors")), said


def test_a_movie_of_imagej_is_read_frame_by_frame(movie):
    meta = {"axes": "TYX", "finterval": 30.0, "unit": "um"}
    tifffile.imwrite("movie.tif", movie, imagej=True, resolution=(2.0, 2.0), metadata=meta)
    model, said = learn("movie.tif")
    assert model.config.ndim == 2
    assert model.image_channels == 1
    assert model.spacing == (0.5, 0.5)
    assert "Read as time 12 · y x · 1 channel → 2D." in said
    code, said = run("predict", "model.safetensors", "movie.tif", "-o", "out.tif")
    assert code == 0, said
    assert tifffile.imread("out.tif").shape == movie.shape
    assert read_axes_metadata(Path("out.tif"), 3).axes == ("t", "y", "x")


@pytest.mark.parametrize("first", ["time", "frame number", "t"])
def test_a_movie_in_ome_zarr_is_read_frame_by_frame(movie, first):
    space = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    write_zarr("movie.zarr", movie, [{"name": first, "type": "time", "unit": "minute"}, *space])
    model, said = learn("movie.zarr")
    assert (model.config.ndim, model.spacing) == (2, (0.5, 0.5))
    assert "Read as time 12 · y x · 1 channel → 2D." in said


def test_a_unit_of_time_is_enough(movie):
    space = [{"name": name, "unit": "micrometer"} for name in "yx"]
    write_zarr("movie.zarr", movie, [{"name": "q", "unit": "hour"}, *space])
    assert read_axes_metadata(Path("movie.zarr"), 3).axes == ("t", "y", "x")
    assert learn("movie.zarr")[0].config.ndim == 2


def test_a_stack_is_a_volume_with_a_name_and_without(movie):
    tifffile.imwrite("stack.tif", movie, imagej=True, metadata={"axes": "ZYX"})
    assert "Read as z y x · 1 channel → 3D." in learn("stack.tif")[1]
    tifffile.imwrite("plain.tif", movie)
    assert "Read as z y x · 1 channel → 3D." in learn("plain.tif")[1]


def test_seconds_are_no_depth_of_a_voxel(movie):
    tifffile.imwrite(
        "movie.tif", movie, imagej=True, resolution=(2.0, 2.0),
        metadata={"axes": "TYX", "finterval": 30.0, "unit": "um"},
    )  # fmt: skip
    code, said = run("train", "movie.tif", "labels.tif", "-o", "model", "--ndim", "3", *QUICK)
    assert code == 0, said
    assert "time y x · 1 channel → 3D (time is read as depth)" in said
    assert load_model(Path("model.safetensors")).spacing == (0.5, 0.5, 0.5)


def test_labels_without_the_time_of_their_image_are_refused(movie):
    tifffile.imwrite("movie.tif", np.stack([movie[:4]] * 5), imagej=True, metadata={"axes": "TZYX"})
    strokes = np.ones((4, 40, 40), np.uint8)
    tifffile.imwrite("labels.tif", strokes, photometric="minisblack")
    code, said = run("train", "movie.tif", "labels.tif", "-o", "model", *QUICK)
    assert code != 0
    assert "has a time axis, but its labels have none" in said
