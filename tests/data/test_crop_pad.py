"""Arrays are brought to a size that fits, and results back to where they belong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.data.crop_pad import MODES, crop_or_pad
from napari_unet.errors import InputError
from napari_unet.network.registry import preset
from tests.geometry.strategies import geometries


def test_ndnet_valid_crops_to_the_nearest_size():
    image = np.arange(400 * 100 * 100).reshape(400, 100, 100)
    array, fitted = crop_or_pad(image, preset("ndnet_unetv3").passing)
    assert array.shape == (398, 94, 94)
    assert np.array_equal(array, image[1:399, 3:97, 3:97])
    # 354 x 50 x 50 come out: 22 lost to the convolutions on each side.
    out = fitted.undo(np.ones((1, 354, 50, 50)), fill=-1)
    assert out.shape == (1, 400, 100, 100)
    assert (out[0, 23:377, 25:75, 25:75] == 1).all()
    assert (out == 1).sum() == 354 * 50 * 50


def test_ndnet_valid_refuses_what_is_too_small_and_names_the_smallest():
    with pytest.raises(InputError, match="got 45 pixels, expected at least 46 pixels"):
        crop_or_pad(np.zeros((50, 46, 45)), preset("ndnet_unetv3").passing)


def test_ndnet_same_pads_with_zeros_and_cuts_the_excess():
    config = preset("ndnet_unetv3", padding="same")
    image = np.random.default_rng(0).random((2, 30, 41, 64)) + 1
    array, fitted = crop_or_pad(image, config.passing, "pad", "zero")
    assert array.shape == (2, 32, 48, 64)
    assert (array == 0).sum() == array.size - image.size
    assert np.array_equal(array[:, 1:31, 3:44], image)
    assert np.array_equal(fitted.undo(array), image)


def test_a_sinogram_is_wrapped():
    """50 to 64 for three halvings, as the published system did: 7 on either side."""
    deeper = {
        "encoder": ((4,), (4,), (4,)),
        "bottom": (4,),
        "decoder": ((4,), (4,), (4,)),
    }
    config = preset("sinogram2019", **deeper)
    assert [axis.stride for axis in config.passing] == [16, 16]
    image = np.arange(50 * 64).reshape(50, 64)
    array, fitted = crop_or_pad(image, config.passing, "pad", "wrap")
    assert array.shape == (64, 64)
    assert np.array_equal(array[:7], image[-7:])
    assert np.array_equal(array[7:57], image)
    assert np.array_equal(array[57:], image[:7])
    assert np.array_equal(fitted.undo(array), image)


BORDERS = {"mirror": [2, 1], "zero": [0, 0], "edge": [0, 0], "wrap": [2, 3]}


@pytest.mark.parametrize("mode", MODES)
def test_what_is_added_is_what_was_asked_for(mode):
    axes = preset("semantic2d").passing
    array, _ = crop_or_pad(np.arange(4.0)[None] * np.ones((16, 1)), axes, "pad", mode)
    assert array.shape == (16, 16)
    assert array[3, 6:10].tolist() == [0, 1, 2, 3]
    assert array[3, 4:6].tolist() == BORDERS[mode]


@given(st.lists(geometries(), min_size=1, max_size=2), st.data())
def test_results_come_back_to_their_place(axes, data):
    how = data.draw(st.sampled_from(("crop", "pad")))
    smallest = [g.smallest_input if how == "crop" else 1 for g in axes]
    shape = [n + data.draw(st.integers(0, 20)) for n in smallest]
    image = 1 + np.arange(np.prod(shape)).reshape(1, *shape)
    array, fitted = crop_or_pad(image, axes, how, "edge")
    assert all(g.is_allowed(n) for g, n in zip(axes, array.shape[1:], strict=True))
    change = [abs(a - b) for a, b in zip(array.shape[1:], shape, strict=True)]
    assert all(c < g.stride or how == "pad" for c, g in zip(change, axes, strict=True))
    # What a network without weights would do: cut its context off.
    cut = [g.context // 2 for g in axes]
    result = array[
        (slice(None), *(slice(c, n - c) for c, n in zip(cut, array.shape[1:], strict=True)))
    ]
    back = fitted.undo(result)
    known = back != 0
    assert back.shape == image.shape
    assert np.array_equal(back[known], image[known])
    if how == "pad" and not any(cut):
        assert known.all()


def test_arrays_without_voxels_are_refused():
    axes = preset("semantic2d").passing
    for shape in ((16,), (0, 16)):
        with pytest.raises(InputError, match="at least one voxel along each spatial axis"):
            crop_or_pad(np.zeros(shape), axes)


def test_a_result_of_another_array_is_refused():
    _, fitted = crop_or_pad(np.zeros((40, 40)), preset("semantic2d").passing)
    for shape in ((48, 48), (31, 32), (32,)):
        with pytest.raises(InputError, match="does not belong"):
            fitted.undo(np.zeros(shape))
