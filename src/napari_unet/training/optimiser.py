"""The optimiser of every training."""

from __future__ import annotations

import torch
from torch import nn

from napari_unet.training.options import TrainingOptions

BETAS = (0.9, 0.95)
"""Decay of the gradient's mean and of its square: the second shorter than is usual, because
trainings here last hundreds of steps, not a hundred thousand."""


def build_optimiser(network: nn.Module, options: TrainingOptions) -> torch.optim.AdamW:
    """Return AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) for a network's parameters.

    Only weights decay, not biases nor the scales and shifts of norms: those have one dimension,
    and pulling them to 0 would pull what they scale to 0.

    Parameters
    ----------
    network : Module
        What learns.
    options : TrainingOptions
        For the learning rate and the weight decay.
    """
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, options.learning_rate, betas=BETAS)
