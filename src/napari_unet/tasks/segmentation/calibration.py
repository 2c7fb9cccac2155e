"""How often each class really is: estimated from the image, not from the strokes.

Strokes say nothing of frequencies: whoever paints as much membrane as background teaches a
network that both are equally common, and it then finds the rare one everywhere. The frequencies
in the image itself follow from the network's own answers by expectation maximisation: Saerens,
Latinne and Decaestecker 2002, doi:10.1162/089976602753284446. We take the first of its steps
only: further ones gain little, and a network that knows little yet lets them run to one class.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_unet.network.blocks import Network

MAX_FACTOR = 4.0
"""A class is made at most so much more or less likely."""


def frequency_factors(probabilities: Tensor, trained: Tensor) -> Tensor:
    """Return by how much each class is more frequent in the image than in the training.

    Parameters
    ----------
    probabilities : Tensor
        (voxels, classes): the network's answers, at voxels from all over the image.
    trained : Tensor
        (classes,): frequencies in what it was trained on, positive, summing to 1.

    Returns
    -------
    Tensor
        (classes,): from a quarter to 4.
    """
    return (probabilities.mean(0) / trained).clamp(1 / MAX_FACTOR, MAX_FACTOR)


@torch.no_grad()
def shift_head(network: Network, factors: Tensor) -> None:
    """Make each class so many times more likely, by the bias of the network's head if it has one.

    Parameters
    ----------
    network : Network
        Changed in place.
    factors : Tensor
        (classes,), positive.
    """
    bias = network.head.bias
    if bias is None:  # a network without biases has nothing to shift
        return
    # With a stem, each class has a channel for every voxel of a block, class by class.
    bias += factors.log().repeat_interleave(network.config.block_volume).to(bias)
