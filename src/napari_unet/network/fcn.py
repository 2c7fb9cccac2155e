"""The fully convolutional networks FCN-32s, FCN-16s and FCN-8s. Long et al. 2015."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

import torch
from torch import Tensor, nn

from napari_unet.geometry.unet_shape import FACTOR
from napari_unet.network.blocks import CONV, POOL, ConvBlock, Network, read_out, up_convolution
from napari_unet.network.fcn_config import BOTTOM_KERNEL, KERNEL, FCNConfig


class FCN(Network, config=FCNConfig):
    """The network of an `FCNConfig`.

    Parameters
    ----------
    config : FCNConfig
        The architecture.
    """

    config: FCNConfig

    def __init__(self, config: FCNConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.in_channels, *(block[-1] for block in config.blocks)]
        self.encoder = nn.ModuleList(
            _block(config, width, block, KERNEL)
            for width, block in zip(widths, config.blocks, strict=False)
        )
        self.pool = POOL["max"][config.ndim](FACTOR)
        bottom = [widths[-1], config.bottom, config.bottom]
        self.bottom = nn.Sequential(
            *(
                _block(config, into, (out,), kernel, config.dropout)
                for (into, out), kernel in zip(pairwise(bottom), (BOTTOM_KERNEL, 1), strict=True)
            )
        )
        self.score = _score(config, config.bottom)
        self.ups = nn.ModuleList(_up(config, factor) for factor in config.ups[:-1])
        self.scores = nn.ModuleList(_score(config, config.blocks[i][-1]) for i in config.skips)
        self.head = _up(config, config.ups[-1], bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the network, see `Network.forward`."""
        skips = []
        for i, block in enumerate(self.encoder):
            x = self.pool(block(x))
            if i in self.config.skips:
                skips.append(x)
        x = self.score(self.bottom(x))
        for up, score in zip(self.ups, self.scores, strict=True):
            x = up(x) + score(skips.pop())
        return read_out(self.head(x), self.config.readout)


def _block(
    config: FCNConfig, into: int, channels: tuple[int, ...], kernel: int, dropout: float = 0.0
) -> ConvBlock:
    return ConvBlock(
        config.ndim,
        into,
        channels,
        (kernel,) * config.ndim,
        padded=True,
        norm="none",
        activation="relu",
        dropout=dropout,
    )


def _score(config: FCNConfig, into: int) -> nn.Module:
    """Return a 1x1 convolution to classes, initialised with 0 like the published one."""
    score = CONV[config.ndim](into, config.out_channels, 1)
    for parameter in score.parameters():
        nn.init.zeros_(parameter)
    return score


def _up(
    config: FCNConfig, factor: int, *, bias: bool = False
) -> nn.ConvTranspose2d | nn.ConvTranspose3d:
    """Return a transposed convolution per class, initialised as linear interpolation."""
    n = config.ndim
    classes = config.out_channels
    sides = (2 * factor,) * n
    up = up_convolution(n, (classes,) * 2, (factor,) * n, sides, groups=classes, bias=bias)
    with torch.no_grad():
        up.weight.copy_(linear_kernel(factor, n))
    if up.bias is not None:
        nn.init.zeros_(up.bias)
    return up


def linear_kernel(factor: int, ndim: int) -> Tensor:
    """Return the kernel with which a transposed convolution interpolates linearly.

    Parameters
    ----------
    factor : int
        Upsampling factor along every axis.
    ndim : int
        Number of axes.

    Returns
    -------
    Tensor, shape (2 * factor, ...)
    """
    distance = (torch.arange(2 * factor) + 0.5 - factor).abs() / factor
    return reduce(lambda kernel, side: kernel.unsqueeze(-1) * side, [1 - distance] * ndim)
