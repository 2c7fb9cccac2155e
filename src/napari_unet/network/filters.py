"""A path of fixed filters beside a U-Net: multi-scale features and two 1x1 convolutions.

A U-Net has to learn edges and ridges first; a random forest on multi-scale features has them from
the start, and is better with few strokes. Here the network is given such features, and what they
predict is added to what it learns itself. Each scale gives the smoothed intensity, the magnitude
of its gradient, and the eigenvalues of its Hessian, normalised by the scale (Lindeberg 1998,
doi:10.1023/A:1008045108935). All are invariant to rotations, so that nothing has to be learned
for that.
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
"""Approximate number of voxels along an axis that are smoothed at once."""


class FilterPath(nn.Module):
    """Filters, norm, 1x1 convolution, ReLU and 1x1 convolution, at full resolution.

    Parameters
    ----------
    config : UNetConfig
        A configuration with `filters`.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        n = config.ndim
        features = FEATURES * len(config.filters) * config.in_channels
        self.scales = nn.ModuleList(ScaleFilters(sigma) for sigma in config.filters)
        self.norm: nn.Module = BATCH_NORM[n](features)
        self.mix: nn.Module = CONV[n](features, HIDDEN, 1)
        self.activation: nn.Module = nn.ReLU()
        self.head: nn.Module = CONV[n](HIDDEN, config.out_channels, 1)

    def forward(self, image: Tensor, shape: Sequence[int]) -> Tensor:
        """Compute logits for the centre of an image.

        Parameters
        ----------
        image : Tensor
            (batch, channel, *spatial).
        shape : sequence of int
            Spatial shape of the result.

        Returns
        -------
        Tensor, shape (batch, class, *shape)
        """
        features = torch.cat([scale(image, shape) for scale in self.scales], dim=1)
        # The memory format in which norm and convolutions are fastest.
        features = features.contiguous(memory_format=best_memory_format(len(shape)))
        out: Tensor = self.head(self.activation(self.mix(self.norm(features))))
        return out


class ScaleFilters(nn.Module):
    """Four rotation-invariant features per channel of the image, of one scale.

    They are the smoothed intensity, the magnitude of the gradient, and the mean of the eigenvalues
    of the Hessian plus and minus their standard deviation. In two dimensions the latter are the
    eigenvalues themselves; in three they still distinguish sheets, tubes and blobs, and need
    neither iteration nor arc cosine. Derivatives are differences of the smoothed image, times
    sigma to the power of their order.

    Parameters
    ----------
    sigma : sequence of float
        Standard deviation of the Gaussian per axis, in voxels; axes with 0 are left out.
    """

    def __init__(self, sigma: Sequence[float]) -> None:
        super().__init__()
        self.sigma = {axis: s for axis, s in enumerate(sigma, start=1) if s}
        self.radius = tuple(map(filter_radius, sigma))
        for axis, s in self.sigma.items():
            # Built from the configuration, hence not saved among the weights.
            self.register_buffer(f"kernel{axis}", _gaussian(s), persistent=False)

    def forward(self, image: Tensor, shape: Sequence[int]) -> Tensor:
        """Compute the features for the centre of an image.

        Parameters
        ----------
        image : Tensor
            (batch, channel, *spatial).
        shape : sequence of int
            Spatial shape of the result.

        Returns
        -------
        Tensor, shape (batch, channel * 4, *shape)
        """
        x = _window(image, [n + 2 * r for n, r in zip(shape, self.radius, strict=True)])
        x = x.flatten(0, 1)
        # Second differences of a very smooth image are mostly rounding errors where pixels are
        # bright: predictions, but not trainings, compute them in double precision.
        x = x if self.training or x.device.type != "cpu" else x.double()
        for axis in self.sigma:
            x = _smooth(x, self.get_buffer(f"kernel{axis}").to(x.dtype), axis)
        features = [f.to(image.dtype) for f in self._features(x)]
        return torch.stack(features, 1).reshape(image.shape[0], -1, *shape)

    def _features(self, x: Tensor) -> list[Tensor]:
        """Combine derivatives of x (any, *spatial), smoothed, to rotation-invariant features."""
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
        """Differentiate along up to two axes; one voxel is cut off at each border of all axes."""
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
    """Return x shifted by one voxel, unshifted, and shifted the other way, without both ends."""
    return [x.narrow(axis, start, x.shape[axis] - 2) for start in range(3)]


def _total(terms: Sequence[Tensor]) -> Tensor:
    return reduce(torch.add, terms)


def _gaussian(sigma: float) -> Tensor:
    """Return a Gaussian of sum 1; derivatives need one voxel more on each side."""
    radius = filter_radius(sigma) - 1
    kernel = torch.exp(-((torch.arange(-radius, radius + 1) / sigma) ** 2) / 2)
    return kernel / kernel.sum()


def _smooth(x: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """Convolve x (any, *spatial) along one axis, without padding.

    Computed as products with a band matrix, block by block: several times as fast on a CPU as a
    convolution of one channel.
    """
    n = x.shape[axis] - len(kernel) + 1
    block = -(-n // -(-n // BLOCK))
    width = block + len(kernel) - 1
    # Each row of zeros and kernel is one longer than the matrix is wide: in the matrix each kernel
    # begins one column further right than the one above.
    row = F.pad(kernel, (0, block))
    matrix = row.repeat(block)[: block * width].reshape(block, width)
    shape = list(x.shape)
    shape[axis] = n
    out = x.new_empty(shape)
    for start in range(0, n, block):
        start = min(start, n - block)
        window = x.narrow(axis, start, width)
        result = out.narrow(axis, start, block)
        if axis == x.ndim - 1:
            result.copy_(window @ matrix.T)
        else:
            result.copy_((matrix @ window.flatten(axis + 1)).reshape(result.shape))
    return out


def _window(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the centre of x, or x continued beyond its border where it is too small (padded)."""
    missing = [want - have for want, have in zip(shape, x.shape[2:], strict=True)]
    if max(missing) <= 0:
        return centre_crop(x, shape)
    sides = [side for m in reversed(missing) for side in (m // 2, m // 2)]
    return F.pad(x, sides, mode="replicate")
