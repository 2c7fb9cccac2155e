"""What fits through a network, and what that costs; nothing is built. Knows no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from napari_unet.errors import InputError
from napari_unet.network.architecture import Architecture
from napari_unet.network.table import Row, shape_table

NUMBER = 4
"""Bytes of a number."""

COPIES = 5
"""Times that training holds the weights: with gradient, both moments of Adam, and average."""

WORK = 1.5
"""What convolutions need to work in, and what the allocator keeps, in times what they hold."""

USUAL = {2: 512, 3: 128}
"""Side of an output that is large enough to judge a network by, per number of dimensions."""


@dataclass(frozen=True)
class Fits:
    """What follows from an architecture and a wished input. All sizes are per spatial axis.

    Parameters
    ----------
    wished : tuple of int
        The input that was asked for, in voxels.
    shape : tuple of int
        The input that is counted with: the wished one if it fits, else the nearest.
    cropped : tuple of int or None
        The largest input that fits and is nowhere larger than the wished one; None where there
        is none.
    padded : tuple of int
        The smallest input that fits and is nowhere smaller.
    output : tuple of int
        What comes out, in voxels.
    crop : tuple of int
        By how many voxels the output is smaller, on each side.
    context : tuple of int
        What a tile reads beyond what it writes, both sides together.
    receptive_field : tuple of int
        Input voxels that one output voxel can see.
    step : tuple of int
        Step between allowed inputs.
    smallest : tuple of int
        The smallest allowed input.
    parameters : int
        Trainable numbers.
    multiply_adds : int
        Of all convolutions, for an image of `shape`.
    batch : int
        Images per training step.
    training_bytes, prediction_bytes : int
        Estimates of the memory that a training step with that batch, and a prediction, need.
    rows : tuple of Row
        The layers.
    """

    wished: tuple[int, ...]
    shape: tuple[int, ...]
    cropped: tuple[int, ...] | None
    padded: tuple[int, ...]
    output: tuple[int, ...]
    crop: tuple[int, ...]
    context: tuple[int, ...]
    receptive_field: tuple[int, ...]
    step: tuple[int, ...]
    smallest: tuple[int, ...]
    parameters: int
    multiply_adds: int
    batch: int
    training_bytes: int
    prediction_bytes: int
    rows: tuple[Row, ...]

    @property
    def multiply_adds_per_voxel(self) -> float:
        """Multiply-adds per voxel of the output."""
        return self.multiply_adds / prod(self.output)

    @property
    def flops_per_voxel(self) -> float:
        """Floating-point operations per voxel of the output: two per multiply-add."""
        return 2 * self.multiply_adds_per_voxel


def what_fits(config: Architecture, wished: Sequence[int] | None = None, batch: int = 1) -> Fits:
    """Return what follows from an architecture.

    Parameters
    ----------
    config : Architecture
        The architecture.
    wished : sequence of int, optional
        An input per spatial axis, in voxels; any size will do. By default one that fits.
    batch : int
        Images per training step.

    Raises
    ------
    InputError
        Where there is not one size per axis, or a size is below 1.

    Examples
    --------
    >>> from napari_unet import preset
    >>> found = what_fits(preset("ndnet_unetv3"), (400, 100, 100))
    >>> found.cropped, found.padded, found.output
    ((398, 94, 94), (406, 102, 102), (354, 50, 50))
    """
    axes = config.passing
    wished = tuple(usual_input(config) if wished is None else wished)
    if len(wished) != config.ndim or min(wished) < 1:
        raise InputError(
            "The input needs one size per spatial axis", got=wished, expected=f"{config.ndim} sizes"
        )
    if batch < 1:
        raise InputError("A batch holds at least one image", got=batch)
    smallest = tuple(axis.smallest_input for axis in axes)
    sized = list(zip(axes, wished, strict=True))
    below = tuple(axis.largest_input(max(n, axis.smallest_input)) for axis, n in sized)
    cropped = below if all(a <= n for a, n in zip(below, wished, strict=True)) else None
    padded = tuple(axis.input_for(n - axis.context) for axis, n in sized)
    shape = cropped or padded
    rows = shape_table(config, shape)
    parameters = sum(row.parameters for row in rows)
    return Fits(
        wished=wished,
        shape=shape,
        cropped=cropped,
        padded=padded,
        output=rows[-1].shape,
        crop=tuple(axis.context // 2 for axis in axes),
        context=tuple(axis.context for axis in config.geometry),
        receptive_field=config.receptive_field,
        step=tuple(axis.stride for axis in axes),
        smallest=smallest,
        parameters=parameters,
        multiply_adds=sum(row.multiply_adds for row in rows),
        batch=batch,
        training_bytes=NUMBER * (batch * sum(row.kept for row in rows) + COPIES * parameters),
        prediction_bytes=int(held_bytes(rows)) + NUMBER * parameters,
        rows=tuple(rows),
    )


def usual_input(config: Architecture) -> tuple[int, ...]:
    """Return an input that fits, large enough to judge a network by."""
    return tuple(axis.input_for(USUAL[config.ndim]) for axis in config.passing)


def held_bytes(rows: Sequence[Row]) -> float:
    """Estimate the most memory that a prediction holds at once, besides the weights, in bytes."""
    return NUMBER * WORK * max(row.held for row in rows)


def megabytes(size: int) -> str:
    """Return a number of bytes in MB or GB.

    Examples
    --------
    >>> megabytes(31_500_000), megabytes(2_340_000_000)
    ('32 MB', '2.3 GB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"
