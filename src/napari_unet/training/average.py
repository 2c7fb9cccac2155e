"""The running average of a network's weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

LEAST, MOST_OF_FEW, SHARE = 20, 1 / 4, 1 / 8
"""The average reaches back over an eighth of the steps so far, but at least over 20 steps; and
over a quarter while there are too few for that."""


class Average:
    """The running average of a network's weights, which is what is shown, tested and saved.

    Parameters
    ----------
    network : Module
        Copied; the copy, `Average.network`, is in evaluation mode and needs no gradient.
    decay : float
        What is kept of the average in a step, at most; at first it is less, see `LEAST`.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move a little towards the network's present weights."""
        self.updates += 1
        # A part of the steps so far: early weights are forgotten, and yet, however long a training
        # is, its average is as smooth as its length allows.
        horizon = max(self.updates * SHARE, min(self.updates * MOST_OF_FEW, LEAST))
        keep = min(self.decay, horizon / (horizon + 1))
        for mine, theirs in zip(_state(self.network), _state(network), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - keep)
            else:
                mine.copy_(theirs)


def _state(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from network.buffers()
