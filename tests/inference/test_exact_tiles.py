"""Tiled equals whole, bit by bit.

With weights, biases and pixels that are small integers (and interpolation by quarters) all sums
are exact in float64, so that neither their order nor the library's choice of algorithm matters:
any difference is one of tiling.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.api import predict
from napari_unet.data.image import ImageView
from napari_unet.data.source import open_source
from napari_unet.geometry.axes import AxisLayout
from napari_unet.geometry.tiling import plan_tiles
from napari_unet.network.blocks import centre_crop
from napari_unet.network.build import build_network
from napari_unet.network.densenet_config import DenseNetConfig
from napari_unet.network.fcn_config import FCNConfig
from napari_unet.network.inference import for_inference
from napari_unet.network.registry import preset
from napari_unet.network.unet import UNet
from napari_unet.network.unet_config import UNetConfig
from tests.geometry.strategies import configs, filtered_configs
from tests.inference.models import VOLUME, model, trained_network

ADDENDS = 4


def integer_network(config: UNetConfig, seed: int) -> UNet:
    """Build a network of few weights, -1 or 1, per sum, and biases from 0 to 2."""
    generator = torch.Generator().manual_seed(seed)
    network = build_network(config).double().eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.copy_(torch.randint(3, parameter.shape, generator=generator))
            continue
        rows = parameter.zero_().transpose(0, 1) if name.startswith("ups") else parameter
        for row in rows:
            where = torch.randperm(row.numel(), generator=generator)[:ADDENDS]
            values = 2.0 * torch.randint(2, where.shape, generator=generator) - 1
            flat = torch.zeros(row.numel(), dtype=torch.float64)
            flat[where] = values.double()
            row.copy_(flat.reshape(row.shape))
    return network


def tile_by_tile(network: UNet, image: np.ndarray, max_input: tuple[int, ...]) -> np.ndarray:
    """Predict (channel, *spatial) as the predictor does."""
    config, shape = network.config, image.shape[1:]
    layout = AxisLayout((), 0, tuple(range(1, image.ndim)))
    view = ImageView(open_source(image), layout)
    out = np.full((config.out_channels, *shape), np.nan)
    for tile in plan_tiles(shape, config.geometry, max_input):
        x = torch.from_numpy(np.ascontiguousarray(view.read_raw((), tile.read)))[None]
        y = centre_crop(network(x), config.output_for(tile.read.shape))[0].numpy()
        out[(slice(None), *tile.write.slices)] = y[(slice(None), *tile.keep.slices)]
    return out


def in_one_piece(network: UNet, image: np.ndarray) -> np.ndarray:
    """Predict (channel, *spatial) with numpy's reflection and without a plan."""
    config, shape = network.config, image.shape[1:]
    whole = config.input_for(shape)
    margins = [(g.context // 2, w - n - g.context // 2)
               for g, w, n in zip(config.geometry, whole, shape, strict=True)]  # fmt: skip
    x = torch.from_numpy(np.pad(image, [(0, 0), *margins], mode="reflect"))[None]
    y = centre_crop(network(x), config.output_for(whole))[0].numpy()
    return y[(slice(None), *(slice(n) for n in shape))]


@st.composite
def jobs(draw):
    ndim = draw(st.sampled_from((2, 2, 3)))
    up = draw(st.sampled_from(("nearest", "transposed", "linear")))
    depth = draw(st.integers(0, 2 if ndim == 2 else 1))
    block = st.lists(st.integers(1, 2), min_size=1, max_size=2).map(tuple)
    # Interpolation is exact for powers of two only.
    factors = (1, 2, 3) if ndim == 2 and up != "linear" else (1, 2)
    axes = [st.sampled_from(factors)] * ndim
    kernels = [st.sampled_from((1, 3, 5) if ndim == 2 else (1, 3))] * ndim
    padding = draw(st.sampled_from(("valid", "same")))
    downs = ("max", *["strided"] * (padding == "same"), *["average"] * (3 not in factors))
    config = draw(
        configs(
            ndim=ndim,
            up=up,
            encoder=tuple(draw(block) for _ in range(depth)),
            bottom=draw(block),
            decoder=tuple(draw(block) for _ in range(depth)),
            poolings=tuple(draw(st.tuples(*axes)) for _ in range(depth)),
            kernels=tuple(draw(st.tuples(*kernels)) for _ in range(depth + 1)),
            padding=padding,
            down=draw(st.sampled_from(downs)),
            norm="none",
            activation="relu",
        )
    )
    shape = tuple(draw(st.integers(1, 40 if ndim == 2 else 12)) for _ in range(ndim))
    parts = [draw(st.integers(1, 4 if ndim == 2 else 3)) for _ in range(ndim)]
    max_input = config.input_for([-(-n // k) for n, k in zip(shape, parts, strict=True)])
    return config, shape, max_input, draw(st.integers(0, 2**31))


@settings(max_examples=80)
@given(jobs())
def test_tiled_equals_whole(job):
    config, shape, max_input, seed = job
    network = integer_network(config, seed)
    image = np.random.default_rng(seed).integers(0, 5, (config.in_channels, *shape)).astype(float)
    whole = in_one_piece(network, image)
    assert np.array_equal(tile_by_tile(network, image, max_input), whole)
    assert np.array_equal(tile_by_tile(for_inference(network), image, max_input), whole)
    # So far exact: float64 has bits to spare for the largest sum and the finest fraction.
    assert np.abs(whole).max() < 2.0**40


@settings(max_examples=20, deadline=None)
@given(filtered_configs(max_depth=1), st.data())
def test_filters_see_no_more_than_the_tile(config, data):
    """With square roots and Gaussians sums are not exact, but a seam would be no rounding."""
    seed = data.draw(st.integers(0, 2**31))
    network = trained_network(config, seed).double().requires_grad_(False)
    shape = tuple(
        data.draw(st.integers(1, 30 if config.ndim == 2 else 9)) for _ in range(config.ndim)
    )
    parts = [data.draw(st.integers(1, 4 if config.ndim == 2 else 2)) for _ in shape]
    max_input = config.input_for([-(-n // k) for n, k in zip(shape, parts, strict=True)])
    image = np.random.default_rng(seed).standard_normal((config.in_channels, *shape))
    whole = in_one_piece(network, image)
    tolerance = 1e-11 * max(1.0, np.abs(whole).max())
    for each in (network, for_inference(network)):
        assert np.abs(tile_by_tile(each, image, max_input) - whole).max() < tolerance


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_filter_that_saw_more_would_show(padding):
    config = UNetConfig(encoder=((4,),), bottom=(4,), decoder=((4,),), padding=padding)
    sigma = (config.geometry[0].context / 6 + 1,) * 2
    assert not config.can_filter(sigma)
    network = trained_network(config.model_copy(update={"filters": (sigma,)})).double()
    image = np.random.default_rng(0).standard_normal((1, 40, 40))
    with torch.no_grad():
        tiled = tile_by_tile(network, image, config.input_for((10, 10)))
        assert np.abs(tiled - in_one_piece(network, image)).max() > 1e-3


MODELS = {
    "2D, valid": UNetConfig(encoder=((4, 4), (6,)), bottom=(6,), decoder=((6,), (4,)), stem=(2, 2)),
    "2D, same": UNetConfig(encoder=((4,), (6,)), bottom=(6,), decoder=((6,), (4,)), padding="same"),
    "2D, linear, residual": UNetConfig(
        encoder=((4, 4),), bottom=(6,), decoder=((4,),), up="linear", residual=True, out_channels=3
    ),
    "3D, anisotropic": VOLUME,
    "2D, filters": UNetConfig.sized("small", 2),
    "3D, filters": UNetConfig.sized("small", 3, spacing=(2, 1, 1)),
    "strided, overlapping": preset(
        "sinogram2019",
        in_channels=1,
        out_channels=2,
        encoder=((4,), (6,)),
        bottom=(6, 6),
        decoder=((6,), (4,)),
        readout="linear",
    ),
    "dense": DenseNetConfig(first=4, growth=3, blocks=(1, 2), bottom=2),
    "dense, 3D": DenseNetConfig(ndim=3, first=3, growth=2, blocks=(1,), bottom=1),
    "FCN-8s": FCNConfig(finest=8, width=0.02),
    "FCN-32s": FCNConfig(finest=32, width=0.02),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_public_prediction_does_not_depend_on_the_tile(name):
    config = MODELS[name]
    trained = model(config)
    shape = (70, 83) if config.ndim == 2 else (9, 31, 42)
    image = np.random.default_rng(1).random(shape)
    chosen = predict(trained, image, output="probabilities")
    labels = predict(trained, image)
    top = np.sort(chosen, axis=0)
    clear = top[-1] - top[-2] > 1e-4
    assert clear.mean() > 0.95
    assert len(np.unique(labels)) > 1
    for extra in (0, 13, 40):
        tile = tuple(g.smallest_input + g.stride + extra for g in config.geometry)
        found = predict(trained, image, output="probabilities", tile=tile)
        assert np.abs(found - chosen).max() < 1e-5
        assert np.array_equal(predict(trained, image, tile=tile)[clear], labels[clear])
