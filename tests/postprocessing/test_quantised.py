"""Probabilities as bytes: near, and with the same likeliest class."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_unet.postprocessing.quantised import QuantisedProbabilities, quantise

SHAPES = hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=6)
LOGITS = hnp.arrays(np.float32, SHAPES, elements=st.floats(-1, 1, width=32))


def softmax(logits, sharpness=1.0):
    powers = np.exp(sharpness * (logits - logits.max(0)))
    return (powers / powers.sum(0)).astype(np.float32)


@given(LOGITS, st.sampled_from([0.01, 1.0, 20.0]))
def test_the_likeliest_class_stays_and_values_are_near(logits, sharpness):
    probabilities = softmax(logits, sharpness)
    kept = quantise(probabilities)
    assert np.array_equal(kept.argmax(0), probabilities.argmax(0))
    assert np.abs(kept / 255 - probabilities).max() <= 1.5 / 255 + 1e-6


def test_near_ties_are_there_to_be_kept_apart():
    probabilities = np.array([[0.4999], [0.5001]], np.float32)
    assert np.rint(probabilities * 255).argmax(0) == 1  # these two round apart by themselves
    probabilities = np.array([[0.3330], [0.3331], [0.3339]], np.float32)
    assert np.rint(probabilities * 255).argmax(0) == 0
    assert quantise(probabilities).argmax(0) == 2


def test_it_is_written_like_an_array_tile_by_tile():
    rng = np.random.default_rng(0)
    probabilities = softmax(rng.normal(size=(3, 4, 10, 12)).astype(np.float32))
    kept = QuantisedProbabilities(probabilities.shape)
    assert kept.shape == (3, 4, 10, 12)
    for z in range(4):
        for part in (slice(0, 5), slice(5, 12)):
            where = (slice(None), z, slice(None), part)
            kept[where] = probabilities[where]
    assert kept.array.dtype == np.uint8
    assert np.array_equal(kept.array, quantise(probabilities))


def test_nothing_wraps_around():
    beyond = np.array([[-0.1, 1.2, 1.0], [1.1, 1.3, 0.0]])
    assert quantise(beyond).tolist() == [[0, 255, 255], [255, 255, 0]]
