"""The filters are what their names say, see what they may see, and do not know directions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import ndimage

from napari_unet.network.architecture import parameter_count, shape_table
from napari_unet.network.build import build_network, expand_head
from napari_unet.network.filters import ScaleFilters
from napari_unet.network.inference import for_inference
from napari_unet.network.presets import PRESETS, SIGMAS
from napari_unet.network.registry import preset
from napari_unet.network.unet import HEAD_SCALE
from napari_unet.network.unet_config import FEATURES, UNetConfig, filter_radius
from tests.geometry.strategies import filtered_configs
from tests.network.test_inference import NORMS, trained_looking


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def features_of(image: np.ndarray, sigma: tuple[float, ...]) -> np.ndarray:
    """Return (4, *smaller) of an image without channels, in float64."""
    shape = [n - 2 * filter_radius(s) for n, s in zip(image.shape, sigma, strict=True)]
    x = torch.from_numpy(image.astype(float))[None, None]
    return ScaleFilters(sigma).double()(x, shape)[0].numpy()


def derivative(smooth: np.ndarray, *axes: int) -> np.ndarray:
    for axis in set(axes):
        weights = {1: (-0.5, 0, 0.5), 2: (1, -2, 1)}[axes.count(axis)]
        smooth = ndimage.correlate1d(smooth, weights, axis)
    return smooth


@pytest.mark.parametrize(
    "sigma", [(0.7, 0.7), (5.6, 2.8), (0.0, 1.4), (0.0, 1.4, 1.4), (1.4, 0.7, 2.0)]
)
def test_they_are_gradient_and_eigenvalues_of_the_hessian(sigma):
    # Larger than the blocks that are smoothed at once, in two dimensions.
    image = np.random.default_rng(0).random((110, 177) if len(sigma) == 2 else (17, 21, 30))
    axes = [axis for axis, s in enumerate(sigma) if s]
    smooth = image
    for axis in axes:
        radius = filter_radius(sigma[axis]) - 1
        smooth = ndimage.gaussian_filter1d(smooth, sigma[axis], axis, radius=radius)
    gradient = np.sqrt(sum((sigma[a] * derivative(smooth, a)) ** 2 for a in axes))
    hessian = [[sigma[a] * sigma[b] * derivative(smooth, a, b) for a in axes] for b in axes]
    values = np.linalg.eigvalsh(np.moveaxis(np.array(hessian), (0, 1), (-2, -1)))
    mean, deviation = values.mean(-1), values.std(-1)
    expected = np.stack([smooth, gradient, mean + deviation, mean - deviation])
    inner = tuple(slice(filter_radius(s), n - filter_radius(s))
                  for s, n in zip(sigma, image.shape, strict=True))  # fmt: skip
    # The kernel is made in single precision.
    assert np.abs(features_of(image, sigma) - expected[:, *inner]).max() < 2e-6
    if len(axes) == 2:
        assert np.allclose(mean + deviation, values[..., 1])


def test_flat_images_give_zeros_and_finite_gradients():
    config = UNetConfig.sized("small", 2)
    assert np.abs(features_of(np.full((60, 60), 3.0), (2.8, 2.8))[1:]).max() < 1e-5
    for value in (0.0, 1e6):
        network = build_network(config)
        network(torch.full((2, 1, *config.input_for((8, 8))), value)).square().mean().backward()
        assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_a_ramp_and_a_parabola_count_in_units_of_the_scale():
    y, x = np.indices((41, 41)) - 20.0
    _, gradient, *curvature = features_of(0.5 * x - y, (2.0, 2.0))
    assert np.allclose(gradient, 2 * np.hypot(0.5, 1), atol=1e-5)
    assert np.allclose(curvature, 0, atol=1e-5)
    _, _, most, least = features_of(x**2 / 2, (2.0, 2.0))
    assert np.allclose(most, 4, atol=1e-3)
    assert np.allclose(least, 0, atol=1e-3)


@given(st.integers(0, 3), st.booleans(), st.integers(2, 3))
def test_they_know_no_directions(turns, flip, ndim):
    image = np.random.default_rng(0).random((19,) * ndim)

    def turn(a: np.ndarray) -> np.ndarray:
        a = np.rot90(a, turns, (-1, -2))
        return np.flip(a, -ndim) if flip else a

    sigma = (1.4,) * ndim
    assert np.allclose(features_of(turn(image), sigma), turn(features_of(image, sigma)))


def test_a_padded_network_continues_the_border():
    x = torch.full((1, 1, 8, 8), 2.0)
    found = ScaleFilters((2.8, 2.8))(x, (8, 8))
    assert torch.allclose(found[:, 0], x[:, 0])
    assert found[:, 1:].abs().max() < 1e-5


def test_every_channel_has_its_features():
    image = torch.rand(2, 3, 20, 20)
    scale = ScaleFilters((1.4, 1.4))
    whole = scale(image, (8, 8)).unflatten(1, (3, FEATURES))
    assert whole.shape == (2, 3, 4, 8, 8)
    assert torch.equal(whole[1, 2], scale(image[1:, 2:], (8, 8))[0])


@settings(max_examples=20, deadline=None)
@given(filtered_configs(max_depth=1), st.integers(0, 2**31))
def test_the_faster_network_filters_too(config, seed):
    torch.manual_seed(seed)
    network = trained_looking(config)
    fast = for_inference(network)
    assert not any(isinstance(m, NORMS) for m in fast.modules())
    with torch.no_grad():
        x = torch.randn(2, config.in_channels, *config.input_for((3,) * config.ndim))
        expected = network.eval()(x)
        assert (fast(x) - expected).abs().max() <= 1e-5 * max(1, expected.abs().max())


@settings(max_examples=20, deadline=None)
@given(filtered_configs(max_depth=1))
def test_the_table_knows_them(config):
    network = build_network(config)
    assert parameter_count(config) == sum(p.numel() for p in network.parameters())
    shape = config.input_for((5,) * config.ndim)
    rows = shape_table(config, shape)
    with torch.no_grad():
        out = network.eval()(torch.zeros(1, config.in_channels, *shape))
    assert out.shape[1:] == (rows[-1].channels, *rows[-1].shape)


def test_they_are_added_and_not_saved():
    config = UNetConfig.sized("small", 2)
    plain = config.model_copy(update={"filters": ()})
    torch.manual_seed(1)
    with_filters = build_network(config).eval()
    torch.manual_seed(1)
    without = build_network(plain).eval()
    saved, before = with_filters.state_dict(), without.state_dict()
    # What the network adds begins small, so that the filters speak first.
    for name in before:
        start = HEAD_SCALE if name.startswith("head.") else 1.0
        assert torch.equal(saved[name], before[name] * start)
    without.load_state_dict({name: saved[name] for name in before})
    assert not any("kernel" in name for name in saved)
    x = torch.randn(1, 1, *config.input_for((10, 10)))
    added = with_filters.filters(x, config.output_for(x.shape[2:]))
    assert added.abs().max() > 0.01
    assert torch.allclose(with_filters(x), without(x) + added, atol=1e-6)


def test_more_classes_forget_nothing():
    network = trained_looking(UNetConfig.sized("small", 2, out_channels=2)).eval()
    grown = expand_head(network, 4).eval()
    x = torch.randn(1, 1, *network.config.input_for((10, 10)))
    with torch.no_grad():
        assert torch.allclose(grown(x)[:, :2], network(x), atol=1e-5)


def test_ours_have_scales_that_are_alike_in_space():
    assert UNetConfig.sized("medium", 2).filters == tuple((s, s) for s in SIGMAS)
    assert UNetConfig.sized("medium", 2, spacing=(2, 1)).filters[2:] == ((1.4, 2.8), (2.8, 5.6))
    # Planes far apart are filtered each for itself.
    assert UNetConfig.sized("medium", 3, spacing=(45, 4.6, 4.6)).filters == tuple(
        (0.0, s, s) for s in SIGMAS
    )
    assert UNetConfig.sized("medium", 3).filters == tuple((s,) * 3 for s in SIGMAS[:3])
    assert UNetConfig.sized("medium", 2, filters=False).filters == ()
    assert not any(getattr(preset(name), "filters", ()) for name in PRESETS)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("size", ["small", "medium", "large"])
@pytest.mark.parametrize("spacing", [(1, 1), (1, 3), (1, 1, 1), (2, 1, 1), (10, 1, 1)])
def test_all_of_ours_are_valid_networks_with_filters(size, spacing, fast, padding):
    config = UNetConfig.sized(
        size, len(spacing), spacing=spacing, fast=fast, padding=padding, in_channels=2
    )
    assert config.filters
    assert UNetConfig(**config.model_dump(mode="json")) == config


def test_a_model_of_before_has_none():
    old = {k: v for k, v in UNetConfig().model_dump(mode="json").items() if k != "filters"}
    assert UNetConfig(**old).filters == ()


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (((1.4,),), "2 sigmas per scale"),
        (((0.3, 0.3),), "at least 0.5"),
        (((float("nan"), 1.0),), "at least 0.5"),
        (((0.0, 0.0),), "not 0 along all"),
        (((-1.0, 1.0),), "at least 0.5"),
        (((1.4, 9.0),), r"reach \(5, 28\) voxels, but the network sees \(20, 20\)"),
    ],
)
def test_filters_that_do_not_fit_are_refused(filters, message):
    with pytest.raises(ValidationError, match=message):
        UNetConfig(filters=filters)
    assert UNetConfig(filters=(1.4, 1.4)).filters == ((1.4, 1.4),)
