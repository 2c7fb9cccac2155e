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
from math import ceil

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor
from torch.nn import functional as F

from napari_unet.geometry.unet_shape import AxisGeometry

SIDE, HOP = 8, 2
"""Of the windows, and from one to the next, in pixels."""


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

    As many as a window reaches, and so that poolings and windows fall on the same voxels in every
    tile.
    """
    planar = len(geometry) - 2
    steps = [np.lcm(g.stride, HOP) for g in geometry]
    return tuple(
        0 if axis < planar else int(ceil(SIDE / step) * step) for axis, step in enumerate(steps)
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
    basis = _basis().to(pilot)
    window = (basis[:1] * 0 + _hann()).to(pilot)
    said, seen = (F.conv2d(x, basis, stride=HOP) for x in (pilot, noisy))
    planes = len(pilot) // len(noise)
    variance = pilot.new_tensor(noise).repeat_interleave(planes).view(-1, 1, 1, 1)
    power = said.square()
    gain = power / (power + variance)
    gain[:, 0] = 1  # the mean of a window is told well by so many pixels
    # Windows that let little noise through count more.
    weight = 1 / gain.square().sum(1, keepdim=True)
    total = F.conv_transpose2d(gain * seen * weight, basis * window, stride=HOP)
    found = total / F.conv_transpose2d(weight, window, stride=HOP).clamp(min=1e-12)
    # An odd row or column at the end is reached by no window.
    missing = [have - got for have, got in zip(pilot.shape[2:], found.shape[2:], strict=True)]
    if any(missing):
        found = F.pad(found, (0, missing[1], 0, missing[0]), mode="replicate")
    return found.reshape(outputs.shape)


def _basis() -> Tensor:
    """Return the windows' cosines, (SIDE * SIDE, 1, SIDE, SIDE), the mean first."""
    rows = torch.from_numpy(dct(np.eye(SIDE), norm="ortho", axis=0))
    return torch.einsum("ai,bj->abij", rows, rows).reshape(SIDE * SIDE, 1, SIDE, SIDE)


def _hann() -> Tensor:
    """Return what a window's pixels weigh, highest in its middle."""
    row = torch.hann_window(SIDE + 2, periodic=False, dtype=torch.float64)[1:-1]
    return torch.outer(row, row)
