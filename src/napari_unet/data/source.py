"""Sources: arrays of any kind (in memory, memory-mapped, chunked, files) read by region."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count, pairwise, product
from math import prod
from os import PathLike, fspath
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError, NapariUnetError
from napari_unet.geometry.region import Region

DEFAULT_BYTES = 512 * 2**20
"""Default capacity of a cache, in bytes."""


class BlockCache:
    """LRU cache of array blocks, limited by their bytes; it is thread-safe.

    Parameters
    ----------
    capacity : int
        Greatest number of bytes; a larger block is not cached.
    """

    def __init__(self, capacity: int = DEFAULT_BYTES) -> None:
        self.capacity = capacity
        self._blocks: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._nbytes = 0
        self._lock = Lock()

    @property
    def nbytes(self) -> int:
        """Number of bytes in the cache."""
        return self._nbytes

    def get(self, key: Hashable) -> NDArray[Any] | None:
        """Return a block, or None if it is not in the cache."""
        with self._lock:
            block = self._blocks.get(key)
            if block is not None:
                self._blocks.move_to_end(key)
            return block

    def put(self, key: Hashable, block: NDArray[Any]) -> None:
        """Add a block, and remove the least recently used ones to make room.

        Parameters
        ----------
        key : hashable
            A block of the same key is replaced.
        block : ndarray
            It must not be changed afterwards.
        """
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
"""Reads the content of several regions at once."""

SMALL_BLOCK = 256 * 2**10
"""Size in bytes below which chunks are read together, because opening each takes longer."""

LARGEST_SHARE = 8
"""A block has at most one in so many bytes of the cache; larger chunks are read in parts."""

_serial = count()


class ChunkedSource:
    """A chunked array, read block by block through a cache.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    dtype : dtype
        Its type; pixels are returned in native byte order.
    chunks : sequence of sequence of int
        Sizes of the chunks along each axis, as in dask.
    fetch : callable
        Returns the content of several regions.
    cache : BlockCache, optional
        Can be shared with other sources; by default it has its own.
    name : str
        What errors call it.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        chunks: Sequence[Sequence[int]],
        fetch: Fetch,
        cache: BlockCache | None = None,
        name: str = "",
    ) -> None:
        self.name = name
        self.shape = shape
        self.dtype = dtype.newbyteorder("=")
        self._cache = BlockCache() if cache is None else cache
        largest = max(1, self._cache.capacity // LARGEST_SHARE)
        self._edges = block_edges(chunks, dtype.itemsize, SMALL_BLOCK, largest)
        self._fetch = fetch
        self._serial = next(_serial)

    def read(self, region: Region) -> NDArray[Any]:
        """Return a copy of a region inside the array."""
        out = np.empty(region.shape, self.dtype)
        if out.nbytes > self._cache.capacity:
            out[...] = self._fetched([region])[0]
            return out
        for block, data in self._blocks(list(self._touched(region))):
            part = block.intersect(region)
            out[part.within(region).slices] = data[part.within(block).slices]
        return out

    def _touched(self, region: Region) -> Iterator[Region]:
        """Yield the regions of the blocks that a region intersects."""
        spans = []
        for start, stop, edges in zip(region.start, region.stop, self._edges, strict=True):
            first = int(np.searchsorted(edges, start, side="right")) - 1
            last = int(np.searchsorted(edges, stop, side="left"))
            spans.append([(int(edges[i]), int(edges[i + 1])) for i in range(first, last)])
        for box in product(*spans):
            yield Region(tuple(a for a, _ in box), tuple(b for _, b in box))

    def _blocks(self, wanted: list[Region]) -> Iterator[tuple[Region, NDArray[Any]]]:
        """Yield blocks from the cache, and then those that are read."""
        missing = []
        for block in wanted:
            data = self._cache.get((self._serial, block.start))
            if data is None:
                missing.append(block)
            else:
                yield block, data
        for block, data in zip(missing, self._fetched(missing), strict=True):
            data = np.asarray(data, self.dtype)
            self._cache.put((self._serial, block.start), data)
            yield block, data

    def _fetched(self, regions: Sequence[Region]) -> Sequence[NDArray[Any]]:
        """Return the content of regions; what fails in reading them is our error, with a name."""
        try:
            return self._fetch(regions) if regions else ()
        except (NapariUnetError, MemoryError):
            raise
        except Exception as error:
            name = f" “{self.name}”" if self.name else ""
            text = (str(error).splitlines() or [""])[0]
            reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
            raise InputError(
                f"The image{name} could not be read ({reason})",
                todo="Check that its file still exists and is undamaged",
            ) from error


def block_edges(
    chunks: Sequence[Sequence[int]], itemsize: int, small: int, large: int
) -> list[NDArray[np.int64]]:
    """Return the boundaries of the blocks that are read at once, per axis.

    Blocks are chunks, joined (from the last axis on) while they have fewer than `small` bytes,
    and divided (the longest axis first) while they have more than `large`.

    Parameters
    ----------
    chunks : sequence of sequence of int
        Sizes of the chunks along each axis.
    itemsize : int
        Bytes per voxel.
    small, large : int
        Limits in bytes.

    Returns
    -------
    list of ndarray of int64
        Boundaries along each axis, from 0 to its size.
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
"""Suffixes of files that are opened as TIFF."""


def open_file(path: Path) -> object:
    """Open an image file as an array that is read on demand.

    Parameters
    ----------
    path : Path
        A TIFF (its first series at full resolution; memory-mapped if it is stored uncompressed,
        else read by tile), an OME-Zarr or zarr folder (level 0), or a ``.npy``.

    Returns
    -------
    ndarray or zarr.Array

    Raises
    ------
    InputError
        If the file does not exist, is damaged, or is of another kind.
    """
    if not path.exists():
        raise InputError("There is no such file", got=str(path), todo="Check the name")
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
    """Return the array of full resolution of a zarr group (OME-Zarr of any version).

    Parameters
    ----------
    node : zarr.Group or zarr.Array
        An array is returned as it is.

    Raises
    ------
    InputError
        If the group is not a pyramid and holds several arrays.
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
        "This zarr group does not hold a single image",
        got=f"members {', '.join(names[:8]) or 'none'}",
        todo="Pass the path of one of its arrays",
    )


def _open_tiff(path: Path) -> object:
    import tifffile

    try:
        return tifffile.memmap(path, mode="r")
    except ValueError:  # compressed, tiled, or otherwise not contiguous
        pass
    with ExitStack() as stack:
        tiff = stack.enter_context(tifffile.TiffFile(path))
        try:
            import zarr
        except ImportError:
            return tiff.series[0].asarray(level=0)
        array: object = zarr.open(tiff.series[0].aszarr(level=0), mode="r")
        # The file stays open as long as the array exists.
        weakref.finalize(array, stack.pop_all().close)
    return array


ACCEPTED = "a numpy, dask or zarr array, its pyramid, or the path of a TIFF or OME-Zarr"
"""Data that can be opened, for error messages."""


@runtime_checkable
class Source(Protocol):
    """An array that is read region by region."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size per axis, in voxels."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels, in native byte order."""

    def read(self, region: Region) -> NDArray[Any]:
        """Return a region inside the array; the result must not be written to."""


class ArraySource:
    """A numpy array, in memory or memory-mapped.

    Parameters
    ----------
    array : ndarray
        Of any byte order; views are returned if the byte order is native.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype.newbyteorder("=")
        self._array = array

    def read(self, region: Region) -> NDArray[Any]:
        """Return a region inside the array; the result must not be written to."""
        return np.asarray(self._array[region.slices], self.dtype)


class ChannelStack:
    """Images of the same shape as the channels of one image; nothing is copied.

    Parameters
    ----------
    images : sequence of array-like or path
        The channels, in order; at least one. Each is anything that `open_source` accepts.
    names : sequence of str
        Their names, by which a prediction finds the channels of its model; empty where unknown.

    Attributes
    ----------
    shape : tuple of int
        That of a channel, with the channels as an additional last axis.
    dtype : dtype
        The smallest type that holds the pixels of all channels.
    names : tuple of str
        Names of the channels.

    Raises
    ------
    InputError
        Where shapes differ, or there are not as many different names as images.

    Examples
    --------
    >>> stack = ChannelStack([np.zeros((3, 4), np.uint8), np.ones((3, 4), np.uint16)])
    >>> stack.shape, str(stack.dtype)
    ((3, 4, 2), 'uint16')
    """

    def __init__(self, images: Sequence[object], names: Sequence[str] = ()) -> None:
        self.names = tuple(names)
        called = self.names if len(self.names) == len(images) else [""] * len(images)
        named = zip(images, called, strict=True)
        self._sources = [open_source(image, name=name) for image, name in named]
        shapes = {source.shape for source in self._sources}
        if len(shapes) != 1:
            raise InputError(
                "The channels of an image have to have one shape",
                got=", ".join(str(source.shape) for source in self._sources) or "no channel",
                todo="Choose channels of the same image",
            )
        if self.names and len(set(self.names)) != len(self._sources):
            raise InputError(
                "Every channel needs a name of its own",
                got=", ".join(self.names),
                expected=f"{len(self._sources)} different names",
            )
        self.shape: tuple[int, ...] = (*shapes.pop(), len(self._sources))
        self.dtype: np.dtype[Any] = np.result_type(*(source.dtype for source in self._sources))

    def read(self, region: Region) -> NDArray[Any]:
        """Return a region inside the image; the result must not be written to."""
        inner = Region(region.start[:-1], region.stop[:-1])
        wanted = self._sources[region.start[-1] : region.stop[-1]]
        # Channels first in memory, in which order a network takes them.
        pixels = np.stack([np.asarray(source.read(inner), self.dtype) for source in wanted])
        return np.moveaxis(pixels, 0, -1)

    def ordered(self, names: Sequence[str]) -> ChannelStack:
        """Return the channels of these names, in this order.

        Raises
        ------
        InputError
            Where there is no channel of such a name.
        """
        lacking = [name for name in names if name not in self.names]
        if lacking:
            raise InputError(
                f"The image has no channel {lacking[0]}",
                got=f"channels {', '.join(self.names)}",
                expected=", ".join(names),
                todo="Name the channels as the model does",
            )
        chosen = [self._sources[self.names.index(name)] for name in names]
        return ChannelStack(chosen, names)


JOINT = "+"
"""Joins the paths of files that are the channels of one image."""


def channel_files(path: str | PathLike[str]) -> list[Path]:
    """Return the files that a path names: itself, or those joined by "+", if all of them exist.

    Parameters
    ----------
    path : path-like
        Such as ``dapi.tif+gfp.tif``; a file of that very name is itself.
    """
    parts = [Path(part) for part in fspath(path).split(JOINT)]
    joined = len(parts) > 1 and not Path(path).exists() and all(part.exists() for part in parts)
    return parts if joined else [Path(path)]


def open_source(data: object, *, cache: BlockCache | None = None, name: str = "") -> Source:
    """Open an image or labels, without loading them.

    Parameters
    ----------
    data : object
        A numpy array (memory-mapped or not), a dask or zarr array (or another chunked one with
        ``shape``, ``dtype`` and slicing), a pyramid of these with the largest level first, a
        zarr group, an open source, or the path of a TIFF, an OME-Zarr, a zarr or a ``.npy``.
        Of pyramids, level 0 is opened. Paths joined by "+" are the channels of one image, which
        becomes a `ChannelStack`.
    cache : BlockCache, optional
        Cache for chunked arrays, to be shared by several sources; by default each source has its
        own of 512 MiB.
    name : str
        What errors call the image; by default the name of its file, if it is one.

    Raises
    ------
    InputError
        If it cannot be opened, is empty, or is a complex, text or object array.

    Examples
    --------
    >>> open_source(np.arange(12, dtype=">u2").reshape(3, 4)).read(Region((1, 1), (3, 2)))
    array([[5],
           [9]], dtype=uint16)
    """
    source = _open(data, cache, name)
    if source.dtype.kind not in "biuf":
        raise InputError(
            "Pixels of this type cannot be used",
            got=f"dtype {source.dtype}",
            expected="integer, float or bool pixels",
            todo="Convert the image, for instance a complex one to its magnitude",
        )
    if 0 in source.shape or not source.shape:
        raise InputError(
            "The image is empty", got=f"shape {source.shape}", todo="Choose another image"
        )
    return source


def _open(data: object, cache: BlockCache | None, name: str) -> Source:
    if isinstance(data, ChunkedSource | ArraySource | ChannelStack):
        return data
    if isinstance(data, np.ndarray):
        return ArraySource(data)
    if isinstance(data, str | Path):
        files = channel_files(data)
        if len(files) > 1:
            names = [file.stem for file in files]
            return ChannelStack(files, names if len(set(names)) == len(names) else ())
        return _open(open_file(Path(data)), cache, name or Path(data).name)
    if isinstance(data, Sequence):
        return _open(_largest(data), cache, name)
    if hasattr(data, "multiscales") or type(data).__module__.startswith("zarr.core.group"):
        return _open(level0(data), cache, name)
    if type(data).__module__.startswith("xarray"):
        return _open(getattr(data, "data", None), cache, name)
    if isinstance(data, Source):
        return data
    return _open_chunked(data, cache, name)


def _largest(levels: Sequence[Any]) -> object:
    sizes = [getattr(level, "shape", ()) for level in levels]
    volumes = [int(np.prod(shape)) for shape in sizes]
    if not levels or (len(levels) > 1 and not volumes[0] == max(volumes) > volumes[-1]):
        raise InputError(
            "A list of arrays has to be a pyramid, which these are not",
            got=f"levels of shapes {sizes[:4]}",
            expected="levels of decreasing size",
            todo="Stack images of one size into one array",
        )
    return levels[0]


def _open_chunked(data: Any, cache: BlockCache | None, name: str) -> Source:
    try:
        shape = tuple(int(n) for n in data.shape)
        dtype = np.dtype(data.dtype)
        chunks = _all_chunk_sizes(shape, getattr(data, "chunks", None))
        data.__getitem__  # noqa: B018 - an array that can be sliced
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            "This cannot be opened as an image",
            got=f"{type(data).__name__}",
            expected=ACCEPTED,
        ) from error

    def fetch(regions: Sequence[Region]) -> Sequence[NDArray[Any]]:
        parts = [data[region.slices] for region in regions]
        if hasattr(data, "dask"):
            from dask.base import compute

            parts = list(compute(*parts))  # type: ignore[no-untyped-call]
        return [np.asarray(part) for part in parts]

    return ChunkedSource(shape, dtype, chunks, fetch, cache, name)


def _all_chunk_sizes(shape: tuple[int, ...], chunks: Any) -> list[tuple[int, ...]]:
    # dask lists all sizes, zarr and HDF5 have one size for all, contiguous HDF5 has None.
    if chunks is None:
        chunks = shape
    return [
        tuple(int(n) for n in size) if isinstance(size, Sequence) else chunk_sizes(n, int(size))
        for n, size in zip(shape, chunks, strict=True)
    ]


def chunk_sizes(length: int, size: int) -> tuple[int, ...]:
    """Return the sizes of chunks along an axis, the last of which may be smaller.

    Parameters
    ----------
    length : int
        Size of the axis, in voxels.
    size : int
        Size of a chunk, in voxels.

    Examples
    --------
    >>> chunk_sizes(10, 4)
    (4, 4, 2)
    """
    count, rest = divmod(length, size)
    return (size,) * count + ((rest,) if rest else ())
