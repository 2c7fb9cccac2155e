from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_unet.errors import InputError
from napari_unet.noise.poisson_gauss import NoiseModel, fit_noise
from napari_unet.noise.structure import (
    noise_autocorrelation,
    normalised_difference,
    saturation,
    share_of_high_pass,
    structure_similarity,
)
from tests.noise.scenes import camera, cells


def white(seed, shape=(256, 256)):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("seed", range(3))
def test_white_noise_is_not_correlated(seed):
    clean = cells(seed=seed)
    for noisy in (clean + 10 * white(seed), camera(clean, gain=3.0, dark=50.0, seed=seed)):
        found = noise_autocorrelation([noisy])
        assert found.shape == (2, 3)
        assert np.abs(found).max() < 0.05
        assert share_of_high_pass(found) == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize("axis", [0, 1])
def test_row_noise_is_correlated_along_its_rows_only(axis):
    rows = 5 * white(1, (256, 1) if axis == 1 else (1, 256))
    noisy = cells() + 10 * white(0) + rows
    found = noise_autocorrelation([noisy])
    np.testing.assert_allclose(found[axis], 0.2, atol=0.06)
    np.testing.assert_allclose(found[1 - axis], 0.0, atol=0.05)
    variance = fit_noise([noisy]).variance(50.0) / share_of_high_pass(found)
    assert variance == pytest.approx(125.0, rel=0.1)


@pytest.mark.parametrize("width", [0.5, 0.7])
def test_blurred_noise_is_correlated_both_ways(width):
    blurred = gaussian_filter(white(0), width)
    blurred /= blurred.std()
    true = [(blurred[:, :-lag] * blurred[:, lag:]).mean() for lag in (1, 2, 3)]
    found = noise_autocorrelation([cells() + 10 * blurred])
    np.testing.assert_allclose(found, [true, true], atol=0.06)


def test_planes_of_one_scene_tell_it_by_their_difference():
    # A texture that one plane alone cannot tell from blurred noise.
    scene = cells(dark=60.0) + 30 * gaussian_filter(white(9), 0.7)
    planes = [camera(scene, seed=s) for s in range(2)]
    assert np.abs(noise_autocorrelation(planes, same_scene=True)).max() < 0.05
    assert np.abs(noise_autocorrelation(planes)).max() > 0.1


def test_what_is_cut_off_is_not_taken_for_noise():
    noisy = np.clip(np.round(cells(dark=-20.0) + 10 * white(0)), 0, 255)
    assert (noisy == 0).mean() > 0.3
    assert np.abs(noise_autocorrelation([noisy])).max() < 0.08


def test_a_picture_without_noise_is_not_correlated():
    assert np.abs(noise_autocorrelation([np.full((32, 32), 3.0)])).max() == 0.0


def test_likeness_goes_from_one_to_zero():
    clean = cells()
    noisy = camera(clean, seed=1)
    noise = fit_noise([noisy])
    shifted = [
        structure_similarity(noisy, camera(np.roll(clean, s, 1), seed=2), noise)
        for s in (0, 1, 2, 4)
    ]
    assert shifted[0] == pytest.approx(1.0, abs=0.01)
    assert shifted == sorted(shifted, reverse=True)
    assert shifted[-1] < 0.8
    assert structure_similarity(noisy, camera(clean.max() - clean, seed=2), noise) == 0.0
    other = np.random.default_rng(3).permuted(clean.ravel()).reshape(clean.shape)
    assert structure_similarity(noisy, camera(other, seed=2), noise) == pytest.approx(0.0, abs=0.05)


def test_planes_without_structure_are_alike():
    assert structure_similarity(5 * white(0), 5 * white(1), NoiseModel(0.0, 25.0)) == 1.0


def test_change_tells_how_far_above_the_noise_a_difference_is():
    clean, noise = cells(), NoiseModel(0.0, 25.0)
    first, second = clean + 5 * white(1), clean + 5 * white(2)
    assert normalised_difference(first, second, noise) == pytest.approx(1.0, abs=0.03)
    assert normalised_difference(first, second + 10 * white(3), noise) == pytest.approx(
        3.0, abs=0.1
    )


def test_pictures_of_different_shapes_are_refused():
    with pytest.raises(InputError, match="different shapes"):
        structure_similarity(np.zeros((20, 20)), np.zeros((20, 21)), NoiseModel(0.0, 1.0))


def test_one_plane_shows_no_scene_twice():
    with pytest.raises(InputError, match="no neighbour"):
        noise_autocorrelation([cells(32)], same_scene=True)


def test_saturation_is_the_share_of_cut_off_pixels():
    noisy = camera(cells(top=300.0, dark=60.0), read=6.0)
    assert saturation(noisy) == 0.0
    for limit, kind in ((255, np.uint8), (255, np.uint16), (255.0, np.float32)):
        cut = np.minimum(noisy, limit).astype(kind)
        assert saturation(cut) == pytest.approx((noisy >= limit).mean())
    assert 0.0 < saturation(cut) < 0.2
