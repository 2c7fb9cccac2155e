"""The layers of a U-Net, followed in integers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from napari_unet.network.config import FEATURES, HIDDEN, UNetConfig
from napari_unet.network.table import Row


def unet_rows(config: UNetConfig, input_shape: Sequence[int]) -> list[Row]:
    """List a U-Net's layers for an input of a shape that fits, see `shape_table`."""
    row = Row("input", tuple(input_shape), config.in_channels)
    rows, volume = [row], config.block_volume
    if volume > 1:
        rows.append(Row("space to depth", _divide(row.shape, config.stem), row.channels * volume))
    skips: list[Row] = []
    for level, channels in enumerate(config.encoder):
        name, factor = f"encoder {level + 1}", config.poolings[level]
        rows += _block(config, rows[-1], name, channels, level)
        skips.append(rows[-1])
        rows.append(Row(f"{name} pool", _divide(rows[-1].shape, factor), rows[-1].channels))
    rows += _block(config, rows[-1], "bottom", config.bottom, config.depth)
    for level, channels in zip(reversed(range(config.depth)), config.decoder, strict=True):
        name = f"decoder {level + 1}"
        rows.append(up := _up(config, rows[-1], f"{name} up", config.poolings[level]))
        rows.append(Row(f"{name} concat", up.shape, up.channels + skips[level].channels))
        rows += _block(config, rows[-1], name, channels, level)
    rows.append(_conv(config, rows[-1], "head", config.out_channels * volume, config.head_kernel))
    fine = _multiply(rows[-1].shape, config.stem)
    if volume > 1:
        rows.append(Row("depth to space", fine, config.out_channels))
    if config.filters:
        rows += _filters(config, fine)
    if config.input_skip:
        rows.append(Row("input skip", fine, config.out_channels))
    return rows


def _filters(config: UNetConfig, shape: tuple[int, ...]) -> list[Row]:
    features = FEATURES * len(config.filters) * config.in_channels
    return [
        Row("filters", shape, features),
        # With a scale and a shift per feature, of the norm before it.
        Row("filters conv 1", shape, HIDDEN, 2 * features + (features + 1) * HIDDEN),
        Row("filters conv 2", shape, config.out_channels, (HIDDEN + 1) * config.out_channels),
    ]


def _block(
    config: UNetConfig, row: Row, name: str, channels: Sequence[int], level: int
) -> list[Row]:
    rows = [row]
    for i, out in enumerate(channels, start=1):
        kernel, norm = config.kernels[level], config.norm == "batch"
        rows.append(_conv(config, rows[-1], f"{name} conv {i}", out, kernel, norm))
    if config.residual:
        last = rows[-1]
        weights = 0 if row.channels == last.channels else (row.channels + 1) * last.channels
        rows.append(Row(f"{name} residual", last.shape, last.channels, weights))
    return rows[1:]


def _conv(
    config: UNetConfig, row: Row, name: str, out: int, kernel: Sequence[int], norm: bool = False
) -> Row:
    cut = 1 if config.padding == "valid" else 0
    shape = tuple(n - cut * (k - 1) for n, k in zip(row.shape, kernel, strict=True))
    # A batch norm has a scale and a shift per channel, and its convolution then no bias.
    return Row(name, shape, out, (prod(kernel) * row.channels + 1 + norm) * out)


def _up(config: UNetConfig, row: Row, name: str, factor: Sequence[int]) -> Row:
    shape = _multiply(row.shape, factor)
    if config.up == "transposed":
        out = row.channels // 2 if config.up_channels == "halve" else row.channels
        return Row(name, shape, out, (prod(factor) * row.channels + 1) * out)
    if config.up == "linear" and config.padding == "valid":
        # What an interpolation would have to invent at the border is cut off.
        shape = tuple(n - 2 * (f // 2) for n, f in zip(shape, factor, strict=True))
    return Row(name, shape, row.channels)


def _divide(shape: Sequence[int], factor: Sequence[int]) -> tuple[int, ...]:
    return tuple(n // f for n, f in zip(shape, factor, strict=True))


def _multiply(shape: Sequence[int], factor: Sequence[int]) -> tuple[int, ...]:
    return tuple(n * f for n, f in zip(shape, factor, strict=True))
