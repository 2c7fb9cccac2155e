"""The separate strokes of a label array."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import generate_binary_structure, label

from napari_unet.data import strokes as module
from napari_unet.data.strokes import StrokeIndex, pixels_of


def masks(data, index, stacked):
    """Return the pixels of all strokes, each as a set of tuples, by label."""
    return {
        (stroke.value, frozenset(zip(*map(np.ndarray.tolist, found), strict=True)))
        for stroke in index.strokes
        for found in [pixels_of(data, stroke, stacked=stacked)]
    }


def expected(data, stacked):
    """Label the whole array at once."""
    connected = np.zeros((3,) * data.ndim, bool)
    connected[(1,) * (data.ndim - 2)] = True
    if stacked and data.ndim > 2:
        connected |= generate_binary_structure(data.ndim, 1) & np.isin(
            np.indices(connected.shape)[: data.ndim - 3], 1
        ).all(0)
    found = set()
    for value in np.unique(data[data > 0]):
        parts, count = label(data == value, connected)
        for i in range(1, count + 1):
            where = np.argwhere(parts == i)
            found.add((int(value), frozenset(map(tuple, where.tolist()))))
    return found


@given(
    arrays(
        np.uint8, st.sampled_from([(5, 6), (3, 5, 6), (2, 3, 4, 5)]), elements=st.integers(0, 2)
    ),
    st.booleans(),
)
def test_each_stroke_is_connected_and_none_is_missing(data, stacked):
    index = StrokeIndex.of(data, stacked=stacked)
    assert masks(data, index, stacked) == expected(data, stacked)
    for stroke in index.strokes:
        where = np.stack(pixels_of(data, stroke, stacked=stacked))
        assert stroke.pixels == where.shape[1]
        assert stroke.region.start == tuple(where.min(1))
        assert stroke.region.stop == tuple(where.max(1) + 1)
        assert data[stroke.place] == stroke.value


@given(
    arrays(np.uint8, (4, 4, 5), elements=st.integers(0, 1)),
    arrays(np.uint8, (4, 4, 5), elements=st.integers(0, 1)),
    st.sets(st.integers(0, 3)),
    st.booleans(),
)
def test_a_second_look_finds_what_a_first_one_would(data, other, changed, told):
    before = StrokeIndex.of(data, stacked=True)
    for i in changed:
        data[i] = other[i]
    only = changed if told else None
    now = StrokeIndex.of(data, stacked=True, before=before, only=only)
    assert now.strokes == StrokeIndex.of(data, stacked=True).strokes


@pytest.mark.parametrize("only", [None, [4]])
def test_planes_that_did_not_change_are_not_worked_out_again(monkeypatch, only):
    data = np.zeros((9, 8, 8), np.uint8)
    data[:, 3:5, 3:5] = 1
    before = StrokeIndex.of(data, stacked=True)
    worked = []
    parts = module._parts
    monkeypatch.setattr(module, "_parts", lambda labels: worked.append(1) or parts(labels))
    data[4] = 0
    now = StrokeIndex.of(data, stacked=True, before=before, only=only)
    assert [s.region.start[0] for s in now.strokes] == [0, 5]
    assert len(worked) == 1


@pytest.mark.parametrize("kind", [da.from_array, zarr.array])
def test_lazy_arrays_are_read_plane_by_plane(kind):
    data = np.zeros((3, 8, 8), np.int32)
    data[1, 2:4, 2:6] = 70000
    (stroke,) = StrokeIndex.of(kind(data), stacked=True).strokes
    assert (stroke.value, stroke.pixels) == (70000, 8)
    assert [x.tolist() for x in pixels_of(kind(data), stroke, stacked=True)] == [
        x.tolist() for x in np.nonzero(data)
    ]


def test_a_stroke_that_is_gone_has_no_pixels():
    data = np.zeros((8, 8), np.uint8)
    data[2:4, 2:4] = 1
    (stroke,) = StrokeIndex.of(data, stacked=False).strokes
    data[stroke.place] = 2
    assert all(len(axis) == 0 for axis in pixels_of(data, stroke, stacked=False))


def test_nothing_painted_is_no_stroke():
    assert StrokeIndex.of(np.zeros((2, 4, 4), np.uint8), stacked=True).strokes == ()
