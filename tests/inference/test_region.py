"""Predicting a part of an image: in it the result is that of the whole, elsewhere there is none."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.api import predict
from napari_unet.data.normalisation import Normalisation
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region
from napari_unet.geometry.tiling import plan_tiles_in
from napari_unet.geometry.unet_shape import AxisGeometry
from napari_unet.inference.predictor import predict_events
from napari_unet.inference.request import PredictionStarted, Request
from napari_unet.postprocessing.refine import refine
from tests.inference.models import FLAT, VOLUME, model

IMAGE = np.random.default_rng(0).random((70, 90)).astype(np.float32)
PART = np.s_[13:38, 21:60]
MODEL = model()


@given(
    st.integers(1, 4).flatmap(lambda s: st.tuples(st.just(s), st.integers(0, 5))),
    st.integers(0, 40),
    st.integers(1, 40),
    st.integers(1, 4),
)
def test_tiles_of_a_part_lie_on_the_grid_and_write_all_of_it_once(geometry, start, size, times):
    stride, half = geometry
    axis = AxisGeometry(stride=stride, grow=2 * half, shrink=2 * half)
    region = Region((start,), (start + size,))
    written = np.zeros(100, int)
    for tile in plan_tiles_in(region, [axis], [axis.input_for(times * stride)]):
        written[tile.write.slices] += 1
        first = tile.write.start[0] - tile.keep.start[0]
        assert first % stride == 0
        assert tile.read.start[0] == first - axis.context // 2
        assert tile.keep.stop[0] <= axis.output_for(tile.read.shape[0])
    assert (written[start : start + size] == 1).all()
    assert written.sum() == size


@pytest.mark.parametrize("tile", [None, tuple(g.input_for(16) for g in FLAT.geometry)])
@pytest.mark.parametrize("output", ["labels", "probabilities"])
def test_a_part_is_predicted_as_in_the_whole_and_the_rest_is_0(tile, output):
    whole = predict(MODEL, IMAGE, output=output)
    part = predict(MODEL, IMAGE, output=output, tile=tile, region=PART)
    assert part.shape == whole.shape
    np.testing.assert_allclose(part[(..., *PART)], whole[(..., *PART)], atol=1e-6)
    part[(..., *PART)] = 0
    assert not part.any()


def test_bounds_stand_for_slices():
    assert np.array_equal(
        predict(MODEL, IMAGE, region=(13, 38, 21, 60)), predict(MODEL, IMAGE, region=PART)
    )


def test_of_a_stack_only_the_planes_of_the_part_are_predicted():
    stack = np.random.default_rng(1).random((5, 40, 50), np.float32)
    region = np.s_[2:4, :30, 10:]
    whole = predict(MODEL, stack)
    part = predict(MODEL, stack, region=region)
    assert np.array_equal(part[region], whole[region])
    assert np.count_nonzero(part) == 2 * 30 * 40
    request = Request(region=(2, 4, 0, 30, 10, 50))
    started = next(e for e in predict_events(MODEL, stack, request))
    assert isinstance(started, PredictionStarted)
    assert started.tiles == 2


def test_a_part_of_a_volume():
    volume = np.random.default_rng(1).random((20, 24, 28), np.float32)
    region = np.s_[3:11, 5:17, 7:20]
    trained = model(VOLUME)
    whole = predict(trained, volume, output="probabilities")
    part = predict(trained, volume, output="probabilities", region=region)
    np.testing.assert_allclose(part[(..., *region)], whole[(..., *region)], atol=1e-6)


def test_the_axis_of_channels_needs_no_slice():
    colour = model(FLAT.model_copy(update={"in_channels": 3}))
    image = np.random.default_rng(1).random((40, 50, 3), np.float32)
    part = predict(colour, image, region=np.s_[4:20, 5:30], rgb=True)
    assert np.array_equal(part[4:20, 5:30], predict(colour, image, rgb=True)[4:20, 5:30])


def test_only_what_is_inside_of_the_mask_is_predicted():
    stack = np.stack([IMAGE, IMAGE[::-1]])
    inside = np.random.default_rng(2).random((1, 25, 39)) > 0.5
    request = Request(region=(0, 2, 13, 38, 21, 60), inside=inside)
    (*_, last) = predict_events(MODEL, stack, request)
    whole = predict(MODEL, stack)[:, 13:38, 21:60]
    expected = np.where(inside, whole, 0)
    assert np.array_equal(last.result[:, 13:38, 21:60], expected)
    request = Request(output="probabilities", region=request.region, inside=inside)
    (*_, last) = predict_events(MODEL, stack, request)
    refined = refine(last.result, spatial_ndim=2)
    assert np.array_equal(refined[:, 13:38, 21:60], expected)
    assert np.count_nonzero(refined) == np.count_nonzero(expected)


@pytest.mark.parametrize("channels", [1, 2])
def test_an_image_stays_as_it_was_outside(channels):
    config = FLAT.model_copy(update={"in_channels": channels, "out_channels": channels})
    trained = model(
        config,
        classes=(),
        task="denoise",
        target=Normalisation("mean_sd", (0.5,) * channels, (0.3,) * channels),
    )
    image = np.stack([IMAGE, IMAGE + 1])[:channels].squeeze()
    image[..., 0, 0] = np.nan
    whole = predict(trained, image)
    part = predict(trained, image, region=PART)
    np.testing.assert_allclose(part[(..., *PART)], whole[(..., *PART)], atol=1e-5)
    outside = np.ones(IMAGE.shape, bool)
    outside[PART] = False
    assert np.array_equal(part[..., outside], np.nan_to_num(image)[..., outside])


def test_a_zarr_takes_a_part():
    out = zarr.zeros(IMAGE.shape, dtype=np.uint8, chunks=(16, 16))
    for _ in predict_events(MODEL, IMAGE, Request(region=(13, 38, 21, 60)), out=out):
        pass
    assert np.array_equal(out[PART], predict(MODEL, IMAGE)[PART])
    assert np.count_nonzero(out[:]) == 25 * 39


@pytest.mark.parametrize(
    ("region", "word"),
    [
        (np.s_[0:5], "2 slices"),
        (np.s_[0:5, 0:10:2], "without a step"),
        (np.s_[5:5, 0:10], "is not inside the image"),
        ((0, 5), "is not inside the image"),
    ],
)
def test_a_region_that_is_none_is_refused(region, word):
    region = region if isinstance(region, tuple) else (region,)
    with pytest.raises(InputError, match=word):
        predict(MODEL, IMAGE, region=region)


@pytest.mark.parametrize("region", [(0, 5), (0, 5, 0, 91), (-1, 5, 0, 9), (4, 4, 0, 9)])
def test_bounds_outside_of_the_image_are_refused(region):
    with pytest.raises(InputError, match="is not inside the image"):
        list(predict_events(MODEL, IMAGE, Request(region=region)))


def test_a_mask_of_another_shape_is_refused():
    request = Request(region=(0, 5, 0, 9), inside=np.ones((5, 8), bool))
    with pytest.raises(InputError, match="another shape"):
        list(predict_events(MODEL, IMAGE, request))
