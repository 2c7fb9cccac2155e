"""The algebra of sizes against a walk through the network, and against published numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.errors import InputError
from napari_unet.geometry.unet_shape import AxisGeometry, LevelShape, UNetShape
from napari_unet.network.unet_config import UNetConfig
from tests.geometry.strategies import geometries, unet_shapes


def walk(shape: UNetShape, size: int) -> int | None:
    """Go through a valid network layer by layer; return the output's size, None if it jams."""
    if size % shape.block:
        return None
    n = size // shape.block
    for level in shape.levels:
        n -= level.encoder_crop
        if n <= 0 or n % level.factor:
            return None
        n //= level.factor
    if n % shape.bottom_multiple:
        return None
    n -= shape.bottom_crop
    for level in reversed(shape.levels):
        n = n * level.factor - level.up_crop - level.decoder_crop
        if n <= 0:
            return None
    n = (n - shape.head_crop) * shape.block
    return n if n > 0 else None


@given(unet_shapes())
def test_valid_sizes_are_those_that_pass_layer_by_layer(shape):
    axis = shape.valid()
    stop = axis.smallest_input + 3 * axis.stride + 1
    found = {n: out for n in range(1, stop) if (out := walk(shape, n)) is not None}
    assert axis.allowed_inputs(stop) == sorted(found)
    assert [axis.output_for(n) for n in sorted(found)] == [found[n] for n in sorted(found)]


@given(geometries(), st.integers(1, 300))
def test_questions_about_sizes_agree(axis, n):
    above = axis.input_for(n)
    assert axis.is_allowed(above)
    assert axis.output_for(above) >= n
    # It is the smallest: one stride less is too small, or nothing.
    assert above == axis.smallest_input or axis.output_for(above - axis.stride) < n
    assert axis.output_for(above) == above - axis.context
    assert axis.context == axis.grow + axis.shrink
    assert axis.is_allowed(n) == (n in axis.allowed_inputs(n + 1))
    if n >= axis.smallest_input:
        assert axis.largest_input(n) == axis.allowed_inputs(n + 1)[-1]
    else:
        with pytest.raises(InputError, match=f"at least {axis.smallest_input} pixels"):
            axis.largest_input(n)


@given(geometries(), st.integers(1, 300))
def test_a_refused_size_comes_with_the_nearest_ones(axis, n):
    if axis.is_allowed(n):
        return
    with pytest.raises(InputError) as caught:
        axis.output_for(n)
    allowed = axis.allowed_inputs(n + axis.stride + axis.smallest_input)
    below = [a for a in allowed if a < n][-1:]
    above = next(a for a in allowed if a > n)
    assert f"expected {' or '.join(map(str, [*below, above]))} (" in str(caught.value)


@given(unet_shapes())
def test_padded_sizes_step_by_the_product_of_all_factors(shape):
    axis = shape.same()
    product = shape.block * shape.bottom_multiple
    for level in shape.levels:
        product *= level.factor
    assert (axis.stride, axis.grow) == (product, 0)
    # No field is wider than its centre and the halo on both sides.
    assert shape.receptive_field <= axis.context + 1


def test_blocks_without_a_pooling_are_plain_arithmetic():
    assert UNetShape((), 4).valid() == AxisGeometry(stride=1, grow=4, shrink=0)
    assert UNetShape((), 4).same() == AxisGeometry(stride=1, grow=0, shrink=4)
    assert UNetShape((), 4).receptive_field == 5


def test_fields_of_small_networks_counted_by_hand():
    # Max pooling by 2 between points: a pair of voxels sees a pair.
    assert UNetShape((LevelShape(0, 0, 2),), 0).receptive_field == 2
    # A 3-convolution at the bottom: three pairs.
    assert UNetShape((LevelShape(0, 0, 2),), 2).receptive_field == 6
    # Interpolation reads two neighbours: two pairs.
    assert UNetShape((LevelShape(0, 0, 2, linear=True),), 0).receptive_field == 4
    # A stem of 2 and one 3-convolution: three blocks.
    assert UNetShape((), 2, block=2).receptive_field == 6


def test_ronneberger2015():
    for axis in UNetConfig.preset("ronneberger2015").geometry:
        assert (axis.output_for(572), axis.input_for(388), axis.context) == (388, 572, 184)


def test_cicek2016():
    assert UNetConfig.preset("cicek2016").output_for((132, 132, 116)) == (44, 44, 28)


def test_neurons3d():
    axis = UNetConfig.preset("neurons3d").geometry[0]
    assert axis.allowed_inputs(512) == list(range(92, 509, 8))
    assert axis.output_for(220) == 132
    assert axis.context // 2 == 44


def test_ndnet():
    config = UNetConfig.preset("ndnet_unetv3")
    nearest = [g.largest_input(n) for g, n in zip(config.geometry, (400, 100, 100), strict=True)]
    assert nearest == [398, 94, 94]
    assert config.output_for(nearest) == (354, 50, 50)
    assert config.geometry[0].smallest_input == 46
    with pytest.raises(InputError, match=r"got 45 pixels, expected at least 46 pixels"):
        config.geometry[0].largest_input(45)
    # With 46 pixels the bottom gets 8, an even number, and two are left.
    assert config.geometry[0].output_for(46) == 2
