"""Channels that are images of their own: learned from in order, found by name, told in commands."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import napari_unet
from napari_unet import ChannelStack, InputError
from napari_unet.cli import load_app
from napari_unet.data.metadata import read_axes_metadata
from napari_unet.data.source import open_source
from napari_unet.geometry.region import Region
from napari_unet.model import load_model
from napari_unet.tasks.plan import ImageShape
from napari_unet.tasks.provenance import Origin, predict_command, provenance, with_sources
from napari_unet.tasks.segmentation.options import SegmentOptions

SHORT = {"steps": 3, "size": "small", "batch_size": 2, "threads": 1, "device": "cpu"}


def channels():
    """Return two channels, of which the second alone tells the classes, and strokes."""
    rng = np.random.default_rng(0)
    dapi = rng.integers(0, 50, (64, 64)).astype(np.uint8)
    gfp = rng.normal(size=(64, 64)).astype(np.float32)
    gfp[:, 32:] += 4
    strokes = np.zeros((64, 64), np.uint8)
    strokes[24:56, 6:15], strokes[24:56, 49:58] = 1, 2
    return dapi, gfp, strokes


@pytest.fixture(scope="module")
def model():
    dapi, gfp, strokes = channels()
    return napari_unet.fit(ChannelStack([dapi, gfp], ("DAPI", "GFP")), strokes, **SHORT)


def test_a_stack_reads_its_channels_without_copying_them():
    dapi, gfp, _ = channels()
    stack = ChannelStack([dapi, gfp])
    assert stack.shape == (64, 64, 2)
    assert stack.dtype == np.float32
    region = Region((3, 4, 0), (10, 20, 2))
    expected = np.stack([dapi, gfp], -1)[3:10, 4:20]
    np.testing.assert_array_equal(open_source(stack).read(region), expected)
    dapi[5, 6] = 77
    np.testing.assert_array_equal(stack.read(Region((5, 6, 0), (6, 7, 1))), [[[77]]])


def test_channels_of_other_shapes_or_with_one_name_are_refused():
    dapi, gfp, _ = channels()
    with pytest.raises(InputError, match=r"one shape.*\(64, 64\), \(64, 60\)"):
        ChannelStack([dapi, gfp[:, :60]])
    with pytest.raises(InputError, match="a name of its own"):
        ChannelStack([dapi, gfp], ("DAPI", "DAPI"))
    with pytest.raises(InputError, match="one shape"):
        ChannelStack([])


def test_a_stack_is_learned_from_like_an_array_of_its_channels(model):
    dapi, gfp, strokes = channels()
    array = napari_unet.fit(np.stack([dapi, gfp], -1), strokes, channel_axis=-1, **SHORT)
    assert model.digest == array.digest
    assert model.channel_names == ("DAPI", "GFP")
    assert array.channel_names == ()


def test_a_prediction_finds_channels_by_name(model):
    dapi, gfp, _ = channels()
    expected = napari_unet.predict(model, np.stack([dapi, gfp], -1))
    swapped = ChannelStack([gfp, dapi], ("GFP", "DAPI"))
    np.testing.assert_array_equal(napari_unet.predict(model, swapped), expected)
    unnamed = ChannelStack([dapi, gfp])
    np.testing.assert_array_equal(napari_unet.predict(model, unnamed), expected)
    further = ChannelStack([gfp, dapi, gfp], ("GFP", "DAPI", "Cy5"))
    np.testing.assert_array_equal(napari_unet.predict(model, further), expected)
    with pytest.raises(InputError, match="no channel GFP"):
        napari_unet.predict(model, ChannelStack([dapi, gfp], ("DAPI", "Cy5")))


def test_names_are_kept_in_the_file_and_by_a_training_that_goes_on(model, tmp_path):
    dapi, gfp, strokes = channels()
    loaded = load_model(model.save(tmp_path / "m"))
    assert loaded.channel_names == ("DAPI", "GFP")
    again = napari_unet.fit(np.stack([dapi, gfp], -1), strokes, start=loaded, **SHORT)
    assert again.channel_names == ("DAPI", "GFP")
    renamed = napari_unet.fit(ChannelStack([dapi, gfp], ("a", "b")), strokes, start=loaded, **SHORT)
    assert renamed.channel_names == ("a", "b")
    swapped = ChannelStack([gfp, dapi], ("GFP", "DAPI"))
    with pytest.raises(InputError, match="another order"):
        napari_unet.fit(swapped, strokes, start=loaded, **SHORT)


def test_there_are_as_many_names_as_channels():
    dapi, _, strokes = channels()
    with pytest.raises(InputError, match="a name of its own"):
        napari_unet.fit(dapi, strokes, channel_names=("DAPI", "GFP"), **SHORT)


def test_a_denoiser_takes_a_stack_and_knows_where_its_channels_are():
    dapi, gfp, _ = channels()
    stack = ChannelStack([dapi, gfp], ("DAPI", "GFP"))
    steps = {**SHORT, "steps": 1}
    trained = napari_unet.fit(stack, task="denoise", method="blind_spot", **steps)
    assert trained.image_channels == 2
    assert napari_unet.predict(trained, stack).shape == (64, 64, 2)


@pytest.mark.parametrize("shape", [(30, 30, 2), (4, 30, 30, 2)])
def test_further_images_of_other_dimensions_have_their_channels_last_too(shape):
    options = SegmentOptions(axes=("t", "y", "x", "c") if len(shape) == 3 else ("y", "x", "c"))
    layout = ImageShape.of(shape, 2, options, first=False).layout
    assert layout.channel == len(shape) - 1


def test_files_joined_by_plus_are_channels(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dapi, gfp, strokes = channels()
    for name, array in (("DAPI", dapi), ("GFP", gfp), ("strokes", strokes)):
        tifffile.imwrite(f"{name}.tif", array)
    assert open_source("DAPI.tif+GFP.tif").shape == (64, 64, 2)
    assert read_axes_metadata("DAPI.tif+GFP.tif", 3).axes[-1] == "c"
    layers = [Origin("DAPI"), Origin("GFP", str(tmp_path / "GFP.tif"))]
    told = with_sources(model, [(Origin.of_channels(layers), Origin("strokes"))])
    made = provenance(told, Origin.of_channels(layers[::-1]))
    assert made["image"] == "GFP + DAPI"
    assert "“DAPI” was not read from a file: save it first, as DAPI.tif." in made["notes"]
    assert not any(note.startswith("“GFP” was") for note in made["notes"])
    for command in made["commands"]:
        done = CliRunner().invoke(load_app(), shlex.split(command)[1:])
        assert done.exit_code == 0, done.output
    assert load_model("model.safetensors").digest == model.digest
    expected = napari_unet.predict(model, np.stack([dapi, gfp], -1))
    np.testing.assert_array_equal(tifffile.imread("GFP-prediction.tif"), expected)


def test_channels_of_one_file_are_told_as_that_file(model):
    layers = [Origin("DAPI", "cells.tif"), Origin("GFP", "cells.tif")]
    cells = Origin.of_channels(layers)
    told = with_sources(model, [(cells, Origin("strokes", "s.tif"))])
    made = provenance(told, cells)
    assert shlex.split(made["commands"][0])[:4] == ["napari-unet", "train", "cells.tif", "s.tif"]
    assert "--axes" not in made["commands"][0]
    assert made["notes"][0] == (
        "The channels DAPI + GFP are of one file, cells.tif: the commands read all channels of "
        "that file, in its order."
    )
    assert predict_command(cells, {}).split()[3] == "cells.tif"


def test_a_file_with_a_plus_in_its_name_is_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dapi, _, _ = channels()
    for name in ("a", "b", "a.tif+b"):
        tifffile.imwrite(f"{name}.tif", dapi)
    assert open_source("a.tif+b.tif").shape == (64, 64)
    with pytest.raises(InputError, match="no such file"):
        open_source("a.tif+c.tif")
