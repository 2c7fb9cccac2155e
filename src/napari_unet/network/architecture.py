"""What the rest asks of any network's configuration, whatever its architecture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

from napari_unet.geometry.unet_shape import AxisGeometry

Readout = Literal["linear", "softplus"]

if TYPE_CHECKING:
    from napari_unet.network.table import LayerRow


class Architecture(BaseModel, ABC):
    """A network's configuration: one frozen object that answers questions of size in integers.

    All sizes are in voxels, axes in the order (y, x) or (z, y, x). `build_network` builds it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    ndim: Literal[2, 3] = Field(2, description="Spatial dimensions.")
    in_channels: int = Field(1, ge=1, description="Channels of the image.")
    out_channels: int = Field(2, ge=1, description="Classes, or channels of the result.")

    @property
    @abstractmethod
    def title(self) -> str:
        """What it is, in a few words."""

    @property
    @abstractmethod
    def depth(self) -> int:
        """Number of times that the resolution is lowered."""

    @property
    @abstractmethod
    def padded(self) -> bool:
        """Whether padded convolutions keep the size, or valid ones cut it."""

    @property
    @abstractmethod
    def geometry(self) -> tuple[AxisGeometry, ...]:
        """Which sizes fit, and what context a tile needs, per axis."""

    @property
    @abstractmethod
    def receptive_field(self) -> tuple[int, ...]:
        """Number of input voxels that one output voxel can see, per axis."""

    @abstractmethod
    def rows(self, input_shape: Sequence[int]) -> list[LayerRow]:
        """List the layers for an input of a shape that fits, see `shape_table`."""

    @property
    def block_volume(self) -> int:
        """Number of voxels that a stem moves into channels; 1 without one."""
        return 1

    @property
    def passing(self) -> tuple[AxisGeometry, ...]:
        """Which sizes can pass at all, per axis: padded networks need no context for that."""
        if not self.padded:
            return self.geometry
        return tuple(AxisGeometry(axis.stride, 0, 0) for axis in self.geometry)

    def is_alike(self, a: int, b: int) -> bool:
        """Tell whether the network treats two spatial axes alike."""
        return self.geometry[a] == self.geometry[b]

    def input_for(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the smallest allowed input shape whose output covers `shape`."""
        return tuple(g.input_for(n) for g, n in zip(self.geometry, shape, strict=True))

    def output_for(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the part of the output that owes nothing to padding, for an allowed input."""
        return tuple(g.output_for(n) for g, n in zip(self.geometry, shape, strict=True))

    def with_channels(self, into: int, out: int) -> Self:
        """Return the same for other channels in and out, checked anew."""
        return type(self)(**{**self.model_dump(), "in_channels": into, "out_channels": out})


class AxisShape(Protocol):
    """A padded network along one axis."""

    def same(self) -> AxisGeometry:
        """Return which sizes pass, and the context: the true receptive field."""

    @property
    def receptive_field(self) -> int:
        """Number of input voxels that one output voxel can see, the most over all positions."""


class PaddedArchitecture(Architecture):
    """An architecture that is always padded, and treats all axes alike."""

    readout: Readout = Field(
        "linear", description="What the result passes last; softplus is never negative."
    )

    @property
    @abstractmethod
    def axis_shape(self) -> AxisShape:
        """The shape along each axis."""

    @property
    def padded(self) -> bool:
        """Always."""
        return True

    @property
    def geometry(self) -> tuple[AxisGeometry, ...]:
        """Which sizes fit, and what context a tile needs, per axis."""
        return (self.axis_shape.same(),) * self.ndim

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """Number of input voxels that one output voxel can see, per axis."""
        return (self.axis_shape.receptive_field,) * self.ndim
