"""Filling a class in between two painted planes."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.data.interpolation import fill_between, find_gap
from napari_unet.errors import InputError


def disc(shape, centre, radius):
    rows, columns = np.indices(shape)
    return np.hypot(rows - centre[0], columns - centre[1]) <= radius


def test_a_growing_disc_grows_evenly():
    shape = (60, 60)
    first, last = disc(shape, (30, 30), 6), disc(shape, (30, 30), 18)
    filled = fill_between(first, last, 3)
    assert filled.shape == (3, *shape)
    for mask, radius in zip(filled, (9, 12, 15), strict=True):
        expected = disc(shape, (30, 30), radius)
        assert (mask & expected).sum() / (mask | expected).sum() > 0.9


def test_a_piece_that_moves_is_followed_even_if_it_overlaps_nowhere():
    shape = (40, 90)
    filled = fill_between(disc(shape, (20, 15), 6), disc(shape, (20, 75), 6), 1)
    expected = disc(shape, (20, 45), 6)
    assert (filled[0] & expected).sum() / (filled[0] | expected).sum() > 0.85


def test_several_pieces_stay_where_they_are():
    shape = (40, 90)
    both = disc(shape, (20, 15), 6) | disc(shape, (20, 75), 6)
    assert np.array_equal(fill_between(both, both, 2), np.stack([both, both]))


def test_a_mask_may_fill_the_whole_plane():
    full = np.ones((8, 9), bool)
    assert fill_between(full, full, 1).all()


def stack(*planes):
    data = np.zeros((10, 8, 8), np.uint8)
    for plane in planes:
        data[plane, 2:5, 2:5] = 2
    return data


@pytest.mark.parametrize(("at", "gap"), [(3, (1, 5)), (1, (1, 5)), (5, (5, 8)), (8, (5, 8))])
def test_the_gap_is_that_around_the_plane(at, gap):
    assert find_gap(stack(1, 5, 8), 2, (at,)) == gap


def test_stacks_in_time_have_gaps_of_their_own():
    data = np.stack([stack(1), stack(2, 6)])
    assert find_gap(data, 2, (1, 4)) == (2, 6)
    with pytest.raises(InputError, match="in plane 1 only"):
        find_gap(data, 2, (0, 4))


@pytest.mark.parametrize(
    ("data", "at", "why"),
    [
        (np.ones((4, 4), np.uint8), (), "a stack of planes"),
        (stack(), (3,), "in no plane"),
        (stack(4), (3,), "in plane 4 only"),
        (stack(4, 5, 6), (5,), "No plane is missing"),
        (stack(1, 5), (7,), "Go to a plane between 1 and 5"),
    ],
)
def test_it_says_why_there_is_no_gap(data, at, why):
    with pytest.raises(InputError, match=why):
        find_gap(data, 2, at)
