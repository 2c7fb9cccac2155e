"""Models that look as if they had been trained, made in no time."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from napari_unet.data.normalisation import Normalisation
from napari_unet.model import ClassInfo, TrainedModel, weights_of
from napari_unet.network.architecture import Architecture
from napari_unet.network.blocks import Network
from napari_unet.network.build import build_network
from napari_unet.network.unet_config import UNetConfig

FLAT = UNetConfig(encoder=((4, 4),), bottom=(6,), decoder=((4, 4),))
VOLUME = UNetConfig(
    ndim=3,
    encoder=((3,),),
    bottom=(4,),
    decoder=((3,),),
    kernels=((1, 3, 3), (3, 3, 3)),
    poolings=((1, 2, 2),),
    stem=(1, 2, 2),
)


def trained_network(config: Architecture, seed: int = 0) -> Network:
    """Build a network, in evaluation mode, whose norms and biases do something."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network(config)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
                nn.init.normal_(module.running_mean, std=0.3)
                nn.init.uniform_(module.running_var, 0.5, 2)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.3)
            elif not any(parameter.any() for parameter in module.parameters(recurse=False)):
                # An FCN's answers begin at zero.
                for parameter in module.parameters(recurse=False):
                    nn.init.normal_(parameter)
        # No class wins everywhere.
        network.eval()
        with torch.no_grad():
            shape = [axis.input_for(20) for axis in config.passing]
            x = torch.randn(2, config.in_channels, *shape)
            means = network(x).movedim(1, 0).flatten(1).mean(1)
            if network.head.bias is not None:
                network.head.bias -= means.repeat_interleave(config.block_volume)
    return network


def model(config: Architecture = FLAT, seed: int = 0, **fields: Any) -> TrainedModel:
    """Make a model with classes 1, 2, ... unless others are given."""
    channels = config.in_channels
    fields = {
        "normalisation": Normalisation("mean_sd", (0.5,) * channels, (0.3,) * channels),
        "classes": tuple(ClassInfo(i + 1) for i in range(config.out_channels)),
        **fields,
    }
    return TrainedModel(config, weights_of(trained_network(config, seed)), **fields)
