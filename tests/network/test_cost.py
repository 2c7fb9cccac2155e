"""What fits, and what it costs, agrees with publications and with what torch counts."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from napari_unet.errors import InputError
from napari_unet.network.build import build_network
from napari_unet.network.cost import network_cost
from napari_unet.network.densenet_config import DenseNetConfig
from napari_unet.network.fcn_config import FCNConfig
from napari_unet.network.registry import preset
from napari_unet.network.unet_config import UNetConfig

CONFIGS = {
    "2D": UNetConfig.sized("small", 2),
    "3D": UNetConfig.sized("small", 3),
    "residual": UNetConfig(
        encoder=((8,), (12,)), bottom=(16,), decoder=((12,), (8,)), residual=True, up="nearest"
    ),
    "leaky, average": UNetConfig(
        encoder=((8, 8),), bottom=(16,), decoder=((8,),), activation="leaky_relu", down="average"
    ),
    "no norm, dropout": UNetConfig(
        encoder=((8, 8),), bottom=(16,), decoder=((8,),), norm="none", dropout=(0.2, 0.3)
    ),
    "strided": preset("sinogram2019", encoder=((8,), (12,)), bottom=(12,), decoder=((8,), (8,))),
    "input skip": UNetConfig(
        out_channels=1, encoder=((8,),), bottom=(16,), decoder=((8,),), input_skip=True
    ),
    "dense": DenseNetConfig(first=8, growth=4, blocks=(2, 3), bottom=3),
    "dense 3D": DenseNetConfig(ndim=3, first=8, growth=4, blocks=(2,), bottom=2, dropout=0),
    "fcn": FCNConfig(finest=8, width=0.05),
    "neurons": preset("neurons3d"),
}


def small_input(config) -> tuple[int, ...]:
    return tuple(axis.input_for(40 if config.ndim == 2 else 8) for axis in config.passing)


@pytest.mark.parametrize("name", CONFIGS)
def test_multiply_adds_are_those_that_torch_counts(name):
    config = CONFIGS[name]
    shape = small_input(config)
    with torch.device("meta"):
        network = build_network(config).eval()
        x = torch.empty(1, config.in_channels, *shape)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.forward = lambda x: x  # torch takes its time over them, and counts nothing
    with FlopCounterMode(display=False) as counter:
        network(x)
    counted = counter.get_flop_counts()["Global"]
    convolutions = sum(n for operation, n in counted.items() if "convolution" in str(operation))
    found = network_cost(config, shape)
    assert 2 * found.multiply_adds == convolutions > 0
    voxels = torch.Size(found.output).numel()
    assert found.flops_per_voxel == convolutions / voxels


def kept_for_backward(network: nn.Module, x: torch.Tensor) -> int:
    """Return the bytes that torch keeps until the gradient is known, without the weights."""
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    found = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so that none is reused
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = network(x).square().mean()
    assert loss.requires_grad
    return sum(size for size, _ in found.values())


@pytest.mark.parametrize("name", CONFIGS)
def test_the_memory_for_training_is_what_torch_keeps(name):
    config, batch = CONFIGS[name], 2
    shape = small_input(config)
    found = network_cost(config, shape, batch)
    network = build_network(config)
    kept = kept_for_backward(network, torch.randn(batch, config.in_channels, *shape))
    # Weights, gradients, two moments of Adam, and the average: four bytes each.
    weights = 5 * 4 * sum(p.numel() for p in network.parameters())
    assert 0.8 * kept < found.training_bytes - weights < 1.25 * kept


def test_ndnet_takes_the_nearest_size():
    found = network_cost(preset("ndnet_unetv3"), (400, 100, 100))
    assert (found.shape, found.cropped, found.output) == (
        (398, 94, 94), (398, 94, 94), (354, 50, 50))  # fmt: skip
    assert found.padded == (406, 102, 102)
    assert found.crop == (22, 22, 22)
    assert (found.smallest, found.step) == ((46, 46, 46), (8, 8, 8))
    assert found.parameters == 2_407_969
    assert (found.layers[0].shape, found.layers[-1].shape) == (found.shape, found.output)


def test_ronneberger2015():
    found = network_cost(preset("ronneberger2015"), (572, 572), 4)
    assert found.cropped == found.padded == found.shape == (572, 572)
    assert (found.output, found.crop, found.context) == ((388, 388), (92, 92), (184, 184))
    one = network_cost(preset("ronneberger2015"), (572, 572))
    weights = 5 * 4 * 31_030_658
    assert found.training_bytes - weights == 4 * (one.training_bytes - weights)
    assert found.prediction_bytes == one.prediction_bytes > 4 * 31_030_658


def test_what_is_too_small_can_be_padded_only():
    found = network_cost(preset("ronneberger2015"), (572, 100))
    assert (found.cropped, found.padded, found.shape) == (None, (572, 188), (572, 188))


def test_padded_networks_take_multiples_whatever_they_see():
    found = network_cost(preset("fcdensenet103"), (360, 480))
    assert (found.cropped, found.padded, found.output) == ((352, 480), (384, 480), (352, 480))
    assert (found.crop, found.smallest) == ((0, 0), (32, 32))
    assert found.receptive_field == (2294, 2294)
    assert found.context == (2342, 2342)


@pytest.mark.parametrize("name", CONFIGS)
def test_without_a_wish_a_size_that_fits_is_taken(name):
    found = network_cost(CONFIGS[name])
    assert found.cropped == found.padded == found.wished == found.shape


@pytest.mark.parametrize(("wished", "batch"), [((64,), 1), ((64, 0), 1), ((64, 64), 0)])
def test_nonsense_is_refused(wished, batch):
    with pytest.raises(InputError, match=r"one size per spatial axis|at least one image"):
        network_cost(UNetConfig(), wished, batch)


def test_it_needs_no_torch():
    code = (
        "import sys; from napari_unet.network.cost import network_cost\n"
        "from napari_unet.network.registry import preset\n"
        "network_cost(preset('fcn8s')); network_cost(preset('fcdensenet56'))\n"
        "network_cost(preset('sinogram2019')); assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
