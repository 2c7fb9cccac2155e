"""One way to read from arrays of any kind: in memory, memory-mapped, chunked or on disk."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count, pairwise, product
from math import prod
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.geometry.region import Region

DEFAULT_BYTES = 512 * 2**20


class BlockCache:
    """Keep the blocks that were used last, up to a number of bytes. Thread safe.

    Parameters
    ----------
    capacity : int
        Bytes held at most; a block larger than that is not kept.
    """

    def __init__(self, capacity: int = DEFAULT_BYTES) -> None:
        self.capacity = capacity
        self._blocks: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._nbytes = 0
        self._lock = Lock()

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        return self._nbytes

    def get(self, key: Hashable) -> NDArray[Any] | None:
        """Return the block of that key, or None where it is not (or no longer) kept."""
        with self._lock:
            block = self._blocks.get(key)
            if block is not None:
                self._blocks.move_to_end(key)
            return block

    def put(self, key: Hashable, block: NDArray[Any]) -> None:
        """Keep a block, and drop those that were not used for longest to make room."""
        with self._lock:
            self._drop(key)
            if block.nbytes > self.capacity:
                return
            self._blocks[key] = np.asarray(block)
            self._nbytes += block.nbytes
            while self._nbytes > self.capacity:
                self._drop(next(iter(self._blocks)))

    def _drop(self, key: Hashable) -> None:
        block = self._blocks.pop(key, None)
        if block is not None:
            self._nbytes -= block.nbytes


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
            out[part.within(region).slices] = data[part.within(block).slices]
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


TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".lsm", ".stk")


def open_file(path: Path) -> object:
    """Open a picture file as an array that is read on demand.

    Parameters
    ----------
    path : Path
        A TIFF (memory-mapped where its pixels are stored plainly, else read tile by tile; the
        first series, its largest level), an OME-Zarr or zarr folder (level 0), or a ``.npy``.

    Returns
    -------
    ndarray or zarr.Array

    Raises
    ------
    InputError
        Where the file is missing or of another kind.
    """
    if not path.exists():
        raise InputError("There is no such file", got=str(path), todo="Check its name")
    try:
        if path.suffix.lower() in TIFF_SUFFIXES:
            return _open_tiff(path)
        if path.suffix.lower() == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        if path.is_dir():
            import zarr

            return level0(zarr.open(path, mode="r"))
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{path.name} cannot be opened: {error}".rstrip("."), todo="Check that it is undamaged"
        ) from error
    raise InputError(
        "This kind of file cannot be opened", got=path.name, expected="a TIFF, an OME-Zarr, a .npy"
    )


def level0(node: Any) -> object:
    """Return the largest array of a zarr group (OME-Zarr of any version), or the array itself.

    Raises
    ------
    InputError
        Where the group holds no pyramid and not just one array.
    """
    if hasattr(node, "dtype"):
        return node
    attributes = dict(node.attrs)
    described = attributes.get("ome", attributes).get("multiscales")
    if described:
        found: object = node[described[0]["datasets"][0]["path"]]
        return found
    names = sorted(node)
    if len(names) == 1 or "0" in names:
        return level0(node["0" if "0" in names else names[0]])
    raise InputError(
        "This zarr group holds no single picture",
        got=f"members {', '.join(names[:8]) or 'none'}",
        todo="Give the path of one of its arrays",
    )


def _open_tiff(path: Path) -> object:
    import tifffile

    try:
        return tifffile.memmap(path, mode="r")
    except ValueError:  # compressed, tiled or otherwise not one plain piece
        pass
    with ExitStack() as open_:
        tiff = open_.enter_context(tifffile.TiffFile(path))
        try:
            import zarr
        except ImportError:
            return tiff.series[0].asarray(level=0)
        array: object = zarr.open(tiff.series[0].aszarr(level=0), mode="r")
        # It is read from as long as the array is there.
        weakref.finalize(array, open_.pop_all().close)
    return array


ACCEPTED = "a numpy, dask or zarr array, its pyramid, or the path of a TIFF or OME-Zarr"


@runtime_checkable
class Source(Protocol):
    """An array that is read region by region."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size per axis, in voxels."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of what is read, in native byte order."""

    def read(self, region: Region) -> NDArray[Any]:
        """Return that region, which lies inside the array; do not write into what comes back."""


class ArraySource:
    """A numpy array, in memory or memory-mapped.

    Parameters
    ----------
    array : ndarray
        Of any byte order; views of it are returned where the byte order is native.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype.newbyteorder("=")
        self._array = array

    def read(self, region: Region) -> NDArray[Any]:
        """Return that region, which lies inside the array."""
        return np.asarray(self._array[region.slices], self.dtype)


def open_source(data: object, *, cache: BlockCache | None = None) -> Source:
    """Open whatever holds a picture or labels, without loading it.

    Parameters
    ----------
    data : object
        A numpy array (memory-mapped or not), a dask or zarr array (or another chunked one with
        ``shape``, ``dtype`` and slicing), a pyramid of these with the largest level first, a
        zarr group, an open source, or the path of a TIFF, an OME-Zarr, a zarr or a ``.npy``.
        Of pyramids, level 0 is opened.
    cache : BlockCache, optional
        Where the blocks of chunked arrays are kept, to share its bound between several sources;
        without it each has 512 MiB of its own.

    Raises
    ------
    InputError
        For anything else, for an empty array, and for complex, text or object arrays.

    Examples
    --------
    >>> open_source(np.arange(12, dtype=">u2").reshape(3, 4)).read(Region((1, 1), (3, 2)))
    array([[5],
           [9]], dtype=uint16)
    """
    source = _open(data, cache)
    if source.dtype.kind not in "biuf":
        raise InputError(
            "These pixels are no numbers that can be learned from",
            got=f"dtype {source.dtype}",
            expected="integer, float or bool pixels",
            todo="Convert the picture, for instance a complex one to its magnitude",
        )
    if 0 in source.shape or not source.shape:
        raise InputError(
            "The picture is empty", got=f"shape {source.shape}", todo="Choose another picture"
        )
    return source


def _open(data: object, cache: BlockCache | None) -> Source:
    if isinstance(data, ChunkedSource | ArraySource):
        return data
    if isinstance(data, np.ndarray):
        return ArraySource(data)
    if isinstance(data, str | Path):
        return _open(open_file(Path(data)), cache)
    if isinstance(data, Sequence):
        return _open(_largest(data), cache)
    if hasattr(data, "multiscales") or type(data).__module__.startswith("zarr.core.group"):
        return _open(level0(data), cache)
    if type(data).__module__.startswith("xarray"):
        return _open(getattr(data, "data", None), cache)
    if isinstance(data, Source):
        return data
    return _open_chunked(data, cache)


def _largest(levels: Sequence[Any]) -> object:
    sizes = [getattr(level, "shape", ()) for level in levels]
    volumes = [int(np.prod(shape)) for shape in sizes]
    if not levels or (len(levels) > 1 and not volumes[0] == max(volumes) > volumes[-1]):
        raise InputError(
            "A list of arrays is taken for a pyramid, and these are none",
            got=f"levels of the shapes {sizes[:4]}",
            expected="the largest level first",
            todo="Stack pictures of one size into one array",
        )
    return levels[0]


def _open_chunked(data: Any, cache: BlockCache | None) -> Source:
    try:
        shape, dtype = tuple(int(n) for n in data.shape), np.dtype(data.dtype)
        chunks = _chunk_sizes(shape, getattr(data, "chunks", None))
        data.__getitem__  # noqa: B018 - an array that can be sliced
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            "This is no picture that can be opened",
            got=f"{type(data).__name__}",
            expected=ACCEPTED,
        ) from error

    def fetch(regions: Sequence[Region]) -> Sequence[NDArray[Any]]:
        parts = [data[region.slices] for region in regions]
        if hasattr(data, "dask"):
            from dask.base import compute

            parts = list(compute(*parts))  # type: ignore[no-untyped-call]
        return [np.asarray(part) for part in parts]

    return ChunkedSource(shape, dtype, chunks, fetch, cache)


def _chunk_sizes(shape: tuple[int, ...], chunks: Any) -> list[tuple[int, ...]]:
    # dask has all the sizes, zarr and HDF5 one for all, HDF5 in one piece None.
    if chunks is None:
        chunks = shape
    return [
        tuple(int(n) for n in size)
        if isinstance(size, Sequence)
        else (int(size),) * (n // int(size)) + (n % int(size),) * (n % int(size) > 0)
        for n, size in zip(shape, chunks, strict=True)
    ]
