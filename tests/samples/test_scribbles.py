from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.samples.scribbles import REACH, STROKES_PER_CLASS, WIDTH, paint_slices


def patches(seed, shape=(3, 30, 34), seeds=12):
    """A label volume of classes 1 to 3 in patches of random place and size."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform((0, 0, 0), shape, (seeds, 3))
    voxels = np.moveaxis(np.indices(shape), 0, -1)[..., None, :]
    return (1 + ((voxels - centres) ** 2).sum(-1).argmin(-1) % 3).astype(np.uint8)


@settings(max_examples=15)
@given(seed=st.integers(0, 1000))
def test_every_stroke_is_right_and_every_class_of_a_slice_is_painted(seed):
    truth = patches(seed)
    strokes = paint_slices(truth, (0, 2), np.random.default_rng(seed))
    assert (strokes == truth)[strokes > 0].all()
    assert not strokes[1].any()
    for z in (0, 2):
        assert set(np.unique(strokes[z])) - {0} == set(np.unique(truth[z]))


def test_a_class_of_one_pixel_can_be_painted():
    truth = np.ones((1, 9, 9), dtype=np.uint8)
    truth[0, 4, 4] = 2
    strokes = paint_slices(truth, [0], np.random.default_rng(0))
    assert strokes[0, 4, 4] == 2
    assert (strokes == 2).sum() == 1


def test_strokes_stay_small_on_a_large_plane():
    truth = np.ones((1, 200, 200), dtype=np.uint8)
    strokes = paint_slices(truth, [0], np.random.default_rng(0))
    assert 0 < strokes.sum() < STROKES_PER_CLASS * (2 * REACH + WIDTH) * (WIDTH + 1)


def test_the_same_chance_paints_the_same_strokes():
    truth = patches(3)
    first, second, other = (
        paint_slices(truth, [1], np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    assert (first == second).all()
    assert (first != other).any()
