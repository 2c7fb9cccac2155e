"""The layers of a U-Net, followed in integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from napari_unet.network.config import FEATURES, HIDDEN, UNetConfig
from napari_unet.network.table import Row
from napari_unet.network.trace import Trace


def unet_rows(config: UNetConfig, input_shape: Sequence[int]) -> list[Row]:
    """List a U-Net's layers for an input of a shape that fits, see `shape_table`."""
    trace, volume = Trace(input_shape, config.in_channels), config.block_volume
    image = trace.last
    if config.filters or config.input_skip:
        trace.wait()
    if volume > 1:
        coarse = [n // f for n, f in zip(image.shape, config.stem, strict=True)]
        trace.add("space to depth", coarse, image.channels * volume)
    skips: list[Row] = []
    for level, channels in enumerate(config.encoder):
        _block(config, trace, f"encoder {level + 1}", channels, level, config.dropout[level])
        skips.append(trace.wait())
        _down(config, trace, f"encoder {level + 1}", level)
    _block(config, trace, "bottom", config.bottom, config.depth, config.dropout[config.depth])
    for level, channels in zip(reversed(range(config.depth)), config.decoder, strict=True):
        name = f"decoder {level + 1}"
        _up(config, trace, f"{name} up", config.poolings[level])
        trace.concat(f"{name} concat", skips[level])
        _block(config, trace, name, channels, level, config.dropout_above(level))
    _end(config, trace)
    return trace.rows


def _end(config: UNetConfig, trace: Trace) -> None:
    volume, valid = config.block_volume, not config.padded
    out = config.out_channels * volume
    trace.conv("head", out, config.head_kernel, valid=valid, bias=config.biases)
    fine = [n * f for n, f in zip(trace.last.shape, config.stem, strict=True)]
    if volume > 1:
        trace.add("depth to space", fine, config.out_channels)
    if config.filters:
        _filters(config, trace)
    if config.input_skip:
        trace.add("input skip", fine, config.out_channels)


def _filters(config: UNetConfig, trace: Trace) -> None:
    features, answer = FEATURES * len(config.filters) * config.in_channels, trace.wait()
    # The features of all scales, and then once more, side by side.
    trace.add("filters", answer.shape, features, kept=2, extra=features * prod(answer.shape))
    one = (1,) * config.ndim
    row = trace.conv("filters conv 1", HIDDEN, one, activation="relu")
    # With a scale and a shift per feature, of the norm before it.
    trace.rows[-1] = replace(row, parameters=row.parameters + 2 * features)
    trace.conv("filters conv 2", config.out_channels, one)
    trace.take(answer)


def _block(
    config: UNetConfig, trace: Trace, name: str, channels: Sequence[int], level: int, rate: float
) -> None:
    ahead, norm = trace.last, config.norm == "batch"
    for i, out in enumerate(channels, start=1):
        trace.conv(
            f"{name} conv {i}",
            out,
            config.kernels[level],
            valid=not config.padded,
            bias=config.biases and not norm,
            norm=norm,
            activation=config.activation,
            dropout=rate * (i == len(channels)),
        )
    if config.residual:
        same, last = ahead.channels == channels[-1], trace.last
        weights = 0 if same else (ahead.channels + config.biases) * last.channels
        sums = 0 if same else ahead.numbers * last.channels
        trace.add(
            f"{name} residual",
            last.shape,
            last.channels,
            weights,
            multiply_adds=sums,
            kept=0,
            extra=ahead.numbers,
        )


def _down(config: UNetConfig, trace: Trace, name: str, level: int) -> None:
    factor, norm = config.poolings[level], config.norm == "batch"
    if config.down != "strided":
        trace.pool(f"{name} pool", factor, indices=config.down == "max")
        return
    trace.conv(
        f"{name} down",
        trace.last.channels,
        config.down_kernel(level),
        stride=factor,
        bias=config.biases and not norm,
        norm=norm,
        activation=config.activation,
    )


def _up(config: UNetConfig, trace: Trace, name: str, factor: Sequence[int]) -> None:
    if config.up == "transposed":
        channels = trace.last.channels
        out = channels // 2 if config.up_channels == "halve" else channels
        trace.up_conv(name, out, config.up_kernel or factor, factor, bias=config.biases)
        return
    # What an interpolation would have to invent at the border is cut off.
    cut = config.up == "linear" and not config.padded
    trace.up(name, factor, [f // 2 * cut for f in factor])
