"""Boxes of voxels, and the mirroring of indices at the image's border."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from napari_unet.errors import InputError


@dataclass(frozen=True, slots=True)
class Region:
    """A box of voxels, half open: ``start <= voxel < stop`` on each axis.

    It may reach beyond the image, where readers mirror the image or continue it otherwise.

    Parameters
    ----------
    start, stop : tuple of int
        First voxel, and one past the last, per axis.

    Examples
    --------
    >>> Region((2, 0), (5, 4)).shape
    (3, 4)
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]

    @classmethod
    def whole(cls, shape: Sequence[int]) -> Region:
        """Return the region of a whole array of that shape."""
        return cls((0,) * len(shape), tuple(shape))

    @classmethod
    def of(cls, start: Sequence[int], shape: Sequence[int]) -> Region:
        """Return the region of a given shape that begins at a voxel.

        Parameters
        ----------
        start : sequence of int
            First voxel per axis.
        shape : sequence of int
            Size per axis, in voxels.

        Examples
        --------
        >>> Region.of((2, 0), (3, 4))
        Region(start=(2, 0), stop=(5, 4))
        """
        return cls(tuple(start), tuple(a + n for a, n in zip(start, shape, strict=True)))

    @classmethod
    def of_bounds(cls, bounds: Sequence[int], shape: Sequence[int]) -> Region:
        """Return the region that a list of bounds stands for.

        Parameters
        ----------
        bounds : sequence of int
            First voxel and one past the last, axis by axis.
        shape : sequence of int
            Shape of the array that it has to lie in, and to have a voxel in.

        Raises
        ------
        InputError
            Where there are not two bounds per axis, or it does not lie in the array.

        Examples
        --------
        >>> Region.of_bounds((2, 5, 0, 4), (9, 9))
        Region(start=(2, 0), stop=(5, 4))
        """
        region = cls(tuple(map(int, bounds[::2])), tuple(map(int, bounds[1::2])))
        fits = len(bounds) == 2 * len(shape) and cls.whole(shape).contains(region)
        if not fits or min(region.shape) < 1:
            raise InputError(
                "The region of interest is not inside the image",
                got=", ".join(map(str, bounds)),
                expected=f"first and one past the last voxel per axis of {tuple(shape)}",
            )
        return region

    @property
    def bounds(self) -> tuple[int, ...]:
        """First voxel and one past the last, axis by axis; see `of_bounds`."""
        return tuple(n for pair in zip(self.start, self.stop, strict=True) for n in pair)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.start)

    @property
    def shape(self) -> tuple[int, ...]:
        """Size per axis, in voxels."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        """Number of voxels."""
        return prod(self.shape)

    @property
    def slices(self) -> tuple[slice, ...]:
        """Index for an array that holds the region."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def shift(self, offset: Sequence[int]) -> Region:
        """Return the region moved by `offset` voxels per axis."""
        return Region(
            tuple(a + d for a, d in zip(self.start, offset, strict=True)),
            tuple(b + d for b, d in zip(self.stop, offset, strict=True)),
        )

    def grow(self, margin: Sequence[int]) -> Region:
        """Return the region with `margin` voxels more on both sides of each axis."""
        return Region(
            tuple(a - d for a, d in zip(self.start, margin, strict=True)),
            tuple(b + d for b, d in zip(self.stop, margin, strict=True)),
        )

    def within(self, other: Region) -> Region:
        """Return the same box in the coordinates of `other`, whose first voxel becomes 0.

        Its `slices` cut it out of an array that holds `other`.

        Examples
        --------
        >>> Region((4, 7), (6, 9)).within(Region((3, 5), (8, 9)))
        Region(start=(1, 2), stop=(3, 4))
        """
        return self.shift(tuple(-a for a in other.start))

    def intersect(self, other: Region) -> Region:
        """Return the common box; where there is none, its shape has a zero."""
        start = tuple(max(a, c) for a, c in zip(self.start, other.start, strict=True))
        stop = tuple(min(b, d) for b, d in zip(self.stop, other.stop, strict=True))
        return Region(start, tuple(max(a, b) for a, b in zip(start, stop, strict=True)))

    def contains(self, other: Region) -> bool:
        """Tell whether `other` lies wholly inside."""
        return all(a <= c for a, c in zip(self.start, other.start, strict=True)) and all(
            d <= b for b, d in zip(self.stop, other.stop, strict=True)
        )


def mirror(index: int, size: int) -> int:
    """Return the voxel in ``range(size)`` at which `index` lies when the border is mirrored.

    The border voxel itself is not repeated: ``... 2 1 0 1 2 ...``, as in the overlap-tile
    strategy of Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28.

    Parameters
    ----------
    index : int
        Any position, in voxels.
    size : int
        Number of voxels of the image along the axis.

    Examples
    --------
    >>> [mirror(i, 3) for i in range(-4, 7)]
    [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]
    """
    if size == 1:
        return 0
    period = 2 * (size - 1)
    index %= period
    return min(index, period - index)
