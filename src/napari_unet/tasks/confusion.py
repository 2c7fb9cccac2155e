"""How often each class is taken for each other one, and the score that follows."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_unet.tasks.losses import IGNORED


def confusion_of(outputs: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Count the painted voxels, truth by rows and the likeliest class by columns."""
    seen = targets != IGNORED
    pairs = targets[seen] * classes + outputs.argmax(1)[seen]
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def iou(confusion: Tensor) -> tuple[float | None, ...]:
    """Return intersection over union per class; None for a class that is not in the truth.

    `confusion` counts pixels, truth by rows and prediction by columns.
    """
    hit = confusion.diagonal()
    truth, union = confusion.sum(1), confusion.sum(1) + confusion.sum(0) - hit
    return tuple(
        (int(h) / int(u) if t else None) for h, u, t in zip(hit, union, truth, strict=True)
    )
