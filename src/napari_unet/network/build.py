"""From a configuration to a network."""

from __future__ import annotations

from collections.abc import Callable

from napari_unet.network.architecture import Architecture
from napari_unet.network.densenet import DenseNet
from napari_unet.network.fcn import FCN
from napari_unet.network.foreign import ForeignNetwork
from napari_unet.network.module import Network
from napari_unet.network.unet import UNet

_BUILDERS: dict[str, Callable[..., Network]] = {
    "unet": UNet,
    "fcdensenet": DenseNet,
    "fcn": FCN,
    "foreign": ForeignNetwork,
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
