from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.errors import InputError
from napari_unet.noise.poisson_gauss import NoiseModel
from napari_unet.noise.variance_stabilising import Stabiliser

DRAWS = 200_000
CAMERAS = [(1.0, 0.0, 0.0), (1.0, 2.0, 0.0), (4.0, 3.0, 100.0), (0.01, 1.0, -5.0), (20.0, 9.0, 0.0)]
# gain, sigma of the reading, constant added


def seen(quanta, gain, read, dark, seed=0):
    rng = np.random.default_rng(seed)
    return gain * rng.poisson(quanta, DRAWS) + rng.normal(0, read, DRAWS) + dark


def stabiliser(gain, read, dark):
    return Stabiliser(gain, read**2 - gain * dark)


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("quanta", [5, 10, 40, 300, 5000])
def test_the_variance_is_one(camera, quanta):
    values = seen(quanta, *camera)
    assert stabiliser(*camera).forward(values).var() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("quanta", [0.5, 1, 2, 5, 40, 300])
def test_the_inverse_of_the_mean_is_the_signal(camera, quanta):
    gain, _, dark = camera
    transform = stabiliser(*camera)
    values = seen(quanta, *camera)
    back = transform.inverse(transform.forward(values).mean())
    # Of one quantum, as far as the closed form goes, and as far as the draws do.
    assert back == pytest.approx(gain * quanta + dark, abs=0.05 * gain + 4 * values.std() / 447)


def test_the_algebraic_inverse_of_the_mean_is_too_dark():
    transform = Stabiliser(1.0, 0.0)
    mean = transform.forward(seen(3.0, 1.0, 0.0, 0.0)).mean()
    assert transform.algebraic_inverse(mean) < 2.85 < transform.inverse(mean)


gains = st.one_of(st.just(0.0), st.floats(1e-12, 1e3))
variances = st.floats(1e-3, 1e6)


@settings(max_examples=200, deadline=None)
@given(gains, variances, st.floats(-1e3, 1e5))
def test_the_algebraic_inverse_undoes(gain, variance, dark):
    transform = Stabiliser(gain, variance - gain * dark)
    x = dark + np.array([0.0, 0.5, 20.0, 3e3])
    back = transform.algebraic_inverse(transform.forward(x))
    np.testing.assert_allclose(back, x, rtol=1e-6, atol=1e-6 * (1 + abs(dark)))


@settings(max_examples=200, deadline=None)
@given(gains, variances, st.floats(-1e3, 1e5))
def test_the_inverses_never_fall_and_are_finite(gain, variance, dark):
    transform = Stabiliser(gain, variance - gain * dark)
    y = np.concatenate([np.linspace(-1e4, 1e4, 997), np.linspace(-5, 5, 997)])
    y.sort()
    for inverse in (transform.inverse, transform.algebraic_inverse):
        x = inverse(y)
        assert np.isfinite(x).all()
        assert np.diff(x).min() >= -1e-9 * np.abs(x).max()
    assert np.isfinite(transform.forward(np.array([-1e9, 0.0, 1e9]))).all()


def test_without_gain_it_divides_by_sigma():
    x = np.array([-3.0, 0.0, 5.0])
    for gain in (0.0, 1e-300, 1e-12):
        transform = Stabiliser(gain, 4.0)
        np.testing.assert_allclose(transform.forward(x), x / 2, atol=1e-9)
        np.testing.assert_allclose(transform.inverse(x / 2), x, atol=1e-9)


def test_single_precision_is_enough():
    transform = Stabiliser(1e-7, 25.0)
    x = np.linspace(0, 4000, 500)
    y = transform.forward(x).astype(np.float32)
    np.testing.assert_allclose(transform.algebraic_inverse(y), x, atol=0.01)


def test_counts_come_back_from_zero_and_not_below():
    assert Stabiliser(1.0, 0.0).inverse([-5.0, 0.0, 0.1]).min() == pytest.approx(0.0, abs=1e-12)


def test_it_is_made_for_a_noise_model():
    assert Stabiliser.of(NoiseModel(2.0, -1.0, darkest=3.0)) == Stabiliser(2.0, -1.0)


@pytest.mark.parametrize("numbers", [(-1.0, 1.0), (0.0, 0.0), (0.0, -1.0), (np.nan, 1.0)])
def test_what_is_no_noise_is_refused(numbers):
    with pytest.raises(InputError, match="do not describe any noise"):
        Stabiliser(*numbers)
