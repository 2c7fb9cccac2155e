"""The configuration of a fully convolutional network on VGG-16: FCN-32s, FCN-16s, FCN-8s."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

from pydantic import Field

from napari_unet.geometry.unet_shape import FACTOR, FCNShape
from napari_unet.network.architecture import PaddedArchitecture
from napari_unet.network.layers import LayerRow, LayerTrace

BLOCKS = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)
"""Channels of the convolutions of VGG-16, block by block; a pooling by 2 follows each block."""

BOTTOM = 4096
"""Channels of the two convolutions that are fully connected layers in VGG-16."""

BOTTOM_KERNEL = 7
"""Kernel of the first of these two; that of the second is 1."""

KERNEL = 3
"""Kernel of all convolutions of VGG-16."""

DROPOUT = 0.5
"""Dropout rate of VGG-16."""

UPS: dict[int, tuple[int, ...]] = {32: (32,), 16: (2, 16), 8: (2, 2, 8)}
"""Factors of the upsamplings, from the bottom, by `FCNConfig.finest`."""


class FCNConfig(PaddedArchitecture):
    """All that defines the architecture of an FCN.

    The convolutions of VGG-16 score the classes at 1/32 of the resolution. Transposed convolutions
    that are initialised as bilinear interpolation upsample the scores; at 1/16 and 1/8 the scores
    of finer layers are added. Long et al. 2015, doi:10.1109/CVPR.2015.7298965. All convolutions
    are padded to keep the size; the original pads the image by 100 pixels instead.

    Raises
    ------
    pydantic.ValidationError
        Where a value is out of its range. (It is a `ValueError`.)

    Examples
    --------
    >>> FCNConfig(finest=8).title
    'FCN-8s, 2D'
    """

    kind: Literal["fcn"] = "fcn"
    finest: Literal[8, 16, 32] = Field(
        32, description="Voxels per step of the finest layer whose scores are used."
    )
    width: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Factor of all numbers of channels but those of input and output.",
    )
    dropout: float = Field(
        DROPOUT, ge=0, lt=1, description="Dropout rate after the two wide layers at the bottom."
    )

    @property
    def title(self) -> str:
        """Short description."""
        part = "" if self.width == 1 else f", width {self.width:g}"
        return f"FCN-{self.finest}s, {self.ndim}D{part}"

    @property
    def depth(self) -> int:
        """Number of poolings."""
        return len(BLOCKS)

    @property
    def blocks(self) -> tuple[tuple[int, ...], ...]:
        """Channels of each convolution, block by block."""
        return tuple(tuple(map(self._scaled, block)) for block in BLOCKS)

    @property
    def bottom(self) -> int:
        """Channels at the lowest resolution."""
        return self._scaled(BOTTOM)

    @property
    def ups(self) -> tuple[int, ...]:
        """Factors of the upsamplings, from the bottom."""
        return UPS[self.finest]

    @property
    def skips(self) -> tuple[int, ...]:
        """Indices of the blocks whose scores are added, in the order of the upsamplings."""
        coarse = [prod(self.ups[: i + 1]) for i in range(len(self.ups) - 1)]
        return tuple(self.depth - c.bit_length() for c in coarse)

    @property
    def axis_shape(self) -> FCNShape:
        """The shape along one axis; all axes are alike."""
        crops = tuple((KERNEL - 1) * len(block) for block in BLOCKS)
        return FCNShape(crops, BOTTOM_KERNEL - 1, self.ups)

    def layers(self, input_shape: Sequence[int]) -> list[LayerRow]:
        """List the layers for an allowed input shape, see `shape_table`."""
        return fcn_layers(self, input_shape)

    def _scaled(self, channels: int) -> int:
        return max(1, round(channels * self.width))


def fcn_layers(config: FCNConfig, input_shape: Sequence[int]) -> list[LayerRow]:
    """List the layers of an FCN for an allowed input shape, see `shape_table`."""
    trace = LayerTrace(input_shape, config.in_channels)
    n = config.ndim
    classes = config.out_channels
    skips: list[LayerRow] = []
    for number, block in enumerate(config.blocks):
        for i, out in enumerate(block, start=1):
            trace.conv(f"conv {number + 1}-{i}", out, (KERNEL,) * n, activation="relu")
        trace.pool(f"pool {number + 1}", (FACTOR,) * n)
        if number in config.skips:
            skips.append(trace.wait())
    for i, side in enumerate((BOTTOM_KERNEL, 1), start=1):
        trace.conv(
            f"bottom conv {i}",
            config.bottom,
            (side,) * n,
            activation="relu",
            dropout=config.dropout,
        )
    trace.conv("score", classes, (1,) * n)
    for i, factor in enumerate(config.ups, start=1):
        last = i == len(config.ups)
        name = "head" if last else f"up {i}"
        sides = (2 * factor,) * n
        trace.up_conv(name, classes, sides, (factor,) * n, bias=last, groups=classes, kept=last)
        if not last:
            skip = skips.pop()
            trace.conv(f"{name} score", classes, (1,) * n, of=skip)
            trace.plus(f"{name} sum", skip)
    return trace.layers
