"""The U-Net. Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.network.blocks import (
    CONV,
    POOL,
    ConvBlock,
    Interpolate,
    Network,
    centre_crop,
    depth_to_space,
    read_out,
    space_to_depth,
    up_convolution,
)
from napari_unet.network.filters import FilterPath
from napari_unet.network.unet_config import UNetConfig

HEAD_SCALE = 0.1
"""Factor of the initial weights of the head beside a path of fixed filters."""


class UNet(Network, config=UNetConfig):
    """The network of a `UNetConfig`.

    Parameters
    ----------
    config : UNetConfig
        The architecture.
    """

    config: UNetConfig

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.in_channels * config.block_volume] + [b[-1] for b in config.encoder]
        self.encoder = nn.ModuleList(
            self._block(widths[i], config.encoder[i], i) for i in range(config.depth)
        )
        self.pools = nn.ModuleList(self._pool(widths[i + 1], i) for i in range(config.depth))
        self.bottom = self._block(widths[-1], config.bottom, config.depth)
        self.ups = nn.ModuleList()
        self.decoder = nn.ModuleList()
        below = config.bottom[-1]
        for level, channels in zip(reversed(range(config.depth)), config.decoder, strict=True):
            above = self._up(below, level)
            rate = config.dropout_above(level)
            self.decoder.append(self._block(above + widths[level + 1], channels, level, rate))
            below = channels[-1]
        self.head = CONV[config.ndim](
            below,
            config.out_channels * config.block_volume,
            config.head_kernel,
            padding=tuple(k // 2 for k in config.head_kernel) if self._padded else 0,
            bias=config.biases,
        )
        if config.block_volume > 1:
            _tie_blocks(self.head, config.block_volume)
        self.filters = FilterPath(config) if config.filters else None
        if self.filters is not None:
            _scale_down(self.head)

    @property
    def _padded(self) -> bool:
        return self.config.padded

    def _block(
        self,
        in_channels: int,
        channels: tuple[int, ...],
        level: int,
        dropout: float | None = None,
    ) -> ConvBlock:
        c = self.config
        rate = c.dropout[level] if dropout is None else dropout
        kernel = c.kernels[level]
        return self._convolutions(in_channels, channels, kernel, dropout=rate, residual=c.residual)

    def _convolutions(
        self, in_channels: int, channels: tuple[int, ...], kernel: tuple[int, ...], **options: Any
    ) -> ConvBlock:
        c = self.config
        return ConvBlock(
            c.ndim,
            in_channels,
            channels,
            kernel,
            padded=self._padded,
            norm=c.norm,
            activation=c.activation,
            biases=c.biases,
            slope=c.slope,
            **options,
        )

    def _pool(self, channels: int, level: int) -> nn.Module:
        """Return the layer that lowers the resolution after `level`."""
        c = self.config
        factor = c.poolings[level]
        if c.down != "strided":
            return POOL[c.down][c.ndim](factor)
        return self._convolutions(channels, (channels,), c.down_kernel(level), stride=factor)

    def _up(self, channels: int, level: int) -> int:
        """Append the upsampling to the resolution of `level`; return its number of channels."""
        c = self.config
        factor = c.poolings[level]
        if c.up != "transposed":
            self.ups.append(Interpolate(factor, c.up == "linear", not self._padded))
            return channels
        out = channels // 2 if c.up_channels == "halve" else channels
        kernel = c.up_kernel or factor
        self.ups.append(up_convolution(c.ndim, (channels, out), factor, kernel, bias=c.biases))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Apply the network.

        Parameters
        ----------
        x : Tensor
            (batch, in_channels, *spatial), of an allowed size (see `UNetConfig.geometry`).

        Returns
        -------
        Tensor
            (batch, out_channels, *spatial): logits. With valid convolutions smaller than `x` by
            the geometry's context; with padded ones of the same size.
        """
        image = x
        skips = []
        x = space_to_depth(x, self.config.stem) if self.config.block_volume > 1 else x
        for block, pool in zip(self.encoder, self.pools, strict=True):
            x = block(x)
            skips.append(x)
            x = pool(x)
        x = self.bottom(x)
        for up, block in zip(self.ups, self.decoder, strict=True):
            x = up(x)
            x = block(torch.cat((centre_crop(skips.pop(), x.shape[2:]), x), dim=1))
        x = self.head(x)
        x = depth_to_space(x, self.config.stem) if self.config.block_volume > 1 else x
        x = x if self.filters is None else x + self.filters(image, x.shape[2:])
        x = x + centre_crop(image, x.shape[2:]) if self.config.input_skip else x
        return read_out(x, self.config.readout)


@torch.no_grad()
def _tie_blocks(head: nn.Module, volume: int) -> None:
    """Give all voxels of a block the same weights, so that an untrained network makes no grid.

    Aitken et al. 2017, arXiv:1707.02937.
    """
    for parameter in head.parameters():
        parameter.copy_(parameter[::volume].repeat_interleave(volume, 0))


@torch.no_grad()
def _scale_down(head: nn.Module) -> None:
    """Scale the initial weights down, so that at first the fixed filters dominate the result."""
    for parameter in head.parameters():
        parameter.mul_(HEAD_SCALE)
