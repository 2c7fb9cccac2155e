"""Boxes against boolean masks, mirrors against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.geometry.region import Region, mirror

SIDE = 9


@st.composite
def regions(draw, ndim=2):
    spans = [sorted(draw(st.tuples(*[st.integers(0, SIDE)] * 2))) for _ in range(ndim)]
    return Region(tuple(a for a, _ in spans), tuple(b for _, b in spans))


def painted(region: Region) -> np.ndarray:
    mask = np.zeros((SIDE,) * region.ndim, bool)
    mask[region.slices] = True
    return mask


@given(regions())
def test_shape_and_size_are_those_of_the_array_it_cuts(region):
    cut = np.empty((SIDE, SIDE))[region.slices]
    assert (region.shape, region.size, region.ndim) == (cut.shape, cut.size, cut.ndim)


@given(regions(), regions())
def test_intersection_is_what_both_paint(a, b):
    assert np.array_equal(painted(a.intersect(b)), painted(a) & painted(b))
    assert a.intersect(b).size == (painted(a) & painted(b)).sum()


@given(regions(), regions())
def test_containing_is_painting_all_that_the_other_paints(a, b):
    if b.size:
        assert a.contains(b) == bool((painted(a) | ~painted(b)).all())


@given(regions(), st.integers(-20, 20), st.integers(0, 5))
def test_shift_and_grow(region, offset, margin):
    moved = region.shift((offset, -offset))
    assert moved.shape == region.shape
    assert moved.shift((-offset, offset)) == region
    grown = region.grow((margin, 0))
    assert grown.shape == (region.shape[0] + 2 * margin, region.shape[1])
    assert grown.contains(region)


@given(regions(), regions())
def test_a_region_within_another_cuts_the_same_voxels_out_of_its_array(part, whole):
    part = part.intersect(whole)
    if part.size:
        array = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
        cut = array[whole.slices][part.within(whole).slices]
        assert np.array_equal(cut, array[part.slices])


@given(regions())
def test_a_region_is_made_of_its_start_and_its_shape(region):
    assert Region.of(list(region.start), region.shape) == region


def test_a_region_may_reach_beyond_the_picture():
    region = Region((-2, 3), (4, 12))
    assert region.shape == (6, 9)
    assert region.intersect(Region.whole((5, 5))) == Region((0, 3), (4, 5))
    assert Region((7, 7), (9, 9)).intersect(Region.whole((5, 5))).size == 0


def test_unlike_numbers_of_axes_are_refused():
    with pytest.raises(ValueError):
        Region.whole((3, 3)).intersect(Region.whole((3,)))


@given(st.integers(1, 12), st.integers(0, 40), st.integers(0, 40))
def test_mirror_is_the_reflection_of_numpy(size, before, after):
    expected = np.pad(np.arange(size), (before, after), mode="reflect")
    assert [mirror(i, size) for i in range(-before, size + after)] == expected.tolist()
