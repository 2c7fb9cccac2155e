"""Holes are filled smoothly: exactly alike in tiles, and known pixels stay as they are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.data.image import ImageView
from napari_unet.data.inputs import fill_context, fill_smoothly, missing_view, read_inputs
from napari_unet.data.normalisation import Normalisation
from napari_unet.data.source import open_source
from napari_unet.geometry.axes import find_layout
from napari_unet.geometry.region import Region


def holes(shape, seed, share=0.1):
    random = np.random.default_rng(seed)
    known = random.random(shape) >= share
    for _ in range(4):
        y, x = (int(random.integers(n)) for n in shape[-2:])
        known[..., y : y + 9, x : x + 14] = False
    return known


def test_a_slope_goes_on_through_a_gap():
    y, x = np.mgrid[0:60, 0:70].astype(np.float32)
    slope = (0.03 * y - 0.05 * x)[None]
    known = np.ones(slope.shape, bool)
    known[..., 30:36] = False
    found = fill_smoothly(slope, known)
    assert np.array_equal(found[known], slope[known])
    assert abs(found - slope)[:, 15:45].max() < 0.01  # the gap spans 0.35
    assert abs(found - slope).max() < 0.15  # at the border there is less to tell from


def test_what_is_not_known_tells_nothing():
    image = np.random.default_rng(0).normal(size=(2, 40, 50)).astype(np.float32)
    known = holes(image.shape, 1)
    spoilt = np.where(known, image, np.float32(np.nan))
    assert np.array_equal(fill_smoothly(spoilt, known), fill_smoothly(image, known))
    assert np.array_equal(fill_smoothly(spoilt, known)[known], image[known])
    assert np.array_equal(fill_smoothly(image, np.ones_like(known)), image)
    assert not fill_smoothly(spoilt, np.zeros_like(known)).any()


@given(
    st.integers(0, 99),
    st.tuples(st.integers(-40, 150), st.integers(-40, 150)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
)
def test_a_part_is_filled_just_as_the_whole_is(seed, start, size):
    image = np.random.default_rng(seed).normal(5, 2, size=(160, 170)).astype(np.float32)
    mask = (~holes(image.shape, seed)).astype(np.uint8)
    source = open_source(image)
    view = ImageView(source, find_layout(source.shape, 2))
    missing, norm = missing_view(view, open_source(mask)), Normalisation("none", (0.0,), (1.0,))

    def read(region):
        return read_inputs(view, norm, (), region, missing, smooth=True)

    part = Region.of(start, size)
    large = Region((-50, -50), (250, 250))
    inside = part.shift((50, 50)).slices
    assert np.array_equal(read(part), read(large)[(slice(None), *inside)])


def test_planes_are_filled_each_for_itself():
    image = np.random.default_rng(0).normal(size=(1, 3, 40, 40)).astype(np.float32)
    known = holes(image.shape, 2)
    whole = fill_smoothly(image, known)
    for z in range(3):
        assert np.array_equal(whole[:, z], fill_smoothly(image[:, z], known[:, z]))
    wide, inner = fill_context(Region((1, 5, 5), (2, 20, 20)))
    assert (wide.start[0], wide.stop[0], inner[0]) == (1, 2, slice(0, 1))
