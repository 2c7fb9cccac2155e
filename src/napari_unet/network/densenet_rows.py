"""The layers of an FC-DenseNet, followed in integers."""

from __future__ import annotations

from collections.abc import Sequence

from napari_unet.network.densenet_config import FACTOR, KERNEL, UP_KERNEL, DenseNetConfig
from napari_unet.network.table import Row
from napari_unet.network.trace import Trace


def densenet_rows(config: DenseNetConfig, input_shape: Sequence[int]) -> list[Row]:
    """List an FC-DenseNet's layers for an input of a shape that fits, see `shape_table`.

    A layer of a dense block is listed with all the channels that there are behind it.
    """
    trace, n = Trace(input_shape, config.in_channels), config.ndim
    trace.conv("first conv", config.first, (KERNEL,) * n)
    skips: list[Row] = []
    for level, layers in enumerate(config.blocks):
        name = f"encoder {level + 1}"
        _dense(config, trace, name, layers)
        skips.append(trace.wait())
        trace.norm_conv(f"{name} conv", trace.last.channels, (1,) * n, joins=False)
        trace.pool(f"{name} pool", (FACTOR,) * n)
    _dense(config, trace, "bottom", config.bottom)
    below = config.bottom
    for level in reversed(range(config.depth)):
        name, made = f"decoder {level + 1}", below * config.growth
        # Only what the block below has made goes up.
        trace.up_conv(f"{name} up", made, (UP_KERNEL,) * n, (FACTOR,) * n, into=made)
        trace.concat(f"{name} concat", skips[level])
        _dense(config, trace, name, below := config.blocks[level])
    trace.conv("head", config.out_channels, (1,) * n)
    return trace.rows


def _dense(config: DenseNetConfig, trace: Trace, name: str, layers: int) -> None:
    for i in range(1, layers + 1):
        kernel = (KERNEL,) * config.ndim
        trace.norm_conv(f"{name} layer {i}", config.growth, kernel, joins=True)
