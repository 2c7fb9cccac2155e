"""How often each class really is: estimated from the image, not from the strokes.

Strokes say nothing of frequencies: whoever paints as much membrane as background teaches a
network that both are equally common, and it then finds the rare one everywhere. The frequencies
in the image itself follow from the network's own answers by expectation maximisation: Saerens,
Latinne and Decaestecker 2002, doi:10.1162/089976602753284446.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_unet.network.unet import UNet

MAX_FACTOR = 4.0
"""A class is made at most so much more or less likely: a poor network's answers prove little."""


def estimate_frequencies(probabilities: Tensor, trained: Tensor, rounds: int = 100) -> Tensor:
    """Return how often each class is, by what a network says of unpainted voxels.

    Parameters
    ----------
    probabilities : Tensor
        (voxels, classes), the network's answers.
    trained : Tensor
        (classes,), frequencies in what it was trained on, summing to 1.
    rounds : int
        Most iterations.

    Returns
    -------
    Tensor
        (classes,), summing to 1.
    """
    now = trained
    for _ in range(rounds):
        weighed = probabilities * (now / trained)
        after = (weighed / weighed.sum(1, keepdim=True)).mean(0)
        if (after - now).abs().max() < 1e-5:
            break
        now = after
    return now


@torch.no_grad()
def shift_head(network: UNet, factors: Tensor) -> None:
    """Make each class so many times more likely, by the bias of the network's head.

    Parameters
    ----------
    network : UNet
        Changed in place.
    factors : Tensor
        (classes,), positive; clipped to what a network may be trusted with.
    """
    shift = factors.clamp(1 / MAX_FACTOR, MAX_FACTOR).log()
    bias = network.head.bias
    assert bias is not None
    # With a stem, each class has a channel for every voxel of a block, class by class.
    bias += shift.repeat_interleave(network.config.block_volume).to(bias)
