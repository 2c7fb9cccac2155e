"""Splitting what touches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_unet.postprocessing.objects import find_regions, region_sizes, split_objects

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9))


def balls(shape, centres, radius, spacing=None):
    """Return a mask of balls; centres and radius are in voxels of the finest axis."""
    steps = np.ones(len(shape)) if spacing is None else np.asarray(spacing) / min(spacing)
    at = np.indices(shape).reshape(len(shape), -1).T * steps
    far = [((at - centre) ** 2).sum(1) > radius**2 for centre in centres]
    return ~np.all(far, 0).reshape(shape)


@given(MASKS, st.floats(0, 6), st.integers(0, 12), st.sampled_from([1.0, 3.0]))
def test_objects_are_connected_numbered_and_no_smaller_than_asked(mask, distance, smallest, z):
    spacing = (z, *[1.0] * (mask.ndim - 1))
    objects, number = split_objects(mask, distance, spacing, smallest)
    assert np.array_equal(objects > 0, mask)
    assert np.array_equal(np.unique(objects[mask]), np.arange(1, number + 1))
    parts, _ = find_regions(mask)
    part_sizes = region_sizes(parts, int(parts.max()))
    for i in range(1, number + 1):
        mine = objects == i
        assert find_regions(mine)[1] == 1
        part = np.unique(parts[mine])
        assert len(part) == 1
        assert mine.sum() >= min(smallest, part_sizes[part[0]])


@given(MASKS)
def test_a_great_distance_splits_nothing(mask):
    _, number = split_objects(mask, 1000, (1.0,) * mask.ndim)
    assert number == find_regions(mask)[1]


def test_two_discs_that_touch_become_two():
    mask = balls((40, 60), [(20, 18), (20, 36)], 10)
    assert find_regions(mask)[1] == 1
    objects, number = split_objects(mask, 10, (1, 1))
    assert number == 2
    assert objects[20, 18] != objects[20, 36]
    assert (objects[:, :27][mask[:, :27]] == objects[20, 18]).all()
    assert split_objects(mask, 20, (1, 1))[1] == 1


def test_a_small_disc_beside_a_large_one_is_kept_off_by_distance_or_size():
    mask = balls((50, 60), [(25, 20)], 15) | balls((50, 60), [(25, 39)], 6)
    assert split_objects(mask, 10, (1, 1))[1] == 2
    assert split_objects(mask, 25, (1, 1))[1] == 1
    assert split_objects(mask, 10, (1, 1), smallest=200)[1] == 1


@pytest.mark.parametrize("spacing", [(1, 1, 1), (5, 1, 1), (5e-3, 1e-3, 1e-3)])
def test_distances_are_physical(spacing):
    steps = np.asarray(spacing) / min(spacing)
    shape = tuple(np.ceil(np.array([60, 24, 24]) / steps).astype(int))
    mask = balls(shape, [(20, 12, 12), (38, 12, 12)], 10, spacing)
    assert find_regions(mask)[1] == 1
    objects, number = split_objects(mask, 12, spacing)
    assert number == 2
    top, bottom = (objects[round(z / steps[0]), 12, 12] for z in (16, 42))
    assert top != bottom
    assert split_objects(mask, 24, spacing)[1] == 1


def test_nothing_and_all():
    assert split_objects(np.zeros((4, 5), bool), 3, (1, 1))[1] == 0
    objects, number = split_objects(np.ones((4, 5), bool), 3, (1, 1))
    assert number == 1
    assert (objects == 1).all()
