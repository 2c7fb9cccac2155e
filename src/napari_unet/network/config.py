"""The configuration of a U-Net: one frozen object that answers questions of size in integers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from napari_unet.errors import InputError
from napari_unet.geometry.unet_shape import AxisGeometry, LevelShape, UNetShape
from napari_unet.network.architecture import Architecture, Readout

if TYPE_CHECKING:
    from napari_unet.network.table import Row

Padding = Literal["valid", "same"]
Norm = Literal["batch", "none"]
Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu"]
Down = Literal["max", "average", "strided"]
Up = Literal["transposed", "nearest", "linear"]
UpChannels = Literal["keep", "halve"]
Size = Literal["small", "medium", "large"]


def _as_blocks(value: Any) -> Any:
    """Read ``[64, 64]`` as one level of two convolutions where levels are expected."""
    flat = isinstance(value, list | tuple) and value and isinstance(value[0], int)
    return (value,) if flat else value


def _as_scales(value: Any) -> Any:
    """Read ``[1.4, 1.4]`` as one scale where scales are expected."""
    flat = isinstance(value, list | tuple) and value and isinstance(value[0], int | float)
    return (value,) if flat else value


Blocks = Annotated[tuple[tuple[int, ...], ...], BeforeValidator(_as_blocks)]
Scales = Annotated[tuple[tuple[float, ...], ...], BeforeValidator(_as_scales)]

FEATURES = 4
"""Features that the filters compute per scale and channel of the image."""

HIDDEN = 16
"""Channels between the two convolutions behind the filters."""

STRIDED_KERNEL = 3
"""Kernel of a convolution with a stride, along axes that it makes coarser."""

LEAST_SIGMA = 0.5
"""Below this a sampled Gaussian is none any more, in voxels."""


def filter_radius(sigma: float) -> int:
    """Return how far a filter of standard deviation `sigma` reaches, both in voxels.

    Three sigma for the Gaussian and one voxel for differences.
    """
    return int(3 * sigma + 0.5) + 1 if sigma else 0


class UNetConfig(Architecture):
    """All that defines a U-Net's architecture.

    A level of the encoder is a block of convolutions and a pooling; below the last one lies the
    bottom; a level of the decoder is an upsampling, the concatenation with the encoder's output
    at that resolution, and a block of convolutions. All sizes are in voxels, axes in the order
    (y, x) or (z, y, x).

    Raises
    ------
    pydantic.ValidationError
        Where a value is out of its range, or the levels' numbers differ. (It is a `ValueError`.)

    Examples
    --------
    >>> config = UNetConfig.preset("ronneberger2015")
    >>> [axis.output_for(572) for axis in config.geometry]
    [388, 388]
    """

    kind: Literal["unet"] = "unet"
    encoder: Blocks = Field(
        ((32, 32), (64, 64)),
        description="Channels behind each convolution, level by level from the full resolution.",
    )
    bottom: tuple[int, ...] = Field(
        (128, 128), description="Channels behind each convolution at the lowest resolution."
    )
    decoder: Blocks = Field(
        ((64, 64), (32, 32)),
        description="Channels behind each convolution, level by level from the lowest resolution.",
    )
    poolings: Blocks = Field(
        (), description="Pooling factor per axis, level by level; empty means 2 everywhere."
    )
    kernels: Blocks = Field(
        (),
        description="Kernel size per axis (odd), level by level and then the bottom's; "
        "empty means 3 everywhere.",
    )
    head_kernel: tuple[int, ...] = Field(
        (), description="Kernel size of the last convolution per axis; empty means 1."
    )
    stem: tuple[int, ...] = Field(
        (),
        description="Side of the pixel blocks that are moved into channels before the first "
        "convolution and back behind the last, per axis; empty means 1, that is none.",
    )
    filters: Scales = Field(
        (),
        description="Scales of fixed filters (smoothing, gradient, curvature) whose answers go "
        "into the result by a short way: standard deviation per axis in voxels, 0 for axes that "
        "are left out; empty means no filters.",
    )
    down: Down = Field(
        "max",
        description="How the resolution is lowered: by the maximum, by the mean, or by a padded "
        "convolution with a stride, norm and nonlinearity.",
    )
    padding: Padding = Field(
        "valid", description="Valid convolutions, or padded ones that keep the size."
    )
    norm: Norm = Field("batch", description="Batch norm behind each convolution, or none.")
    activation: Activation = Field("relu", description="Nonlinearity behind each convolution.")
    slope: float = Field(
        0.01, ge=0, le=1, description="Slope of a leaky ReLU where its input is negative."
    )
    biases: bool = Field(
        True,
        description="Give convolutions without a norm a bias; otherwise none has one, nor have "
        "the upsamplings and the head.",
    )
    dropout: tuple[float, ...] = Field(
        (),
        description="Dropout rate per level and then the bottom's, and then, where it differs on "
        "the way up, per level of the decoder; empty means none.",
    )
    up: Up = Field(
        "transposed", description="Upsampling: transposed convolution, or parameterless."
    )
    up_channels: UpChannels = Field(
        "keep", description="What a transposed convolution does to the number of channels."
    )
    up_kernel: tuple[int, ...] = Field(
        (),
        description="Kernel of padded transposed convolutions per axis; larger ones than the "
        "factor overlap, and empty means the factor.",
    )
    residual: bool = Field(False, description="Add each block's input to its output.")
    input_skip: bool = Field(False, description="Add the network's input to its output.")
    readout: Readout = Field(
        "linear", description="What the result passes last; softplus is never negative."
    )
    bottom_multiple: int = Field(
        1, ge=1, description="The size that enters the bottom must be a multiple of this."
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        """Write out what an empty field stands for, so that equal networks have equal configs."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        ndim = data.get("ndim", 2)
        encoder = _as_blocks(data.get("encoder", cls.model_fields["encoder"].default))
        if ndim not in (2, 3) or not isinstance(encoder, list | tuple):
            return data  # the fields' own checks say what is wrong
        depth = len(encoder)
        data["poolings"] = data.get("poolings") or ((2,) * ndim,) * depth
        data["kernels"] = data.get("kernels") or ((3,) * ndim,) * (depth + 1)
        data["head_kernel"] = data.get("head_kernel") or (1,) * ndim
        data["stem"] = data.get("stem") or (1,) * ndim
        data["dropout"] = data.get("dropout") or (0.0,) * (depth + 1)
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        from napari_unet.network.unet_checks import check_unet

        check_unet(self)
        return self

    def can_filter(self, sigma: Sequence[float]) -> bool:
        """Tell whether filters of that size, in voxels per axis, see no more than the network.

        Then tiles, which read the network's context and no more, stay exact.
        """
        return all(
            filter_radius(s) <= g.context // 2 for s, g in zip(sigma, self.geometry, strict=True)
        )

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        return f"{self.ndim}D U-Net, {self.depth} poolings, {self.padding} convolutions"

    @property
    def depth(self) -> int:
        """Number of poolings."""
        return len(self.encoder)

    @property
    def padded(self) -> bool:
        """Whether padded convolutions keep the size, or valid ones cut it."""
        return self.padding == "same"

    def down_kernel(self, level: int) -> tuple[int, ...]:
        """Return the kernel per axis of the convolution with a stride that leaves a level."""
        return tuple(STRIDED_KERNEL if f > 1 else 1 for f in self.poolings[level])

    def dropout_above(self, level: int) -> float:
        """Return the dropout rate of a level of the decoder, counted from the full resolution."""
        own = self.dropout[self.depth + 1 :]
        return own[self.depth - 1 - level] if own else self.dropout[level]

    def axis_shape(self, axis: int) -> UNetShape:
        """Return the network's shape along one axis."""

        def crop(block: tuple[int, ...], level: int) -> int:
            return len(block) * (self.kernels[level][axis] - 1)

        levels = tuple(
            LevelShape(
                crop(self.encoder[i], i),
                crop(self.decoder[self.depth - 1 - i], i),
                self.poolings[i][axis],
                self.up == "linear",
                self.down_kernel(i)[axis] if self.down == "strided" else 0,
                self.up_kernel[axis] if self.up_kernel else 0,
            )
            for i in range(self.depth)
        )
        bottom = crop(self.bottom, self.depth)
        head = self.head_kernel[axis] - 1
        return UNetShape(levels, bottom, head, self.stem[axis], self.bottom_multiple)

    @property
    def geometry(self) -> tuple[AxisGeometry, ...]:
        """Which sizes fit, and what context a tile needs, per axis."""
        shapes = [self.axis_shape(axis) for axis in range(self.ndim)]
        return tuple(s.valid() if self.padding == "valid" else s.same() for s in shapes)

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """Number of input voxels that one output voxel can see, per axis."""
        return tuple(self.axis_shape(axis).receptive_field for axis in range(self.ndim))

    @property
    def block_volume(self) -> int:
        """Number of voxels that the stem moves into channels."""
        return prod(self.stem)

    def is_alike(self, a: int, b: int) -> bool:
        """Tell whether the network treats two spatial axes alike."""
        per_axis = (*self.kernels, self.head_kernel, self.up_kernel or (0,) * self.ndim)
        kernels = all(k[a] == k[b] for k in per_axis)
        return kernels and self.geometry[a] == self.geometry[b]

    def rows(self, input_shape: Sequence[int]) -> list[Row]:
        """List the layers for an input of a shape that fits, see `shape_table`."""
        from napari_unet.network.unet_rows import unet_rows

        return unet_rows(self, input_shape)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> UNetConfig:
        """Return the architecture of a published system.

        Parameters
        ----------
        name : str
            Such as ``"ronneberger2015"``; the command line's `sizes` lists them all.
        **changes
            Fields that shall differ, such as ``in_channels=3``.

        Raises
        ------
        InputError
            Where there is no preset of that name.
        """
        from napari_unet.network.kinds import preset

        config = preset(name, **changes)
        if not isinstance(config, cls):
            raise InputError(
                "This preset is no U-Net", got=name, todo="Use napari_unet.preset instead"
            )
        return config

    @classmethod
    def sized(
        cls,
        size: Size = "medium",
        ndim: Literal[2, 3] = 2,
        *,
        in_channels: int = 1,
        out_channels: int = 2,
        spacing: Sequence[float] | None = None,
        fast: bool = True,
        filters: bool = True,
        padding: Padding = "valid",
    ) -> UNetConfig:
        """Return a network of ours in one of three sizes.

        Parameters
        ----------
        size : {"small", "medium", "large"}
            Sets the channels at the highest resolution, and the number of poolings.
        ndim : {2, 3}
            Spatial dimensions.
        in_channels, out_channels : int
            Channels of the image, and classes.
        spacing : sequence of float, optional
            Distance between voxels per axis. Coarse axes are neither pooled nor convolved until
            the others are as coarse.
        fast : bool
            Begin with a stem that moves each block of two voxels a side into channels: two to
            three times as many steps in the same time on a CPU.
        filters : bool
            Add the answers of fixed filters, at the scales that the network's context holds: it
            then learns from few strokes what it would need many for.
        padding : {"valid", "same"}
            Convolutions without or with padding.
        """
        from napari_unet.network.presets import filter_scales, sized

        spacing = tuple(spacing or (1.0,) * ndim)
        config = cls(
            ndim=ndim,
            in_channels=in_channels,
            out_channels=out_channels,
            padding=padding,
            **sized(size, ndim, spacing, fast),
        )
        scales = filter(config.can_filter, filter_scales(spacing)) if filters else ()
        return config.model_copy(update={"filters": tuple(scales)})
