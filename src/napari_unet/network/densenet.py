"""FC-DenseNet: a U-Net of dense blocks. Jégou et al. 2017, arXiv:1611.09326."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_unet.network.blocks import (
    BATCH_NORM,
    CONV,
    POOL,
    Network,
    he_normal,
    read_out,
    up_convolution,
)
from napari_unet.network.densenet_config import FACTOR, KERNEL, UP_KERNEL, DenseNetConfig


class DenseBlock(nn.Module):
    """Layers of which each reads the concatenated outputs of all those before it.

    Parameters
    ----------
    config : DenseNetConfig
        Growth, dropout and number of dimensions are used.
    in_channels : int
        Channels of the input.
    layers : int
        Number of layers.
    """

    def __init__(self, config: DenseNetConfig, in_channels: int, layers: int) -> None:
        super().__init__()
        widths = [in_channels + i * config.growth for i in range(layers + 1)]
        self.layers = nn.ModuleList(
            _norm_conv(config, width, config.growth, KERNEL) for width in widths[:-1]
        )
        self.out_channels = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channel, *spatial) to the input concatenated with the new channels."""
        for layer in self.layers:
            x = torch.cat((x, layer(x)), dim=1)
        return x


class DenseNet(Network, config=DenseNetConfig):
    """The network of a `DenseNetConfig`.

    Parameters
    ----------
    config : DenseNetConfig
        The architecture.
    """

    config: DenseNetConfig

    def __init__(self, config: DenseNetConfig) -> None:
        super().__init__()
        self.config = config
        n = config.ndim
        self.first = he_normal(CONV[n](config.in_channels, config.first, KERNEL, padding="same"))
        self.encoder = nn.ModuleList()
        self.downs = nn.ModuleList()
        self.ups = nn.ModuleList()
        self.decoder = nn.ModuleList()
        width = config.first
        skips: list[int] = []
        for layers in config.blocks:
            self.encoder.append(DenseBlock(config, width, layers))
            width += layers * config.growth
            down = _norm_conv(config, width, width, 1)
            self.downs.append(down.append(POOL["max"][n](FACTOR)))
            skips.append(width)
        self.bottom = DenseBlock(config, width, config.bottom)
        width += config.bottom * config.growth
        # Only the new channels of a block are upsampled; the head reads all channels of the last.
        self._new = [m * config.growth for m in (config.bottom, *reversed(config.blocks))]
        for new, layers in zip(self._new, reversed(config.blocks), strict=False):
            self.ups.append(up_convolution(n, (new, new), (FACTOR,) * n, (UP_KERNEL,) * n))
            block = DenseBlock(config, new + skips.pop(), layers)
            self.decoder.append(block)
            width = block.out_channels
        self.head = CONV[n](width, config.out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the network, see `Network.forward`."""
        x = self.first(x)
        skips = []
        for block, down in zip(self.encoder, self.downs, strict=True):
            x = block(x)
            skips.append(x)
            x = down(x)
        x = self.bottom(x)
        for new, up, block in zip(self._new, self.ups, self.decoder, strict=False):
            x = block(torch.cat((skips.pop(), up(x[:, -new:])), dim=1))
        return read_out(self.head(x), self.config.readout)


def _norm_conv(config: DenseNetConfig, into: int, out: int, kernel: int) -> nn.Sequential:
    """Return norm, ReLU, convolution and dropout."""
    return nn.Sequential(
        BATCH_NORM[config.ndim](into),
        nn.ReLU(inplace=True),
        he_normal(CONV[config.ndim](into, out, kernel, padding=kernel // 2)),
        nn.Dropout(config.dropout) if config.dropout else nn.Identity(),
    )
