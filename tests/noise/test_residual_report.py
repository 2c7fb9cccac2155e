from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.restoration import denoise_nl_means

from napari_unet.errors import InputError
from napari_unet.noise.poisson_gauss import NoiseModel, fit_noise
from napari_unet.noise.residual_report import LIMITS, analyse_residual
from napari_unet.noise.variance_stabilising import Stabiliser
from tests.noise.scenes import camera, cells

SEEDS = range(5)
Y, X = np.mgrid[:256, :256]


def decent(noisy):
    """What a classical denoiser makes of counts."""
    transform = Stabiliser.of(fit_noise([noisy]))
    stable = transform.forward(noisy)
    options = {"patch_size": 5, "patch_distance": 7, "h": 0.6, "sigma": 1.0}
    return transform.inverse(denoise_nl_means(stable, **options))


def truth(noisy, clean):
    return clean


def denoised(noisy, clean):
    return decent(noisy)


def nearly(noisy, clean):
    """The truth, with an error of a tenth of the noise that is as smooth as structure is."""
    error = gaussian_filter(np.random.default_rng(7).normal(size=clean.shape), 3.0)
    return clean + 0.1 * np.sqrt(clean) * error / error.std()


@pytest.fixture(scope="module", params=SEEDS)
def scene(request):
    clean = cells(seed=request.param)
    return camera(clean, seed=request.param), clean


ANSWERS = [truth, denoised, nearly]


@pytest.mark.parametrize("answer", ANSWERS)
def test_it_stays_quiet_on_what_is_well_denoised(scene, answer):
    noisy, clean = scene
    report = analyse_residual(noisy, answer(noisy, clean))
    assert (report.level, report.places, report.unsupported_share) == ("good", (), 0.0), report
    assert report.sigma_before == pytest.approx(np.sqrt(clean.mean()), rel=0.1)
    assert report.sigma_after < 0.3 * report.sigma_before
    assert not report.unsupported.any()
    assert len(report.verdict) == 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dark", [0.2, 1.0])
def test_it_stays_quiet_in_the_dark(seed, dark):
    clean = cells(seed=seed, dark=dark)
    noisy = camera(clean, seed=seed)
    assert analyse_residual(noisy, clean).level == "good"
    assert analyse_residual(5 * noisy + 100, 5 * clean + 100).level == "good"


def found(report, y, x, within=8):
    """Tell whether a box of the report is close to the pixel (y, x) or holds it."""
    return any(
        p.box[0] - within <= y < p.box[2] + within and p.box[1] - within <= x < p.box[3] + within
        for p in report.places
        if p.kind == "unsupported"
    )


@pytest.mark.parametrize("answer", ANSWERS[:2])
@pytest.mark.parametrize(("y", "x"), [(60, 60), (80, 200), (190, 128)])
def test_a_blob_that_is_not_there_is_found(answer, y, x):
    clean = cells()
    noisy = camera(clean)
    height = 1.8 * np.sqrt(clean[y, x])
    blob = height * np.exp(-((Y - y) ** 2 + (X - x) ** 2) / (2 * 3.0**2))
    report = analyse_residual(noisy, answer(noisy, clean) + blob)
    assert report.level != "good"
    assert found(report, y, x)
    assert "contradicts" in report.verdict[0]
    marked = report.unsupported > 0
    assert marked.any()
    assert np.hypot(Y - y, X - x)[marked].max() < 12


@pytest.mark.parametrize("answer", ANSWERS[:2])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_filament_that_is_not_there_is_found(answer, sign):
    clean = np.full((256, 256), 40.0) + 10 * np.sin(X / 40.0)
    noisy = camera(clean)
    across = Y - 100 - 0.3 * (X - 128)
    filament = np.exp(-(across**2) / (2 * 1.5**2)) * (np.abs(X - 128) < 30)
    report = analyse_residual(noisy, answer(noisy, clean) + sign * 1.5 * np.sqrt(clean) * filament)
    assert report.level != "good"
    assert all(abs(p.box[0] - 100) < 25 and 80 < p.box[1] < 180 for p in report.places)
    assert (report.unsupported > 0)[filament > 0.5].mean() > 0.2


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_that_stay_shifted_are_found(seed):
    clean = cells(seed=seed)
    sigma = np.sqrt(clean.mean())
    shifts = 0.5 * sigma * np.random.default_rng(50 + seed).normal(size=(256, 1))
    noisy = camera(clean, seed=seed) + shifts
    for one, other, kind in (
        (noisy, clean + shifts, "row"),
        (noisy.T, (clean + shifts).T, "column"),
    ):
        report = analyse_residual(one, other)
        assert report.level != "good"
        assert any(f"Whole {kind}s are offset" in said for said in report.verdict)
        assert {p.kind for p in report.places} == {kind}
        amplitude = report.row_noise if kind == "row" else report.column_noise
        assert amplitude == pytest.approx(0.5 * sigma, rel=0.2)
    assert analyse_residual(noisy, clean).row_noise == 0.0


def test_over_smoothing_is_found(scene):
    noisy, clean = scene
    report = analyse_residual(noisy, gaussian_filter(clean, 3.0))
    assert report.level == "bad"
    assert report.lost_share > 0.005
    assert report.residual_variance > 1.5
    assert report.signal_correlation > 0.5
    assert any("too smooth" in said for said in report.verdict)
    assert (report.residual_autocorrelation - report.noise_autocorrelation).max() > 0.2


@pytest.mark.parametrize("width", [0.0, 0.7, 1.0, 1.5, 3.0])
def test_one_rule_decides_the_word_the_colour_and_the_explanation(scene, width):
    noisy, clean = scene
    report = analyse_residual(noisy, gaussian_filter(clean, width) if width else clean)
    levels = [report.level_of(fact) for fact in LIMITS]
    assert report.level == max(levels, key=["good", "caution", "bad"].index)
    assert report.level_of("Correlation") == ("caution" if width else "good")
    for fact, level in zip(LIMITS, levels, strict=True):
        assert report.explain(fact).endswith("It is good here.") == (level == "good")


def test_far_more_than_the_noise_is_bad_wherever_it_was_removed():
    clean = cells()
    noisy = camera(clean)
    report = replace(analyse_residual(noisy, clean), residual_variance=45.0)
    assert report.level == report.level_of("Residual") == "bad"
    assert replace(report, residual_variance=2.0).level == "caution"


def test_a_trace_of_the_noise_in_an_empty_image_is_no_lost_detail():
    clean = np.full((256, 256), 100.0)
    noisy = camera(clean)
    trace = analyse_residual(noisy, clean + 0.2 * (gaussian_filter(noisy, 1.0) - clean))
    assert (trace.level, trace.signal_correlation) == ("good", 0.0)


def test_noise_that_is_still_there_is_found(scene):
    noisy, _ = scene
    report = analyse_residual(noisy, noisy)
    assert report.level == "caution"
    assert report.sigma_after == pytest.approx(report.sigma_before, rel=0.1)
    assert "of the noise is left" in report.verdict[0]
    assert "of the noise is left" in analyse_residual(noisy, gaussian_filter(noisy, 0.5)).verdict[0]


def test_a_stack_says_in_which_plane():
    clean = np.stack([cells(seed=s) for s in range(3)])
    noisy = np.stack([camera(c, seed=s) for s, c in enumerate(clean)])
    answer = clean.copy()
    answer[1] += 3 * np.sqrt(clean[1, 60, 60]) * np.exp(-((Y - 60) ** 2 + (X - 60) ** 2) / 18)
    report = analyse_residual(noisy, answer)
    assert report.unsupported.shape == noisy.shape
    assert report.unsupported.dtype == np.float32
    assert [p.plane for p in report.places] == [1]
    assert "plane 1" in report.verdict[0]
    listed = analyse_residual(list(noisy), list(answer), NoiseModel(1.0, 1e-3))
    assert [p.plane for p in listed.places] == [1]


def test_at_most_five_places_are_named():
    clean = np.full((256, 256), 50.0)
    answer = clean.copy()
    answer[20:240:40, 20:240:40] += 1.0
    answer = clean + 4 * np.sqrt(50) * 25 * gaussian_filter(answer - clean, 2.0)
    report = analyse_residual(camera(clean), answer)
    assert len(report.places) == 5
    strengths = [p.strength for p in report.places]
    assert strengths == sorted(strengths, reverse=True)
    assert report.level == "bad"


@pytest.mark.parametrize(
    ("noisy", "answer"),
    [
        (np.ones((32, 32)), np.ones((32, 33))),
        (np.ones((2, 32, 32)), np.ones((3, 32, 32))),
        (np.ones((8, 8)), np.ones((8, 8))),
        (np.ones((32, 32)), np.full((32, 32), np.nan)),
        ([], []),
    ],
)
def test_what_cannot_be_compared_is_refused(noisy, answer):
    with pytest.raises(InputError):
        analyse_residual(noisy, answer)
