"""One way to read from arrays of any kind: in memory, memory-mapped, chunked or on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.cache import BlockCache
from napari_unet.data.chunked import ChunkedSource
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region

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
        from napari_unet.data.files import open_file

        return _open(open_file(Path(data)), cache)
    if isinstance(data, Sequence):
        return _open(_largest(data), cache)
    if hasattr(data, "multiscales") or type(data).__module__.startswith("zarr.core.group"):
        from napari_unet.data.files import level0

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
