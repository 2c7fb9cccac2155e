"""Views of pictures and labels: axes in their roles, the border a mirror."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unet.data.image import ImageView, LabelView
from napari_unet.data.source import ArraySource, open_source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import AxisLayout, find_layout
from napari_unet.geometry.region import Region

RNG = np.random.default_rng(0)


class Watched(ArraySource):
    """Remembers what was read."""

    def __init__(self, array: NDArray[Any]) -> None:
        super().__init__(array)
        self.regions: list[Region] = []

    def read(self, region: Region) -> NDArray[Any]:
        assert Region.whole(self.shape).contains(region)
        self.regions.append(region)
        return super().read(region)


def _region(data: st.DataObject, shape: tuple[int, ...], beyond: int) -> Region:
    start = [data.draw(st.integers(-beyond, n + beyond - 1)) for n in shape]
    stop = [data.draw(st.integers(a + 1, n + beyond)) for a, n in zip(start, shape, strict=True)]
    return Region(tuple(start), tuple(stop))


@settings(max_examples=60)
@given(
    shape=st.lists(st.integers(1, 8), min_size=2, max_size=3),
    dtype=st.sampled_from(["u1", ">u2", "i4", ">f8", "f4", "?"]),
    data=st.data(),
)
def test_reads_are_mirrored_as_numpy_pads(
    shape: list[int], dtype: str, data: st.DataObject
) -> None:
    array = RNG.integers(0, 200, shape).astype(dtype)
    source = Watched(array)
    view = ImageView(source, find_layout(shape, len(shape)))
    region = _region(data, view.spatial_shape, 20)
    expected = np.pad(array, 20, mode="reflect")[region.shift((20,) * len(shape)).slices]
    read = view.read((), region)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, expected[None].astype(np.float32))
    assert view.read_raw((), region).dtype == array.dtype.newbyteorder("=")


@pytest.mark.parametrize(
    ("span", "read"), [((-3, 2), (0, 4)), ((7, 14), (5, 10)), ((2, 5), (2, 5)), ((12, 14), (5, 7))]
)
def test_only_the_needed_box_is_read(span: tuple[int, int], read: tuple[int, int]) -> None:
    source = Watched(np.zeros((10, 10)))
    region = Region((span[0], 4), (span[1], 6))
    ImageView(source, find_layout((10, 10), 2)).read((), region)
    assert source.regions == [Region((read[0], 4), (read[1], 6))]


@settings(max_examples=50)
@given(
    ndim=st.integers(2, 3),
    loops=st.integers(0, 2),
    channel=st.one_of(st.none(), st.integers(0, 4)),
    data=st.data(),
)
def test_any_axis_may_hold_channels(
    ndim: int, loops: int, channel: int | None, data: st.DataObject
) -> None:
    axes = ndim + loops + (channel is not None)
    shape = tuple(data.draw(st.lists(st.integers(2, 5), min_size=axes, max_size=axes)))
    channel = None if channel is None else channel % axes
    array = RNG.random(shape)
    view = ImageView(ArraySource(array), find_layout(shape, ndim, channel_axis=channel))
    moved = array[None] if channel is None else np.moveaxis(array, channel, 0)
    assert view.channels == len(moved)
    assert (*view.loop_shape, *view.spatial_shape) == moved.shape[1:]
    assert len(list(view.loops())) == np.prod(view.loop_shape)
    for loop in view.loops():
        read = view.read(loop, Region.whole(view.spatial_shape))
        np.testing.assert_array_equal(read, moved[(slice(None), *loop)].astype(np.float32))


def test_rgb() -> None:
    array = RNG.integers(0, 255, (6, 7, 3)).astype(np.uint8)
    view = ImageView(open_source(array), find_layout(array.shape, 2, rgb=True))
    assert (view.channels, view.spatial_shape) == (3, (6, 7))
    np.testing.assert_array_equal(view.read((), Region((0, 0), (6, 7))), array.transpose(2, 0, 1))


def test_too_large_for_float32_is_infinite() -> None:
    view = ImageView(open_source(np.full((2, 2), 1e300)), find_layout((2, 2), 2))
    assert np.isinf(view.read((), Region((0, 0), (2, 2)))).all()


@settings(max_examples=50)
@given(shape=st.lists(st.integers(1, 8), min_size=2, max_size=3), data=st.data())
def test_labels_are_zero_outside(shape: list[int], data: st.DataObject) -> None:
    array = RNG.integers(1, 9, shape).astype(">i2")
    view = LabelView(open_source(array), find_layout(shape, len(shape)))
    region = _region(data, view.spatial_shape, 12)
    expected = np.pad(array, 12)[region.shift((12,) * len(shape)).slices]
    read = view.read((), region)
    assert read.dtype == np.int16
    np.testing.assert_array_equal(read, expected)


def test_labels_of_a_stack() -> None:
    array = RNG.integers(0, 9, (3, 4, 5))
    view = LabelView(open_source(array), find_layout(array.shape, 2))
    for loop in view.loops():
        np.testing.assert_array_equal(view.read(loop, Region((0, 0), (4, 5))), array[loop])


def test_refused() -> None:
    with pytest.raises(InputError, match="whole numbers"):
        LabelView(open_source(np.zeros((3, 3))), find_layout((3, 3), 2))
    with pytest.raises(InputError, match="cannot have a channel axis"):
        LabelView(open_source(np.zeros((3, 3, 2), int)), find_layout((3, 3, 2), 2, rgb=True))
    for layout in (AxisLayout((), None, (0, 1)), AxisLayout((0,), 0, (1, 2))):
        with pytest.raises(InputError, match="axes do not fit"):
            ImageView(open_source(np.zeros((3, 3, 3))), layout)
