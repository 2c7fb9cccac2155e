"""Plans: they cover the image once, read what the network accepts, and keep the phase."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.errors import InputError
from napari_unet.geometry.region import Region
from napari_unet.geometry.tiling import choose_tile, plan_axis, plan_tiles
from napari_unet.geometry.unet_shape import AxisGeometry
from tests.geometry.strategies import geometries


@st.composite
def jobs(draw):
    """An image, a network and a limit: shape, geometry, max_input."""
    ndim = draw(st.integers(1, 3))
    axes = [draw(geometries()) for _ in range(ndim)]
    shape = [draw(st.integers(1, (90, 30, 10)[ndim - 1])) for _ in range(ndim)]
    limits = [g.smallest_input + draw(st.integers(0, 60)) for g in axes]
    return shape, axes, limits


@given(jobs())
def test_writes_partition_the_image(job):
    times = np.zeros(job[0], int)
    for tile in plan_tiles(*job):
        assert Region.whole(job[0]).contains(tile.write)
        times[tile.write.slices] += 1
    assert (times == 1).all()


@given(jobs())
def test_every_read_is_an_allowed_input_of_one_shape(job):
    shape, axes, limits = job
    tiles = list(plan_tiles(*job))
    assert len({tile.read.shape for tile in tiles}) == 1
    for n, g, size, limit in zip(tiles[0].read.shape, axes, shape, limits, strict=True):
        assert g.is_allowed(n)
        assert n <= max(limit, g.input_for(min(size, g.stride)))


@given(jobs())
def test_what_is_kept_lies_in_the_output_where_it_belongs(job):
    axes = job[1]
    for tile in plan_tiles(*job):
        output = Region.whole([g.output_for(n) for g, n in zip(axes, tile.read.shape, strict=True)])
        assert output.contains(tile.keep)
        assert tile.keep.shape == tile.write.shape
        margin = [g.context // 2 for g in axes]
        assert tile.keep.shift(margin).shift(tile.read.start) == tile.write


@given(jobs())
def test_reads_keep_the_phase_of_the_poolings(job):
    axes = job[1]
    for tile in plan_tiles(*job):
        for start, g in zip(tile.read.start, axes, strict=True):
            # The phase of every plan for this network, so that tiles of any size agree.
            assert (start + g.context // 2) % g.stride == 0


@given(geometries(), st.integers(1, 120), st.integers(0, 60))
def test_tiles_are_as_few_as_possible(axis, size, extra):
    limit = max(axis.smallest_input + extra, axis.input_for(min(size, axis.stride)))
    steps = [s for s in range(axis.stride, size, axis.stride) if axis.input_for(s) <= limit]
    fewest = min([-(-size // step) for step in steps] + [1] * (axis.input_for(size) <= limit))
    plan = plan_axis(size, axis, axis.smallest_input + extra)
    assert plan.count == fewest == len(list(plan.intervals()))
    # And then as small as possible.
    smaller = [s for s in steps if s < plan.step and -(-size // s) == fewest]
    assert [s for s in smaller if axis.input_for(s) < plan.read] == []


@given(geometries(), st.integers(1, 50))
def test_a_limit_below_the_smallest_input_is_refused(axis, size):
    with pytest.raises(InputError, match=f"at least {axis.smallest_input} pixels"):
        plan_axis(size, axis, axis.smallest_input - 1)


@settings(max_examples=60)
@given(jobs(), st.integers(1, 40_000))
def test_the_chosen_tile_keeps_to_the_memory_if_that_can_be(job, max_voxels):
    shape, axes, _ = job
    tile = choose_tile(shape, axes, max_voxels)
    smallest = [g.input_for(min(n, g.stride)) for n, g in zip(shape, axes, strict=True)]
    assert prod(tile) <= max(max_voxels, prod(smallest))
    # It is what the plan then reads.
    assert next(plan_tiles(shape, axes, tile)).read.shape == tile


@settings(max_examples=60)
@given(jobs())
def test_with_memory_for_all_there_is_one_tile(job):
    shape, axes, _ = job
    whole = tuple(g.input_for(n) for n, g in zip(shape, axes, strict=True))
    assert choose_tile(shape, axes, prod(whole)) == whole
    assert len(list(plan_tiles(shape, axes, whole))) == 1


@settings(max_examples=60)
@given(jobs(), st.integers(1, 40_000))
def test_the_chosen_tile_computes_no_more_than_equal_sides_would(job, max_voxels):
    shape, axes, _ = job
    tile = choose_tile(shape, axes, max_voxels)
    work = len(list(plan_tiles(shape, axes, tile))) * prod(tile)
    for parts in (1, 2, 4):
        reads = [g.input_for(-(-n // parts)) for n, g in zip(shape, axes, strict=True)]
        plan = list(plan_tiles(shape, axes, reads))
        if prod(plan[0].read.shape) <= max_voxels:
            assert work <= len(plan) * prod(plan[0].read.shape)


def test_a_plan_by_hand():
    axis = AxisGeometry(stride=4, grow=4, shrink=8)
    tiles = list(plan_tiles((18,), [axis], [24]))
    assert [t.read for t in tiles] == [Region((-6,), (18,)), Region((6,), (30,))]
    assert [t.write for t in tiles] == [Region((0,), (12,)), Region((12,), (18,))]
    assert [t.keep for t in tiles] == [Region((0,), (12,)), Region((0,), (6,))]
