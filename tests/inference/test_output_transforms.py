"""Predictions whose result is an image."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet import predict, predict_events
from napari_unet.control import Viewport
from napari_unet.data.normalisation import Normalisation
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region
from napari_unet.inference.preview import preview_events
from napari_unet.inference.request import Request, TileDone
from napari_unet.model import InputSpec, load_model
from napari_unet.network.unet_config import UNetConfig
from tests.inference.models import FLAT, VOLUME, model

HUNDREDS = Normalisation("mean_sd", (500.0,), (200.0,))


def restorer(config=FLAT, input_spec=None, channels=1, **more):
    input_spec = input_spec or InputSpec()
    into = channels * input_spec.context_planes * (1 + input_spec.mask)
    config = config.model_copy(update={"in_channels": into, "out_channels": channels})
    norm = Normalisation("mean_sd", (500.0,) * channels, (200.0,) * channels)
    return model(
        config,
        classes=(),
        task="denoise",
        target=norm,
        normalisation=norm.repeat(input_spec.context_planes),
        input_spec=input_spec,
        **more,
    )


def picture(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(500, 200, shape).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "result"),
    [(np.uint8, np.float32), (np.uint16, np.float32), (np.int32, np.float64), (float, np.float64)],
)
def test_an_image_comes_back_like_the_input_and_holds_what_it_held(dtype, result):
    image = picture(40, 30).clip(0, 255).astype(dtype)
    found = predict(restorer(), image)
    assert (found.shape, found.dtype) == (image.shape, result)
    assert found.min() < 500 < found.max()  # in its units, whatever its type can hold


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    "input_spec",
    [
        InputSpec(),
        InputSpec(3, (True, False), blend=0.2),
        InputSpec(3, (False, True), noise=(0.3,)),
    ],
)
@pytest.mark.parametrize("flips", [False, True])
def test_tiled_equals_whole(padding, input_spec, flips):
    config = UNetConfig(**{**FLAT.model_dump(), "padding": padding, "stem": (2, 2)})
    trained = restorer(config, input_spec)
    stack = picture(4, 61, 83)
    most = (72, 76) if input_spec.noise else (48, 52)
    whole, tiled = (predict(trained, stack, tile=tile, flips=flips) for tile in (None, most))
    events = list(predict_events(trained, stack, Request(tile=most)))
    assert sum(isinstance(e, TileDone) for e in events) > 8
    assert np.abs(whole - tiled).max() < 2e-3


def test_flips_make_the_answer_the_same_for_a_turned_image():
    trained, image = restorer(), picture(32, 32)
    there = predict(trained, image, flips=True)
    for turn in (np.rot90, np.fliplr):
        again = predict(trained, turn(image).copy(), flips=True)
        assert np.allclose(again, turn(there), atol=1e-2)
    assert not np.allclose(
        predict(trained, np.rot90(image).copy()), np.rot90(predict(trained, image))
    )


def test_flips_leave_axes_that_are_not_alike_in_their_places():
    stretched = VOLUME.model_copy(update={"kernels": ((1, 3, 1), (3, 3, 3))})
    found = predict(restorer(stretched), picture(6, 24, 28), flips=True)
    assert found.shape == (6, 24, 28)


@pytest.mark.parametrize("axis", [0, 1, 3])
def test_channels_stay_where_they_are(axis):
    trained, planes = restorer(channels=2), picture(3, 20, 24, 2)
    last = predict(trained, planes, channel_axis=3)
    assert last.shape == planes.shape
    moved = np.moveaxis(planes, 3, axis).copy()
    assert np.array_equal(predict(trained, moved, channel_axis=axis), np.moveaxis(last, 3, axis))


def test_new_channels_come_first():
    config = FLAT.model_copy(update={"out_channels": 3})
    norm = Normalisation("none", (0.0,) * 3, (1.0,) * 3)
    trained = model(config, classes=(), target=norm, task="restore")
    assert predict(trained, picture(2, 20, 24)).shape == (3, 2, 20, 24)


def test_a_part_of_each_pixel_goes_into_the_result():
    image = picture(24, 24)
    without, part = (predict(restorer(input_spec=InputSpec(blend=o)), image) for o in (0.0, 0.25))
    assert np.allclose(part, 0.75 * without + 0.25 * image, atol=1e-2)


def test_known_pixels_come_back_bit_for_bit_and_missing_ones_do_not_matter():
    trained = restorer(input_spec=InputSpec(mask=True))
    image = picture(3, 40, 44, dtype=np.int32)
    mask = np.random.default_rng(1).random(image.shape) < 0.1
    found = predict(trained, image, mask=mask)
    assert np.array_equal(found[~mask], image[~mask])
    other = np.where(mask, 10_000, image)
    assert np.array_equal(predict(trained, other, mask=mask), found)
    free = predict(trained, image, mask=mask, keep_known=False)
    assert np.array_equal(free[mask], found[mask])
    assert not np.array_equal(free[~mask], image[~mask])
    holes = np.where(mask, np.nan, image)
    assert np.allclose(predict(trained, holes), found, atol=1e-2)
    tiled = predict(trained, image, mask=mask, tile=(32, 32))
    assert np.abs(tiled - found).max() < 2e-3


@pytest.mark.parametrize("input_spec", [InputSpec(3, blend=0.1), InputSpec(3, noise=(2.0,))])
def test_a_preview_is_a_part_of_the_whole(input_spec):
    trained = restorer(input_spec=input_spec)
    stack = picture(4, 50, 60)
    view = Viewport((2,), Region((7, 11), (33, 48)))
    (shown,) = preview_events(trained, stack, Request(), view)
    assert shown.image.shape == (1, 26, 37)
    assert np.allclose(shown.image[0], predict(trained, stack)[2, 7:33, 11:48], atol=2e-3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"output": "labels"}, "cannot produce this output"),
        ({"mask": np.zeros((20, 20), np.uint8)}, "does not fill in"),
    ],
)
def test_what_a_denoiser_cannot_do_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        predict(restorer(), picture(20, 20), **given)


def test_what_cannot_be_filled_in_is_refused():
    trained = restorer(input_spec=InputSpec(mask=True))
    with pytest.raises(InputError, match="know which pixels are missing"):
        predict(trained, picture(20, 20, dtype=np.uint8))
    with pytest.raises(InputError, match="differ in shape"):
        predict(trained, picture(20, 20), mask=np.zeros((20, 21)))
    with pytest.raises(InputError, match="single image"):
        predict(restorer(input_spec=InputSpec(3)), picture(20, 20))


def test_saved_it_is_the_same(tmp_path):
    photon = Normalisation("photon", (20.0,), (5.0,), ((2.0, 3.0),))
    trained = restorer(input_spec=InputSpec(3, (False, True), mask=True, blend=0.1)).with_facts(
        target=photon
    )
    again = load_model(trained.save(tmp_path / "m"))
    assert (again.target, again.input_spec, again.task) == (photon, trained.input_spec, "denoise")
    assert again.digest == trained.digest
