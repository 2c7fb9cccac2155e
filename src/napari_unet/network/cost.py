"""Allowed input sizes of a network, and its cost in operations and memory. Knows no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from napari_unet.errors import InputError
from napari_unet.network.architecture import Architecture, shape_table
from napari_unet.network.layers import LayerRow

BYTES = 4
"""Bytes of a number (float32)."""

WEIGHT_COPIES = 5
"""Copies of the weights in a training: themselves, gradient, two moments of Adam, and average."""

OVERHEAD = 1.5
"""Memory of a prediction as a multiple of its tensors: workspaces and what the allocator keeps."""

USUAL_OUTPUT = {2: 512, 3: 128}
"""Side in voxels of an output whose cost per voxel is typical, per number of dimensions."""


@dataclass(frozen=True)
class NetworkCost:
    """Sizes and costs of an architecture for a wished input. All sizes are per spatial axis.

    Parameters
    ----------
    config : Architecture
        The architecture.
    wished : tuple of int
        The input that was asked for, in voxels.
    cropped : tuple of int or None
        The largest allowed input that is nowhere larger than the wished one; None where there
        is none.
    padded : tuple of int
        The smallest allowed input that is nowhere smaller than the wished one.
    batch : int
        Images per training step.
    layers : tuple of LayerRow
        The layers, for an image of `shape`.
    """

    config: Architecture
    wished: tuple[int, ...]
    cropped: tuple[int, ...] | None
    padded: tuple[int, ...]
    batch: int
    layers: tuple[LayerRow, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The input that the costs are for: `cropped`, or `padded` where there is none."""
        return self.layers[0].shape

    @property
    def output(self) -> tuple[int, ...]:
        """Size of the output, in voxels."""
        return self.layers[-1].shape

    @property
    def crop(self) -> tuple[int, ...]:
        """Voxels by which the output is smaller than the input, on each side."""
        return tuple(axis.context // 2 for axis in self.config.passing)

    @property
    def context(self) -> tuple[int, ...]:
        """Voxels that a tile reads beyond those that it writes, both sides together."""
        return tuple(axis.context for axis in self.config.geometry)

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """Input voxels that one output voxel depends on."""
        return self.config.receptive_field

    @property
    def step(self) -> tuple[int, ...]:
        """Step between allowed inputs, in voxels."""
        return tuple(axis.stride for axis in self.config.passing)

    @property
    def smallest(self) -> tuple[int, ...]:
        """The smallest allowed input, in voxels."""
        return tuple(axis.smallest_input for axis in self.config.passing)

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all convolutions, for an image of `shape`."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def multiply_adds_per_voxel(self) -> float:
        """Multiply-adds per voxel of the output."""
        return self.multiply_adds / prod(self.output)

    @property
    def flops_per_voxel(self) -> float:
        """Floating-point operations per voxel of the output: two per multiply-add."""
        return 2 * self.multiply_adds_per_voxel

    @property
    def training_bytes(self) -> int:
        """Estimate of the memory that a training step with that batch needs."""
        kept = self.batch * sum(layer.kept for layer in self.layers)
        return BYTES * (kept + WEIGHT_COPIES * self.parameters)

    @property
    def prediction_bytes(self) -> int:
        """Estimate of the memory that a prediction needs."""
        return int(held_bytes(self.layers)) + BYTES * self.parameters


def network_cost(
    config: Architecture, wished: Sequence[int] | None = None, batch: int = 1
) -> NetworkCost:
    """Return the sizes and costs of an architecture.

    Parameters
    ----------
    config : Architecture
        The architecture.
    wished : sequence of int, optional
        An input per spatial axis, in voxels, allowed or not. By default `usual_input`.
    batch : int
        Images per training step.

    Raises
    ------
    InputError
        Where there is not one size per axis, or a size is below 1.

    Examples
    --------
    >>> from napari_unet import preset
    >>> found = network_cost(preset("ndnet_unetv3"), (400, 100, 100))
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
    sized = list(zip(axes, wished, strict=True))
    below = tuple(axis.largest_input(max(n, axis.smallest_input)) for axis, n in sized)
    cropped = below if all(a <= n for a, n in zip(below, wished, strict=True)) else None
    padded = tuple(axis.input_for(n - axis.context) for axis, n in sized)
    layers = shape_table(config, cropped or padded)
    return NetworkCost(config, wished, cropped, padded, batch, tuple(layers))


def usual_input(config: Architecture) -> tuple[int, ...]:
    """Return an allowed input with an output of at least `USUAL_OUTPUT` voxels a side."""
    return tuple(axis.input_for(USUAL_OUTPUT[config.ndim]) for axis in config.passing)


def held_bytes(layers: Sequence[LayerRow]) -> float:
    """Estimate the peak memory of a prediction without the weights, in bytes."""
    return BYTES * OVERHEAD * max(layer.held for layer in layers)


def megabytes(size: int) -> str:
    """Return a number of bytes in MB or GB.

    Examples
    --------
    >>> megabytes(31_500_000), megabytes(2_340_000_000)
    ('32 MB', '2.3 GB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"
