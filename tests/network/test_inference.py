"""The faster network computes the same."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_unet.network.blocks import best_memory_format
from napari_unet.network.build import build_network
from napari_unet.network.inference import as_input, for_inference
from napari_unet.network.unet import UNet
from napari_unet.network.unet_config import UNetConfig
from tests.geometry.strategies import configs

NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


def trained_looking(config: UNetConfig) -> UNet:
    """Build a network whose norms do something, as those of a trained one do."""
    network = build_network(config)
    for module in network.modules():
        if isinstance(module, NORMS):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.3, 3)
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.normal_(module.bias)
    return network


@settings(max_examples=60)
@given(configs(max_depth=2), st.booleans(), st.integers(0, 2**31))
def test_the_result_is_the_same(config, relu, seed):
    config = config.model_copy(update={"activation": "relu"}) if relu else config
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        network = trained_looking(config)
        fast = for_inference(network)
        x = torch.randn(2, config.in_channels, *config.input_for((3,) * config.ndim))
        expected = network.eval()(x)
        found = fast(as_input(x, torch.device("cpu")))
        assert (found - expected).abs().max() <= 1e-5 * max(1, expected.abs().max())


def test_the_norms_are_gone_and_the_original_is_untouched():
    network = trained_looking(UNetConfig(dropout=(0, 0.2, 0.2)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fast = for_inference(network)
    assert not any(isinstance(m, NORMS) for m in fast.modules())
    assert not fast.training
    assert not any(p.requires_grad for p in fast.parameters())
    assert network.training
    assert all(p.requires_grad for p in network.parameters())
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_channels_come_last():
    for ndim in (2, 3):
        layout = best_memory_format(ndim)
        network = for_inference(build_network(UNetConfig(ndim=ndim)))
        kernels = [p for p in network.parameters() if p.ndim == ndim + 2]
        assert len(kernels) > 10
        assert all(kernel.is_contiguous(memory_format=layout) for kernel in kernels)
        x = as_input(torch.rand(2, 3, *(8,) * ndim), torch.device("cpu"))
        assert x.is_contiguous(memory_format=layout)
