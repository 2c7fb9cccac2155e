"""Painted labels, stored sparsely in blocks; they can be written while they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import product
from math import prod
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.image import LabelView
from napari_unet.data.source import Source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import AxisLayout
from napari_unet.geometry.region import Region

Index = tuple[int, ...]
"""Index of a block or cell, over all axes."""

DIGEST_SIDE = 64
"""Side of the cells that a digest is computed over, in voxels, for any size of the blocks."""

SCAN_BLOCKS = 8
"""Largest part of the labels that is read at once, in blocks along the last two axes."""


MERGED = 1
"""The label of all objects together, where labels are merged into one class."""


@dataclass(frozen=True, eq=False)
class Block:
    """An immutable block of label values; a write replaces whole blocks."""

    labels: NDArray[Any]

    @cached_property
    def counts(self) -> Mapping[int, int]:
        """Number of voxels per label value, without 0."""
        flat = self.labels.ravel()
        if flat.dtype == np.uint8:
            tally = np.bincount(flat)
            values = np.flatnonzero(tally)
            counts = tally[values]
        else:
            values, counts = np.unique(flat, return_counts=True)
        found = dict(zip(values.tolist(), counts.tolist(), strict=True))
        found.pop(0, None)
        return found


@dataclass(frozen=True, eq=False)
class Annotations:
    """Immutable snapshot of the painted labels of an image.

    Parameters
    ----------
    shape : tuple of int
        Shape of the labels, loop axes first.
    block_shape : tuple of int
        Shape of the blocks (those at the end may be smaller).
    zero_is_class : bool
        Whether 0 is a class (in complete masks), or means "not painted".
    blocks : mapping of block index to Block
        Those with a label other than 0.
    version : int
        Number of writes so far that changed anything.
    """

    shape: tuple[int, ...]
    block_shape: tuple[int, ...]
    zero_is_class: bool
    blocks: Mapping[Index, Block]
    version: int = 0

    def region(self, index: Index) -> Region:
        """Return the region of a block."""
        start = tuple(i * n for i, n in zip(index, self.block_shape, strict=True))
        return Region.of(start, self.block_shape).intersect(Region.whole(self.shape))

    def blocks_in(self, region: Region) -> Iterator[tuple[Index, Region]]:
        """Yield index and region of the blocks that a region intersects, painted or not."""
        if not region.size:
            return
        spans = [
            range(a // n, -(-b // n))
            for a, b, n in zip(region.start, region.stop, self.block_shape, strict=True)
        ]
        for index in product(*spans):
            yield index, self.region(index)

    def read(self, region: Region) -> NDArray[np.int32]:
        """Return the labels of a region, 0 where nothing is painted and outside the labels.

        Parameters
        ----------
        region : Region
            Over all axes, loop axes first, in voxels.

        Returns
        -------
        ndarray of int32, shape region.shape
        """
        out = np.zeros(region.shape, np.int32)
        box = region.intersect(Region.whole(self.shape))
        for index, block_region in self.blocks_in(box):
            block = self.blocks.get(index)
            if block is not None:
                part = block_region.intersect(box)
                out[part.within(region).slices] = block.labels[part.within(block_region).slices]
        return out

    @cached_property
    def counts(self) -> dict[int, int]:
        """Number of voxels per painted label value, sorted by value."""
        counts: dict[int, int] = {}
        for block in self.blocks.values():
            for value, count in block.counts.items():
                counts[value] = counts.get(value, 0) + count
        background = prod(self.shape) - sum(counts.values())
        if self.zero_is_class and background:
            counts[0] = background
        return dict(sorted(counts.items()))

    def changes_since(self, before: Annotations) -> dict[Index, Block | None]:
        """Return the blocks that differ from an earlier snapshot; None for removed blocks."""
        changes: dict[Index, Block | None] = {
            index: block
            for index, block in self.blocks.items()
            if before.blocks.get(index) is not block
        }
        return changes | dict.fromkeys(before.blocks.keys() - self.blocks.keys())

    def digest(self) -> str:
        """Return the SHA-256 of the painted labels, independent of the division into blocks."""
        digest = sha256(repr((self.shape, self.zero_is_class)).encode())
        ndim = len(self.shape)
        sides = (1,) * (ndim - 3) + (DIGEST_SIDE,) * min(ndim, 3)
        for cell in self._cells(sides):
            start = tuple(i * n for i, n in zip(cell, sides, strict=True))
            labels = self.read(Region.of(start, sides)).ravel()
            painted = np.flatnonzero(labels)
            if painted.size:
                for part in (np.array(cell), painted, labels[painted]):
                    digest.update(part.astype("<i8").tobytes())
        return digest.hexdigest()

    def _cells(self, sides: tuple[int, ...]) -> list[Index]:
        """Return the indices of the cells of this shape that intersect a block."""
        cells: set[Index] = set()
        for index in self.blocks:
            box = self.region(index)
            spans = zip(box.start, box.stop, sides, strict=True)
            cells.update(product(*(range(a // n, -(-b // n)) for a, b, n in spans)))
        return sorted(cells)


class AnnotationStore:
    """The painted labels of an image, written by the viewer while a training reads them.

    A write makes a new snapshot and replaces the current one atomically, so a reader sees all of
    a write or nothing of it, and never waits.

    With ``zero_is_class=False`` a 0 means "not painted" and is ignored. With ``True`` (complete
    masks) it means "background": every voxel is labelled; blocks without any other label are
    still not stored, and their voxels count as label 0.

    With ``merge=True`` whatever is written above 0 is stored as `MERGED`: masks in which each
    object has a number of its own have one class.

    Parameters
    ----------
    shape : tuple of int
        ``(*loop_shape, *spatial_shape)``, in voxels.
    spatial_ndim : int
        Number of spatial axes, which are the last ones.
    block : int
        Side of the blocks along the spatial axes, in voxels.
    zero_is_class : bool
        Whether 0 is a class.
    merge : bool
        Whether all labels above 0 are one class.

    Examples
    --------
    >>> store = AnnotationStore((100, 100), 2)
    >>> store.write(Region((3, 4), (5, 6)), np.full((2, 2), 7))
    >>> store.values(), store.read(Region((4, 4), (5, 7)))
    ({7: 4}, array([[7, 7, 0]], dtype=int32))
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        spatial_ndim: int,
        *,
        block: int = 64,
        zero_is_class: bool = False,
        merge: bool = False,
    ) -> None:
        shape = tuple(int(n) for n in shape)
        block_shape = (1,) * (len(shape) - spatial_ndim) + (block,) * spatial_ndim
        self._now = Annotations(shape, block_shape, zero_is_class, {})
        self._spatial_ndim = spatial_ndim
        self._merge = merge
        self._lock = Lock()

    @classmethod
    def from_labels(
        cls,
        labels: Source,
        layout: AxisLayout,
        *,
        block: int = 64,
        zero_is_class: bool = False,
        merge: bool = False,
    ) -> AnnotationStore:
        """Read labels part by part, without loading all of them.

        Parameters
        ----------
        labels : Source
            Integers, 0 and above.
        layout : AxisLayout
            Roles of the axes of the labels, or of their image.
        block, zero_is_class, merge
            See the class.

        Raises
        ------
        InputError
            If the labels are not integers, or negative.
        """
        view = LabelView(labels, layout.labels)
        store = cls(
            view.loop_shape + view.spatial_shape,
            len(view.spatial_shape),
            block=block,
            zero_is_class=zero_is_class,
            merge=merge,
        )
        blocks: dict[Index, Block] = {}
        for loop in view.loops():
            for box in _scan(view.spatial_shape, block):
                values = view.read(loop, box)
                if values.any():
                    region = Region.of(loop + box.start, (1,) * len(loop) + box.shape)
                    blocks |= store._changes(region, values.reshape(region.shape))
        store._now = Annotations(store.shape, store._now.block_shape, zero_is_class, blocks)
        return store

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the labels, loop axes first."""
        return self._now.shape

    @property
    def spatial_ndim(self) -> int:
        """Number of spatial axes, which are the last ones."""
        return self._spatial_ndim

    @property
    def zero_is_class(self) -> bool:
        """Whether 0 is a class ("background"), and not "unpainted"."""
        return self._now.zero_is_class

    @property
    def version(self) -> int:
        """Number of writes so far that changed anything."""
        return self._now.version

    def snapshot(self) -> Annotations:
        """Return the current labels, which later writes do not change; nothing is copied."""
        return self._now

    def write(self, region: Region, values: NDArray[Any]) -> None:
        """Replace the labels of a region; 0 erases.

        Parameters
        ----------
        region : Region
            Over all axes, loop axes first, in voxels; inside the labels.
        values : ndarray of int, shape region.shape
            Label values.

        Raises
        ------
        InputError
            If labels are negative or not integers, or the region does not fit.
        """
        if not Region.whole(self.shape).contains(region) or values.shape != region.shape:
            raise InputError(
                "These labels do not fit the image",
                got=f"{region}, values of shape {values.shape}",
                expected=f"a region inside {self.shape}, and values of its shape",
            )
        with self._lock:
            self._replace(self._changes(region, values))

    def update(self, blocks: Mapping[Index, Block | None]) -> None:
        """Replace whole blocks; `blocks` is from :meth:`Annotations.changes_since`."""
        with self._lock:
            self._replace(blocks)

    def read(self, region: Region) -> NDArray[np.int32]:
        """Return the labels of a region, 0 where nothing is painted and outside the labels."""
        return self._now.read(region)

    def values(self) -> dict[int, int]:
        """Return the number of voxels per painted label value, sorted by value."""
        return dict(self._now.counts)

    def digest(self) -> str:
        """Return the SHA-256 of the painted labels, independent of the division into blocks."""
        return self._now.digest()

    def _replace(self, changes: Mapping[Index, Block | None]) -> None:
        if not changes:
            return
        now = self._now
        blocks = dict(now.blocks)
        for index, block in changes.items():
            if block is not None and block.counts:
                blocks[index] = block
            else:
                blocks.pop(index, None)
        self._now = Annotations(
            now.shape, now.block_shape, now.zero_is_class, blocks, now.version + 1
        )

    def _changes(self, region: Region, values: NDArray[Any]) -> dict[Index, Block]:
        """Return new blocks for those that a write changes."""
        _check_labels(values)
        if self._merge:
            values = np.where(values > 0, np.uint8(MERGED), np.uint8(0))
        now = self._now
        changes = {}
        for index, block_region in now.blocks_in(region):
            old = now.blocks.get(index)
            part = block_region.intersect(region)
            new = values[part.within(region).slices]
            if old is None and not new.any():
                continue
            inside = part.within(block_region).slices
            if old is None or not np.array_equal(old.labels[inside], new):
                changes[index] = _replaced(old, block_region.shape, inside, new)
        return changes


def _replaced(
    old: Block | None, shape: tuple[int, ...], inside: tuple[slice, ...], new: NDArray[Any]
) -> Block:
    """Return a copy of a block with some labels replaced, of the smallest sufficient type."""
    before = np.zeros(shape, np.uint8) if old is None else old.labels
    labels = before.astype(np.promote_types(before.dtype, _smallest_dtype(int(new.max()))))
    labels[inside] = new
    labels.setflags(write=False)
    return Block(labels)


def _smallest_dtype(value: int) -> type[np.integer[Any]]:
    return np.uint8 if value < 2**8 else np.uint16 if value < 2**16 else np.int32


def _check_labels(values: NDArray[Any]) -> None:
    if values.dtype.kind not in "biu":
        raise InputError(
            "Labels have to be whole numbers",
            got=f"dtype {values.dtype}",
            todo="Choose a Labels layer, or convert the mask to integers",
        )
    if values.size and not 0 <= values.min() <= values.max() < 2**31:
        raise InputError(
            "Labels have to be 0 or greater",
            got=f"values from {values.min()} to {values.max()}",
            expected="values from 0 to 2147483647",
            todo="Renumber the labels",
        )


def _scan(shape: tuple[int, ...], block: int) -> Iterator[Region]:
    """Yield regions that cover a shape, each `SCAN_BLOCKS` blocks high and wide."""
    sides = [block * (SCAN_BLOCKS if axis >= len(shape) - 2 else 1) for axis in range(len(shape))]
    for start in product(*(range(0, n, s) for n, s in zip(shape, sides, strict=True))):
        stop = tuple(min(a + s, n) for a, s, n in zip(start, sides, shape, strict=True))
        yield Region(start, stop)
