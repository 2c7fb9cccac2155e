"""The optimiser, its learning rates, and the average of the weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_unet.model import Weights
from napari_unet.training.options import TrainingOptions

BETAS = (0.9, 0.95)
"""Adam's decay rates of the gradient's mean and of its square. The second is lower than usual,
because trainings here last hundreds of steps, not a hundred thousand."""

FILTERS_BOOST = 9.0
"""By how many times its own rate the learning rate of the classifier on the fixed filters is
raised at first. It is as shallow as a logistic regression, can take it, and has to carry the first
seconds."""

FILTERS_BOOST_STEPS = 30
"""Steps after which that boost fades as their reciprocal: at such a rate the classifier would
become overconfident."""

MIN_HORIZON = 20
"""Steps that the average of the weights reaches back over at least, as far as there are enough."""

HORIZON_SHARE = 1 / 8
"""Part of the steps so far that the average reaches back over."""

EARLY_HORIZON_SHARE = 1 / 4
"""The same while that part is less than `MIN_HORIZON` steps."""


def build_optimiser(network: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """Return the optimiser that the options ask for.

    AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), Adam (Kingma and Ba 2015,
    arXiv:1412.6980), or gradient descent with Nesterov's momentum (Sutskever et al. 2013).

    Weight decay applies to weights only, not to biases nor to the scales and shifts of norms,
    which have one dimension: pulling those to 0 would pull what they scale to 0. The classifier
    on fixed filters (`UNetConfig.filters`) has a higher learning rate at first, see
    `set_learning_rate`.

    Parameters
    ----------
    network : Module
        Whose parameters are trained.
    options : TrainingOptions
        Kind, learning rate, momentum and weight decay.
    """
    filters = getattr(network, "filters", None)
    shallow = [] if filters is None else list(filters.parameters())
    known = set(map(id, shallow))
    deep = [p for p in network.parameters() if id(p) not in known]
    groups = [*_groups(deep, options, boosted=False), *_groups(shallow, options, boosted=True)]
    rate, momentum = options.learning_rate, options.momentum
    match options.optimiser:
        case "adam":
            return torch.optim.Adam(groups, rate, betas=BETAS)
        case "sgd":
            return torch.optim.SGD(groups, rate, momentum=momentum, nesterov=momentum > 0)
    return torch.optim.AdamW(groups, rate, betas=BETAS)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float, step: int) -> None:
    """Set the learning rate of a step.

    Parameters
    ----------
    optimiser : Optimizer
        From `build_optimiser`.
    rate : float
        Learning rate of the network; the classifier on fixed filters gets more of it at first.
    step : int
        Steps that were taken already.
    """
    boost = 1 + FILTERS_BOOST * min(1.0, FILTERS_BOOST_STEPS / (step + 1))
    for group in optimiser.param_groups:
        group["lr"] = rate * (boost if group["boosted"] else 1.0)


def optimiser_arrays(optimiser: torch.optim.Optimizer) -> dict[str, NDArray[Any]]:
    """Return copies of the tensors that an optimiser keeps, by ``number of the parameter/name``."""
    kept = optimiser.state_dict()["state"]
    return {
        f"{number}/{name}": value.detach().cpu().numpy().copy()
        for number, entries in kept.items()
        for name, value in entries.items()
        if isinstance(value, torch.Tensor)
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, arrays: Weights) -> None:
    """Load what `optimiser_arrays` returned.

    Parameters
    ----------
    optimiser : Optimizer
        Of the same kind, for the same parameters.
    arrays : mapping of str to ndarray
        The tensors, by ``number of the parameter/name``.

    Raises
    ------
    ValueError
        Where a name is of another form.
    """
    state: dict[int, dict[str, Any]] = {}
    for key, array in arrays.items():
        number, name = key.split("/")
        state.setdefault(int(number), {})[name] = torch.tensor(np.asarray(array))
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _groups(
    parameters: Sequence[nn.Parameter], options: TrainingOptions, *, boosted: bool
) -> list[dict[str, Any]]:
    if not parameters:
        return []
    weights = [p for p in parameters if p.ndim >= 2]
    others = [p for p in parameters if p.ndim < 2]
    return [
        {"params": weights, "weight_decay": options.weight_decay, "boosted": boosted},
        {"params": others, "weight_decay": 0.0, "boosted": boosted},
    ]


class ExponentialMovingAverage:
    """The exponential moving average of a network's weights: what is shown, validated and saved.

    Unlike `torch.optim.swa_utils.AveragedModel`, the decay grows with the number of steps, so
    that early weights are forgotten, and however long a training is, its average is as smooth as
    its length allows. The norms' statistics are averaged, too; counters are copied.

    Parameters
    ----------
    network : Module
        Copied; the copy, the attribute `network`, is in evaluation mode and needs no gradient.
    decay : float
        Largest decay: the part of the average that is kept in a step.

    Attributes
    ----------
    network : Module
        Holds the average.
    updates : int
        Steps that were averaged.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the present weights of the network."""
        self.updates += 1
        early = min(self.updates * EARLY_HORIZON_SHARE, MIN_HORIZON)
        horizon = max(self.updates * HORIZON_SHARE, early)
        keep = min(self.decay, horizon / (horizon + 1))
        for average, current in zip(_state(self.network), _state(network), strict=True):
            if average.is_floating_point():
                average.lerp_(current, 1 - keep)
            else:
                average.copy_(current)


def _state(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from network.buffers()
