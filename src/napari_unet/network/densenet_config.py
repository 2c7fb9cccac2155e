"""The configuration of an FC-DenseNet ("Tiramisu")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from napari_unet.geometry.unet_shape import LevelShape, UNetShape
from napari_unet.network.architecture import PaddedArchitecture
from napari_unet.network.layers import LayerRow, LayerTrace

KERNEL = 3
"""Kernel of the convolutions in dense blocks, and of the first one."""

FACTOR = 2
"""Factor of the poolings and upsamplings."""

UP_KERNEL = 3
"""Kernel of the transposed convolutions."""


class DenseNetConfig(PaddedArchitecture):
    """All that defines an FC-DenseNet's architecture.

    In a dense block each layer reads the concatenated outputs of all layers before it, and adds
    `growth` channels. In the encoder a block passes on its input and its new channels; in the
    decoder only the new ones, which limits the width at fine resolutions. Jégou et al. 2017,
    arXiv:1611.09326.

    Raises
    ------
    pydantic.ValidationError
        Where a value is out of its range. (It is a `ValueError`.)

    Examples
    --------
    >>> config = DenseNetConfig(first=48, growth=16, blocks=(4, 5, 7, 10, 12), bottom=15)
    >>> config.title
    'FC-DenseNet of 103 layers, 2D'
    """

    kind: Literal["fcdensenet"] = "fcdensenet"
    first: int = Field(48, ge=1, description="Channels of the first convolution.")
    growth: int = Field(12, ge=1, description="Channels that each layer adds.")
    blocks: tuple[int, ...] = Field(
        (4, 4, 4, 4, 4),
        description="Layers of each dense block of the encoder, from the full resolution; the "
        "decoder mirrors it.",
    )
    bottom: int = Field(4, ge=1, description="Layers at the lowest resolution.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout rate after each convolution.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(layers < 1 for layers in self.blocks):
            raise ValueError("each dense block needs at least one layer")
        return self

    @property
    def title(self) -> str:
        """Short description; layers are counted as in the publication."""
        # Besides those of the blocks: the first, the last, and one per change of resolution.
        layers = 2 * sum(self.blocks) + self.bottom + 2 + 2 * len(self.blocks)
        return f"FC-DenseNet of {layers} layers, {self.ndim}D"

    @property
    def depth(self) -> int:
        """Number of poolings."""
        return len(self.blocks)

    @property
    def axis_shape(self) -> UNetShape:
        """The shape along each axis."""
        # The path with the largest receptive field passes every layer of every block.
        crops = [(KERNEL - 1) * layers for layers in self.blocks]
        firsts = [KERNEL - 1] + [0] * len(crops)
        levels = tuple(
            LevelShape(first + crop, crop, FACTOR, up_kernel=UP_KERNEL)
            for first, crop in zip(firsts, crops, strict=False)
        )
        bottom = (KERNEL - 1) * self.bottom + (0 if levels else firsts[0])
        return UNetShape(levels, bottom)

    def layers(self, input_shape: Sequence[int]) -> list[LayerRow]:
        """List the layers for an allowed input shape, see `shape_table`."""
        return densenet_layers(self, input_shape)


def densenet_layers(config: DenseNetConfig, input_shape: Sequence[int]) -> list[LayerRow]:
    """List the layers of an FC-DenseNet for an allowed input shape, see `shape_table`.

    The channels of a layer in a dense block include those concatenated with its output.
    """
    trace = LayerTrace(input_shape, config.in_channels)
    n = config.ndim
    trace.conv("first conv", config.first, (KERNEL,) * n)
    skips: list[LayerRow] = []
    for level, layers in enumerate(config.blocks):
        name = f"encoder {level + 1}"
        _dense(config, trace, name, layers)
        skips.append(trace.wait())
        trace.norm_conv(f"{name} conv", trace.last.channels, (1,) * n, joins=False)
        trace.pool(f"{name} pool", (FACTOR,) * n)
    _dense(config, trace, "bottom", config.bottom)
    below = config.bottom
    for level in reversed(range(config.depth)):
        name = f"decoder {level + 1}"
        made = below * config.growth
        # Only the new channels of the block below are upsampled.
        trace.up_conv(f"{name} up", made, (UP_KERNEL,) * n, (FACTOR,) * n, into=made)
        trace.concat(f"{name} concat", skips[level])
        _dense(config, trace, name, below := config.blocks[level])
    trace.conv("head", config.out_channels, (1,) * n)
    return trace.layers


def _dense(config: DenseNetConfig, trace: LayerTrace, name: str, layers: int) -> None:
    for i in range(1, layers + 1):
        kernel = (KERNEL,) * config.ndim
        trace.norm_conv(f"{name} layer {i}", config.growth, kernel, joins=True)
