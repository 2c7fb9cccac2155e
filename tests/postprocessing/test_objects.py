"""Regions, their sizes and their holes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_unet.postprocessing.objects import (
    drop_small,
    fill_holes,
    find_regions,
    merge_small,
    region_sizes,
)

SHAPES = hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9)
MASKS = hnp.arrays(bool, SHAPES)
CLASSES = hnp.arrays(np.uint8, SHAPES, elements=st.integers(0, 2))
SIZES = st.integers(0, 12)


def picture(*rows):
    return np.array([[mark == "#" for mark in row] for row in rows])


def sizes(mask):
    return region_sizes(*find_regions(mask))[1:]


def holes_of(mask):
    """Sizes of enclosed holes, found the slow way: what cannot be reached from outside."""
    around = np.pad(~mask, 1, constant_values=True)
    found, number = find_regions(around, corners=True)
    outside = found[(0,) * found.ndim]
    return [int((found == i).sum()) for i in range(1, number + 1) if i != outside]


@given(MASKS, SIZES)
def test_what_stays_is_large_enough_and_as_it_was(mask, smallest):
    kept = drop_small(mask, smallest)
    assert not (kept & ~mask).any()
    assert (sizes(kept) >= smallest).all()
    wanted = sum(size for size in sizes(mask) if size >= smallest)
    assert kept.sum() == wanted


@given(MASKS, SIZES)
def test_holes_are_filled_and_nothing_else(mask, largest):
    filled = fill_holes(mask, largest)
    assert not (mask & ~filled).any()
    assert sorted(holes_of(filled)) == sorted(n for n in holes_of(mask) if n > largest)
    assert filled.sum() - mask.sum() == sum(n for n in holes_of(mask) if n <= largest)


@given(MASKS, SIZES, SIZES)
def test_filling_then_dropping_leaves_nothing_to_do(mask, largest, smallest):
    once = drop_small(fill_holes(mask, largest), smallest)
    assert np.array_equal(drop_small(fill_holes(once, largest), smallest), once)
    assert all(n > largest for n in holes_of(once))


def test_a_hole_is_enclosed_on_the_diagonal_only_if_nothing_slips_through():
    ring = picture("#####", "#   #", "#   #", "#####")
    leaking = picture("#####", "#   #", "#   #", "#### ")
    assert fill_holes(ring, 6).all()
    assert np.array_equal(fill_holes(ring, 5), ring)
    assert np.array_equal(fill_holes(leaking, 20), leaking)


def test_an_island_in_a_hole_goes_with_the_hole():
    island = picture("#######", "#     #", "#  #  #", "#     #", "#######")
    assert fill_holes(island, 14).all()
    assert np.array_equal(fill_holes(island, 13), island)


@given(CLASSES, SIZES)
def test_merged_regions_are_large_enough(classes, smallest):
    merged = merge_small(classes, smallest)
    assert merged.dtype == classes.dtype
    for value in np.unique(merged):
        assert (sizes(merged == value) >= min(smallest, classes.size)).all() or (
            merged == value
        ).all()
    assert np.array_equal(merge_small(merged, smallest), merged)


@given(CLASSES, SIZES)
def test_regions_that_are_large_enough_lose_nothing(classes, smallest):
    merged = merge_small(classes, smallest)
    for value in np.unique(classes):
        large = drop_small(classes == value, smallest)
        assert (merged[large] == value).all()


def test_a_speck_becomes_what_is_around_it():
    classes = np.ones((8, 9), int)
    classes[:, 5:] = 2
    wanted = classes.copy()
    classes[3, 2], classes[4:6, 7] = 3, 1
    assert np.array_equal(merge_small(classes, 3), wanted)
    assert np.array_equal(merge_small(classes, 1), classes)


def test_where_nothing_is_large_enough_the_largest_takes_all():
    classes = np.array([[1, 1, 2], [1, 3, 2]])
    assert (merge_small(classes, 100) == 1).all()
