"""Normalisations fitted to part of a picture, applied in float64."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unet.data.image import ImageView
from napari_unet.data.normalisation import Kind, Normalisation, fit_normalisation
from napari_unet.data.source import ArraySource, open_source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import find_layout
from napari_unet.geometry.region import Region

RNG = np.random.default_rng(0)


def _view(array: NDArray[Any], ndim: int = 2, **options: Any) -> ImageView:
    return ImageView(open_source(array), find_layout(array.shape, ndim, **options))


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i4", "f4", ">f8", "?"])
def test_mean_and_sd(dtype: str) -> None:
    array = RNG.integers(0, 250, (3, 40, 50)).astype(dtype)
    fitted, finite = fit_normalisation(_view(array))
    assert finite == 1
    assert fitted.offset == pytest.approx([array.mean(dtype=float)])
    assert fitted.scale == pytest.approx([array.std(dtype=float)])
    out = fitted.apply(array[:1])
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, (array[:1] - array.mean()) / array.std(), atol=1e-5)


def test_percentiles_and_none() -> None:
    array = RNG.normal(50, 3, (60, 70))
    low, high = np.percentile(array, [1, 99.8])
    fitted, _ = fit_normalisation(_view(array), "percentile")
    assert fitted.offset == pytest.approx([low])
    assert fitted.scale == pytest.approx([high - low])
    assert fit_normalisation(_view(array), "none")[0] == Normalisation("none", (0.0,), (1.0,))


def test_a_few_bright_pixels_are_enough_for_percentiles() -> None:
    array = np.zeros((100, 100), np.uint8)
    array[0, :5] = 200
    fitted, _ = fit_normalisation(_view(array), "percentile")
    assert fitted.scale == pytest.approx([array.std()])


def test_channels_each_have_their_own() -> None:
    array = np.stack(
        [RNG.normal(m, s, (50, 60)) for m, s in [(0, 1), (100, 5)]] + [np.ones((50, 60))]
    )
    fitted, _ = fit_normalisation(_view(array, channel_axis=0))
    assert fitted.offset == pytest.approx([0, 100, 1], abs=0.5)
    assert fitted.scale == pytest.approx([1, 5, 1], rel=0.1)
    out = fitted.apply(array)
    assert out.mean(axis=(1, 2)) == pytest.approx([0, 0, 0], abs=1e-4)


def test_small_differences_on_a_large_offset_survive() -> None:
    array = 1e9 + RNG.normal(0, 0.1, (80, 80))
    view = _view(array)
    fitted, _ = fit_normalisation(view)
    assert fitted.scale == pytest.approx([0.1], rel=0.05)
    out = fitted.apply(view.read_raw((), Region.whole(array.shape)))
    np.testing.assert_allclose(out[0], (array - array.mean()) / array.std(), atol=1e-4)


def test_pixels_that_are_not_finite_become_zero() -> None:
    array = RNG.normal(5, 2, (20, 20))
    array[0, :3] = [np.nan, np.inf, -np.inf]
    fitted, finite = fit_normalisation(_view(array))
    assert finite == pytest.approx(1 - 3 / 400)
    assert fitted.offset == pytest.approx([array[np.isfinite(array)].mean()])
    out = fitted.apply(array[None])
    assert (out[0, 0, :3] == 0).all()
    assert np.isfinite(out).all()


@pytest.mark.parametrize("kind", ["percentile", "mean_sd", "none"])
def test_refused_pictures(kind: Kind) -> None:
    with pytest.raises(InputError, match="value 7 everywhere"):
        fit_normalisation(_view(np.full((9, 9), 7)), kind)
    with pytest.raises(InputError, match="no finite pixel"):
        fit_normalisation(_view(np.full((9, 9), np.nan)), kind)


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
    fitted, _ = fit_normalisation(_view(array, 3), max_voxels=3_000)
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
