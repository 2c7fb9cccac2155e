"""The arithmetic of a U-Net's sizes, one axis at a time.

A U-Net with valid convolutions accepts only some input sizes. Per axis these are determined by
three integers::

    input  = stride * b + grow         b = 1, 2, 3, ...: the size at the bottom, after its
    output = stride * b - shrink       convolutions

               input ───────────────────────────► output
                 │ convolutions cut `crop`          ▲ up, convolutions cut `crop`
                 └─► pooling ─► ... b ... ─► up ────┘

`stride` is the product of the poolings. ``context = input - output = grow + shrink`` is the same
for every size: the voxels that a tile must read beyond those that it writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from napari_unet.errors import InputError


@dataclass(frozen=True, slots=True)
class AxisGeometry:
    """Allowed input sizes of a network along one axis, and the sizes of their outputs.

    Parameters
    ----------
    stride : int
        Step between allowed input sizes, in voxels.
    grow, shrink : int
        ``input = stride * b + grow`` and ``output = stride * b - shrink``.

    Examples
    --------
    The network of Ronneberger et al. 2015:

    >>> axis = AxisGeometry(stride=16, grow=124, shrink=60)
    >>> axis.output_for(572), axis.input_for(388), axis.context
    (388, 572, 184)
    """

    stride: int
    grow: int
    shrink: int

    @property
    def context(self) -> int:
        """Voxels by which the output is smaller than the input, half of them on each side."""
        return self.grow + self.shrink

    @property
    def smallest_input(self) -> int:
        """Smallest allowed input, in voxels."""
        return self.input_for(1)

    def input_for(self, output: int) -> int:
        """Return the smallest allowed input whose output has at least `output` voxels."""
        b = max(1, -(-(max(1, output) + self.shrink) // self.stride))
        return self.stride * b + self.grow

    def is_allowed(self, size: int) -> bool:
        """Tell whether an input of `size` voxels is allowed."""
        return size >= self.smallest_input and (size - self.grow) % self.stride == 0

    def output_for(self, size: int) -> int:
        """Return the output's size for an allowed input.

        Raises
        ------
        InputError
            Where `size` is not allowed; the message names the nearest sizes that are.
        """
        if not self.is_allowed(size):
            above = self.input_for(size - self.context)
            near = f"{above - self.stride} or {above}" if size > self.smallest_input else above
            raise InputError(
                "The network does not accept this input size",
                got=f"{size} pixels",
                expected=f"{near} (allowed: {self.smallest_input}, then every {self.stride})",
            )
        return size - self.context

    def allowed_inputs(self, stop: int) -> list[int]:
        """Return all allowed input sizes below `stop`, in voxels."""
        return list(range(self.smallest_input, stop, self.stride))

    def largest_input(self, limit: int) -> int:
        """Return the largest allowed input of at most `limit` voxels.

        Raises
        ------
        InputError
            Where `limit` lies below the smallest allowed input, which the message names.
        """
        if limit < self.smallest_input:
            raise InputError(
                "The input is too small for the network",
                got=f"{limit} pixels",
                expected=f"at least {self.smallest_input} pixels",
                todo="Use a larger image or a network with fewer poolings",
            )
        return limit - (limit - self.grow) % self.stride


@dataclass(frozen=True, slots=True)
class LevelShape:
    """One level of a U-Net along one axis.

    Parameters
    ----------
    encoder_crop, decoder_crop : int
        Sum of (kernel - 1) over the convolutions before the pooling and after the upsampling.
    factor : int
        Pooling and upsampling factor.
    linear : bool
        Whether the upsampling interpolates linearly, and so needs a neighbour on each side.
    down_kernel : int
        Odd kernel of the padded strided convolution that lowers the resolution; 0: a pooling,
        which reads `factor` voxels.
    up_kernel : int
        Kernel of a padded transposed convolution, see `transposed_padding`; 0: `factor`.
    """

    encoder_crop: int
    decoder_crop: int
    factor: int
    linear: bool = False
    down_kernel: int = 0
    up_kernel: int = 0

    @property
    def up_crop(self) -> int:
        """Voxels that interpolation would extrapolate at the border, both sides together."""
        return 2 * (self.factor // 2) if self.linear else 0

    def below(self, lo: int, hi: int) -> tuple[int, int]:
        """Return the interval of voxels at the lower resolution that the upsampling reads.

        Parameters
        ----------
        lo, hi : int
            First and last voxel of its output, at this resolution.
        """
        f = self.factor
        if self.linear and f > 1:
            # Half-pixel centres: x lies between floor((x + 1/2) / f - 1/2) and the next one.
            return (2 * lo + 1 - f) // (2 * f), (2 * hi + 1 - f) // (2 * f) + 1
        return seen_by_transposed(lo, hi, self.up_kernel or f, f)

    def above(self, lo: int, hi: int) -> tuple[int, int]:
        """Return the interval of voxels at this resolution that the pooling reads.

        Parameters
        ----------
        lo, hi : int
            First and last voxel of its output, at the lower resolution.
        """
        if not self.down_kernel:
            return lo * self.factor, hi * self.factor + self.factor - 1
        half = self.down_kernel // 2
        return lo * self.factor - half, hi * self.factor + half


@dataclass(frozen=True, slots=True)
class UNetShape:
    """A whole U-Net along one axis.

    Parameters
    ----------
    levels : tuple of LevelShape
        From the input's resolution downwards.
    bottom_crop, head_crop : int
        Sum of (kernel - 1) at the bottom and in the head.
    block : int
        Side of the blocks of voxels that the stem moves into channels; 1 without a stem.
    bottom_multiple : int
        The size that enters the bottom must be a multiple of this.
    """

    levels: tuple[LevelShape, ...]
    bottom_crop: int
    head_crop: int = 0
    block: int = 1
    bottom_multiple: int = 1

    def valid(self) -> AxisGeometry:
        """Return the geometry with valid (unpadded) convolutions."""
        stride = 1
        grow = self.bottom_crop
        shrink = 0
        for level in reversed(self.levels):
            stride *= level.factor
            grow = level.factor * grow + level.encoder_crop
            shrink = level.factor * shrink + level.up_crop + level.decoder_crop
        shrink += self.head_crop
        if self.bottom_multiple > 1:
            # Not the output of the bottom but its input is the multiple: b counts that instead.
            grow -= stride * self.bottom_crop
            shrink += stride * self.bottom_crop
            stride *= self.bottom_multiple
        return AxisGeometry(self.block * stride, self.block * grow, self.block * shrink)

    def same(self) -> AxisGeometry:
        """Return the geometry with padded convolutions.

        The context is the true receptive field: an output voxel that is at least half of it away
        from the border of a tile does not depend on the padding there.
        """
        stride = self.block * self.bottom_multiple
        for level in self.levels:
            stride *= level.factor
        return AxisGeometry(stride, 0, 2 * halo_of(self._sees, stride))

    @property
    def receptive_field(self) -> int:
        """Largest number of input voxels that one output voxel depends on."""
        return field_of(self._sees, self.same().stride)

    def _sees(self, position: int) -> tuple[int, int]:
        """Return the first and last input voxel that an output voxel depends on."""
        half = self.head_crop // 2
        lo, hi = _through(
            self.levels,
            self.bottom_crop,
            position // self.block - half,
            position // self.block + half,
        )
        return lo * self.block, hi * self.block + self.block - 1


def _through(levels: Sequence[LevelShape], bottom_crop: int, lo: int, hi: int) -> tuple[int, int]:
    """Return the interval of a level's input that [lo, hi] of its output depends on."""
    if not levels:
        return lo - bottom_crop // 2, hi + bottom_crop // 2
    level = levels[0]
    lo -= level.decoder_crop // 2
    hi += level.decoder_crop // 2
    deep_lo, deep_hi = level.above(*_through(levels[1:], bottom_crop, *level.below(lo, hi)))
    half = level.encoder_crop // 2
    return min(lo, deep_lo) - half, max(hi, deep_hi) + half


def transposed_padding(kernel: int, factor: int) -> tuple[int, int]:
    """Return padding and output padding with which a transposed convolution multiplies sizes.

    Parameters
    ----------
    kernel, factor : int
        Size of the kernel, and stride, along one axis; the kernel is not smaller.

    Examples
    --------
    >>> transposed_padding(2, 2), transposed_padding(3, 2), transposed_padding(4, 2)
    ((0, 0), (1, 1), (1, 0))
    """
    padding = -(-(kernel - factor) // 2)
    return padding, 2 * padding - (kernel - factor)


def seen_by_transposed(lo: int, hi: int, kernel: int, factor: int) -> tuple[int, int]:
    """Return the interval of input voxels that a transposed convolution reads.

    Parameters
    ----------
    lo, hi : int
        First and last voxel of its output.
    kernel, factor : int
        Size of the kernel, and stride; it is padded by `transposed_padding`.
    """
    padding, _ = transposed_padding(kernel, factor)
    return -((kernel - 1 - padding - lo) // factor), (hi + padding) // factor


def halo_of(sees: Callable[[int], tuple[int, int]], stride: int) -> int:
    """Return the largest distance from an output voxel to an input voxel that it depends on.

    Parameters
    ----------
    sees : callable
        Returns the first and last input voxel that the output voxel at a position depends on.
    stride : int
        Period of the positions, in voxels.
    """
    fields = enumerate(map(sees, range(stride)))
    return max(max(p - lo, hi - p) for p, (lo, hi) in fields)


def field_of(sees: Callable[[int], tuple[int, int]], stride: int) -> int:
    """Return the largest number of input voxels that an output voxel depends on.

    Parameters
    ----------
    sees, stride
        As in `halo_of`.
    """
    return max(hi - lo + 1 for lo, hi in map(sees, range(stride)))


FACTOR = 2
"""Factor of every pooling of an FCN."""


@dataclass(frozen=True, slots=True)
class FCNShape:
    """Blocks of padded convolutions, each with a pooling by 2; then upsamplings and additions.

    After each upsampling but the last, the output of the encoder at that resolution is added::

        input ─► block, pool ─► ... ─► block, pool ─► bottom ─► up ─► + ─► up ─► output
                      └───────────────────────────────────────────────┘

    Parameters
    ----------
    crops : tuple of int
        Sum of (kernel - 1) over each block's convolutions.
    bottom_crop : int
        The same for the convolutions after the last pooling.
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
        """Largest number of input voxels that one output voxel depends on."""
        return field_of(self._sees, self.stride)

    def _sees(self, position: int) -> tuple[int, int]:
        """Return the first and last input voxel that an output voxel depends on."""
        fields = []
        here = (position, position)
        stride = 1
        for factor in reversed(self.ups):
            here = seen_by_transposed(*here, 2 * factor, factor)
            stride *= factor
            if stride < self.stride:
                fields.append(self._encoder(*here, stride))
        fields.append(self._bottom(*here))
        return min(lo for lo, _ in fields), max(hi for _, hi in fields)

    def _bottom(self, lo: int, hi: int) -> tuple[int, int]:
        half = self.bottom_crop // 2
        return self._encoder(lo - half, hi + half, self.stride)

    def _encoder(self, lo: int, hi: int, stride: int) -> tuple[int, int]:
        """Follow an interval after the pooling that leads to `stride` back to the input."""
        for crop in reversed(self.crops[: stride.bit_length() - 1]):
            lo = lo * FACTOR - crop // 2
            hi = hi * FACTOR + FACTOR - 1 + crop // 2
        return lo, hi
