"""The store of painted labels behaves as a plain array would, also between threads."""

from __future__ import annotations

from threading import Thread
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.source import ArraySource, open_source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import AxisLayout, find_layout
from napari_unet.geometry.region import Region

Write = tuple[Region, NDArray[Any]]


@st.composite
def _writes(draw: st.DrawFn, shape: tuple[int, ...]) -> list[Write]:
    writes = []
    for _ in range(draw(st.integers(1, 6))):
        spans = [sorted(draw(st.tuples(*[st.integers(0, n)] * 2))) for n in shape]
        region = Region(tuple(a for a, _ in spans), tuple(b for _, b in spans))
        highest = draw(st.sampled_from([0, 1, 3, 300, 70_000]))
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        writes.append((region, rng.integers(0, highest + 1, region.shape)))
    return writes


def _painted(array: NDArray[Any], spatial_ndim: int = 2, **options: Any) -> AnnotationStore:
    store = AnnotationStore(array.shape, spatial_ndim, **options)
    store.write(Region.whole(array.shape), array)
    return store


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),
    spatial_ndim=st.integers(2, 3),
    block=st.integers(2, 9),
    zero_is_class=st.booleans(),
    data=st.data(),
)
def test_as_a_plain_array(
    shape: tuple[int, ...], spatial_ndim: int, block: int, zero_is_class: bool, data: st.DataObject
) -> None:
    store = AnnotationStore(shape, spatial_ndim, block=block, zero_is_class=zero_is_class)
    model = np.zeros(shape, np.int64)
    for region, values in data.draw(_writes(shape)):
        version, changes = store.version, not np.array_equal(model[region.slices], values)
        store.write(region, values)
        model[region.slices] = values
        assert store.version == version + changes
    beyond = Region.whole(shape).grow((2,) * len(shape))
    np.testing.assert_array_equal(store.read(beyond), np.pad(model, 2))
    known, counts = np.unique(model if zero_is_class else model[model > 0], return_counts=True)
    assert store.values() == dict(zip(known.tolist(), counts.tolist(), strict=True))
    assert list(store.values()) == sorted(store.values())
    # Only blocks with paint are kept, in the smallest type that holds them.
    for index, kept in store.snapshot().blocks.items():
        content = model[store.snapshot().region(index).slices]
        assert content.any()
        np.testing.assert_array_equal(kept.labels, content)


@settings(max_examples=25)
@given(data=st.data(), block=st.integers(2, 9))
def test_the_digest_is_of_the_paint_alone(data: st.DataObject, block: int) -> None:
    shape = (2, 70, 20)
    one, other = AnnotationStore(shape, 2), AnnotationStore(shape, 2, block=block)
    for region, values in data.draw(_writes(shape)):
        one.write(region, values)
    whole = one.read(Region.whole(shape))
    other.write(Region.whole(shape), whole)
    assert one.digest() == other.digest()
    voxel = data.draw(st.tuples(*(st.integers(0, n - 1) for n in shape)))
    place = Region(voxel, tuple(i + 1 for i in voxel))
    other.write(place, 1 - np.minimum(other.read(place), 1))
    assert one.digest() != other.digest()


def test_digests_tell_shapes_and_meanings_of_zero_apart() -> None:
    stores = [
        AnnotationStore((4, 6), 2),
        AnnotationStore((6, 4), 2),
        AnnotationStore((4, 6), 2, zero_is_class=True),
    ]
    assert len({s.digest() for s in stores}) == 3


def test_erasing_frees_blocks() -> None:
    store = _painted(np.ones((100, 100), np.uint8), block=10)
    assert len(store.snapshot().blocks) == 100
    store.write(Region((0, 0), (100, 95)), np.zeros((100, 95), int))
    assert len(store.snapshot().blocks) == 10
    store.write(Region((0, 0), (100, 100)), np.zeros((100, 100), int))
    assert (store.values(), len(store.snapshot().blocks)) == ({}, 0)


@pytest.mark.parametrize(("highest", "dtype"), [(255, "u1"), (256, "u2"), (70_000, "i4")])
def test_blocks_take_the_smallest_type(highest: int, dtype: str) -> None:
    (block,) = _painted(np.array([[1, highest]])).snapshot().blocks.values()
    assert block.labels.dtype == dtype
    assert not block.labels.flags.writeable


def test_unchanged_blocks_stay_the_same() -> None:
    store = _painted(np.ones((20, 20), int), block=10)
    before = store.snapshot()
    store.write(Region((0, 0), (20, 12)), np.ones((20, 12), np.uint8))
    assert dict(store.snapshot().blocks) == dict(before.blocks)
    store.write(Region((0, 0), (1, 1)), np.array([[2]]))
    changed = [i for i, b in store.snapshot().blocks.items() if b is not before.blocks[i]]
    assert changed == [(0, 0)]
    assert before.counts == {1: 400}


@pytest.mark.parametrize(
    "layout", [AxisLayout((2,), None, (0, 1)), AxisLayout((), None, (2, 0, 1))]
)
@pytest.mark.parametrize("zero_is_class", [False, True])
def test_from_labels(layout: AxisLayout, zero_is_class: bool) -> None:
    labels = np.zeros((40, 50, 6), np.int16)
    labels[5:9, 20:44, 2:4] = np.random.default_rng(0).integers(0, 5, (4, 24, 2))
    moved = labels.transpose(layout.loops + layout.spatial)
    for data in (labels, da.from_array(labels, chunks=(16, 16, 2))):
        store = AnnotationStore.from_labels(
            open_source(data), layout, block=3, zero_is_class=zero_is_class
        )
        assert store.shape == moved.shape
        assert store.spatial_ndim == len(layout.spatial)
        np.testing.assert_array_equal(store.read(Region.whole(store.shape)), moved)
        assert store.digest() == _painted(moved, zero_is_class=zero_is_class).digest()


@pytest.mark.parametrize("zero_is_class", [False, True])
def test_merged_labels_are_one_class_however_they_are_written(zero_is_class: bool) -> None:
    labels = np.zeros((20, 30), np.uint16)
    labels[2:9, 3:9], labels[5:15, 12:25] = 7, 412
    how = {"zero_is_class": zero_is_class, "merge": True, "block": 8}
    store = AnnotationStore.from_labels(open_source(labels), AxisLayout((), None, (0, 1)), **how)
    np.testing.assert_array_equal(store.read(Region.whole((20, 30))), labels > 0)
    version = store.version
    store.write(Region.whole((20, 30)), labels)
    assert store.version == version  # the viewer compares its layer with what is stored
    store.write(Region((0, 0), (1, 2)), np.array([[3, 0]]))
    assert store.values() == {1: 42 + 130 + 1} | ({0: 600 - 173} if zero_is_class else {})


def test_from_labels_takes_the_layout_of_the_picture() -> None:
    layout = find_layout((3, 8, 9), 2, channel_axis=0)
    assert AnnotationStore.from_labels(open_source(np.eye(8, 9, dtype=int)), layout).values() == {
        1: 8
    }


def test_from_labels_never_reads_the_whole() -> None:
    class Watched(ArraySource):
        largest = 0

        def read(self, region: Region) -> NDArray[Any]:
            Watched.largest = max(Watched.largest, region.size)
            return super().read(region)

    labels = np.zeros((64, 64, 64), np.uint8)
    labels[40, 40, 40] = 1
    store = AnnotationStore.from_labels(Watched(labels), find_layout(labels.shape, 3), block=4)
    assert store.values() == {1: 1}
    assert Watched.largest <= labels.size / 16


@pytest.mark.parametrize("labels", [np.full((3, 3), -1), np.ones((3, 3)), np.full((3, 3), 2**31)])
def test_refused_labels(labels: NDArray[Any]) -> None:
    with pytest.raises(InputError, match="Labels have to be"):
        _painted(labels)
    with pytest.raises(InputError, match="Labels have to be"):
        AnnotationStore.from_labels(open_source(labels), find_layout((3, 3), 2))


def test_refused_regions() -> None:
    store = AnnotationStore((10, 10), 2)
    for region, shape in [
        (Region((5, 5), (11, 6)), (6, 1)),
        (Region((-1, 0), (2, 2)), (3, 2)),
        (Region((0, 0), (2, 2)), (3, 2)),
    ]:
        with pytest.raises(InputError, match="do not fit"):
            store.write(region, np.ones(shape, int))
    assert store.version == 0


def test_a_reader_sees_all_of_a_write_or_nothing() -> None:
    store = AnnotationStore((1, 90, 90), 2, block=32)
    region = Region((0, 10, 10), (1, 80, 80))
    writes = 300

    def write() -> None:
        for k in range(1, writes + 1):
            store.write(region, np.full(region.shape, k))

    writer = Thread(target=write)
    seen = []
    writer.start()
    while writer.is_alive() or len(seen) < 3:
        values = np.unique(store.read(region))
        assert values.size == 1
        seen.append(int(values[0]))
    writer.join()
    assert seen == sorted(seen)
    assert store.version == writes
    assert store.values() == {writes: region.size}


def test_writers_do_not_lose_each_others_strokes() -> None:
    store = AnnotationStore((4, 40, 40), 2, block=16)

    def paint(plane: int) -> None:
        for row in range(40):
            store.write(Region((plane, row, 0), (plane + 1, row + 1, 40)), np.ones((1, 1, 40), int))

    writers = [Thread(target=paint, args=(plane,)) for plane in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert store.values() == {1: 4 * 40 * 40}
    assert store.version == 160
