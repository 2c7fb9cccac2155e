"""How often each class is taken for each other one."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_unet.tasks.losses import IGNORED


def confusion_of(outputs: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Count the painted voxels, truth by rows and the likeliest class by columns."""
    seen = targets != IGNORED
    pairs = targets[seen] * classes + outputs.argmax(1)[seen]
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)
