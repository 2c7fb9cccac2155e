"""The layers of an FCN, followed in integers."""

from __future__ import annotations

from collections.abc import Sequence

from napari_unet.geometry.fcn_shape import FACTOR
from napari_unet.network.fcn_config import BOTTOM_KERNEL, KERNEL, FCNConfig
from napari_unet.network.table import Row
from napari_unet.network.trace import Trace


def fcn_rows(config: FCNConfig, input_shape: Sequence[int]) -> list[Row]:
    """List an FCN's layers for an input of a shape that fits, see `shape_table`."""
    trace, n, classes = Trace(input_shape, config.in_channels), config.ndim, config.out_channels
    skips: list[Row] = []
    for number, block in enumerate(config.blocks):
        for i, out in enumerate(block, start=1):
            trace.conv(f"conv {number + 1}-{i}", out, (KERNEL,) * n, activation="relu")
        trace.pool(f"pool {number + 1}", (FACTOR,) * n)
        if number in config.skips:
            skips.append(trace.wait())
    for i, side in enumerate((BOTTOM_KERNEL, 1), start=1):
        name, rate = f"bottom conv {i}", config.dropout
        trace.conv(name, config.bottom, (side,) * n, activation="relu", dropout=rate)
    trace.conv("score", classes, (1,) * n)
    for i, factor in enumerate(config.ups, start=1):
        last, kernel = i == len(config.ups), (2 * factor,) * n
        name = "head" if last else f"up {i}"
        trace.up_conv(name, classes, kernel, (factor,) * n, bias=last, groups=classes, kept=last)
        if not last:
            skip = skips.pop()
            trace.conv(f"{name} score", classes, (1,) * n, of=skip)
            trace.plus(f"{name} sum", skip)
    return trace.rows
