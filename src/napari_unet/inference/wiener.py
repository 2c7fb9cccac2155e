"""What a denoiser gives, filtered once more: how much of each frequency the pixels themselves know.

A network with blind spots tells each pixel from its surroundings and never looks at the pixel,
though that is one more measurement. Where the noise is white and its strength known, the network's
result says how strong each frequency of a small window is, and a Wiener filter takes as much of it
from the noisy pixels as there is more signal than noise. It is the second step of BM3D (Dabov et
al. 2007, doi:10.1109/TIP.2007.901238), with the network's result as the pilot, and without looking
for similar windows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor
from torch.nn import functional as F

from napari_unet.geometry.unet_shape import AxisGeometry

SIDE = 8
"""Of the windows, in pixels; there is one at every pixel."""

AT_ONCE = 2**16
"""Windows at once, about, so that little memory is needed."""


def widened(geometry: Sequence[AxisGeometry], noise: Sequence[float]) -> tuple[AxisGeometry, ...]:
    """Return what tiles must read and write where the result is filtered; else the same.

    Parameters
    ----------
    geometry : sequence of AxisGeometry
        The network's, per spatial axis.
    noise : sequence of float
        See `Reading`; empty: it is not filtered.
    """
    if not noise:
        return tuple(geometry)
    return tuple(
        AxisGeometry(g.stride, g.grow, g.shrink + 2 * margin)
        for g, margin in zip(geometry, margins(geometry), strict=True)
    )


def margins(geometry: Sequence[AxisGeometry]) -> tuple[int, ...]:
    """Return how many voxels the filter takes from each side, per spatial axis.

    As many as a window reaches, and so that poolings fall on the same voxels in every tile.
    """
    planar = len(geometry) - 2
    return tuple(
        0 if axis < planar else -(-SIDE // g.stride) * g.stride for axis, g in enumerate(geometry)
    )


def filtered(outputs: Tensor, own: Tensor, noise: Sequence[float]) -> Tensor:
    """Filter an image, plane by plane.

    Parameters
    ----------
    outputs : Tensor
        (channel, *spatial): what the network says, normalised.
    own : Tensor
        Of the same shape: the noisy pixels.
    noise : sequence of float
        Variance of the noise per channel, in normalised units squared.

    Returns
    -------
    Tensor
        (channel, *spatial); less than a window from the border fewer windows take part.
    """
    pilot, noisy = (x.reshape(-1, 1, *x.shape[-2:]) for x in (outputs, own))
    basis, window = _basis().to(pilot), _hann().to(pilot)
    planes, (height, width) = len(pilot), pilot.shape[2:]
    variance = pilot.new_tensor(noise).repeat_interleave(planes // len(noise)).view(-1, 1, 1, 1)
    total, weights = torch.zeros_like(noisy), torch.zeros_like(noisy)
    last = height - SIDE + 1
    rows = max(1, AT_ONCE // (planes * width))
    for first in range(0, last, rows):
        part = slice(first, min(first + rows, last) + SIDE - 1)
        said, seen = (F.conv2d(x[:, :, part], basis) for x in (pilot, noisy))
        power = said.square_()
        gain = power / (power + variance)
        gain[:, 0] = 1  # the mean of a window is told well by so many pixels
        # Windows that let little noise through count more.
        weight = 1 / gain.square().sum(1, keepdim=True)
        total[:, :, part] += F.conv_transpose2d(gain * seen * weight, basis * window)
        weights[:, :, part] += F.conv_transpose2d(weight, window)
    return (total / weights).reshape(outputs.shape)


def _basis() -> Tensor:
    """Return the windows' cosines, (SIDE * SIDE, 1, SIDE, SIDE), the mean first."""
    rows = torch.from_numpy(dct(np.eye(SIDE), norm="ortho", axis=0))
    return torch.einsum("ai,bj->abij", rows, rows).reshape(SIDE * SIDE, 1, SIDE, SIDE)


def _hann() -> Tensor:
    """Return what a window's pixels weigh, highest in its middle: (1, 1, SIDE, SIDE)."""
    row = torch.hann_window(SIDE + 2, periodic=False, dtype=torch.float64)[1:-1]
    return torch.outer(row, row)[None, None]
