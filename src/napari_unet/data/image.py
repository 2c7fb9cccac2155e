"""Pictures and labels as the network sees them: looped axes, channels and space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.source import Source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import AxisLayout
from napari_unet.geometry.region import Region, mirror

Border = Literal["mirror", "edge", "zero", "wrap"]
"""How a picture goes on beyond its border."""


@dataclass(frozen=True)
class ImageView:
    """A picture whose axes have roles.

    Parameters
    ----------
    source : Source
        The array.
    layout : AxisLayout
        Which of its axes are looped over, hold channels, are space.
    context_planes : int
        Odd: how many neighbours along the last looped axis are read as channels of one picture
        (2.5D), half of them before it and half behind. Beyond the ends they are mirrored.
    periodic_axes : tuple of bool
        Spatial axes that go round, such as an angle: beyond their end comes their beginning.
        Empty: none goes round.
    border : {"mirror", "edge", "zero", "wrap"}
        How the picture goes on along the other axes: mirrored at its outermost pixels, with
        these, with zeros, or from its beginning.

    Raises
    ------
    InputError
        Where layout, planes and periodic axes do not fit the array.
    """

    source: Source
    layout: AxisLayout
    context_planes: int = 1
    periodic_axes: tuple[bool, ...] = ()
    border: Border = "mirror"

    def __post_init__(self) -> None:
        _check_layout(self.source, self.layout)
        if self.context_planes < 1 or self.context_planes % 2 == 0:
            raise InputError("The planes seen together are an odd number", got=self.context_planes)
        if self.context_planes > 1 and not self.layout.loops:
            raise InputError(
                f"{self.context_planes} planes cannot be seen together in a single picture",
                got=f"shape {self.source.shape}",
                todo="Set the number of planes to 1, or open a stack",
            )
        if self.periodic_axes and len(self.periodic_axes) != len(self.layout.spatial):
            raise InputError("wrap needs one value per spatial axis", got=self.periodic_axes)

    @property
    def loop_shape(self) -> tuple[int, ...]:
        """Sizes of the looped axes."""
        return self.layout.loop_shape(self.source.shape)

    @property
    def channels(self) -> int:
        """Number of channels of a picture, its neighbours' among them."""
        return self.context_planes * self.layout.channels(self.source.shape)

    @property
    def centre_channels(self) -> slice:
        """Which of the channels are the picture's own, and not its neighbours'."""
        each = self.layout.channels(self.source.shape)
        return slice(self.context_planes // 2 * each, (self.context_planes // 2 + 1) * each)

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Sizes of the spatial axes, in voxels."""
        return self.layout.spatial_shape(self.source.shape)

    def loops(self) -> Iterator[tuple[int, ...]]:
        """Iterate over the indices of all pictures, the last looped axis fastest."""
        return product(*map(range, self.loop_shape))

    def read(self, loop: tuple[int, ...], region: Region) -> NDArray[np.float32]:
        """Return a region of one picture, not normalised, continued where it leaves the picture.

        Parameters
        ----------
        loop : tuple of int
            Which picture.
        region : Region
            Over the spatial axes, in voxels; it may reach beyond the picture.

        Returns
        -------
        ndarray of float32, shape (channels, *region.shape)
        """
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and then ignored
            return self.read_raw(loop, region).astype(np.float32)

    def read_raw(self, loop: tuple[int, ...], region: Region) -> NDArray[Any]:
        """Return the same as :meth:`read` in the picture's own type; do not write into it.

        Pixels such as 1e9 + 0.1 keep their digits here until the normalisation is subtracted.
        """
        picks = [
            _pick(*span, how)
            for span, how in zip(_spans(region, self.spatial_shape), self._borders, strict=True)
        ]
        box = Region(tuple(p.start for p in picks), tuple(p.stop for p in picks))
        parts = [_read_box(self.source, self.layout, at, box) for at in self._together(loop)]
        data = parts[0] if len(parts) == 1 else np.concatenate(parts)
        for axis, pick in enumerate(picks, start=1):
            if pick.index is not None:
                data = np.take(data, pick.index, axis)
            if pick.outside is not None:
                data[(slice(None),) * axis + (pick.outside,)] = 0
        return data

    @property
    def _borders(self) -> tuple[Border, ...]:
        wraps = self.periodic_axes or (False,) * len(self.spatial_shape)
        return tuple("wrap" if wrap else self.border for wrap in wraps)

    def _together(self, loop: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Return the indices of the pictures that are read as one."""
        if self.context_planes == 1:
            return [loop]
        reach, size = self.context_planes // 2, self.loop_shape[-1]
        steps = range(-reach, reach + 1)
        return [(*loop[:-1], mirror(loop[-1] + step, size)) for step in steps]


@dataclass(frozen=True)
class LabelView:
    """Labels whose axes have roles.

    Parameters
    ----------
    source : Source
        The labels, of an integer type.
    layout : AxisLayout
        The roles of its axes; there is no channel axis.

    Raises
    ------
    InputError
        Where the labels are no integers.
    """

    source: Source
    layout: AxisLayout

    def __post_init__(self) -> None:
        _check_layout(self.source, self.layout)
        if self.layout.channel is not None:
            raise InputError("Labels have no channel axis", got=f"axis {self.layout.channel}")
        if self.source.dtype.kind not in "biu":
            raise InputError(
                "Labels are whole numbers",
                got=f"dtype {self.source.dtype}",
                todo="Choose a Labels layer, or convert the mask to integers",
            )

    @property
    def loop_shape(self) -> tuple[int, ...]:
        """Sizes of the looped axes."""
        return self.layout.loop_shape(self.source.shape)

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Sizes of the spatial axes, in voxels."""
        return self.layout.spatial_shape(self.source.shape)

    def loops(self) -> Iterator[tuple[int, ...]]:
        """Iterate over the indices of all pictures, the last looped axis fastest."""
        return product(*map(range, self.loop_shape))

    def read(self, loop: tuple[int, ...], region: Region) -> NDArray[Any]:
        """Return a region of one picture's labels, shape `region.shape`; 0 outside the picture."""
        box = region.intersect(Region.whole(self.spatial_shape))
        out: NDArray[Any] = np.zeros(region.shape, self.source.dtype)
        if box.size:
            place = box.within(region).slices
            out[place] = _read_box(self.source, self.layout, loop, box)[0]
        return out


@dataclass(frozen=True)
class _Pick:
    """What to read along one axis, which of it to take (None: all, as it is), and what is 0."""

    start: int
    stop: int
    index: NDArray[np.intp] | None = None
    outside: NDArray[np.bool_] | None = None


def _spans(region: Region, shape: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    return zip(region.start, region.stop, shape, strict=True)


def _pick(start: int, stop: int, size: int, border: Border) -> _Pick:
    if 0 <= start <= stop <= size:
        return _Pick(start, stop)
    wanted = np.arange(start, stop, dtype=np.intp)
    if border == "wrap":
        index = wanted % size
    elif border == "mirror":
        index = np.array([mirror(i, size) for i in range(start, stop)], dtype=np.intp)
    else:
        index = wanted.clip(0, size - 1)
    first, last = int(index.min()), int(index.max()) + 1
    outside = (wanted < 0) | (wanted >= size) if border == "zero" else None
    return _Pick(first, last, index - first, outside)


def _read_box(
    source: Source, layout: AxisLayout, loop: tuple[int, ...], box: Region
) -> NDArray[Any]:
    """Read a box inside one picture as (channels, *box.shape)."""
    start, stop = [0] * len(source.shape), list(source.shape)
    for axis, index in zip(layout.loops, loop, strict=True):
        start[axis], stop[axis] = index, index + 1
    for axis, a, b in zip(layout.spatial, box.start, box.stop, strict=True):
        start[axis], stop[axis] = a, b
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
