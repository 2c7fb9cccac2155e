"""From a configuration to a network."""

from __future__ import annotations

from collections.abc import Callable

import torch

from napari_unet.network.architecture import Architecture
from napari_unet.network.blocks import Network
from napari_unet.network.densenet import DenseNet
from napari_unet.network.fcn import FCN
from napari_unet.network.onnx import OnnxNetwork
from napari_unet.network.unet import UNet

_BUILDERS: dict[str, Callable[..., Network]] = {
    "unet": UNet,
    "fcdensenet": DenseNet,
    "fcn": FCN,
    "foreign": OnnxNetwork,
}


def build_network(config: Architecture) -> Network:
    """Build the network of a configuration, with fresh weights (He-normal).

    Parameters
    ----------
    config : Architecture
        Such as a `UNetConfig`.

    Returns
    -------
    Network
        A `torch.nn.Module` in training mode, on the CPU.

    Examples
    --------
    >>> from napari_unet import UNetConfig, build_network
    >>> network = build_network(UNetConfig.preset("ronneberger2015"))
    >>> sum(p.numel() for p in network.parameters())
    31030658
    """
    return _BUILDERS[config.kind](config)


@torch.no_grad()
def expand_head(network: Network, number: int) -> Network:
    """Return a network with more output channels; what it knew of the first ones, it still knows.

    A new class begins as unlikely as the least likely one, on average, so that it disturbs the
    others little until it has learned.

    Parameters
    ----------
    network : Network
        Left as it is.
    number : int
        Output channels, at least as many as it has.
    """
    config = network.config
    grown = build_network(config.with_channels(config.in_channels, number))
    state, fresh = network.state_dict(), grown.state_dict()
    for name, values in fresh.items():
        known = state[name].to(values)
        if values.shape == known.shape:
            values.copy_(known)
            continue
        # Classes come last among the channels, so that the known ones are the corner.
        if name.endswith("bias"):
            values.fill_(float(known.min()))
        values[tuple(slice(n) for n in known.shape)] = known
    return grown
