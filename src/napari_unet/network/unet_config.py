"""The configuration of a U-Net: its fields, their checks, and its layers. Knows no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from napari_unet.errors import InputError
from napari_unet.geometry.unet_shape import AxisGeometry, LevelShape, UNetShape
from napari_unet.network.architecture import Architecture, Readout
from napari_unet.network.layers import LayerRow, LayerTrace
from napari_unet.network.presets import filter_scales, preset_fields, sized_fields

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
"""Channels between the two convolutions after the filters."""

STRIDED_KERNEL = 3
"""Kernel of a strided convolution, along the axes whose resolution it lowers."""

LEAST_SIGMA = 0.5
"""Smallest standard deviation of a filter, in voxels: smaller Gaussians are not sampled well."""


def filter_radius(sigma: float) -> int:
    """Return the radius of a filter of standard deviation `sigma`, both in voxels.

    It is three sigma for the Gaussian and one voxel for differences.
    """
    return int(3 * sigma + 0.5) + 1 if sigma else 0


class UNetConfig(Architecture):
    """All that defines a U-Net's architecture.

    A level of the encoder is a block of convolutions and a pooling. The bottom is a block at the
    lowest resolution. A level of the decoder is an upsampling, the concatenation with the output of
    the encoder at that resolution, and a block of convolutions. All sizes are in voxels, axes in
    the order (y, x) or (z, y, x).

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
        description="Channels of each convolution, level by level from the full resolution.",
    )
    bottom: tuple[int, ...] = Field(
        (128, 128), description="Channels of each convolution at the lowest resolution."
    )
    decoder: Blocks = Field(
        ((64, 64), (32, 32)),
        description="Channels of each convolution, level by level from the lowest resolution.",
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
        "convolution and back after the last, per axis; empty means 1, that is none.",
    )
    filters: Scales = Field(
        (),
        description="Scales of fixed filters (smoothing, gradient, curvature), whose features are "
        "classified and added to the result: standard deviation per axis in voxels, 0 for axes "
        "that are left out; empty means no filters.",
    )
    down: Down = Field(
        "max",
        description="How the resolution is lowered: by the maximum, by the mean, or by a padded "
        "convolution with a stride, norm and nonlinearity.",
    )
    padding: Padding = Field(
        "valid", description="Valid convolutions, or padded ones that keep the size."
    )
    norm: Norm = Field("batch", description="Batch norm after each convolution, or none.")
    activation: Activation = Field("relu", description="Nonlinearity after each convolution.")
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
        "linear", description="Function of the output: none, or softplus, which is never negative."
    )
    bottom_multiple: int = Field(
        1, ge=1, description="The size that enters the bottom must be a multiple of this."
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        """Replace empty fields by what they stand for, so that equal networks are equal configs."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        ndim = data.get("ndim", 2)
        encoder = _as_blocks(data.get("encoder", cls.model_fields["encoder"].default))
        if ndim not in (2, 3) or not isinstance(encoder, list | tuple):
            return data  # the checks of the fields report it
        depth = len(encoder)
        data["poolings"] = data.get("poolings") or ((2,) * ndim,) * depth
        data["kernels"] = data.get("kernels") or ((3,) * ndim,) * (depth + 1)
        data["head_kernel"] = data.get("head_kernel") or (1,) * ndim
        data["stem"] = data.get("stem") or (1,) * ndim
        data["dropout"] = data.get("dropout") or (0.0,) * (depth + 1)
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_unet(self)
        return self

    def can_filter(self, sigma: Sequence[float]) -> bool:
        """Tell whether filters of standard deviation `sigma` per axis lie within the context.

        Then tiles, which read no more than the network's context, are exact.
        """
        return all(
            filter_radius(s) <= g.context // 2 for s, g in zip(sigma, self.geometry, strict=True)
        )

    @property
    def title(self) -> str:
        """Short description."""
        return f"{self.ndim}D U-Net, {self.depth} poolings, {self.padding} convolutions"

    @property
    def depth(self) -> int:
        """Number of poolings."""
        return len(self.encoder)

    @property
    def padded(self) -> bool:
        """Whether convolutions are padded and keep the size; otherwise they are valid."""
        return self.padding == "same"

    def down_kernel(self, level: int) -> tuple[int, ...]:
        """Return the kernel, per axis, of the strided convolution after a level of the encoder."""
        return tuple(STRIDED_KERNEL if f > 1 else 1 for f in self.poolings[level])

    def dropout_above(self, level: int) -> float:
        """Return the dropout rate of a level of the decoder, counted from the full resolution."""
        decoder = self.dropout[self.depth + 1 :]
        return decoder[self.depth - 1 - level] if decoder else self.dropout[level]

    def axis_shape(self, axis: int) -> UNetShape:
        """Return the network's shape along one axis."""

        def crop(block: tuple[int, ...], level: int) -> int:  # sum of (kernel - 1)
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
        """Allowed sizes, and the context of a tile, per axis."""
        shapes = [self.axis_shape(axis) for axis in range(self.ndim)]
        return tuple(s.valid() if self.padding == "valid" else s.same() for s in shapes)

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """Number of input voxels that one output voxel depends on, per axis."""
        return tuple(self.axis_shape(axis).receptive_field for axis in range(self.ndim))

    @property
    def block_volume(self) -> int:
        """Number of voxels that the stem moves into channels."""
        return prod(self.stem)

    def is_alike(self, a: int, b: int) -> bool:
        """Tell whether the network treats two spatial axes in the same way.

        Parameters
        ----------
        a, b : int
            Indices of the axes.
        """
        per_axis = (*self.kernels, self.head_kernel, self.up_kernel or (0,) * self.ndim)
        kernels = all(k[a] == k[b] for k in per_axis)
        return kernels and self.geometry[a] == self.geometry[b]

    def layers(self, input_shape: Sequence[int]) -> list[LayerRow]:
        """List the layers for an allowed input shape, see `shape_table`."""
        return unet_layers(self, input_shape)

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
        fields = preset_fields(name)
        if fields.get("kind", "unet") != "unet":
            raise InputError(
                "This preset is no U-Net", got=name, todo="Use napari_unet.preset instead"
            )
        return cls(**{**fields, **changes})

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
        """Return one of our networks, in one of three sizes.

        Parameters
        ----------
        size : {"small", "medium", "large"}
            Channels at the full resolution, and number of poolings.
        ndim : {2, 3}
            Spatial dimensions.
        in_channels, out_channels : int
            Channels of the image, and classes.
        spacing : sequence of float, optional
            Distance between voxels per axis. Coarse axes are neither pooled nor convolved until
            the others are as coarse.
        fast : bool
            Whether a stem moves blocks of two voxels a side into channels: a CPU then computes
            two to three times as many steps in the same time.
        filters : bool
            Whether fixed filters are added, at all scales that lie within the network's context:
            the network then needs fewer strokes.
        padding : {"valid", "same"}
            Convolutions without or with padding.
        """
        spacing = tuple(spacing or (1.0,) * ndim)
        config = cls(
            ndim=ndim,
            in_channels=in_channels,
            out_channels=out_channels,
            padding=padding,
            **sized_fields(size, ndim, spacing, fast),
        )
        scales = filter(config.can_filter, filter_scales(spacing)) if filters else ()
        return config.model_copy(update={"filters": tuple(scales)})


def check_unet(config: UNetConfig) -> None:
    """Check that the fields of a configuration are consistent.

    Raises
    ------
    ValueError
        Where they are not, with the first reason.
    """
    _check_lengths(config)
    _check_values(config)
    _check_channels(config)
    _check_padded(config)
    _check_up_kernel(config)
    _check_filters(config)


def _check_lengths(c: UNetConfig) -> None:
    for name, length in {"decoder": c.depth, "poolings": c.depth, "kernels": c.depth + 1}.items():
        if len(getattr(c, name)) != length:
            raise ValueError(
                f"{name} must have {length} entries for {c.depth} levels, "
                f"got {len(getattr(c, name))}"
            )
    if len(c.dropout) not in (c.depth + 1, 2 * c.depth + 1):
        raise ValueError(
            f"dropout must have {c.depth + 1} entries for {c.depth} levels, or {2 * c.depth + 1} "
            f"with those of the decoder, got {len(c.dropout)}"
        )
    for name in ("poolings", "kernels"):
        if any(len(sizes) != c.ndim for sizes in getattr(c, name)):
            raise ValueError(f"{name} must have {c.ndim} sizes per level, one per axis")
    per_axis = ["head_kernel", "stem"]
    if c.up_kernel:
        per_axis.append("up_kernel")
    for name in per_axis:
        if len(getattr(c, name)) != c.ndim:
            raise ValueError(f"{name} must have {c.ndim} sizes, one per axis")


def _check_values(c: UNetConfig) -> None:
    if any(k < 1 or k % 2 == 0 for ks in (*c.kernels, c.head_kernel) for k in ks):
        raise ValueError("kernel sizes must be odd, so that both sides lose the same")
    if any(f < 1 for fs in (*c.poolings, c.stem) for f in fs):
        raise ValueError("pooling factors and the stem's blocks must be at least 1")
    if any(not 0 <= rate < 1 for rate in c.dropout):
        raise ValueError("dropout rates must be at least 0 and below 1")


def _check_channels(c: UNetConfig) -> None:
    blocks = (*c.encoder, c.bottom, *c.decoder)
    if any(n < 1 for block in blocks for n in block):
        raise ValueError("channels must be at least 1")
    if any(not block for block in blocks):
        raise ValueError("each block needs at least one convolution")
    halved = (c.bottom, *c.decoder[:-1]) if c.up_channels == "halve" else ()
    if c.up == "transposed" and c.depth and any(block[-1] < 2 for block in halved):
        raise ValueError("up_channels 'halve' needs at least 2 channels to halve")
    if c.input_skip and c.in_channels != c.out_channels:
        raise ValueError("input_skip needs as many channels out as in")


def _check_padded(c: UNetConfig) -> None:
    if c.down == "strided" and not c.padded:
        raise ValueError("down 'strided' needs padding 'same'")
    if c.up_kernel and not c.padded:
        raise ValueError("up_kernel needs padding 'same'")


def _check_up_kernel(c: UNetConfig) -> None:
    if c.up_kernel and c.up != "transposed":
        raise ValueError("up_kernel is for up 'transposed' alone")
    for factors in c.poolings if c.up_kernel else ():
        for k, f in zip(c.up_kernel, factors, strict=True):
            if k < f or (f == 1 and k % 2 == 0):
                raise ValueError(
                    "up_kernel must be at least the pooling factor, and odd where that is 1: "
                    f"got {k} for a factor of {f}"
                )


def _check_filters(c: UNetConfig) -> None:
    if c.filters and not c.biases:
        raise ValueError("filters have biases: leave them out, or set biases")
    for sigma in c.filters:
        if len(sigma) != c.ndim:
            raise ValueError(f"filters must have {c.ndim} sigmas per scale, one per axis")
        if not any(sigma) or any(s and not s >= LEAST_SIGMA for s in sigma):
            raise ValueError(
                f"filters must have sigmas of at least {LEAST_SIGMA} voxels, or 0 along axes "
                "that are left out, but not 0 along all of them"
            )
        if not c.can_filter(sigma):
            raise ValueError(
                f"filters of sigma {sigma} reach {tuple(map(filter_radius, sigma))} voxels, "
                f"but the network sees {tuple(g.context // 2 for g in c.geometry)} beyond "
                "its output: choose smaller sigmas, or more poolings or convolutions"
            )


def unet_layers(config: UNetConfig, input_shape: Sequence[int]) -> list[LayerRow]:
    """List the layers of a U-Net for an allowed input shape, see `shape_table`."""
    trace = LayerTrace(input_shape, config.in_channels)
    volume = config.block_volume
    image = trace.last
    if config.filters or config.input_skip:
        trace.wait()
    if volume > 1:
        coarse = [n // f for n, f in zip(image.shape, config.stem, strict=True)]
        trace.add("space to depth", coarse, image.channels * volume)
    skips: list[LayerRow] = []
    for level, channels in enumerate(config.encoder):
        _block(config, trace, f"encoder {level + 1}", channels, level, config.dropout[level])
        skips.append(trace.wait())
        _down(config, trace, f"encoder {level + 1}", level)
    _block(config, trace, "bottom", config.bottom, config.depth, config.dropout[config.depth])
    for level, channels in zip(reversed(range(config.depth)), config.decoder, strict=True):
        name = f"decoder {level + 1}"
        _up(config, trace, f"{name} up", config.poolings[level])
        trace.concat(f"{name} concat", skips[level])
        _block(config, trace, name, channels, level, config.dropout_above(level))
    _end(config, trace)
    return trace.layers


def _end(config: UNetConfig, trace: LayerTrace) -> None:
    volume = config.block_volume
    trace.conv(
        "head",
        config.out_channels * volume,
        config.head_kernel,
        valid=not config.padded,
        bias=config.biases,
    )
    fine = [n * f for n, f in zip(trace.last.shape, config.stem, strict=True)]
    if volume > 1:
        trace.add("depth to space", fine, config.out_channels)
    if config.filters:
        _filters(config, trace)
    if config.input_skip:
        trace.add("input skip", fine, config.out_channels)


def _filters(config: UNetConfig, trace: LayerTrace) -> None:
    features = FEATURES * len(config.filters) * config.in_channels
    logits = trace.wait()
    # The features of all scales, and once more their concatenation.
    trace.add("filters", logits.shape, features, kept=2, extra=features * prod(logits.shape))
    one = (1,) * config.ndim
    layer = trace.conv("filters conv 1", HIDDEN, one, activation="relu")
    # The norm before it has a scale and a shift per feature.
    trace.layers[-1] = replace(layer, parameters=layer.parameters + 2 * features)
    trace.conv("filters conv 2", config.out_channels, one)
    trace.take(logits)


def _block(
    config: UNetConfig,
    trace: LayerTrace,
    name: str,
    channels: Sequence[int],
    level: int,
    rate: float,
) -> None:
    source = trace.last
    norm = config.norm == "batch"
    for i, out in enumerate(channels, start=1):
        trace.conv(
            f"{name} conv {i}",
            out,
            config.kernels[level],
            valid=not config.padded,
            bias=config.biases and not norm,
            norm=norm,
            activation=config.activation,
            dropout=rate if i == len(channels) else 0.0,
        )
    if config.residual:
        same = source.channels == channels[-1]
        last = trace.last
        weights = 0 if same else (source.channels + config.biases) * last.channels
        sums = 0 if same else source.numbers * last.channels
        trace.add(
            f"{name} residual",
            last.shape,
            last.channels,
            weights,
            multiply_adds=sums,
            kept=0,
            extra=source.numbers,
        )


def _down(config: UNetConfig, trace: LayerTrace, name: str, level: int) -> None:
    factor = config.poolings[level]
    norm = config.norm == "batch"
    if config.down != "strided":
        trace.pool(f"{name} pool", factor, indices=config.down == "max")
        return
    trace.conv(
        f"{name} down",
        trace.last.channels,
        config.down_kernel(level),
        stride=factor,
        bias=config.biases and not norm,
        norm=norm,
        activation=config.activation,
    )


def _up(config: UNetConfig, trace: LayerTrace, name: str, factor: Sequence[int]) -> None:
    if config.up == "transposed":
        channels = trace.last.channels
        out = channels // 2 if config.up_channels == "halve" else channels
        trace.up_conv(name, out, config.up_kernel or factor, factor, bias=config.biases)
        return
    # Valid interpolation cuts off what it would extrapolate.
    cut = config.up == "linear" and not config.padded
    trace.up(name, factor, [f // 2 if cut else 0 for f in factor])
