"""Losses in which unpainted voxels count exactly zero."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_unet.tasks.segmentation.options import Loss, SegmentOptions
from napari_unet.training.task import SoftLabels

IGNORED = -1
"""The target of a voxel that was not painted."""

EPSILON = 1e-5

MOST_WEIGHT = 20
"""The rarest class weighs at most so many times what the most frequent one does."""


def masked_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean cross-entropy over painted voxels, 0 where there are none.

    Parameters
    ----------
    logits : Tensor
        (B, classes, *spatial).
    targets : Tensor
        (B, *spatial), int64: class index, or -1 for voxels that do not count.
    weights : Tensor, optional
        (classes,): how much voxels of each class count.
    """
    losses = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none")
    return _mean(losses, targets, weights)


def masked_focal(
    logits: Tensor, targets: Tensor, weights: Tensor | None = None, gamma: float = 2.0
) -> Tensor:
    """Return the mean focal loss over painted voxels: cross-entropy that spares what is sure.

    ``-(1 - p)**gamma * log(p)``, with p the probability of the true class: Lin et al. 2017,
    arXiv:1708.02002. Shapes as in `masked_cross_entropy`.
    """
    losses = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none")
    return _mean((1 - torch.exp(-losses)) ** gamma * losses, targets, weights)


def masked_dice(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return one minus the soft Dice coefficient, the mean over classes that are painted.

    Milletari et al. 2016, doi:10.1109/3DV.2016.79, over the whole batch. Shapes as in
    `masked_cross_entropy`.
    """
    return masked_tversky(logits, targets, weights, alpha=0.5)


def masked_tversky(
    logits: Tensor, targets: Tensor, weights: Tensor | None = None, alpha: float = 0.3
) -> Tensor:
    """Return one minus the soft Tversky index, the mean over classes that are painted.

    Salehi et al. 2017, arXiv:1706.05721, over the whole batch: what is wrongly found counts
    `alpha`, what is missed 1 - `alpha`; one half gives Dice's coefficient. Shapes as in
    `masked_cross_entropy`.
    """
    painted = targets != IGNORED
    truth = F.one_hot(targets.clamp(min=0), logits.shape[1]).movedim(-1, 1) * painted.unsqueeze(1)
    guess = torch.softmax(logits, 1) * painted.unsqueeze(1)
    axes = [0, *range(2, logits.ndim)]
    hit, found, size = (guess * truth).sum(axes), guess.sum(axes), truth.sum(axes)
    wrong = alpha * (found - hit) + (1 - alpha) * (size - hit)
    index = (hit + EPSILON) / (hit + wrong + EPSILON)
    counts = (size > 0).to(index) * (1.0 if weights is None else weights)
    return ((1 - index) * counts).sum() / counts.sum().clamp(min=EPSILON)


def divergence_from_soft_labels(logits: Tensor, soft_labels: SoftLabels) -> Tensor:
    """Return how far a network is from what somebody else says of some voxels, 0 where it agrees.

    The mean Kullback-Leibler divergence: the cross-entropy less what of it nobody can learn.

    Parameters
    ----------
    logits : Tensor
        (B, classes, *spatial).
    soft_labels : SoftLabels
        Which voxels, and what is said of them.
    """
    told = logits.movedim(1, -1).flatten(0, -2)[soft_labels.indices]
    return F.kl_div(torch.log_softmax(told, 1), soft_labels.probabilities, reduction="batchmean")


def segmentation_loss(
    name: Loss,
    logits: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
    *,
    gamma: float = 2.0,
    alpha: float = 0.3,
) -> Tensor:
    """Return the loss called `name`; of a sum the parts weigh alike.

    Parameters
    ----------
    name : str
        Which.
    logits, targets, weights : Tensor
        As in `masked_cross_entropy`.
    gamma, alpha : float
        Of the focal loss, and of Tversky's index.
    """
    parts: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
        "ce": masked_cross_entropy,
        "dice": masked_dice,
        "focal": partial(masked_focal, gamma=gamma),
        "tversky": partial(masked_tversky, alpha=alpha),
    }
    return torch.stack([parts[part](logits, targets, weights) for part in name.split("+")]).sum()


def inverse_frequencies(counts: Sequence[int]) -> list[float]:
    """Return weights of classes in inverse proportion to their counts, with a mean of 1.

    Classes without any get the largest of the others' weights, and none weighs more than
    `MOST_WEIGHT` times the least.

    Examples
    --------
    >>> inverse_frequencies((100, 300))
    [1.5, 0.5]
    """
    present = [n for n in counts if n]
    if not present:
        return [1.0] * len(counts)
    least, most = min(present), max(present)
    raw = [1 / max(n or least, least, most / MOST_WEIGHT) for n in counts]
    return [w * len(raw) / sum(raw) for w in raw]


def class_weights(
    options: SegmentOptions, values: Sequence[int], counts: Sequence[int]
) -> Tensor | None:
    """Return what pixels of each class count in the loss; None where all count alike.

    Parameters
    ----------
    options : SegmentOptions
        What is set.
    values, counts : sequence of int
        Label values of the classes, and how many pixels are painted of each.
    """
    if not (options.weigh_classes or options.class_weights):
        return None
    found = inverse_frequencies(counts) if options.weigh_classes else [1.0] * len(counts)
    given = [options.class_weights.get(value, 1.0) for value in values]
    return torch.tensor(found) * torch.tensor(given)


def _mean(losses: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean over painted voxels, by the weights of their classes; 0 without any."""
    painted = targets != IGNORED
    if weights is None:
        return losses.sum() / painted.sum().clamp(min=1)
    each = weights.to(losses)[targets.clamp(min=0)] * painted
    return (losses * each).sum() / each.sum().clamp(min=EPSILON)
