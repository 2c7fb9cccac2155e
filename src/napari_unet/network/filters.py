"""A short way from the image to the answer: fixed filters and two 1x1 convolutions.

A U-Net has to find out first that edges and ridges exist; a random forest on multi-scale features
is told, and so is ahead from a few strokes. Here the network is told too, and what it learns
itself is added. Each scale gives smoothed intensity, the strength of its gradient, and the
eigenvalues of its Hessian, in units of the scale (Lindeberg 1998, doi:10.1023/A:1008045108935):
none of them knows directions, so neither strokes nor rotations are spent on learning that.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_unet.network.blocks import BATCH_NORM, CONV, best_memory_format, centre_crop
from napari_unet.network.unet_config import FEATURES, HIDDEN, UNetConfig, filter_radius

BLOCK = 64
"""Voxels along an axis that are smoothed at once, about."""


class FilterPath(nn.Module):
    """Filters, norm, 1x1 convolution, ReLU and 1x1 convolution, at full resolution.

    Parameters
    ----------
    config : UNetConfig
        With `filters`.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        n, features = config.ndim, FEATURES * len(config.filters) * config.in_channels
        self.scales = nn.ModuleList(ScaleFilters(sigma) for sigma in config.filters)
        self.norm: nn.Module = BATCH_NORM[n](features)
        self.mix: nn.Module = CONV[n](features, HIDDEN, 1)
        self.activation: nn.Module = nn.ReLU()
        self.head: nn.Module = CONV[n](HIDDEN, config.out_channels, 1)

    def forward(self, image: Tensor, shape: Sequence[int]) -> Tensor:
        """Map (batch, channel, *spatial) to logits (batch, class, *shape) of the image's centre."""
        features = torch.cat([scale(image, shape) for scale in self.scales], dim=1)
        # The layout that norm and convolutions are fastest in.
        features = features.contiguous(memory_format=best_memory_format(len(shape)))
        out: Tensor = self.head(self.activation(self.mix(self.norm(features))))
        return out


class ScaleFilters(nn.Module):
    """What does not depend on directions, of one scale: four features per channel of the image.

    They are the smoothed intensity, the gradient's length, and the mean of the Hessian's
    eigenvalues plus and minus their standard deviation. In two dimensions these are the
    eigenvalues themselves; in three they still tell sheets, tubes and blobs apart, and need
    neither iteration nor arc cosine. Derivatives are differences of the smoothed image, times
    sigma to their order.

    Parameters
    ----------
    sigma : sequence of float
        Standard deviation per axis in voxels; along axes with 0 is neither smoothed nor derived.
    """

    def __init__(self, sigma: Sequence[float]) -> None:
        super().__init__()
        self.sigma = {axis: s for axis, s in enumerate(sigma, start=1) if s}
        self.radius = tuple(map(filter_radius, sigma))
        for axis, s in self.sigma.items():
            # Rebuilt from the configuration, hence not among the weights that are saved.
            self.register_buffer(f"kernel{axis}", _gaussian(s), persistent=False)

    def forward(self, image: Tensor, shape: Sequence[int]) -> Tensor:
        """Map (batch, channel, *spatial) to (batch, channel * 4, *shape), the image's centre."""
        x = _window(image, [n + 2 * r for n, r in zip(shape, self.radius, strict=True)])
        x = x.flatten(0, 1)
        # Second differences of what is very smooth are all rounding where pixels are bright: for
        # results, not while learning, it is done with twice the digits.
        x = x if self.training or x.device.type != "cpu" else x.double()
        for axis in self.sigma:
            x = _smooth(x, self.get_buffer(f"kernel{axis}").to(x.dtype), axis)
        features = [f.to(image.dtype) for f in self._features(x)]
        return torch.stack(features, 1).reshape(image.shape[0], -1, *shape)

    def _features(self, x: Tensor) -> list[Tensor]:
        """Combine derivatives of x (any, *spatial), smoothed, to what knows no directions."""
        n = len(self.sigma)
        gradient = _total([self._derivative(x, i).square() for i in self.sigma])
        diagonal = [self._derivative(x, i, i) for i in self.sigma]
        mean = _total(diagonal) / n
        spread = _total([(second - mean).square() for second in diagonal])
        for pair in combinations(self.sigma, 2):
            spread += 2 * self._derivative(x, *pair).square()
        deviation = (spread / n).sqrt_()
        return [self._derivative(x), gradient.sqrt_(), mean + deviation, mean - deviation]

    def _derivative(self, x: Tensor, *axes: int) -> Tensor:
        """Derive along up to two axes; the border of one voxel is gone along all of them."""
        if len(axes) == 2 and axes[0] == axes[1]:
            before, here, after = _neighbours(x, axes[0])
            x = (before + after - 2 * here) * self.sigma[axes[0]] ** 2
        else:
            for axis in axes:
                before, _, after = _neighbours(x, axis)
                x = (after - before) * (self.sigma[axis] / 2)
        for axis in self.sigma.keys() - set(axes):
            x = _neighbours(x, axis)[1]
        return x


def _neighbours(x: Tensor, axis: int) -> list[Tensor]:
    """Return x shifted by one voxel, as it is, and shifted the other way; all without its ends."""
    return [x.narrow(axis, start, x.shape[axis] - 2) for start in range(3)]


def _total(terms: Sequence[Tensor]) -> Tensor:
    return reduce(torch.add, terms)


def _gaussian(sigma: float) -> Tensor:
    """Return a Gaussian of sum 1; the derivatives need a voxel more on either side."""
    radius = filter_radius(sigma) - 1
    kernel = torch.exp(-((torch.arange(-radius, radius + 1) / sigma) ** 2) / 2)
    return kernel / kernel.sum()


def _smooth(x: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """Convolve x (any, *spatial) along one axis, where the kernel fits.

    As products with a band matrix, block by block: several times as fast on a CPU as a
    convolution of one channel.
    """
    n = x.shape[axis] - len(kernel) + 1
    block = -(-n // -(-n // BLOCK))
    width = block + len(kernel) - 1
    # Each row is one longer than the matrix is wide, so that each begins one further right.
    row = F.pad(kernel, (0, block))
    matrix = row.repeat(block)[: block * width].reshape(block, width)
    shape = list(x.shape)
    shape[axis] = n
    out = x.new_empty(shape)
    for start in range(0, n, block):
        start = min(start, n - block)
        window, place = x.narrow(axis, start, width), out.narrow(axis, start, block)
        if axis == x.ndim - 1:
            place.copy_(window @ matrix.T)
        else:
            place.copy_((matrix @ window.flatten(axis + 1)).reshape(place.shape))
    return out


def _window(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Cut the centre out of x, or continue its border, as a padded network must."""
    missing = [want - have for want, have in zip(shape, x.shape[2:], strict=True)]
    if max(missing) <= 0:
        return centre_crop(x, shape)
    sides = [side for m in reversed(missing) for side in (m // 2, m // 2)]
    return F.pad(x, sides, mode="replicate")
