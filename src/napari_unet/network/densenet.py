"""FC-DenseNet: a U-Net of dense blocks. Jégou et al. 2017, arXiv:1611.09326."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_unet.network.blocks import BATCH_NORM, CONV, POOL, Network, read_out, up_convolution
from napari_unet.network.densenet_config import FACTOR, KERNEL, UP_KERNEL, DenseNetConfig


class DenseBlock(nn.Module):
    """Layers of which each reads what all those before it put out.

    Parameters
    ----------
    config : DenseNetConfig
        For the growth, the dropout and the number of dimensions.
    in_channels : int
        Channels that come in.
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
        """Map (batch, channel, *spatial) to the same, with the new channels behind the old."""
        for layer in self.layers:
            x = torch.cat((x, layer(x)), dim=1)
        return x


class DenseNet(Network, config=DenseNetConfig):
    """An FC-DenseNet as its configuration describes it.

    Parameters
    ----------
    config : DenseNetConfig
        The architecture.
    """

    config: DenseNetConfig

    def __init__(self, config: DenseNetConfig) -> None:
        super().__init__()
        self.config, n = config, config.ndim
        self.first = _he_normal(CONV[n](config.in_channels, config.first, KERNEL, padding="same"))
        self.encoder, self.downs = nn.ModuleList(), nn.ModuleList()
        self.ups, self.decoder = nn.ModuleList(), nn.ModuleList()
        width, skips = config.first, []
        for layers in config.blocks:
            self.encoder.append(DenseBlock(config, width, layers))
            width += layers * config.growth
            down = _norm_conv(config, width, width, 1)
            self.downs.append(down.append(POOL["max"][n](FACTOR)))
            skips.append(width)
        self.bottom = DenseBlock(config, width, config.bottom)
        width += config.bottom * config.growth
        # On the way up only what a block has made goes on, but into the head all of it.
        self._made = [m * config.growth for m in (config.bottom, *reversed(config.blocks))]
        for made, layers in zip(self._made, reversed(config.blocks), strict=False):
            self.ups.append(up_convolution(n, (made, made), (FACTOR,) * n, (UP_KERNEL,) * n))
            block = DenseBlock(config, made + skips.pop(), layers)
            self.decoder.append(block)
            width = block.out_channels
        self.head = CONV[n](width, config.out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the network, see `Network.forward`."""
        x, skips = self.first(x), []
        for block, down in zip(self.encoder, self.downs, strict=True):
            x = block(x)
            skips.append(x)
            x = down(x)
        x = self.bottom(x)
        for made, up, block in zip(self._made, self.ups, self.decoder, strict=False):
            x = block(torch.cat((skips.pop(), up(x[:, -made:])), dim=1))
        return read_out(self.head(x), self.config.readout)


def _norm_conv(config: DenseNetConfig, into: int, out: int, kernel: int) -> nn.Sequential:
    """Return norm, ReLU, convolution and dropout."""
    return nn.Sequential(
        BATCH_NORM[config.ndim](into),
        nn.ReLU(inplace=True),
        _he_normal(CONV[config.ndim](into, out, kernel, padding=kernel // 2)),
        nn.Dropout(config.dropout) if config.dropout else nn.Identity(),
    )


def _he_normal(conv: nn.Conv2d | nn.Conv3d) -> nn.Conv2d | nn.Conv3d:
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
