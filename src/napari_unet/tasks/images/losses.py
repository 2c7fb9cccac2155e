"""Losses between images, in which voxels without weight count exactly zero."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from napari_unet.tasks.images.options import LossName

SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the scales from the finest (Wang, Simoncelli and Bovik 2003)."""

WINDOW = 11
"""Side in voxels of the Gaussian window of Wang et al. 2004, doi:10.1109/TIP.2003.819861."""

SIGMA = 1.5
"""Standard deviation of that window, in voxels."""


def image_loss(
    losses: Mapping[LossName, float],
    outputs: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
    data_range: float = 4.0,
) -> Tensor:
    """Return a weighted sum of losses.

    Parameters
    ----------
    losses : mapping of str to float
        Weights of "l1", "l2", "ssim" and "ms_ssim"; the last two count 1 minus the similarity.
    outputs, targets : Tensor
        (B, C, *spatial).
    weights : Tensor, optional
        The same shape, or one that broadcasts to it; 0 where the target is not known. Structural
        similarity, which compares windows, takes the output for the target there.
    data_range : float
        Span of the images' values in normalised units, for the structural similarities.
    """
    parts = [
        weight * _LOSSES[name](outputs, targets, weights, data_range)
        for name, weight in losses.items()
    ]
    return torch.stack(parts).sum()


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return values.mean()
    weights = weights.expand_as(values)
    return (values * weights).sum() / weights.sum().clamp(min=1e-6)


def _l1(outputs: Tensor, targets: Tensor, weights: Tensor | None, _: float) -> Tensor:
    return _mean((outputs - targets).abs(), weights)


def _l2(outputs: Tensor, targets: Tensor, weights: Tensor | None, _: float) -> Tensor:
    return _mean((outputs - targets) ** 2, weights)


def _known(outputs: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Return the targets, with the outputs in place of those without weight."""
    if weights is None:
        return targets
    return torch.where(weights.expand_as(targets) > 0, targets, outputs.detach())


def _ssim(outputs: Tensor, targets: Tensor, weights: Tensor | None, data_range: float) -> Tensor:
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    targets = _known(outputs, targets, weights)
    value = ssim(outputs, targets, sigma=SIGMA, data_range=data_range)
    assert isinstance(value, Tensor)
    return 1 - value


def _ms_ssim(outputs: Tensor, targets: Tensor, weights: Tensor | None, data_range: float) -> Tensor:
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure as ms_ssim,
    )

    targets = _known(outputs, targets, weights)
    side = min(outputs.shape[2:])
    # As many scales as still hold a window.
    scales = max(1, min(len(SCALES), (side // WINDOW).bit_length()))
    betas = tuple(beta / sum(SCALES[:scales]) for beta in SCALES[:scales])
    value = ms_ssim(
        outputs, targets, kernel_size=WINDOW, sigma=SIGMA, data_range=data_range, betas=betas
    )
    return 1 - value


_LOSSES = {"l1": _l1, "l2": _l2, "ssim": _ssim, "ms_ssim": _ms_ssim}
