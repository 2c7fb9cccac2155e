"""What holds for every architecture, and for a new one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from napari_unet.geometry.unet_shape import FCNShape
from napari_unet.network.architecture import parameter_count, shape_table
from napari_unet.network.build import build_network, expand_head
from napari_unet.network.densenet_config import DenseNetConfig
from napari_unet.network.fcn import linear_kernel
from napari_unet.network.fcn_config import FCNConfig
from napari_unet.network.inference import for_inference
from napari_unet.network.presets import PRESETS
from napari_unet.network.registry import architectures, preset, read_config
from tests.inference.models import trained_network

OURS = ("unet", "fcdensenet", "fcn")
"""Kinds whose every field has a default."""

SMALL = {
    "strided": preset("sinogram2019", encoder=((4,), (6,)), bottom=(6,), decoder=((6,), (4,))),
    "dense": DenseNetConfig(first=4, growth=2, blocks=(1, 2), bottom=2, out_channels=3),
    "dense 3D": DenseNetConfig(ndim=3, first=3, growth=2, blocks=(1,), bottom=1),
    "fcn 32": FCNConfig(width=0.02),
    "fcn 16": FCNConfig(finest=16, width=0.02, out_channels=3),
    "fcn 8": FCNConfig(finest=8, width=0.02, in_channels=2),
    "fcn 8, 3D": FCNConfig(finest=8, width=0.01, ndim=3),
}


NEW_CONFIG = '''
from typing import Literal

from napari_unet.geometry.unet_shape import UNetShape
from napari_unet.network.architecture import PaddedArchitecture
from napari_unet.network.layers import LayerTrace


class SingleConfig(PaddedArchitecture):
    """One convolution."""

    kind: Literal["single"] = "single"

    @property
    def title(self):
        return "one convolution"

    @property
    def depth(self):
        return 0

    @property
    def axis_shape(self):
        return UNetShape((), 2)

    def layers(self, input_shape):
        trace = LayerTrace(input_shape, self.in_channels)
        trace.conv("head", self.out_channels, (3,) * self.ndim)
        return trace.layers
'''

NEW_NETWORK = """
from napari_unet.network.blocks import CONV, Network
from napari_unet.network.single_config import SingleConfig


class Single(Network, config=SingleConfig):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.head = CONV[config.ndim](config.in_channels, config.out_channels, 3, padding="same")

    def forward(self, x):
        return self.head(x)
"""

USE_NEW = """
import sys
import numpy as np
import napari_unet, napari_unet.network as network
network.__path__.append(sys.argv[1])
from napari_unet.network.cost import network_cost
from napari_unet.network.registry import read_config

config = read_config({"kind": "single"})
assert network_cost(config, (8, 8)).parameters == 20
assert "torch" not in sys.modules
image = np.random.default_rng(0).normal(size=(32, 32))
strokes = np.zeros((32, 32), int)
strokes[:4], strokes[-4:] = 1, 2
model = napari_unet.fit(image, strokes, steps=2, network={"kind": "single"})
again = napari_unet.load_model(model.save(sys.argv[1] + "/model"))
assert again.config == model.config.with_channels(1, 2) and again.config.kind == "single"
assert napari_unet.predict(again, image).shape == (32, 32)
"""


def test_a_new_architecture_is_two_new_files_and_nothing_else(tmp_path):
    Path(tmp_path, "single_config.py").write_text(NEW_CONFIG, encoding="utf-8")
    Path(tmp_path, "single.py").write_text(NEW_NETWORK, encoding="utf-8")
    command = [sys.executable, "-c", USE_NEW, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_two_architectures_cannot_be_of_one_kind():
    with pytest.raises(TypeError, match=r"Again and FCNConfig are both 'fcn'"):
        type("Again", (FCNConfig,), {"__module__": __name__})


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("name", PRESETS)
def test_the_table_counts_the_weights_and_ends_with_the_output(name):
    config = preset(name)
    shape = [axis.input_for(8) for axis in config.passing]
    rows = shape_table(config, shape)
    with torch.device("meta"):
        network = build_network(config).eval()
        out = network(torch.empty(1, config.in_channels, *shape))
    assert parameter_count(config) == sum(p.numel() for p in network.parameters())
    assert (rows[-1].shape, rows[-1].channels) == (tuple(out.shape[2:]), out.shape[1])


@pytest.mark.parametrize("name", SMALL)
def test_the_table_lists_what_every_layer_puts_out(name):
    config, seen = SMALL[name], []
    shape = [32 if config.ndim == 3 else 64] * config.ndim
    with torch.device("meta"):
        network = build_network(config).eval()
        kinds = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
        for module in network.modules():
            if isinstance(module, kinds):
                module.register_forward_hook(lambda _m, _x, y: seen.append(tuple(y.shape[2:])))
        network(torch.empty(1, config.in_channels, *shape))
    rows = [row for row in shape_table(config, shape) if row.multiply_adds]
    assert [row.shape for row in rows] == seen


@pytest.mark.parametrize("name", [*SMALL, *OURS])
def test_plain_values_bring_back_an_equal_config(name):
    config = SMALL[name] if name in SMALL else architectures()[name]()
    assert read_config(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("name", SMALL)
def test_a_copy_for_inference_gives_the_same(name):
    config = SMALL[name]
    network = trained_network(config)
    x = torch.randn(1, config.in_channels, *[32] * config.ndim)
    with torch.no_grad():
        expected = network(x)
        found = for_inference(network)(x)
    assert expected.std() > 0
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_a_network_with_more_classes_forgets_nothing(name):
    config = SMALL[name]
    network = trained_network(config)
    grown = expand_head(network, config.out_channels + 2).eval()
    x = torch.randn(1, config.in_channels, *[32] * config.ndim)
    with torch.no_grad():
        before, after = network(x), grown(x)
    assert after.shape[1] == config.out_channels + 2
    assert torch.allclose(after[:, : config.out_channels], before, atol=1e-5)


def dependence(config, length: int) -> torch.Tensor:
    """Tell which output voxel (columns) sees which input voxel (rows), along the first axis."""
    network = build_network(config).double().eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.zero_() if name.endswith("bias") else parameter.uniform_(0.5, 1)
        side = config.passing[1].smallest_input
        points = torch.eye(length, dtype=torch.float64).reshape(length, 1, length, 1)
        return network(points.expand(-1, -1, -1, side)).sum(1).flatten(2).sum(2) > 0


FIELDS = {
    "dense": DenseNetConfig(first=1, growth=1, blocks=(1, 2), bottom=1, dropout=0),
    "dense, no pooling": DenseNetConfig(first=1, growth=1, blocks=(), bottom=2),
    "fcn 32": FCNConfig(finest=32, width=0.002, out_channels=1),
    "fcn 16": FCNConfig(finest=16, width=0.002, out_channels=1),
    "fcn 8": FCNConfig(finest=8, width=0.002, out_channels=1),
}


@pytest.mark.parametrize("name", FIELDS)
def test_the_receptive_field_is_true_and_the_halo_is_enough_and_no_more(name):
    config = FIELDS[name]
    axis = config.geometry[0]
    margin = axis.context // 2
    length = axis.input_for(axis.stride)
    sees = dependence(config, length)
    rows = torch.arange(length).unsqueeze(1)
    first = torch.where(sees, rows, length).amin(0)
    last = torch.where(sees, rows, -1).amax(0)
    here = torch.arange(length)
    reach = torch.maximum(here - first, last - here)[margin : length - margin]
    assert reach.max() == margin
    width = (last - first + 1)[margin : length - margin]
    assert width.max() == config.receptive_field[0]


def test_fields_of_fcns_counted_by_hand():
    # One pooling, no convolution: a pair, and its neighbour by interpolation.
    assert FCNShape((0,), 0, (2,)).receptive_field == 4
    assert FCNShape((0,), 0, (2,))._bottom(0, 0) == (0, 1)
    first, last = FCNShape((2,), 2, (2,))._bottom(0, 0)
    assert last - first + 1 == 2 + 2 + 4


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("factor", [2, 8])
def test_upsamplings_begin_as_linear_interpolation(ndim, factor):
    config = FCNConfig(ndim=ndim, width=0.002, finest=16)
    network = build_network(config)
    up = network.ups[0]
    x = torch.rand(1, 2, *[6] * ndim)
    mode = "bilinear" if ndim == 2 else "trilinear"
    expected = nn.functional.interpolate(x, scale_factor=2, mode=mode)
    inner = (..., *[slice(1, -1)] * ndim)
    assert torch.allclose(up(x)[inner], expected[inner], atol=1e-6)
    assert linear_kernel(factor, ndim).sum().item() == pytest.approx(factor**ndim)


def test_a_layer_of_a_dense_block_reads_all_before_it_and_only_new_features_go_up():
    config = DenseNetConfig(first=3, growth=2, blocks=(2,), bottom=3, dropout=0)
    network = build_network(config)
    assert [layer[2].in_channels for layer in network.encoder[0].layers] == [3, 5]
    assert [layer[2].in_channels for layer in network.bottom.layers] == [7, 9, 11]
    assert (network.ups[0].in_channels, network.ups[0].out_channels) == (6, 6)
    # From below 6, from the skip 7, and two layers of 2.
    assert network.head.in_channels == 6 + 7 + 4
    block = network.encoder[0].eval()
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(block(x)[:, :3], x)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"blocks": (4, 0)}, "at least one layer"),
        ({"dropout": 1}, "less than 1"),
        ({"growth": 0}, "greater than or equal to 1"),
    ],
)
def test_dense_networks_that_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        DenseNetConfig(**fields)


def test_fcns_that_are_refused():
    with pytest.raises(ValidationError, match="8, 16 or 32"):
        FCNConfig(finest=4)
    with pytest.raises(ValidationError, match="greater than 0"):
        FCNConfig(width=0)


@pytest.mark.parametrize("kind", OURS)
def test_results_are_never_negative_with_softplus(kind):
    extra = {"width": 0.01} if kind == "fcn" else {}
    config = read_config({"kind": kind, "readout": "softplus", **extra})
    network = build_network(config).eval()
    shape = [axis.input_for(8) for axis in config.passing]
    with torch.no_grad():
        network.head.weight.fill_(-1)
        assert (network(torch.rand(1, 1, *shape)) > 0).all()
