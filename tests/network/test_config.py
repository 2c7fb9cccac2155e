"""What a configuration accepts, refuses, fills in and answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from pydantic import ValidationError

from napari_unet.errors import InputError
from napari_unet.network.unet_config import UNetConfig
from tests.geometry.strategies import configs


@given(configs())
def test_json_brings_back_an_equal_config(config):
    again = UNetConfig.model_validate_json(config.model_dump_json())
    assert again == config
    assert again.model_dump_json() == config.model_dump_json()
    assert UNetConfig(**config.model_dump(mode="json")) == config


@pytest.mark.parametrize("ndim", [2, 3])
def test_empty_fields_are_written_out(ndim):
    config = UNetConfig(ndim=ndim)
    assert config.poolings == ((2,) * ndim,) * 2
    assert config.kernels == ((3,) * ndim,) * 3
    assert (config.head_kernel, config.stem) == ((1,) * ndim, (1,) * ndim)
    assert config.dropout == (0.0, 0.0, 0.0)
    assert config == UNetConfig(ndim=ndim, poolings=config.poolings, dropout=(0, 0, 0))


def test_a_single_level_may_be_written_flat():
    nested = UNetConfig(encoder=((8, 8),), decoder=((8, 8),), poolings=((2, 1),))
    assert UNetConfig(encoder=(8, 8), decoder=[8, 8], poolings=(2, 1)) == nested


def test_a_config_is_frozen_and_a_key():
    config = UNetConfig()
    with pytest.raises(ValidationError):
        config.ndim = 3
    assert {config: 1}[UNetConfig()] == 1


LEVEL = {"encoder": ((4,),), "decoder": ((4,),)}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ndim": 4}, "Input should be 2 or 3"),
        ({"ndim": "2"}, "Input should be 2 or 3"),
        ({"in_channels": 0}, "greater than or equal to 1"),
        ({"depth": 3}, "Extra inputs are not permitted"),
        ({"encoder": 5}, "valid tuple"),
        ({"encoder": {"a": 1}}, "valid tuple"),
        ({"poolings": 2}, "valid tuple"),
        ({"decoder": ((64, 64),)}, "decoder must have 2 entries for 2 levels, got 1"),
        ({**LEVEL, "poolings": ((2, 2), (2, 2))}, "poolings must have 1 entries for 1 levels"),
        ({**LEVEL, "kernels": ((3, 3),)}, "kernels must have 2 entries for 1 levels, got 1"),
        ({**LEVEL, "dropout": (0.1,)}, "dropout must have 2 entries for 1 levels, or 3 .*got 1"),
        ({**LEVEL, "poolings": ((2, 2, 2),)}, "poolings must have 2 sizes per level"),
        ({**LEVEL, "kernels": ((3,), (3,))}, "kernels must have 2 sizes per level"),
        ({"head_kernel": (3,)}, "head_kernel must have 2 sizes"),
        ({"stem": (2, 2, 2)}, "stem must have 2 sizes"),
        ({**LEVEL, "kernels": ((3, 2), (3, 3))}, "kernel sizes must be odd"),
        ({**LEVEL, "kernels": ((3, -1), (3, 3))}, "kernel sizes must be odd"),
        ({"head_kernel": (2, 2)}, "kernel sizes must be odd"),
        ({**LEVEL, "poolings": ((2, 0),)}, "must be at least 1"),
        ({"stem": (0, 1)}, "must be at least 1"),
        ({"encoder": ((8, 0), (8,))}, "channels must be at least 1"),
        ({"bottom": ()}, "each block needs at least one convolution"),
        ({"encoder": ((8,), ())}, "each block needs at least one convolution"),
        ({"bottom": (1,), "up_channels": "halve"}, "at least 2 channels to halve"),
        ({"decoder": ((1,), (4,)), "up_channels": "halve"}, "at least 2 channels to halve"),
        ({"dropout": (0, 0, 1)}, "below 1"),
        ({"dropout": (0, -0.1, 0)}, "at least 0"),
        ({"in_channels": 2, "out_channels": 3, "input_skip": True}, "as many channels out as in"),
        ({"bottom_multiple": 0}, "greater than or equal to 1"),
        ({"norm": "instance"}, "'batch' or 'none'"),
        ({"down": "strided"}, "down 'strided' needs padding 'same'"),
        ({"down": "average", "slope": -0.1}, "greater than or equal to 0"),
        ({"up_kernel": (3, 3)}, "up_kernel needs padding 'same'"),
        ({"padding": "same", "up": "nearest", "up_kernel": (3, 3)}, "for up 'transposed' alone"),
        ({"padding": "same", "up_kernel": (3,)}, "up_kernel must have 2 sizes"),
        ({"padding": "same", "up_kernel": (3, 1)}, "at least the pooling factor.* got 1 for .* 2"),
        (
            {**LEVEL, "padding": "same", "poolings": ((1, 2),), "up_kernel": (4, 4)},
            "odd where that is 1: got 4 for a factor of 1",
        ),
        ({"biases": False, "filters": ((1.0, 1.0),)}, "filters have biases"),
    ],
)
def test_what_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        UNetConfig(**fields)


def test_one_channel_suffices_where_nothing_is_halved():
    assert UNetConfig(bottom=(1,), up_channels="halve", up="nearest").bottom == (1,)
    assert UNetConfig(encoder=(), decoder=(), bottom=(1,), up_channels="halve").depth == 0
    assert UNetConfig(decoder=((2,), (1,)), up_channels="halve").decoder[-1] == (1,)


@given(configs())
def test_questions_of_shape_are_those_of_the_axes(config):
    shape = [50 + 7 * axis for axis in range(config.ndim)]
    inputs = config.input_for(shape)
    assert inputs == tuple(g.input_for(n) for g, n in zip(config.geometry, shape, strict=True))
    outputs = config.output_for(inputs)
    assert all(out >= n for out, n in zip(outputs, shape, strict=True))


def test_a_preset_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(InputError, match=r"cicek2016 or fcdensenet103 .* or sinogram2019"):
        UNetConfig.preset("unet")


def test_a_preset_can_be_changed():
    config = UNetConfig.preset("ronneberger2015", in_channels=3, padding="same")
    assert (config.in_channels, config.padding) == (3, "same")
    assert config.encoder == UNetConfig.preset("ronneberger2015").encoder
    with pytest.raises(ValidationError):
        UNetConfig.preset("ronneberger2015", ndim=3, poolings=((2, 2),) * 4)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("fast", [True, False])
def test_sizes_grow(ndim, fast):
    small, medium, large = (
        UNetConfig.sized(s, ndim, fast=fast) for s in ("small", "medium", "large")
    )
    assert small.bottom[-1] < medium.bottom[-1] < large.bottom[-1]
    assert small.depth <= medium.depth < large.depth
    assert {c.stem for c in (small, medium, large)} == {(2 if fast else 1,) * ndim}


def test_coarse_axes_are_spared_until_the_others_are_as_coarse():
    config = UNetConfig.sized("large", 3, spacing=(4, 1, 1), fast=False)
    assert config.poolings == ((1, 2, 2), (1, 2, 2))
    assert config.kernels == ((1, 3, 3), (1, 3, 3), (3, 3, 3))
    fast = UNetConfig.sized("large", 3, spacing=(4, 1, 1), fast=True)
    assert fast.stem == (1, 2, 2)
    assert fast.poolings == ((1, 2, 2), (2, 2, 2))
    small = UNetConfig.sized("small", 3, spacing=(10, 1, 1))
    assert small.poolings == ((1, 2, 2), (1, 2, 2))  # deeper than for cubes: until they are cubes
    assert small.kernels[-1] == (3, 3, 3)
    even = UNetConfig.sized("large", 3, spacing=(0.3, 0.2, 0.2), fast=False)
    assert even.poolings == ((2, 2, 2),) * 2
