"""A network with more classes that has forgotten nothing."""

from __future__ import annotations

import torch

from napari_unet.network.build import build_network
from napari_unet.network.module import Network


@torch.no_grad()
def with_classes(network: Network, number: int) -> Network:
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
