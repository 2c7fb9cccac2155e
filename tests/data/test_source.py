"""Every kind of array reads the same, in native byte order, and the rest is refused."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.data.source import (
    ArraySource,
    BlockCache,
    ChunkedSource,
    Source,
    block_edges,
    open_source,
)
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region

PICTURE = np.random.default_rng(0).integers(0, 60000, (5, 40, 50)).astype(np.uint16)
PIECE = Region((1, 3, 7), (4, 33, 50))


def _zarr(array: np.ndarray[Any, Any], **options: Any) -> zarr.Array[Any]:
    stored = zarr.create_array(
        zarr.storage.MemoryStore(), shape=array.shape, dtype=array.dtype, **options
    )
    stored[...] = array
    return stored


def _memmap(path: Path) -> np.ndarray[Any, Any]:
    np.save(path / "a.npy", PICTURE)
    return np.load(path / "a.npy", mmap_mode="r")


@pytest.mark.parametrize("dtype", ["u1", ">u2", "<u2", "i4", ">f4", "f8", ">f8", "?", "f2"])
def test_types_come_native(dtype: str) -> None:
    array = (PICTURE % 200).astype(dtype)
    for data in (array, da.from_array(array, chunks=(2, 16, 16))):
        read = open_source(data).read(PIECE)
        assert read.dtype.isnative
        assert read.dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(read, array[PIECE.slices])


@pytest.mark.parametrize(
    "make",
    [
        lambda p: PICTURE,
        _memmap,
        lambda p: da.from_array(PICTURE, chunks=(2, 17, 13)),
        lambda p: da.from_array(PICTURE, chunks=((1, 4), (3, 37), (50,))) + 0,
        lambda p: _zarr(PICTURE, chunks=(1, 16, 16)),
        lambda p: _zarr(PICTURE, chunks=(1, 8, 10), shards=(5, 40, 50)),
        lambda p: [PICTURE, PICTURE[:, ::2, ::2]],
        lambda p: (da.from_array(PICTURE, chunks=20), da.from_array(PICTURE[:, ::2], chunks=20)),
        lambda p: ArraySource(PICTURE),
    ],
)
def test_arrays(make: Any, tmp_path: Path) -> None:
    source = open_source(make(tmp_path))
    assert isinstance(source, Source)
    assert source.shape == PICTURE.shape
    np.testing.assert_array_equal(source.read(PIECE), PICTURE[PIECE.slices])
    np.testing.assert_array_equal(source.read(Region.whole(source.shape)), PICTURE)


def test_napari_pyramid() -> None:
    layers = pytest.importorskip("napari.layers")
    layer = layers.Image([PICTURE, PICTURE[:, ::2, ::2]], multiscale=True)
    np.testing.assert_array_equal(open_source(layer.data).read(PIECE), PICTURE[PIECE.slices])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"imagej": True},
        {"compression": "zlib"},
        {"compression": "zlib", "rowsperstrip": 4},
        {"tile": (16, 16), "compression": "zlib"},
        {"ome": True, "compression": "zlib"},
    ],
)
def test_tiff(options: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PICTURE, **options)
    for given_path in (path, str(path)):
        source = open_source(given_path)
        assert source.dtype == np.uint16
        np.testing.assert_array_equal(source.read(PIECE), PICTURE[PIECE.slices])
    mapped = not set(options) & {"compression", "tile"}
    assert isinstance(source, ArraySource if mapped else ChunkedSource)


def test_pyramidal_tiff(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        options: dict[str, Any] = {"tile": (16, 16), "compression": "zlib"}
        tif.write(PICTURE, subifds=1, **options)
        tif.write(PICTURE[:, ::2, ::2], subfiletype=1, **options)
    source = open_source(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(source.read(PIECE), PICTURE[PIECE.slices])


@pytest.mark.parametrize("version", [2, 3])
def test_ome_zarr(version: int, tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=version)  # type: ignore[arg-type]
    for name, level in (("full", PICTURE), ("half", PICTURE[:, ::2, ::2])):
        group.create_array(name, data=level, chunks=(1, 20, 20))
    described = {"multiscales": [{"datasets": [{"path": "full"}, {"path": "half"}]}]}
    group.attrs.update({"ome": described} if version == 3 else described)
    for data in (tmp_path / "a.zarr", tmp_path / "a.zarr" / "full", group):
        np.testing.assert_array_equal(open_source(data).read(PIECE), PICTURE[PIECE.slices])


def test_group_without_pyramid(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "a.zarr")
    group.create_array("b", data=PICTURE)
    assert open_source(tmp_path / "a.zarr").shape == PICTURE.shape
    group.create_array("c", data=PICTURE)
    with pytest.raises(InputError, match="members b, c"):
        open_source(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((3, 3), complex), "complex"),
        (np.array([["a"]]), "dtype"),
        (np.array([[None]]), "object"),
        (np.zeros((0, 4)), "empty"),
        (3.0, "cannot be opened as an image"),
        (np.array(3.0), "empty"),
        (None, "NoneType"),
        ({"a": 1}, "dict"),
        ([[1, 2], [3, 4]], "pyramid"),
        ([], "pyramid"),
        ([np.zeros((4, 4)), np.zeros((4, 4))], "pyramid"),
        ([np.zeros((2, 2)), np.zeros((4, 4))], "pyramid"),
        ("nowhere.tif", "no such file"),
    ],
)
def test_refused(data: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_source(data)


def test_refused_files(tmp_path: Path) -> None:
    for name in ("a.tif", "a.txt", "a.npy"):
        (tmp_path / name).write_text("no picture")
        with pytest.raises(InputError, match=name):
            open_source(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        open_source(tmp_path / "empty")


def test_a_tiff_that_cannot_be_read_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("an odd tile")

    tifffile.imwrite(tmp_path / "a.tif", PICTURE, compression="zlib")
    monkeypatch.setattr(zarr, "open", refuse)
    with pytest.raises(InputError, match="an odd tile"):
        open_source(tmp_path / "a.tif")
    gc.collect()  # a file that is still open is a warning, and that an error


def test_unknown_chunks_are_refused() -> None:
    data = da.from_array(np.arange(10), chunks=5)
    with pytest.raises(InputError):
        open_source(data[data > 3])


def test_dask_computes_each_block_once() -> None:
    computed = []

    def block(block_info: Any = None) -> np.ndarray[Any, Any]:
        place = block_info[None]["array-location"]
        computed.append(tuple(place))
        return PICTURE[tuple(slice(*p) for p in place)]

    data = da.map_blocks(block, chunks=((5,), (20, 20), (25, 25)), dtype=PICTURE.dtype)
    cache = BlockCache()
    source = open_source(data, cache=cache)
    for _ in range(3):
        np.testing.assert_array_equal(source.read(PIECE), PICTURE[PIECE.slices])
    # Blocks this small are read together; none of them twice.
    assert len(computed) == len(set(computed)) == 4
    assert cache.nbytes == PICTURE.nbytes


def test_cache_is_bounded_and_drops_the_oldest() -> None:
    cache = BlockCache(100)
    for key in range(5):
        cache.put(key, np.full(40, key, np.uint8))
        assert cache.get(0) is not None or key > 3
        assert cache.nbytes <= 100
    assert [k for k in range(5) if cache.get(k) is not None] == [0, 4]
    cache.put("large", np.zeros(101, np.uint8))
    assert cache.get("large") is None
    cache.put(0, np.zeros(10, np.uint8))
    assert cache.nbytes == 50


def test_sources_share_a_cache_without_mixing() -> None:
    cache = BlockCache()
    a, b = (open_source(da.from_array(PICTURE + n, chunks=20), cache=cache) for n in (0, 1))
    assert not np.array_equal(a.read(PIECE), b.read(PIECE))
    assert cache.nbytes == 2 * PICTURE.nbytes


@settings(max_examples=30)
@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    chunk=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    capacity=st.integers(8, 4000),
    data=st.data(),
)
def test_any_chunks_and_any_cache_read_the_same(
    shape: tuple[int, int], chunk: tuple[int, int], capacity: int, data: st.DataObject
) -> None:
    array = np.arange(shape[0] * shape[1], dtype=np.int32).reshape(shape)
    source = open_source(da.from_array(array, chunks=chunk), cache=BlockCache(capacity))
    for _ in range(3):
        spans = [sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in shape]
        region = Region(tuple(a for a, _ in spans), tuple(b for _, b in spans))
        np.testing.assert_array_equal(source.read(region), array[region.slices])


@given(
    sizes=st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=6), min_size=1, max_size=3),
    small=st.integers(1, 2000),
    factor=st.integers(2, 50),
)
def test_blocks_join_and_divide_chunks(sizes: list[list[int]], small: int, factor: int) -> None:
    edges = block_edges(sizes, 2, small, small * factor)
    for axis, size in zip(edges, sizes, strict=True):
        assert axis[0] == 0
        assert axis[-1] == sum(size)
        assert (np.diff(axis) > 0).all()
    longest = [int(np.diff(e).max()) for e in edges]
    assert 2 * np.prod(longest) <= small * factor or max(longest) == 1
