"""Networks built from their configurations, with fresh or given weights."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from numpy.typing import NDArray

from napari_unet.errors import ModelFileError
from napari_unet.network.architecture import Architecture
from napari_unet.network.blocks import NETWORKS, Network
from napari_unet.network.registry import CONFIG_SUFFIX


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
    # The module beside that of the configuration defines the network, and registers it.
    import_module(type(config).__module__.removesuffix(CONFIG_SUFFIX))
    return NETWORKS[type(config)](config)


def load_network(config: Architecture, weights: Mapping[str, NDArray[Any]]) -> Network:
    """Build a network with given weights, in evaluation mode, on the CPU.

    Parameters
    ----------
    config : Architecture
        The architecture.
    weights : mapping of str to ndarray
        Its state, such as `TrainedModel.weights`.

    Raises
    ------
    ModelFileError
        Where the weights are those of another architecture.
    """
    network = build_network(config)
    try:
        network.load_state_dict({k: torch.tensor(v) for k, v in weights.items()})
    except RuntimeError as error:
        raise ModelFileError(
            "The weights do not belong to this network", got=str(error).splitlines()[-1].strip()
        ) from error
    return network.eval()


@torch.no_grad()
def expand_head(network: Network, number: int, seed: int = 0) -> Network:
    """Return a copy of a network with more output channels; the first ones keep their weights.

    The bias of a new class is the smallest one of the known classes, so that it is predicted
    rarely until it has been trained.

    Parameters
    ----------
    network : Network
        Left as it is.
    number : int
        Output channels, at least as many as the network has.
    seed : int
        The new weights are the same for the same seed; torch's own random state stays as it is.
    """
    config = network.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        grown = build_network(config.with_channels(config.in_channels, number))
    state = network.state_dict()
    for name, values in grown.state_dict().items():
        known = state[name].to(values)
        if values.shape == known.shape:
            values.copy_(known)
            continue
        # Channels are ordered class by class: the known ones come first along every axis.
        if name.endswith("bias"):
            values.fill_(float(known.min()))
        values[tuple(slice(n) for n in known.shape)] = known
    return grown
