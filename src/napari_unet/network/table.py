"""What every layer of a network puts out, and what it holds, before anything is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from napari_unet.errors import InputError
from napari_unet.network.architecture import Architecture


@dataclass(frozen=True, slots=True)
class LayerRow:
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
    multiply_adds : int
        Products that its convolution sums up, for this shape.
    kept : int
        Numbers that training keeps of it until the gradient is known, per image of the batch.
    held : int
        Numbers in memory while it is computed in a prediction: what goes in, what comes out, and
        what waits for a later layer.
    """

    name: str
    shape: tuple[int, ...]
    channels: int
    parameters: int = 0
    multiply_adds: int = field(default=0, compare=False)
    kept: int = field(default=0, compare=False)
    held: int = field(default=0, compare=False)

    @property
    def numbers(self) -> int:
        """Numbers that the layer puts out."""
        return self.channels * prod(self.shape)


def shape_table(config: Architecture, input_shape: Sequence[int]) -> list[LayerRow]:
    """List the layers of a network with their output's shape and their parameters.

    Parameters
    ----------
    config : Architecture
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
    >>> from napari_unet import UNetConfig
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
    for axis, size in zip(config.passing, input_shape, strict=True):
        axis.output_for(size)
    return config.rows(input_shape)


def parameter_count(config: Architecture) -> int:
    """Return the number of trainable parameters.

    Examples
    --------
    >>> from napari_unet import UNetConfig
    >>> parameter_count(UNetConfig.preset("neurons3d"))
    1192610
    """
    smallest = [axis.smallest_input for axis in config.passing]
    return sum(row.parameters for row in shape_table(config, smallest))


def format_table(rows: Sequence[LayerRow]) -> str:
    """Return the table as aligned lines of plain text, with the sum of the parameters.

    Examples
    --------
    >>> print(format_table([LayerRow("input", (64, 64), 1), LayerRow("head", (44, 44), 2, 66)]))
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
