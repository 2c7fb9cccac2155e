"""Losses in which unannotated voxels count exactly zero."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_unet.data.sampling import IGNORED
from napari_unet.tasks.segmentation.options import Loss, SegmentOptions
from napari_unet.training.task import SoftLabels

EPSILON = 1e-5
"""Added to both sides of a ratio of voxel counts, so that it is defined for empty classes."""

MAX_WEIGHT_RATIO = 20
"""The rarest class weighs at most so many times what the most frequent one does."""


def masked_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean cross-entropy over annotated voxels, 0 where there are none.

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
    """Return the mean focal loss over annotated voxels, in which confident voxels count less.

    ``-(1 - p)**gamma * log(p)``, with p the probability of the true class: Lin et al. 2017,
    arXiv:1708.02002.

    Parameters
    ----------
    logits, targets, weights : Tensor
        As in `masked_cross_entropy`.
    gamma : float
        How much less confident voxels count; 0: cross-entropy.
    """
    losses = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none")
    return _mean((1 - torch.exp(-losses)) ** gamma * losses, targets, weights)


def masked_dice(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return one minus the soft Dice coefficient, the mean over annotated classes.

    Milletari et al. 2016, doi:10.1109/3DV.2016.79, over the whole batch.

    Parameters
    ----------
    logits, targets, weights : Tensor
        As in `masked_cross_entropy`.
    """
    return masked_tversky(logits, targets, weights, alpha=0.5)


def masked_tversky(
    logits: Tensor, targets: Tensor, weights: Tensor | None = None, alpha: float = 0.3
) -> Tensor:
    """Return one minus the soft Tversky index, the mean over annotated classes.

    Salehi et al. 2017, arXiv:1706.05721, over the whole batch.

    Parameters
    ----------
    logits, targets, weights : Tensor
        As in `masked_cross_entropy`.
    alpha : float
        Weight of false positives; that of false negatives is 1 - `alpha`. One half gives Dice's
        coefficient.
    """
    annotated = targets != IGNORED
    truth = F.one_hot(targets.clamp(min=0), logits.shape[1]).movedim(-1, 1) * annotated.unsqueeze(1)
    predicted = torch.softmax(logits, 1) * annotated.unsqueeze(1)
    axes = [0, *range(2, logits.ndim)]
    true_positives = (predicted * truth).sum(axes)
    size = truth.sum(axes)
    false_positives = predicted.sum(axes) - true_positives
    false_negatives = size - true_positives
    wrong = alpha * false_positives + (1 - alpha) * false_negatives
    index = (true_positives + EPSILON) / (true_positives + wrong + EPSILON)
    counts = (size > 0).to(index) * (1.0 if weights is None else weights)
    return ((1 - index) * counts).sum() / counts.sum().clamp(min=EPSILON)


def divergence_from_soft_labels(logits: Tensor, soft_labels: SoftLabels) -> Tensor:
    """Return the mean Kullback-Leibler divergence of a network's output from soft labels.

    It is the cross-entropy less the entropy of the soft labels, and 0 where the two agree.

    Parameters
    ----------
    logits : Tensor
        (B, classes, *spatial).
    soft_labels : SoftLabels
        Voxels and their probabilities.
    """
    labelled = logits.movedim(1, -1).flatten(0, -2)[soft_labels.indices]
    return F.kl_div(
        torch.log_softmax(labelled, 1), soft_labels.probabilities, reduction="batchmean"
    )


def segmentation_loss(
    name: Loss,
    logits: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
    *,
    gamma: float = 2.0,
    alpha: float = 0.3,
) -> Tensor:
    """Return a loss by its name.

    Parameters
    ----------
    name : str
        As in `SegmentOptions.loss`; the parts of a sum have the same weight.
    logits, targets, weights : Tensor
        As in `masked_cross_entropy`.
    gamma, alpha : float
        As in `masked_focal` and `masked_tversky`.
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
    `MAX_WEIGHT_RATIO` times the least.

    Examples
    --------
    >>> inverse_frequencies((100, 300))
    [1.5, 0.5]
    """
    present = [n for n in counts if n]
    if not present:
        return [1.0] * len(counts)
    least, most = min(present), max(present)
    raw = [1 / max(n or least, least, most / MAX_WEIGHT_RATIO) for n in counts]
    return [w * len(raw) / sum(raw) for w in raw]


def class_weights(
    options: SegmentOptions, values: Sequence[int], counts: Sequence[int]
) -> Tensor | None:
    """Return the weights of the classes in the loss; None where all are alike.

    Parameters
    ----------
    options : SegmentOptions
        What is set.
    values, counts : sequence of int
        Label values of the classes, and number of annotated pixels of each.
    """
    if not (options.weigh_classes or options.class_weights):
        return None
    found = inverse_frequencies(counts) if options.weigh_classes else [1.0] * len(counts)
    given = [options.class_weights.get(value, 1.0) for value in values]
    return torch.tensor(found) * torch.tensor(given)


def _mean(losses: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean over annotated voxels, by the weights of their classes; 0 without any."""
    annotated = targets != IGNORED
    if weights is None:
        return losses.sum() / annotated.sum().clamp(min=1)
    each = weights.to(losses)[targets.clamp(min=0)] * annotated
    return (losses * each).sum() / each.sum().clamp(min=EPSILON)
