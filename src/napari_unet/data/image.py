"""Images and labels with the roles of their axes: loop, channel and spatial axes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.source import Source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import AxisLayout
from napari_unet.geometry.region import Region, mirror

Border = Literal["mirror", "edge", "zero", "wrap"]
"""How an image is continued beyond its border."""


@dataclass(frozen=True)
class ImageView:
    """An image array whose axes have roles.

    An index along the loop axes selects one image, which has channels and spatial axes.

    Parameters
    ----------
    source : Source
        The array.
    layout : AxisLayout
        Which of its axes are loop axes, the channel axis, and spatial axes.
    context_planes : int
        Odd number of neighbouring images along the last loop axis, with the image in their middle,
        that are read as channels of one image (2.5D). Beyond the ends they are mirrored.
    periodic_axes : tuple of bool
        Which spatial axes are periodic, such as an angle: their beginning follows their end.
        Empty if none is.
    border : {"mirror", "edge", "zero", "wrap"}
        How the image is continued along the other axes: mirrored at the outermost pixels, with
        their values, with zeros, or from its other end.
    window : Region, optional
        The part that is the image, over all axes but that of channels, in voxels: indices and
        regions then begin at its first voxel. What lies beyond it is read as it is.

    Raises
    ------
    InputError
        If layout, context planes or periodic axes do not fit the array.
    """

    source: Source
    layout: AxisLayout
    context_planes: int = 1
    periodic_axes: tuple[bool, ...] = ()
    border: Border = "mirror"
    window: Region | None = None

    def __post_init__(self) -> None:
        _check_layout(self.source, self.layout)
        if self.context_planes < 1 or self.context_planes % 2 == 0:
            raise InputError(
                "The number of planes that are read together has to be odd", got=self.context_planes
            )
        if self.context_planes > 1 and not self.layout.loops:
            raise InputError(
                f"{self.context_planes} planes cannot be read together: this is a single image",
                got=f"shape {self.source.shape}",
                todo="Set the number of planes to 1, or open a stack",
            )
        if self.periodic_axes and len(self.periodic_axes) != len(self.layout.spatial):
            raise InputError("wrap needs one value for each spatial axis", got=self.periodic_axes)

    @property
    def loop_shape(self) -> tuple[int, ...]:
        """Sizes of the loop axes."""
        return self.layout.loop_shape(self.shape)

    @property
    def channels(self) -> int:
        """Number of channels of an image, including those of its context planes."""
        return self.context_planes * self.layout.channels(self.source.shape)

    @property
    def centre_channels(self) -> slice:
        """Slice of the channels that belong to the image itself, and not to its neighbours."""
        each = self.layout.channels(self.source.shape)
        return slice(self.context_planes // 2 * each, (self.context_planes // 2 + 1) * each)

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Sizes of the spatial axes, in voxels."""
        return self.layout.spatial_shape(self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array, or of the window in it."""
        if self.window is None:
            return self.source.shape
        sizes = list(self.window.shape)
        if self.layout.channel is not None:
            sizes.insert(self.layout.channel, self.source.shape[self.layout.channel])
        return tuple(sizes)

    @property
    def offset(self) -> tuple[int, ...]:
        """First voxel of the window, along the loop axes and then the spatial ones."""
        layout = self.layout.labels
        axes = layout.loops + layout.spatial
        return tuple(0 if self.window is None else self.window.start[axis] for axis in axes)

    def index_in_whole(self, loop: tuple[int, ...]) -> tuple[int, ...]:
        """Return the loop index in the image without the window."""
        return tuple(i + first for i, first in zip(loop, self.offset, strict=False))

    @property
    def whole(self) -> ImageView:
        """The image without the window."""
        return self if self.window is None else replace(self, window=None)

    def loops(self) -> Iterator[tuple[int, ...]]:
        """Iterate over the loop indices of all images, the last axis fastest."""
        return product(*map(range, self.loop_shape))

    def read(self, loop: tuple[int, ...], region: Region) -> NDArray[np.float32]:
        """Read a region of an image, not normalised, continued beyond the border.

        Parameters
        ----------
        loop : tuple of int
            Index along the loop axes.
        region : Region
            Over the spatial axes, in voxels; it may extend beyond the image.

        Returns
        -------
        ndarray of float32, shape (channels, *region.shape)
        """
        with np.errstate(over="ignore"):  # too large values become infinite, and are ignored later
            return self.read_raw(loop, region).astype(np.float32)

    def read_raw(self, loop: tuple[int, ...], region: Region) -> NDArray[Any]:
        """Read like :meth:`read`, in the type of the array; the result must not be written to.

        So pixels such as 1e9 + 0.1 keep their precision until the normalisation.

        Parameters
        ----------
        loop, region
            As for :meth:`read`.

        Returns
        -------
        ndarray, shape (channels, *region.shape)
        """
        offset, outer = self.offset, self.layout.spatial_shape(self.source.shape)
        loop = self.index_in_whole(loop)
        region = region.shift(offset[len(loop) :])
        parts = [
            _axis_part(*span, how)
            for span, how in zip(_spans(region, outer), self._borders, strict=True)
        ]
        box = Region(tuple(p.start for p in parts), tuple(p.stop for p in parts))
        planes = [_read_box(self.source, self.layout, at, box) for at in self._context(loop)]
        data = planes[0] if len(planes) == 1 else np.concatenate(planes)
        for axis, part in enumerate(parts, start=1):
            if part.index is not None:
                data = np.take(data, part.index, axis)
            if part.outside is not None:
                data[(slice(None),) * axis + (part.outside,)] = 0
        return data

    @property
    def _borders(self) -> tuple[Border, ...]:
        wraps = self.periodic_axes or (False,) * len(self.spatial_shape)
        return tuple("wrap" if wrap else self.border for wrap in wraps)

    def _context(self, loop: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Return the loop indices of the images that are read as one."""
        if self.context_planes == 1:
            return [loop]
        reach = self.context_planes // 2
        size = self.layout.loop_shape(self.source.shape)[-1]
        steps = range(-reach, reach + 1)
        return [(*loop[:-1], mirror(loop[-1] + step, size)) for step in steps]


@dataclass(frozen=True)
class LabelView:
    """A label array whose axes have roles.

    Parameters
    ----------
    source : Source
        The labels, of an integer type.
    layout : AxisLayout
        The roles of its axes, without a channel axis.

    Raises
    ------
    InputError
        If there is a channel axis, or the labels are not integers.
    """

    source: Source
    layout: AxisLayout

    def __post_init__(self) -> None:
        _check_layout(self.source, self.layout)
        if self.layout.channel is not None:
            raise InputError("Labels cannot have a channel axis", got=f"axis {self.layout.channel}")
        if self.source.dtype.kind not in "biu":
            raise InputError(
                "Labels have to be whole numbers",
                got=f"dtype {self.source.dtype}",
                todo="Choose a Labels layer, or convert the mask to integers",
            )

    @property
    def loop_shape(self) -> tuple[int, ...]:
        """Sizes of the loop axes."""
        return self.layout.loop_shape(self.source.shape)

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Sizes of the spatial axes, in voxels."""
        return self.layout.spatial_shape(self.source.shape)

    def loops(self) -> Iterator[tuple[int, ...]]:
        """Iterate over the loop indices of all images, the last axis fastest."""
        return product(*map(range, self.loop_shape))

    def read(self, loop: tuple[int, ...], region: Region) -> NDArray[Any]:
        """Read a region of the labels of an image; 0 outside the image.

        Parameters
        ----------
        loop : tuple of int
            Index along the loop axes.
        region : Region
            Over the spatial axes, in voxels.

        Returns
        -------
        ndarray, shape region.shape
        """
        box = region.intersect(Region.whole(self.spatial_shape))
        out: NDArray[Any] = np.zeros(region.shape, self.source.dtype)
        if box.size:
            out[box.within(region).slices] = _read_box(self.source, self.layout, loop, box)[0]
        return out


class PartOfSource:
    """A part of labels, which are 0 where a mask says that they do not belong to it.

    Parameters
    ----------
    source : Source
        The labels.
    region : Region
        The part, which lies inside them.
    inside : ndarray of bool, optional
        Which voxels of the part belong to it; its shape is that of the part, or 1 along axes along
        which all are alike.
    """

    def __init__(
        self, source: Source, region: Region, inside: NDArray[np.bool_] | None = None
    ) -> None:
        self.shape: tuple[int, ...] = region.shape
        self.dtype: np.dtype[Any] = source.dtype
        self._source, self._region = source, region
        self._inside = None if inside is None else np.broadcast_to(inside, region.shape)

    def read(self, region: Region) -> NDArray[Any]:
        """Return a region of the part; the result must not be written to."""
        values = self._source.read(region.shift(self._region.start))
        if self._inside is None:
            return values
        return np.where(self._inside[region.slices], values, self.dtype.type(0))


@dataclass(frozen=True)
class _AxisPart:
    """What is read along one axis: a range, the elements of it (None: all), and which are 0."""

    start: int
    stop: int
    index: NDArray[np.intp] | None = None
    outside: NDArray[np.bool_] | None = None


def _spans(region: Region, shape: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    return zip(region.start, region.stop, shape, strict=True)


def _axis_part(start: int, stop: int, size: int, border: Border) -> _AxisPart:
    if 0 <= start <= stop <= size:
        return _AxisPart(start, stop)
    positions = np.arange(start, stop, dtype=np.intp)
    if border == "wrap":
        index = positions % size
    elif border == "mirror":
        index = np.array([mirror(i, size) for i in range(start, stop)], dtype=np.intp)
    else:
        index = positions.clip(0, size - 1)
    first = int(index.min())
    last = int(index.max()) + 1
    outside = (positions < 0) | (positions >= size) if border == "zero" else None
    return _AxisPart(first, last, index - first, outside)


def _read_box(
    source: Source, layout: AxisLayout, loop: tuple[int, ...], box: Region
) -> NDArray[Any]:
    """Read a box inside an image, shape (channels, *box.shape)."""
    start = [0] * len(source.shape)
    stop = list(source.shape)
    for axis, index in zip(layout.loops, loop, strict=True):
        start[axis] = index
        stop[axis] = index + 1
    for axis, a, b in zip(layout.spatial, box.start, box.stop, strict=True):
        start[axis] = a
        stop[axis] = b
    data = source.read(Region(tuple(start), tuple(stop)))
    channel = () if layout.channel is None else (layout.channel,)
    data = data.transpose(layout.loops + channel + layout.spatial)
    return data.reshape(layout.channels(source.shape), *box.shape)


def _check_layout(source: Source, layout: AxisLayout) -> None:
    channel = () if layout.channel is None else (layout.channel,)
    if sorted(layout.loops + channel + layout.spatial) != list(range(len(source.shape))):
        raise InputError(
            "The axes do not fit the array",
            got=f"shape {source.shape} and {layout}",
            expected="a role for every axis",
        )
