from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.samples.scribbles import paint

coordinates = st.floats(-6, 20, allow_nan=False)
points = st.tuples(coordinates, coordinates)


def distance_to_line(shape, line):
    """Smallest distance of each pixel to many points along the line, the slow and sure way."""
    corners = np.array(line, dtype=float)
    ends = pairwise(corners)
    dense = [np.linspace(a, b, 400) for a, b in ends] or [corners]
    pixels = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 1, 2)
    return np.linalg.norm(pixels - np.concatenate(dense), axis=-1).min(1).reshape(shape)


@given(line=st.lists(points, min_size=1, max_size=4), width=st.floats(1, 7))
def test_exactly_the_pixels_within_half_a_width_are_touched(line, width):
    shape = (13, 11)
    touched = paint(shape, [line], width)
    distance = distance_to_line(shape, line)
    assert touched[distance < width / 2 - 0.05].all()
    assert not touched[distance > width / 2 + 0.05].any()


def test_lines_add_up_and_what_lies_outside_is_cut_off():
    inside, outside = [(2, 2), (2, 6)], [(-9, -9), (-9, 30)]
    assert (paint((8, 8), [inside, outside], 3) == paint((8, 8), [inside], 3)).all()
    assert not paint((8, 8), [outside], 3).any()


@pytest.mark.parametrize(("width", "area"), [(1, 1), (2, 5), (3, 9), (5, 21)])
def test_a_dab_is_a_disk(width, area):
    dab = paint((11, 11), [[(5, 5)]], width)
    assert dab.sum() == area
    assert (dab == dab.T).all()
    assert (dab == dab[::-1]).all()
