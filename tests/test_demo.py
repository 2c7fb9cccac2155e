"""The demonstration: everything it promises to write is there and belongs together."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from typer.testing import CliRunner

from napari_unet import demo
from napari_unet.cli import demo as demo_command
from napari_unet.cli import load_app
from napari_unet.data.metadata import AxesMetadata, read_axes_metadata
from napari_unet.demo import DemoResult, intersection_over_union, run_demo
from napari_unet.model import load_model
from napari_unet.samples import sample

QUICK: dict[str, Any] = {"size": "small", "batch_size": 1, "threads": 1}


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> tuple[Path, list[DemoResult]]:
    """Run the demonstration once, with hardly any training."""
    out = tmp_path_factory.mktemp("demo") / "new" / "folder"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "train", partial(demo.train, **QUICK))
        return out, run_demo(out, steps=2)


def test_every_promised_file_is_there(shown):
    out, _ = shown
    kinds = ("-image.tif", "-strokes.tif", "-labels.tif", "-labels.ome.zarr", ".safetensors")
    expected = {f"{name}{kind}" for name in ("cells2d", "volume3d") for kind in kinds}
    assert {p.name for p in out.iterdir()} == expected | {"figure.png"}


@pytest.mark.parametrize(("index", "name"), [(0, "cells2d"), (1, "volume3d")])
def test_files_hold_what_was_predicted_on_the_samples_grid(shown, index, name):
    out, results = shown
    found, given = results[index], sample(name)
    written = tifffile.imread(out / f"{name}-labels.tif")
    np.testing.assert_array_equal(written, found.labels)
    np.testing.assert_array_equal(zarr.open(out / f"{name}-labels.ome.zarr")["0"][:], written)
    np.testing.assert_array_equal(tifffile.imread(out / f"{name}-image.tif"), given.image)
    np.testing.assert_array_equal(tifffile.imread(out / f"{name}-strokes.tif"), given.strokes)
    units = tuple("" if u == "pixel" else u for u in given.units)
    assert read_axes_metadata(out / f"{name}-labels.tif", written.ndim) == AxesMetadata(
        given.axis_labels, given.scale, units
    )
    model = load_model(out / f"{name}.safetensors")
    assert model.digest == found.model.digest
    assert model.config.ndim == given.strokes.ndim
    assert [c.name for c in model.classes] == list(given.class_names.values())


def test_the_figure_can_be_looked_at(shown):
    with Image.open(shown[0] / "figure.png") as figure:
        assert figure.width > 1000
        colours = figure.getcolors(2**24)
    assert colours is not None
    assert len(colours) > 1000


def test_scores_are_those_of_the_written_labels(shown):
    for found in shown[1]:
        for scores, where in (
            (found.everywhere, np.ones(found.labels.shape, bool)),
            (found.unpainted, found.sample.strokes == 0),
        ):
            for value, name in found.sample.class_names.items():
                a, b = found.labels[where] == value, found.sample.truth[where] == value
                assert scores[name] == pytest.approx((a & b).sum() / (a | b).sum())


def test_intersection_over_union_counts_only_where_it_is_told():
    labels, truth = np.array([[1, 1, 2, 2]]), np.array([[1, 2, 2, 2]])
    everywhere = np.ones((1, 4), bool)
    assert intersection_over_union(labels, truth, everywhere, 1) == 1 / 2
    assert intersection_over_union(labels, truth, everywhere, 2) == 2 / 3
    assert intersection_over_union(labels, truth, np.array([[1, 0, 0, 1]], bool), 2) == 1
    assert intersection_over_union(labels, truth, everywhere, 3) is None


def test_the_command_prints_a_table_and_opens_napari(shown, monkeypatch, tmp_path):
    started: list[list[str]] = []

    def start(command: list[str], check: bool) -> None:
        started.append(command)

    monkeypatch.setattr(demo, "run_demo", lambda out, seconds, **_: shown[1])
    monkeypatch.setattr(demo_command, "subprocess", SimpleNamespace(run=start))
    done = CliRunner().invoke(load_app(), ["demo", "--out", str(tmp_path), "--view"])
    assert done.exit_code == 0, done.output
    assert done.stdout.count("mean") == 2
    assert "a classical reference" in done.stdout
    assert "membrane" in done.stdout
    ((_, _, script, *words),) = started
    assert words == [str(tmp_path), "cells2d", "volume3d"]
    compile(script, "script", "exec")


def test_without_napari_the_viewer_is_refused_before_the_training(monkeypatch, tmp_path):
    monkeypatch.setattr(demo_command, "find_spec", lambda name: None)
    done = CliRunner().invoke(load_app(), ["demo", "--out", str(tmp_path / "out"), "--view"])
    assert done.exit_code == 1
    assert "napari is not installed" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    done = CliRunner().invoke(load_app(), ["demo", "--out", str(tmp_path / "file" / "out")])
    assert done.exit_code == 1
    assert "The folder cannot be created" in done.stderr
