"""Normalisations fitted to part of a picture, applied in float64."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_unet.data.image import ImageView
from napari_unet.data.normalisation import (
    Kind,
    Normalisation,
    fit_normalisation,
    fit_to_classes,
)
from napari_unet.data.pixel_statistics import measure_image
from napari_unet.data.source import ArraySource, open_source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import find_layout
from napari_unet.geometry.region import Region

RNG = np.random.default_rng(0)


def view_of(array: NDArray[Any], ndim: int = 2, **options: Any) -> ImageView:
    return ImageView(open_source(array), find_layout(array.shape, ndim, **options))


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i4", "f4", ">f8", "?"])
def test_mean_and_sd(dtype: str) -> None:
    array = RNG.integers(0, 250, (3, 40, 50)).astype(dtype)
    fitted, finite = fit_normalisation(view_of(array))
    assert finite == 1
    assert fitted.offset == pytest.approx([array.mean(dtype=float)])
    assert fitted.scale == pytest.approx([array.std(dtype=float)])
    out = fitted.apply(array[:1])
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, (array[:1] - array.mean()) / array.std(), atol=1e-5)


def test_percentiles_and_none() -> None:
    array = RNG.normal(50, 3, (60, 70))
    low, high = np.percentile(array, [1, 99.8])
    fitted, _ = fit_normalisation(view_of(array), "percentile")
    assert fitted.offset == pytest.approx([low])
    assert fitted.scale == pytest.approx([high - low])
    assert fit_normalisation(view_of(array), "none")[0] == Normalisation("none", (0.0,), (1.0,))


def test_a_few_bright_pixels_are_enough_for_percentiles() -> None:
    array = np.zeros((100, 100), np.uint8)
    array[0, :5] = 200
    fitted, _ = fit_normalisation(view_of(array), "percentile")
    assert fitted.scale == pytest.approx([array.std()])


def test_channels_each_have_their_own() -> None:
    array = np.stack(
        [RNG.normal(m, s, (50, 60)) for m, s in [(0, 1), (100, 5)]] + [np.ones((50, 60))]
    )
    fitted, _ = fit_normalisation(view_of(array, channel_axis=0))
    assert fitted.offset == pytest.approx([0, 100, 1], abs=0.5)
    assert fitted.scale[:2] == pytest.approx([1, 5], rel=0.1)
    out = fitted.apply(array)
    assert out.mean(axis=(1, 2)) == pytest.approx([0, 0, 0], abs=1e-4)


@pytest.mark.parametrize("value", [0, 1, 200, 1e6])
def test_a_channel_that_was_constant_counts_for_nothing_whatever_it_becomes(value: float) -> None:
    array = np.stack([RNG.normal(0, 1, (50, 60)), np.full((50, 60), 255.0)])
    fitted, _ = fit_normalisation(view_of(array, channel_axis=0))
    array[1] = value
    assert np.abs(fitted.apply(array)[1]).max() < 1e-20
    assert (fitted.undo(np.ones((2, 3, 3)))[1] == 255).all()


@pytest.mark.parametrize("kind", ["mean_sd", "percentile"])
@pytest.mark.parametrize("hot", [1e9, 65_535, -1e9])
def test_a_few_hot_or_dead_pixels_do_not_matter(kind: Kind, hot: float) -> None:
    array = RNG.normal(100, 10, (128, 128))
    clean, _ = fit_to_classes([view_of(array)], kind, per_image=True)
    array[[5, 70, 100], [5, 20, 90]] = hot
    fitted, _ = fit_to_classes([view_of(array)], kind, per_image=True)
    assert fitted.offset == pytest.approx(clean.offset, abs=0.1)
    assert fitted.scale == pytest.approx(clean.scale, rel=0.02)
    assert fit_normalisation(view_of(array), kind)[0].scale == pytest.approx(clean.scale, rel=0.02)
    out = fitted.for_image(measure_image(view_of(array), ())).apply(array[None])
    assert np.abs(out).max() < 15


def nuclei(share: float = 0.2, seed: int = 0) -> NDArray[np.float64]:
    """Return noise of 2 around 50, and 100 more in a part of the rows."""
    image = np.random.default_rng(seed).normal(50, 2, (128, 128))
    image[: round(128 * share)] += 100
    return image


def _measured(fitted: Normalisation, image: NDArray[Any]) -> NDArray[np.float32]:
    return fitted.for_image(measure_image(view_of(image), ())).apply(image[None])


@pytest.mark.parametrize(("gain", "offset"), [(1, 1e6), (0.2, 0), (7, -40), (257, 3)])
@pytest.mark.parametrize("filled", [False, True])
def test_an_image_of_another_exposure_becomes_like_the_first(
    gain: float, offset: float, filled: bool
) -> None:
    image = nuclei()
    if filled:  # no background: coarse structures all over, as in an electron micrograph
        image = np.kron(np.random.default_rng(1).normal(128, 40, (16, 16)), np.ones((8, 8)))
        image += RNG.normal(0, 4, image.shape)
    fitted, _ = fit_to_classes([view_of(image)], "mean_sd", per_image=True)
    expected = fitted.apply(image[None])
    np.testing.assert_allclose(_measured(fitted, image), expected, atol=1e-5)
    np.testing.assert_allclose(_measured(fitted, gain * image + offset), expected, atol=1e-3)


@pytest.mark.parametrize("share", [0, 0.003])
def test_what_shows_no_contrast_is_not_amplified(share: float) -> None:
    fitted, _ = fit_to_classes([view_of(nuclei())], "mean_sd", per_image=True)
    other = nuclei(seed=1) + 30
    other[:] = np.random.default_rng(1).normal(80, 2, other.shape)
    other[:1, : round(share * other.size)] += 100
    scale = fitted.for_image(measure_image(view_of(other), ())).scale
    assert scale == fitted.scale
    normalised = _measured(fitted, other)[0]
    assert normalised[1:].max() < fitted.apply(np.array([[80.0]]))[0, 0]
    assert normalised[:1].max() > 1 or not share


def test_rounded_and_blurred_noise_is_no_contrast() -> None:
    fitted, _ = fit_to_classes([view_of(nuclei())], "mean_sd", per_image=True)
    noise = np.random.default_rng(1)
    for empty in (
        noise.normal(5, 0.4, (128, 128)).round(),
        noise.poisson(0.05, (128, 128)),
        gaussian_filter(noise.normal(90, 5, (128, 128)), 2),
        np.full((128, 128), 7),
    ):
        assert fitted.for_image(measure_image(view_of(empty), ())).scale == fitted.scale


def test_several_images_are_each_measured() -> None:
    first, second = nuclei(), 5 * nuclei(seed=1) + 300
    alike, _ = fit_to_classes([view_of(first)], "mean_sd", per_image=True)
    fitted, _ = fit_to_classes([view_of(first), view_of(second)], "mean_sd", per_image=True)
    for image in (first, second):
        out = _measured(fitted, image)
        np.testing.assert_allclose(out, _measured(alike, image), atol=0.05)
    together, _ = fit_to_classes([view_of(first), view_of(second)], "mean_sd", per_image=False)
    assert not together.per_image
    assert together.scale == fit_normalisation([view_of(first), view_of(second)])[0].scale


def test_limits_and_reference_through_json() -> None:
    fitted, _ = fit_to_classes([view_of(nuclei())], "mean_sd", per_image=True)
    assert fitted.limits
    assert fitted.reference
    assert Normalisation.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted


def test_a_large_offset_survives_the_way_back() -> None:
    array = 1e9 + RNG.normal(0, 0.1, (80, 80))
    fitted, _ = fit_normalisation(view_of(array))
    back = fitted.undo(fitted.apply(array[None]))
    np.testing.assert_allclose(back[0], array, rtol=0, atol=1e-4)


def test_small_differences_on_a_large_offset_survive() -> None:
    array = 1e9 + RNG.normal(0, 0.1, (80, 80))
    view = view_of(array)
    fitted, _ = fit_normalisation(view)
    assert fitted.scale == pytest.approx([0.1], rel=0.05)
    out = fitted.apply(view.read_raw((), Region.whole(array.shape)))
    np.testing.assert_allclose(out[0], (array - array.mean()) / array.std(), atol=1e-4)


def test_pixels_that_are_not_finite_become_zero() -> None:
    array = RNG.normal(5, 2, (20, 20))
    array[0, :3] = [np.nan, np.inf, -np.inf]
    fitted, finite = fit_normalisation(view_of(array))
    assert finite == pytest.approx(1 - 3 / 400)
    assert fitted.offset == pytest.approx([array[np.isfinite(array)].mean()])
    out = fitted.apply(array[None])
    assert (out[0, 0, :3] == 0).all()
    assert np.isfinite(out).all()


@pytest.mark.parametrize("kind", ["percentile", "mean_sd", "none"])
def test_refused_pictures(kind: Kind) -> None:
    with pytest.raises(InputError, match="value 7 everywhere"):
        fit_normalisation(view_of(np.full((9, 9), 7)), kind)
    with pytest.raises(InputError, match="no finite pixel"):
        fit_normalisation(view_of(np.full((9, 9), np.nan)), kind)


class Counted(ArraySource):
    """Counts the voxels read."""

    voxels = 0

    def read(self, region: Region) -> NDArray[Any]:
        self.voxels += region.size
        return super().read(region)


@pytest.mark.parametrize(
    ("shape", "ndim"), [((700, 900), 2), ((4, 30, 90, 80), 3), ((50, 90, 90), 2)]
)
def test_a_large_picture_is_read_in_part(shape: tuple[int, ...], ndim: int) -> None:
    # A ramp along every axis: only boxes spread over all of them find its mean.
    array = sum(np.indices(shape)[a] / shape[a] for a in range(len(shape))).astype(np.float32)
    source = Counted(array)
    fitted, _ = fit_normalisation(
        ImageView(source, find_layout(shape, ndim)), seed=3, max_voxels=60_000
    )
    assert source.voxels <= 60_000
    assert fitted.offset == pytest.approx([array.mean()], rel=0.07)
    assert fitted.scale == pytest.approx([array.std()], rel=0.15)


def test_a_large_and_mostly_empty_volume_is_no_constant() -> None:
    array = np.zeros((64, 256, 256), np.uint8)
    array[10:20, 40:110, 150:220] = 9
    fitted, _ = fit_normalisation(view_of(array, 3), max_voxels=3_000)
    assert fitted.offset[0] > 0


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6)), min_size=1, max_size=4))
def test_through_json(pairs: list[tuple[float, float]]) -> None:
    offset, scale = zip(*pairs, strict=True)
    before = Normalisation("mean_sd", offset, scale)
    assert Normalisation.from_dict(json.loads(json.dumps(before.to_dict()))) == before


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"kind": "other", "offset": [0], "scale": [1]},
        {"kind": "none", "offset": [0], "scale": [0]},
        {"kind": "none", "offset": [0, 1], "scale": [1]},
        {"kind": "none", "offset": [float("nan")], "scale": [1]},
        {"kind": "none", "offset": "ab", "scale": [1, 1]},
        {"kind": "none", "offset": [], "scale": []},
    ],
)
def test_refused_dicts(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="not a normalisation"):
        Normalisation.from_dict(values)


def test_other_channels_are_refused() -> None:
    with pytest.raises(InputError, match="number of channels"):
        Normalisation("none", (0.0,), (1.0,)).apply(np.zeros((2, 4, 4)))
