"""A network with more classes that has forgotten nothing."""

from __future__ import annotations

import torch

from napari_unet.network.unet import UNet, build_network


@torch.no_grad()
def with_classes(network: UNet, number: int) -> UNet:
    """Return a network with more output channels; what it knew of the first ones, it still knows.

    A new class begins as unlikely as the least likely one, on average, so that it disturbs the
    others little until it has learned.

    Parameters
    ----------
    network : UNet
        Left as it is.
    number : int
        Output channels, at least as many as it has.
    """
    config = network.config
    grown = build_network(config.model_copy(update={"out_channels": number}))
    state, fresh = network.state_dict(), grown.state_dict()
    for name, values in fresh.items():
        if name.startswith(("head.", "filters.head.")):
            values[: len(state[name])] = state[name].to(values)
            if name.endswith("bias"):
                values[len(state[name]) :] = state[name].min()
        else:
            values.copy_(state[name])
    return grown
