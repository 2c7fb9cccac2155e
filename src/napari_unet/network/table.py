"""What every layer of a network puts out, and what it holds, before anything is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from napari_unet.errors import InputError
from napari_unet.network.config import FEATURES, HIDDEN, UNetConfig


@dataclass(frozen=True, slots=True)
class Row:
    """One layer of a network.

    Parameters
    ----------
    name : str
        Block and layer, such as ``"encoder 1 conv 2"``. Levels count from the full resolution, in
        the decoder too; a block's rows share the beginning of their names.
    shape : tuple of int
        Spatial shape of what the layer puts out, in voxels, axes (y, x) or (z, y, x).
    channels : int
        Channels of what the layer puts out.
    parameters : int
        Trainable numbers in the layer, with those of its norm.
    """

    name: str
    shape: tuple[int, ...]
    channels: int
    parameters: int = 0


def shape_table(config: UNetConfig, input_shape: Sequence[int]) -> list[Row]:
    """List the layers of a network with their output's shape and their parameters.

    Parameters
    ----------
    config : UNetConfig
        The architecture.
    input_shape : sequence of int
        The input's spatial shape in voxels, axes (y, x) or (z, y, x).

    Returns
    -------
    list of Row
        From the input to the output, in the order of computation.

    Raises
    ------
    InputError
        Where a size does not fit through the network (the message names the nearest that do), or
        there is not one size per axis.

    Examples
    --------
    >>> table = shape_table(UNetConfig.preset("ronneberger2015"), (572, 572))
    >>> table[-1].shape, sum(row.parameters for row in table)
    ((388, 388), 31030658)
    """
    if len(input_shape) != config.ndim:
        raise InputError(
            "The input needs one size per spatial axis",
            got=tuple(input_shape),
            expected=f"{config.ndim} sizes",
        )
    config.output_for(input_shape)
    return _rows(config, Row("input", tuple(input_shape), config.in_channels))


def parameter_count(config: UNetConfig) -> int:
    """Return the number of trainable parameters.

    Examples
    --------
    >>> parameter_count(UNetConfig.preset("neurons3d"))
    1192610
    """
    smallest = [axis.smallest_input for axis in config.geometry]
    return sum(row.parameters for row in shape_table(config, smallest))


def format_table(rows: Sequence[Row]) -> str:
    """Return the table as aligned lines of plain text, with the sum of the parameters.

    Examples
    --------
    >>> print(format_table([Row("input", (64, 64), 1), Row("head", (44, 44), 2, 66)]))
    layer    shape  channels  parameters
    input  64 x 64         1           0
    head   44 x 44         2          66
    total                             66
    """
    cells = [("layer", "shape", "channels", "parameters")]
    cells += [
        (r.name, " x ".join(map(str, r.shape)), f"{r.channels:,}", f"{r.parameters:,}")
        for r in rows
    ]
    cells.append(("total", "", "", f"{sum(r.parameters for r in rows):,}"))
    name, *numbers = (max(map(len, column)) for column in zip(*cells, strict=True))
    return "\n".join(
        "  ".join([first.ljust(name), *(c.rjust(n) for c, n in zip(rest, numbers, strict=True))])
        for first, *rest in cells
    )


def _rows(config: UNetConfig, row: Row) -> list[Row]:
    """Follow `row`, the input, through the network."""
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
