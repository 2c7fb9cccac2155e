"""Images to restore or denoise whose pixels are infinite, NaN, hot, tiny, or on an offset."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift

import napari_unet
from napari_unet.data.image import ImageView
from napari_unet.data.source import open_source
from napari_unet.geometry.axes import find_layout
from napari_unet.noise.poisson_gauss import fit_noise
from napari_unet.tasks.images.noise_analysis import choose_method
from napari_unet.tasks.images.options import DenoiseOptions
from napari_unet.tasks.images.restore import _shift
from napari_unet.training.events import Warned

HOW = {"steps": 1, "size": "small", "threads": 1, "batch_size": 1}


@pytest.fixture
def scene() -> NDArray[np.float64]:
    random = np.random.default_rng(0)
    return 100 + 40 * gaussian_filter(random.normal(0, 1, (96, 96)), 3) * 6


def shift_of(image: NDArray[np.float64], good: NDArray[np.float64]) -> tuple[float, float]:
    views = [ImageView(open_source(a), find_layout(a.shape, 2)) for a in (image, good)]
    return _shift(*views)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e9, 65_535])
def test_odd_pixels_are_no_shift_of_a_pair_and_hide_none(scene, value):
    odd = scene.copy()
    odd[20:23, 30:33] = value
    assert max(map(abs, shift_of(odd, scene))) < 0.3
    assert max(map(abs, shift_of(scene, odd))) < 0.3
    moved = shift(scene, (4, -6), mode="reflect")
    assert shift_of(odd, moved) == pytest.approx((4, -6), abs=0.5)


@pytest.mark.parametrize("factor", [1e36, 1e-36])
def test_huge_and_tiny_pixels_have_no_shift(scene, factor):
    assert max(map(abs, shift_of((scene * factor).astype(np.float32), scene))) < 0.3


def test_an_infinite_block_is_left_out_of_a_restoration_and_said(scene):
    odd = scene.copy()
    odd[10:20, 10:20] = np.inf
    events = list(napari_unet.train(odd, scene, task="restore", **HOW))
    said = [event.message for event in events if isinstance(event, Warned)]
    assert any("are not finite: nothing is learned from them" in message for message in said)


def test_of_nan_in_an_image_to_denoise_it_is_said(scene):
    scene[:5, :5] = np.nan
    events = list(napari_unet.train(scene, None, task="denoise", method="blind_spot", **HOW))
    said = [event.message for event in events if isinstance(event, Warned)]
    assert sum("0.27% of the pixels are not finite" in message for message in said) == 1


def test_a_large_offset_does_not_round_the_result(scene):
    image = scene + 1e9
    model = napari_unet.fit(image, None, task="denoise", method="blind_spot", **HOW)
    result = napari_unet.predict(model, image)
    assert result.dtype == np.float64
    assert len(np.unique(result)) > 0.9 * result.size
    assert np.abs(result - image).max() < 1e4


def test_noise_of_images_in_tiny_units_is_fitted_like_any_other(scene):
    noisy = scene + np.random.default_rng(1).normal(0, 3, scene.shape)
    usual, tiny = (fit_noise([noisy * factor]) for factor in (1.0, 1e-20))
    assert tiny.offset_variance * 1e40 == pytest.approx(usual.offset_variance, rel=1e-3, abs=1e-3)


@pytest.fixture
def frames(scene) -> NDArray[np.float32]:
    """Eight noisy frames of one scene."""
    noise = np.random.default_rng(2).normal(0, 5, (8, *scene.shape))
    return (scene + noise).astype(np.float32)


def chosen(frames: NDArray[np.float32]) -> tuple[str, int, float]:
    view = ImageView(open_source(frames), find_layout(frames.shape, 2))
    choice = choose_method(view, DenoiseOptions())
    return choice.method, choice.planes, choice.noise[0].offset_variance


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
@pytest.mark.parametrize("at", range(8))
def test_a_frame_without_values_does_not_change_how_many_are_read_together(frames, value, at):
    method, planes, variance = chosen(frames)
    assert (method, planes) == ("neighbours", 5)
    frames[at] = value
    assert chosen(frames)[:2] == (method, planes)
    assert chosen(frames)[2] == pytest.approx(variance, rel=0.1)


def test_frames_without_values_are_named(frames):
    def said() -> list[str]:
        events = napari_unet.train(frames, None, task="denoise", **HOW)
        return [e.message for e in events if isinstance(e, Warned) and "Plane" in e.message]

    assert said() == []
    frames[4] = np.nan  # the middle one
    none = "(counted from 0): no pixel is finite, all are NaN or infinite."
    guess = "Nothing is learned from there, and the result there is a guess."
    assert said() == [f"Plane 4 {none} {guess}"]
    frames[6] = np.inf
    assert said() == [f"Planes 4, 6 {none} {guess}"]


@pytest.mark.parametrize("at", [1, 3, 4])
def test_whether_a_residual_is_learned_does_not_depend_on_a_frame_without_values(frames, at):
    def residual() -> str:
        model = napari_unet.fit(frames, None, task="denoise", method="neighbours", **HOW)
        return model.input_spec.residual

    assert residual() == "mean"
    frames[at] = np.nan
    assert residual() == "mean"
