"""The sizes of a fully convolutional network that adds coarse answers, one axis at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import prod

from napari_unet.geometry.unet_shape import (
    AxisGeometry,
    field_of,
    halo_of,
    seen_by_transposed,
)

FACTOR = 2
"""Of every pooling."""


@dataclass(frozen=True, slots=True)
class FCNShape:
    """Blocks of padded convolutions, each with a pooling by 2; then upsamplings and additions.

    Behind each upsampling but the last, what the encoder put out at that resolution is added::

        input ─► block, pool ─► ... ─► block, pool ─► bottom ─► up ─► + ─► up ─► output
                      └───────────────────────────────────────────────┘

    Parameters
    ----------
    crops : tuple of int
        Sum of (kernel - 1) over each block's convolutions.
    bottom_crop : int
        The same for the convolutions behind the last pooling.
    ups : tuple of int
        Factors of the upsamplings, from the bottom; their kernels are twice as wide.
    """

    crops: tuple[int, ...]
    bottom_crop: int
    ups: tuple[int, ...]

    @property
    def stride(self) -> int:
        """Voxels of the input per voxel at the bottom."""
        return prod(self.ups)

    def same(self) -> AxisGeometry:
        """Return the geometry; its context is the true receptive field, see `UNetShape.same`."""
        return AxisGeometry(self.stride, 0, 2 * halo_of(self._sees, self.stride))

    @property
    def receptive_field(self) -> int:
        """Number of input voxels that one output voxel can see, the most over all positions."""
        return field_of(self._sees, self.stride)

    @property
    def field_of_bottom(self) -> int:
        """Number of input voxels that one voxel at the bottom sees."""
        lo, hi = self._bottom(0, 0)
        return hi - lo + 1

    def _sees(self, position: int) -> tuple[int, int]:
        """Return the first and last input voxel that the output voxel at `position` sees."""
        fields, here, stride = [], (position, position), 1
        for factor in reversed(self.ups):
            here, stride = seen_by_transposed(*here, 2 * factor, factor), stride * factor
            if stride < self.stride:
                fields.append(self._encoder(*here, stride))
        fields.append(self._bottom(*here))
        return min(lo for lo, _ in fields), max(hi for _, hi in fields)

    def _bottom(self, lo: int, hi: int) -> tuple[int, int]:
        half = self.bottom_crop // 2
        return self._encoder(lo - half, hi + half, self.stride)

    def _encoder(self, lo: int, hi: int, stride: int) -> tuple[int, int]:
        """Follow an interval back to the input, from behind the pooling that ends at `stride`."""
        crops = self.crops[: stride.bit_length() - 1]

        def back(at: tuple[int, int], crop: int) -> tuple[int, int]:
            return at[0] * FACTOR - crop // 2, at[1] * FACTOR + FACTOR - 1 + crop // 2

        return reduce(back, reversed(crops), (lo, hi))
