from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.errors import InputError
from napari_unet.noise.filters import clipping_limits
from napari_unet.noise.poisson_gauss import NoiseModel, fit_noise
from tests.noise.scenes import camera, cells

SEEDS = range(3)


def assert_right(model, clean, variance, within=0.1):
    """Compare over all brightnesses of the picture but its last half percent."""
    signal = np.linspace(clean.min(), np.quantile(clean, 0.995), 20)
    ratio = model.sigma(signal) / np.sqrt(variance(signal))
    assert np.abs(ratio - 1).max() < within, ratio.round(2)


@pytest.mark.parametrize("seed", SEEDS)
def test_gaussian_noise_has_no_gain(seed):
    clean = cells(seed=seed)
    model = fit_noise([camera(clean, gain=1e-6, read=12.0, seed=seed)])
    assert_right(model, clean, lambda s: 144.0 + 0 * s)
    assert model.gain < 0.15  # of 144, at a signal of 200
    assert model.floor is None


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("top", [20.0, 200.0])
def test_counts_have_gain_one(seed, top):
    clean = cells(seed=seed, top=top, dark=1.0)
    model = fit_noise([camera(clean, seed=seed)])
    assert model.gain == pytest.approx(1.0, abs=0.15)
    assert_right(model, clean, lambda s: s)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_camera_that_amplifies_and_adds_a_constant(seed):
    clean = cells(seed=seed, top=2000.0, dark=20.0)
    noisy = np.round(camera(clean, gain=4.0, read=6.0, dark=100.0, seed=seed)).astype(np.uint16)
    model = fit_noise([noisy])
    assert_right(model, clean + 100, lambda s: 4.0 * (s - 100) + 36.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_cut_off_at_both_ends_does_not_count(seed):
    clean = cells(seed=seed, top=300.0, dark=3.0)
    noisy = np.clip(np.round(camera(clean, gain=0.5, read=6.0, seed=seed)), 0, 255)
    model = fit_noise([noisy.astype(np.uint8)])
    assert (model.floor, model.ceiling) == (0.0, 255.0)
    assert_right(model, np.clip(clean, 3, 240), lambda s: 0.5 * s + 36.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_counts_of_next_to_nothing_are_not_taken_for_cut_off(seed):
    clean = cells(seed=seed, top=150.0, dark=0.2)
    model = fit_noise([camera(clean, seed=seed)])
    assert model.floor == 0.0
    assert_right(model, clean, lambda s: s)


def test_several_planes_tell_more_than_one():
    clean = [cells(64, seed=s) for s in range(8)]
    model = fit_noise([camera(c, seed=s) for s, c in enumerate(clean)])
    assert_right(model, np.stack(clean), lambda s: s)


def test_few_quanta_with_much_amplification_as_in_a_confocal_microscope():
    clean = cells(512, top=120.0, dark=1.5)
    model = fit_noise([np.round(camera(clean, gain=5.0, dark=3.0)).astype(np.uint8)])
    assert_right(model, clean + 3, lambda s: 5.0 * (s - 3))


def test_a_picture_without_noise_has_next_to_none():
    smooth = np.linspace(0, 1000, 128)[:, None] + np.linspace(0, 50, 128)
    assert fit_noise([smooth]).sigma(np.array([0.0, 500.0])).max() < 0.5
    assert 0 < fit_noise([np.full((32, 32), 7.0)]).sigma(7.0) < 1e-3


planes = arrays(np.uint8, st.tuples(st.integers(16, 24), st.integers(16, 24)))


@settings(max_examples=50, deadline=None)
@given(planes, st.floats(-1e3, 1e3))
def test_sigma_is_positive_whatever_the_picture(plane, signal):
    model = fit_noise([plane])
    assert model.gain >= 0
    assert float(model.sigma(signal)) > 0
    assert np.isfinite(model.sigma(signal))


def test_one_bright_spot_in_a_constant_picture_is_no_reason_to_fail():
    for value, spot in ((34, 255), (60000, 60001), (1, 0)):
        plane = np.full((17, 17), value, dtype=np.uint16)
        plane[3, 5] = spot
        assert float(fit_noise([plane]).sigma(0.0)) > 0


def test_scaling_the_picture_scales_sigma():
    clean = cells(128)
    noisy = camera(clean, read=3.0)
    one, ten = fit_noise([noisy]), fit_noise([10 * noisy])
    np.testing.assert_allclose(ten.sigma(10 * clean), 10 * one.sigma(clean), rtol=1e-6)


def test_it_survives_json():
    model = NoiseModel(2.0, -3.0, 0.0, None, 4.0)
    assert NoiseModel.from_dict(json.loads(json.dumps(model.to_dict()))) == model


def test_below_the_darkest_signal_the_noise_stays_what_it_is():
    model = NoiseModel(2.0, -3.0, darkest=4.0)
    assert model.variance([-10.0, 4.0, 5.0]).tolist() == [5.0, 5.0, 7.0]


@pytest.mark.parametrize(
    "values",
    [
        {"gain": -1.0, "offset_variance": 3.0},
        {"gain": 1.0, "offset_variance": -1.0},
        {"gain": float("nan"), "offset_variance": 1.0},
        {"gain": 1.0},
        {"gain": 1.0, "offset_variance": 1.0, "surplus": 1.0},
        {"gain": "much", "offset_variance": 1.0},
    ],
)
def test_what_is_no_noise_model_is_refused(values):
    with pytest.raises(InputError, match="noise"):
        NoiseModel.from_dict(values)


@pytest.mark.parametrize(
    "planes", [[], [np.zeros(20)], [np.zeros((4, 4))], [np.full((20, 20), np.nan)]]
)
def test_what_is_no_picture_is_refused(planes):
    with pytest.raises(InputError):
        fit_noise(planes)


def test_counts_that_reach_zero_rarely_are_not_cut_off():
    counts = np.random.default_rng(0).poisson(6.0, (256, 256)).astype(float)
    assert (counts == 0).sum() > 100
    assert clipping_limits([counts]) == (None, None)
