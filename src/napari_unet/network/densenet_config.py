"""The configuration of an FC-DenseNet ("Tiramisu")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from napari_unet.geometry.unet_shape import LevelShape, UNetShape
from napari_unet.network.architecture import PaddedArchitecture

if TYPE_CHECKING:
    from napari_unet.network.table import Row

KERNEL, FACTOR, UP_KERNEL = 3, 2, 3
"""Of all convolutions with a neighbourhood, all poolings, and all transposed convolutions."""


class DenseNetConfig(PaddedArchitecture):
    """All that defines an FC-DenseNet's architecture.

    In a dense block each layer reads what all the layers before it put out, and adds `growth`
    channels. On the way down a block's input goes on beside what it made; on the way up only what
    it made, for the rest would make the fine levels too wide. Jégou et al. 2017,
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
    first: int = Field(48, ge=1, description="Channels behind the first convolution.")
    growth: int = Field(12, ge=1, description="Channels that each layer adds.")
    blocks: tuple[int, ...] = Field(
        (4, 4, 4, 4, 4),
        description="Layers of each dense block on the way down, from the full resolution; the "
        "way up mirrors it.",
    )
    bottom: int = Field(4, ge=1, description="Layers at the lowest resolution.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout rate behind each convolution.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(layers < 1 for layers in self.blocks):
            raise ValueError("each dense block needs at least one layer")
        return self

    @property
    def title(self) -> str:
        """What it is, in a few words; layers are counted as in the publication."""
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
        # The longest way leads through every layer of every block.
        crops = [(KERNEL - 1) * layers for layers in self.blocks]
        firsts = [KERNEL - 1] + [0] * len(crops)
        levels = tuple(
            LevelShape(first + crop, crop, FACTOR, up_kernel=UP_KERNEL)
            for first, crop in zip(firsts, crops, strict=False)
        )
        bottom = (KERNEL - 1) * self.bottom + (0 if levels else firsts[0])
        return UNetShape(levels, bottom)

    def rows(self, input_shape: Sequence[int]) -> list[Row]:
        """List the layers for an input of a shape that fits, see `shape_table`."""
        from napari_unet.network.densenet_rows import densenet_rows

        return densenet_rows(self, input_shape)
