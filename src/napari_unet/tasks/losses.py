"""Losses in which unpainted voxels count exactly zero."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORED = -1
"""The target of a voxel that was not painted."""


def masked_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy over painted voxels, 0 where there are none.

    Parameters
    ----------
    logits : Tensor
        (B, classes, *spatial).
    targets : Tensor
        (B, *spatial), int64: class index, or -1 for voxels that do not count.
    """
    total = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
    return total / (targets != IGNORED).sum().clamp(min=1)


def masked_dice(logits: Tensor, targets: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Return one minus the soft Dice coefficient, the mean over classes that are painted.

    Milletari et al. 2016, doi:10.1109/3DV.2016.79, over the whole batch. Shapes as in
    `masked_cross_entropy`.
    """
    painted = targets != IGNORED
    truth = F.one_hot(targets.clamp(min=0), logits.shape[1]).movedim(-1, 1) * painted.unsqueeze(1)
    guess = torch.softmax(logits, 1) * painted.unsqueeze(1)
    axes = [0, *range(2, logits.ndim)]
    overlap = 2 * (guess * truth).sum(axes)
    size = guess.sum(axes) + truth.sum(axes)
    present = truth.sum(axes) > 0
    dice = (overlap + epsilon) / (size + epsilon)
    return ((1 - dice) * present).sum() / present.sum().clamp(min=1)


def segmentation_loss(name: str, logits: Tensor, targets: Tensor) -> Tensor:
    """Return the loss called `name`: "ce", "dice", or their sum "ce+dice"."""
    parts = {"ce": masked_cross_entropy, "dice": masked_dice}
    return torch.stack([parts[part](logits, targets) for part in name.split("+")]).sum()
