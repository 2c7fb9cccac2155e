"""The configuration of any network: the questions that every architecture answers. Knows no torch.

A new architecture is two files in this folder, which nothing else names:

- ``NAME_config.py``: a subclass of `Architecture` with a `kind` of its own. It answers questions of
  size and lists the layers, without torch, because the viewer's process asks it.
- ``NAME.py``: a subclass of `Network` that declares this configuration. It needs torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

from napari_unet.errors import InputError
from napari_unet.geometry.unet_shape import AxisGeometry
from napari_unet.network.layers import LayerRow

Readout = Literal["linear", "softplus"]

ARCHITECTURES: dict[str, type[Architecture]] = {}
"""The architectures that were imported so far, by kind; `registry.architectures` imports all."""


class Architecture(BaseModel, ABC):
    """A network's configuration: one frozen object that answers questions of size in integers.

    All sizes are in voxels, axes in the order (y, x) or (z, y, x). A subclass whose `kind` has a
    default registers itself under it: files and presets name the architecture so.

    Raises
    ------
    TypeError
        Where a subclass takes the kind of another one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    ndim: Literal[2, 3] = Field(2, description="Spatial dimensions.")
    in_channels: int = Field(1, ge=1, description="Channels of the image.")
    out_channels: int = Field(2, ge=1, description="Classes, or channels of the result.")

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Register the architecture, once pydantic knows its fields."""
        super().__pydantic_init_subclass__(**options)
        kind = cls.model_fields["kind"].default
        if not isinstance(kind, str):
            return  # A base class such as `PaddedArchitecture`.
        if kind in ARCHITECTURES:
            raise TypeError(f"{cls.__name__} and {ARCHITECTURES[kind].__name__} are both {kind!r}")
        ARCHITECTURES[kind] = cls

    @property
    @abstractmethod
    def title(self) -> str:
        """Short description, such as "FCN-8s, 2D"."""

    @property
    @abstractmethod
    def depth(self) -> int:
        """Number of times that the resolution is lowered."""

    @property
    @abstractmethod
    def padded(self) -> bool:
        """Whether convolutions are padded and keep the size; otherwise they are valid."""

    @property
    @abstractmethod
    def geometry(self) -> tuple[AxisGeometry, ...]:
        """Allowed sizes, and the context of a tile, per axis."""

    @property
    @abstractmethod
    def receptive_field(self) -> tuple[int, ...]:
        """Number of input voxels that one output voxel depends on, per axis."""

    @abstractmethod
    def layers(self, input_shape: Sequence[int]) -> list[LayerRow]:
        """List the layers for an allowed input shape; callers use `shape_table`, which checks."""

    @property
    def block_volume(self) -> int:
        """Number of voxels that a stem moves into channels; 1 without a stem."""
        return 1

    @property
    def passing(self) -> tuple[AxisGeometry, ...]:
        """Sizes that the network computes, per axis; padded networks need no context for that."""
        if not self.padded:
            return self.geometry
        return tuple(AxisGeometry(axis.stride, 0, 0) for axis in self.geometry)

    def is_alike(self, a: int, b: int) -> bool:
        """Tell whether the network treats two spatial axes in the same way.

        Parameters
        ----------
        a, b : int
            Indices of the axes.
        """
        return self.geometry[a] == self.geometry[b]

    def input_for(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the smallest allowed input shape whose output covers `shape`."""
        return tuple(g.input_for(n) for g, n in zip(self.geometry, shape, strict=True))

    def output_for(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the output that does not depend on padding, for an allowed input."""
        return tuple(g.output_for(n) for g, n in zip(self.geometry, shape, strict=True))

    def with_channels(self, into: int, out: int) -> Self:
        """Return the same architecture for other channels.

        Parameters
        ----------
        into, out : int
            Channels of the input and of the output.
        """
        return type(self)(**{**self.model_dump(), "in_channels": into, "out_channels": out})


class AxisShape(Protocol):
    """A padded network along one axis."""

    def same(self) -> AxisGeometry:
        """Return the allowed sizes and the context, which is the true receptive field."""

    @property
    def receptive_field(self) -> int:
        """Largest number of input voxels that one output voxel depends on."""


class PaddedArchitecture(Architecture):
    """An architecture that is always padded, and treats all axes in the same way."""

    readout: Readout = Field(
        "linear", description="Function of the output: none, or softplus, which is never negative."
    )

    @property
    @abstractmethod
    def axis_shape(self) -> AxisShape:
        """The shape along each axis."""

    @property
    def padded(self) -> bool:
        """Always True."""
        return True

    @property
    def geometry(self) -> tuple[AxisGeometry, ...]:
        """Allowed sizes, and the context of a tile, per axis."""
        return (self.axis_shape.same(),) * self.ndim

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """Number of input voxels that one output voxel depends on, per axis."""
        return (self.axis_shape.receptive_field,) * self.ndim


def shape_table(config: Architecture, input_shape: Sequence[int]) -> list[LayerRow]:
    """List the layers of a network with the shapes of their outputs and their parameters.

    Parameters
    ----------
    config : Architecture
        The architecture.
    input_shape : sequence of int
        The input's spatial shape in voxels, axes (y, x) or (z, y, x).

    Returns
    -------
    list of LayerRow
        From the input to the output, in the order of computation.

    Raises
    ------
    InputError
        Where a size is not allowed (the message names the nearest that are), or there is not one
        size per axis.

    Examples
    --------
    >>> from napari_unet import UNetConfig
    >>> table = shape_table(UNetConfig.preset("ronneberger2015"), (572, 572))
    >>> table[-1].shape, sum(layer.parameters for layer in table)
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
    return config.layers(input_shape)


def parameter_count(config: Architecture) -> int:
    """Return the number of trainable parameters.

    Examples
    --------
    >>> from napari_unet import UNetConfig
    >>> parameter_count(UNetConfig.preset("neurons3d"))
    1192610
    """
    smallest = [axis.smallest_input for axis in config.passing]
    return sum(layer.parameters for layer in shape_table(config, smallest))
