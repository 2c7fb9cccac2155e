"""Predictions: of every kind of array, axis by axis, tile by tile, stopped or not."""

from __future__ import annotations

import threading
import time

import dask.array as da
import numpy as np
import pytest
import tifffile
import torch
import zarr

from napari_unet.api import predict
from napari_unet.control import Control
from napari_unet.data.normalisation import Normalisation
from napari_unet.errors import InputError, OutOfMemoryError
from napari_unet.inference import predictor
from napari_unet.inference.predictor import predict_events
from napari_unet.inference.request import PredictionFinished, PredictionStarted, Request, TileDone
from napari_unet.model import ClassInfo
from napari_unet.network.unet_config import UNetConfig
from tests.inference.models import FLAT, VOLUME, model

TILE = tuple(g.input_for(16) for g in FLAT.geometry)
MODEL = model()
COLOUR = model(FLAT.model_copy(update={"in_channels": 3}))
IMAGE = np.random.default_rng(0).random((40, 50)).astype(np.float32)
MANY = {"output": "probabilities"}


@pytest.mark.parametrize(("largest", "dtype"), [(2, np.uint8), (255, np.uint8), (256, np.uint16)])
def test_labels_are_the_values_of_the_classes_in_the_smallest_type(largest, dtype):
    trained = model(classes=(ClassInfo(largest), ClassInfo(1)))
    labels = predict(trained, IMAGE)
    assert (labels.shape, labels.dtype) == (IMAGE.shape, dtype)
    assert set(np.unique(labels)) == {1, largest}


def test_probabilities_sum_to_one_and_the_largest_is_the_label():
    trained = model(FLAT.model_copy(update={"out_channels": 3}))
    found = predict(trained, IMAGE, output="probabilities")
    assert (found.shape, found.dtype) == ((3, *IMAGE.shape), np.float32)
    assert np.allclose(found.sum(0), 1, atol=1e-6)
    assert found.min() >= 0
    assert np.array_equal(found.argmax(0) + 1, predict(trained, IMAGE))


def test_axes_in_front_are_looped_over():
    movie = np.random.default_rng(0).random((2, 3, 30, 26))
    found = predict(MODEL, movie, output="probabilities", tile=TILE)
    assert found.shape == (2, *movie.shape)
    for t in range(2):
        for z in range(3):
            alone = predict(MODEL, movie[t, z], output="probabilities", tile=TILE)
            assert np.array_equal(found[:, t, z], alone)


def test_a_volume_that_changes_in_time_is_looped_over_in_3d():
    trained = model(VOLUME)
    movie = np.random.default_rng(0).random((2, 7, 20, 18))
    found = predict(trained, movie)
    assert found.shape == movie.shape
    assert np.array_equal(found[1], predict(trained, movie[1]))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_channels_may_be_on_any_axis(axis):
    image = np.random.default_rng(0).random((3, 40, 50))
    expected = predict(COLOUR, image, channel_axis=0, **MANY)
    moved = np.moveaxis(image, 0, axis)
    assert np.array_equal(predict(COLOUR, moved, channel_axis=axis, **MANY), expected)
    # The one axis of three pixels is found without being told.
    assert np.array_equal(predict(COLOUR, moved, **MANY), expected)


def test_channels_between_looped_axes_leave_the_result():
    movie = np.random.default_rng(0).random((2, 3, 4, 30, 26))
    found = predict(COLOUR, movie, axes=("t", "c", "z", "y", "x"), **MANY)
    assert found.shape == (2, 2, 4, 30, 26)
    alone = predict(COLOUR, movie[1, :, 2], channel_axis=0, **MANY)
    assert np.abs(found[:, 1, 2] - alone).max() < 1e-6


def test_colours_are_channels():
    image = np.random.default_rng(0).integers(0, 256, (3, 30, 3), np.uint8)
    expected = predict(COLOUR, np.moveaxis(image, -1, 0), channel_axis=0)
    assert np.array_equal(predict(COLOUR, image, rgb=True), expected)
    assert expected.shape == (3, 30)


@pytest.mark.filterwarnings("ignore:Almost all pixels:napari_unet.errors.UnlikeTrainingWarning")
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (1, 60), (13, 2)])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_images_smaller_than_the_smallest_tile_are_mirrored(shape, padding):
    trained = model(FLAT.model_copy(update={"padding": padding}))
    assert any(n < g.smallest_input for n, g in zip(shape, trained.config.geometry, strict=True))
    image = np.random.default_rng(0).random(shape)
    found = predict(trained, image, output="probabilities")
    assert found.shape == (2, *shape)
    assert np.allclose(found.sum(0), 1, atol=1e-6)
    # As if the picture and its mirror images were one large picture.
    pad = [(60, 60)] * 2
    wide = predict(trained, np.pad(image, pad, mode="reflect"), **MANY)
    assert np.abs(wide[:, 60:-60, 60:-60] - found).max() < 1e-5


@pytest.mark.parametrize(
    ("trained", "image", "request_", "message"),
    [
        (model(VOLUME), IMAGE, {}, "3D network needs 3 spatial axes"),
        (COLOUR, IMAGE, {}, r"other channels than the model \(got 1 in .*expected 3\)"),
        (MODEL, np.zeros((40, 50, 3)), {"rgb": True}, r"got 3 in an image .*expected 1\)"),
        (MODEL, np.zeros((2, 40, 50)), {"channel_axis": 0}, r"got 2 in an image .*expected 1\)"),
        (MODEL, IMAGE, {"channel_axis": 2}, "no such channel axis"),
        (MODEL, IMAGE, {"channel_axis": 0}, "2D network needs 2 spatial axes"),
        (MODEL, IMAGE, {"output": "logits"}, "no such output"),
        (MODEL, IMAGE, {"tile": (60,)}, r"one size per spatial axis .*expected 2 sizes"),
        (MODEL, IMAGE, {"tile": (60, 5)}, r"tile is too small .*got \(60, 5\), expected at least"),
        (MODEL, IMAGE, {"device": "abacus"}, "no device 'abacus'"),
        (MODEL, IMAGE.astype(complex), {}, "of this type cannot be used"),
        (MODEL, np.zeros((0, 5)), {}, "empty"),
        (MODEL, "no-such-file.tif", {}, "no such file"),
    ],
)
def test_what_does_not_fit_is_refused(trained, image, request_, message):
    with pytest.raises(InputError, match=message):
        predict(trained, image, **request_)


COUNTS = np.random.default_rng(0).integers(0, 2000, (40, 50))
KINDS = {
    "big-endian": lambda x, folder: x.astype(">u2"),
    "int32": lambda x, folder: x.astype(np.int32),
    "float64": lambda x, folder: x.astype(np.float64),
    "big-endian float32": lambda x, folder: x.astype(">f4"),
    "float16": lambda x, folder: x.astype(np.float16),
    "Fortran order": np.asfortranarray,
    "every second": lambda x, folder: np.repeat(x, 2, axis=1)[:, ::2],
    "read-only": lambda x, folder: _read_only(x),
    "zarr": lambda x, folder: zarr.create_array(folder / "x.zarr", data=x, chunks=(16, 9)),
    "dask": lambda x, folder: da.from_array(x, chunks=(7, 50)),
    "pyramid": lambda x, folder: [x, x[::2, ::2]],
    "memmap": lambda x, folder: _saved(np.save, folder / "x.npy", x, 0),
    "npy path": lambda x, folder: _saved(np.save, folder / "x.npy", x, 1),
    "TIFF path": lambda x, folder: _saved(tifffile.imwrite, folder / "x.tif", x, 1),
}


def _read_only(x):
    x = x.copy()
    x.setflags(write=False)
    return x


def _saved(write, path, x, as_path):
    write(path, x)
    return path if as_path else np.load(path, mmap_mode="r")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_array_gives_the_same(kind, tmp_path):
    if kind == "Fortran order":
        image = np.asfortranarray(COUNTS.astype(np.uint16))
    else:
        image = KINDS[kind](COUNTS.astype(np.uint16), tmp_path)
    trained = model(normalisation=Normalisation("mean_sd", (1000.0,), (577.0,)))
    expected = predict(trained, COUNTS.astype(np.uint16), tile=TILE, **MANY)
    assert len(np.unique(expected.argmax(0))) == 2
    assert np.array_equal(predict(trained, image, tile=TILE, **MANY), expected)


@pytest.mark.parametrize("dtype", [np.int32, np.float64])
def test_small_differences_on_top_of_a_large_offset_survive(dtype):
    """As they do in training; float32 knows 2**30 to within 64."""
    low = model(normalisation=Normalisation("mean_sd", (1000.0,), (577.0,)))
    high = model(normalisation=Normalisation("mean_sd", (2.0**30 + 1000,), (577.0,)))
    image = COUNTS.astype(dtype)
    found = predict(high, image + dtype(2**30), **MANY)
    assert np.array_equal(found, predict(low, image, **MANY))


@pytest.mark.parametrize("kind", ["zarr", "memmap", "numpy"])
@pytest.mark.parametrize("output", ["labels", "probabilities"])
def test_the_result_goes_where_it_is_wanted(kind, output, tmp_path):
    expected = predict(MODEL, IMAGE, output=output, tile=TILE)
    shape, dtype = expected.shape, expected.dtype
    out = {
        "zarr": lambda: zarr.create_array(tmp_path / "out.zarr", shape=shape, dtype=dtype,
                                          chunks=(16,) * len(shape)),
        "memmap": lambda: np.lib.format.open_memmap(tmp_path / "o.npy", "w+", dtype, shape),
        "numpy": lambda: np.empty(shape, dtype),
    }[kind]()  # fmt: skip
    *_, finished = predict_events(MODEL, IMAGE, Request(output=output, tile=TILE), out=out)
    assert finished.result is out
    assert np.array_equal(out[...], expected)


def test_events_tell_the_plan_and_each_tile():
    movie = np.stack([IMAGE, IMAGE + 1])
    events = list(predict_events(MODEL, movie, Request(tile=TILE)))
    started, *tiles, finished = events
    # Inputs of up to 28 voxels, in three rows of four: 26 do.
    assert TILE == (28, 28)
    assert started == PredictionStarted(24, (26, 26), "CPU", (2, 40, 50), "uint8")
    assert len(tiles) == 24
    assert isinstance(finished, PredictionFinished)
    assert (finished.complete, finished.result.shape) == (True, (2, 40, 50))
    assert [t.done for t in tiles] == list(range(1, len(tiles) + 1))
    assert {t.tiles for t in tiles} == {len(tiles)}
    times = np.zeros((2, 40, 50), int)
    for tile in tiles:
        times[tile.index][tile.region.slices] += 1
    assert (times == 1).all()
    elapsed = [0, *(t.elapsed for t in tiles), finished.seconds]
    assert elapsed == sorted(elapsed)
    assert tiles[-1].remaining == 0
    assert all(t.remaining > 0 for t in tiles[:-1])


def test_what_is_told_is_there_already():
    whole = predict(MODEL, IMAGE, tile=TILE)
    out = np.zeros_like(whole)
    for event in predict_events(MODEL, IMAGE, Request(tile=TILE), out=out):
        if isinstance(event, TileDone):
            part = event.region.slices
            assert np.array_equal(out[part], whole[part])


def test_a_stopped_prediction_keeps_what_is_done():
    control, seen = Control(), []
    for event in predict_events(MODEL, IMAGE, Request(tile=TILE), control=control):
        if isinstance(event, TileDone):
            seen.append(event.region)
            if event.done == 2:
                control.stop()
    assert len(seen) == 2
    assert not event.complete
    expected = np.zeros_like(event.result)
    for region in seen:
        expected[region.slices] = predict(MODEL, IMAGE, tile=TILE)[region.slices]
    assert np.array_equal(event.result, expected)
    assert (event.result == 0).any()


def test_paused_it_waits():
    control, events = Control(), []
    control.pause()
    thread = threading.Thread(
        target=lambda: events.extend(predict_events(MODEL, IMAGE, control=control))
    )
    thread.start()
    time.sleep(0.3)
    assert not any(isinstance(e, TileDone) for e in events)
    control.resume()
    thread.join(20)
    assert events[-1].complete
    # Waiting is no work.
    assert events[-1].seconds < 5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_pixel_is_taken_for_the_mean_and_spoils_nothing(bad):
    at_mean, spoilt = IMAGE.copy(), IMAGE.copy()
    at_mean[20, 25], spoilt[20, 25] = 0.5, bad
    found = predict(MODEL, spoilt, output="probabilities")
    assert np.isfinite(found).all()
    assert np.array_equal(found, predict(MODEL, at_mean, output="probabilities"))
    # Out of its sight nothing changes at all.
    clean = predict(MODEL, IMAGE, output="probabilities")
    reach = MODEL.config.receptive_field[0]
    assert np.array_equal(found[:, :, 25 + reach :], clean[:, :, 25 + reach :])
    assert not np.array_equal(found, clean)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory."),
     RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)  # fmt: skip
def test_where_memory_runs_out_it_says_what_to_do(error, monkeypatch):
    def network(x):
        raise error

    monkeypatch.setattr(predictor, "for_inference", lambda *args: network)
    with pytest.raises(
        OutOfMemoryError, match=r"a tile of \(26, 26\) pixels\). Set a smaller tile"
    ):
        predict(MODEL, IMAGE, tile=TILE)


def test_other_errors_pass_as_they_are(monkeypatch):
    def network(x):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(predictor, "for_inference", lambda *args: network)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        predict(MODEL, IMAGE)


def test_the_number_of_threads_is_given_back():
    before = torch.get_num_threads()
    events = predict_events(MODEL, IMAGE, Request(tile=TILE, threads=before + 1))
    assert torch.get_num_threads() == before
    next(events)
    next(events)
    assert torch.get_num_threads() == before + 1
    events.close()
    assert torch.get_num_threads() == before


def test_predicting_changes_neither_model_nor_image():
    trained, image = model(), IMAGE.copy()
    weights = {name: w.copy() for name, w in trained.weights.items()}
    first = predict(trained, image)
    assert np.array_equal(predict(trained, image), first)
    assert all(np.array_equal(w, trained.weights[name]) for name, w in weights.items())
    assert np.array_equal(image, IMAGE)


def test_the_tile_follows_the_memory(monkeypatch):
    image = np.zeros((300, 300))
    for limit in (30**2, 100**2, 10**6):
        monkeypatch.setattr(predictor, "max_tile_voxels", lambda config, device, n=limit: n)
        started = next(predict_events(MODEL, image))
        assert np.prod(started.tile_shape) <= limit
    assert started.tile_shape == MODEL.config.input_for((300, 300))


def test_a_network_of_one_block_works_too():
    trained = model(UNetConfig(encoder=(), bottom=(4,), decoder=()))
    assert predict(trained, IMAGE).shape == IMAGE.shape
