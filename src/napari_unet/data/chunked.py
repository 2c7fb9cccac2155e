"""Arrays whose chunks are costly to get (dask graphs, compressed files), read through a cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count, pairwise, product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.cache import BlockCache
from napari_unet.geometry.region import Region

Fetch = Callable[[Sequence[Region]], Sequence[NDArray[Any]]]

#: Chunks below this are read several at a time: opening each alone would cost more than its data.
SMALL_BLOCK = 256 * 2**10
#: A block may be this share of the cache; larger chunks are read in parts.
LARGEST_SHARE = 8

_serial = count()


class ChunkedSource:
    """A chunked array, read block by block; what was read lately is kept.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    dtype : dtype
        Its type; what is read comes in native byte order.
    chunks : sequence of sequence of int
        Sizes of the chunks along each axis, as dask has them.
    fetch : callable
        Returns the content of some regions, asked for together.
    cache : BlockCache, optional
        Shared with other sources if given, else one of its own.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        chunks: Sequence[Sequence[int]],
        fetch: Fetch,
        cache: BlockCache | None = None,
    ) -> None:
        self.shape = shape
        self.dtype = dtype.newbyteorder("=")
        self._cache = BlockCache() if cache is None else cache
        largest = max(1, self._cache.capacity // LARGEST_SHARE)
        self._edges = block_edges(chunks, dtype.itemsize, SMALL_BLOCK, largest)
        self._fetch = fetch
        self._serial = next(_serial)

    def read(self, region: Region) -> NDArray[Any]:
        """Return a copy of that region, which lies inside the array."""
        out = np.empty(region.shape, self.dtype)
        if out.nbytes > self._cache.capacity:
            out[...] = self._fetch([region])[0]
            return out
        for block, data in self._blocks(list(self._touched(region))):
            part = block.intersect(region)
            out[_inside(part, region)] = data[_inside(part, block)]
        return out

    def _touched(self, region: Region) -> Iterator[Region]:
        spans = []
        for start, stop, edges in zip(region.start, region.stop, self._edges, strict=True):
            first = int(np.searchsorted(edges, start, side="right")) - 1
            last = int(np.searchsorted(edges, stop, side="left"))
            spans.append([(int(edges[i]), int(edges[i + 1])) for i in range(first, last)])
        for box in product(*spans):
            yield Region(tuple(a for a, _ in box), tuple(b for _, b in box))

    def _blocks(self, wanted: list[Region]) -> Iterator[tuple[Region, NDArray[Any]]]:
        missing = []
        for block in wanted:
            data = self._cache.get((self._serial, block.start))
            if data is None:
                missing.append(block)
            else:
                yield block, data
        fetched = self._fetch(missing) if missing else ()
        for block, data in zip(missing, fetched, strict=True):
            data = np.asarray(data, self.dtype)
            self._cache.put((self._serial, block.start), data)
            yield block, data


def block_edges(
    chunks: Sequence[Sequence[int]], itemsize: int, small: int, large: int
) -> list[NDArray[np.int64]]:
    """Return where the blocks that are read at once begin and end, per axis.

    They are the chunks, joined (from the last axis on) while they hold fewer than `small` bytes
    and divided (the longest axis first) while they hold more than `large`.
    """
    edges = [np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64) for sizes in chunks]
    longest = [int(np.diff(e).max(initial=1)) for e in edges]
    for axis in reversed(range(len(edges))):
        joined = min(len(edges[axis]) - 1, small // (prod(longest) * itemsize))
        if joined > 1:
            edges[axis] = np.append(edges[axis][:-1:joined], edges[axis][-1])
            longest[axis] = int(np.diff(edges[axis]).max())
    while prod(longest) * itemsize > large and max(longest) > 1:
        axis = longest.index(max(longest))
        longest[axis] = -(-longest[axis] // 2)
        edges[axis] = _halved(edges[axis], longest[axis])
    return edges


def _halved(edges: NDArray[np.int64], longest: int) -> NDArray[np.int64]:
    starts = [np.arange(a, b, longest) for a, b in pairwise(edges)]
    return np.append(np.concatenate(starts), edges[-1])


def _inside(part: Region, whole: Region) -> tuple[slice, ...]:
    return part.shift(tuple(-a for a in whole.start)).slices
