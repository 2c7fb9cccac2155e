"""The optimiser of every training."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.training.options import TrainingOptions

BETAS = (0.9, 0.95)
"""Decay of the gradient's mean and of its square: the second shorter than is usual, because
trainings here last hundreds of steps, not a hundred thousand."""

FILTERS_LEAD, LEAD_STEPS = 9.0, 30
"""How much faster than the network the classifier on the fixed filters beside it learns at first:
it is as shallow as a logistic regression, can take it, and has to carry the first seconds. After
so many steps the lead fades, for at such a rate it would become sure of everything."""


def build_optimiser(network: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """Return the optimiser that is set for a network's parameters.

    AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), Adam (Kingma and Ba 2015,
    arXiv:1412.6980), or gradient descent with Nesterov's momentum (Sutskever et al. 2013).

    Only weights decay, not biases nor the scales and shifts of norms: those have one dimension,
    and pulling them to 0 would pull what they scale to 0. A path of fixed filters
    (`UNetConfig.filters`) learns faster than the rest at first, see `set_rate`.

    Parameters
    ----------
    network : Module
        What learns.
    options : TrainingOptions
        For the kind, the learning rate, the momentum and the weight decay.
    """
    filters = getattr(network, "filters", None)
    shallow = [] if filters is None else list(filters.parameters())
    known = set(map(id, shallow))
    deep = [p for p in network.parameters() if id(p) not in known]
    groups = [*_groups(deep, options, is_main=False), *_groups(shallow, options, is_main=True)]
    rate, momentum = options.learning_rate, options.momentum
    match options.optimiser:
        case "adam":
            return torch.optim.Adam(groups, rate, betas=BETAS)
        case "sgd":
            return torch.optim.SGD(groups, rate, momentum=momentum, nesterov=momentum > 0)
    return torch.optim.AdamW(groups, rate, betas=BETAS)


def set_rate(optimiser: torch.optim.Optimizer, rate: float, step: int) -> None:
    """Set the learning rate of a step; what is shallow gets more of it at first."""
    lead = 1 + FILTERS_LEAD * min(1.0, LEAD_STEPS / (step + 1))
    for group in optimiser.param_groups:
        group["lr"] = rate * (lead if group["leads"] else 1.0)


def _groups(
    parameters: Sequence[nn.Parameter], options: TrainingOptions, *, is_main: bool
) -> list[dict[str, Any]]:
    weights = [p for p in parameters if p.ndim >= 2]
    rest = [p for p in parameters if p.ndim < 2]
    groups = [
        {"params": weights, "weight_decay": options.weight_decay, "leads": is_main},
        {"params": rest, "weight_decay": 0.0, "leads": is_main},
    ]
    return groups if parameters else []


LEAST, MOST_OF_FEW, SHARE = 20, 1 / 4, 1 / 8
"""The average reaches back over an eighth of the steps so far, but at least over 20 steps; and
over a quarter while there are too few for that."""


class ExponentialMovingAverage:
    """The running average of a network's weights, which is what is shown, tested and saved.

    Parameters
    ----------
    network : Module
        Copied; the copy, the attribute `network`, is in evaluation mode and needs no gradient.
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
