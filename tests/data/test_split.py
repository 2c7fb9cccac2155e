"""What is held out: apart from what trains, the same whatever else is painted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import napari_unet.data.split as module
from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.split import MOST_HELD, Split, split, whole_images
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region

SHAPE = (2, 150, 170)


def _stroke(store: AnnotationStore, rng: np.random.Generator, value: int) -> None:
    start = [int(rng.integers(0, n)) for n in store.shape]
    size = [1] * (len(start) - 2) + [int(n) for n in rng.permutation([3, 40])]
    stop = [min(a + d, n) for a, d, n in zip(start, size, store.shape, strict=True)]
    region = Region(tuple(start), tuple(stop))
    store.write(region, np.full(region.shape, value))


def _strokes(
    seed: int, count: int, *, shape: tuple[int, ...] = SHAPE, ndim: int = 2
) -> AnnotationStore:
    store, rng = AnnotationStore(shape, ndim), np.random.default_rng(seed)
    for k in range(count):
        _stroke(store, rng, 1 + k % 3)
    return store


def _rows(coords: NDArray[Any]) -> set[tuple[int, ...]]:
    return set(map(tuple, coords.tolist()))


def _cells(coords: NDArray[Any], part: Split) -> set[tuple[int, ...]]:
    return _rows(coords // np.array(part.cell))


def _all_of(index: Any, part: Split) -> set[tuple[int, ...]]:
    return set().union(*(_cells(c, part) for c in index.values()))


@settings(max_examples=40)
@given(
    seed=st.integers(0, 999),
    count=st.integers(1, 12),
    fraction=st.floats(0, 0.9),
    ndim=st.integers(2, 3),
)
def test_every_painted_voxel_is_on_one_side(
    seed: int, count: int, fraction: float, ndim: int
) -> None:
    store = _strokes(seed, count, ndim=ndim)
    part = split(store, fraction, seed)
    whole = Region.whole(store.shape)
    painted, mask = store.read(whole), part.validation_mask(whole)
    assert part.version == store.version
    assert set(part.train_index) == set(part.val_index) == set(store.values())
    for value in store.values():
        train, held = part.train_index[value], part.val_index[value]
        assert (len(train), len(held)) == (part.train_count[value], part.val_count[value])
        assert _rows(train) == _rows(np.argwhere((painted == value) & ~mask))
        assert _rows(held) == _rows(np.argwhere((painted == value) & mask))
        assert len(train) > 0
    assert not _all_of(part.train_index, part) & _all_of(part.val_index, part)


@settings(max_examples=40)
@given(seed=st.integers(0, 999), count=st.integers(1, 12), fraction=st.floats(0.05, 0.9))
def test_chance_holds_out_little_more_than_the_share(
    seed: int, count: int, fraction: float
) -> None:
    """Half of two strokes would be much: of no class is more held out than a quarter above."""
    part = split(_strokes(seed, count), fraction, seed)
    for value, held in part.val_count.items():
        total = held + part.train_count[value]
        assert held <= min(MOST_HELD * fraction, (1 + fraction) / 2) * total


@settings(max_examples=20)
@given(seed=st.integers(0, 999), fraction=st.floats(0.05, 0.9))
def test_a_cell_stays_on_its_side(seed: int, fraction: float) -> None:
    store, rng = _strokes(seed, 2), np.random.default_rng(seed + 1)
    part = split(store, fraction, seed)
    for k in range(6):
        _stroke(store, rng, 1 + k % 5)
        later = split(store, fraction, seed, previous=part)
        train, held = _all_of(part.train_index, part), _all_of(part.val_index, part)
        assert part.kept <= later.kept
        assert not train & _all_of(later.val_index, later)
        assert held & _all_of(later.train_index, later) <= later.kept
        fresh = split(store, fraction, seed)
        if fresh.kept == later.kept:
            for value in store.values():
                assert _rows(fresh.val_index[value]) == _rows(later.val_index[value])
        part = later


def test_a_class_in_one_cell_only_trains() -> None:
    for seed in range(30):
        store = AnnotationStore((64, 64), 2)
        store.write(Region((33, 1), (40, 20)), np.full((7, 19), 4))
        part = split(store, 0.8, seed)
        assert (part.train_count, part.val_count) == ({4: 133}, {4: 0})
        assert len(part.kept) <= 1


def test_the_share_is_as_asked_and_the_seed_matters() -> None:
    store = AnnotationStore((8, 600, 600), 2)
    masks = [
        split(store, 1 / 6, seed).validation_mask(Region.whole(store.shape)) for seed in (0, 1)
    ]
    for mask in masks:
        assert mask.mean() == pytest.approx(1 / 6, abs=0.02)
    assert (masks[0] & masks[1]).mean() == pytest.approx(1 / 36, abs=0.01)
    assert not np.array_equal(masks[0][0], masks[0][1])


@given(seed=st.integers(-5, 999), data=st.data())
def test_the_mask_of_any_region_agrees(seed: int, data: st.DataObject) -> None:
    part = split(AnnotationStore((300, 300), 2), 0.4, seed)
    start = data.draw(st.tuples(*[st.integers(-70, 300)] * 2))
    region = Region(start, tuple(a + data.draw(st.integers(0, 70)) for a in start))
    wide = Region((-70, -70), (370, 370))
    expected = part.validation_mask(wide)[region.within(wide).slices]
    np.testing.assert_array_equal(part.validation_mask(region), expected)


def test_cells_of_a_volume_are_flat() -> None:
    assert split(_strokes(0, 3, shape=(20, 150, 170), ndim=3)).cell == (8, 32, 32)
    assert split(_strokes(0, 3)).cell == (1, 32, 32)
    assert split(_strokes(0, 3), cell=(16, 8)).cell == (1, 16, 8)


def test_only_changed_blocks_are_indexed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store = _strokes(0, 40)
    part = split(store)
    indexed = []
    voxels = module._voxels
    monkeypatch.setattr(module, "_voxels", lambda *a: indexed.append(a) or voxels(*a))
    assert split(store, previous=part) is part
    store.write(Region((0, 3, 3), (1, 5, 5)), np.full((1, 2, 2), 9))
    later = split(store, previous=part)
    assert len(indexed) == 1
    assert 9 in later.train_index
    fresh = split(store)
    for value in store.values():
        assert _rows(later.train_index[value]) == _rows(fresh.train_index[value])


def test_finished_masks_count_every_voxel() -> None:
    mask = np.zeros((100, 200), np.uint8)
    mask[10:30, 20:60] = 2
    store = AnnotationStore(mask.shape, 2, zero_is_class=True)
    store.write(Region.whole(mask.shape), mask)
    part = split(store)
    for value in (0, 2):
        rows = _rows(part.train_index[value]) | _rows(part.val_index[value])
        assert rows == _rows(np.argwhere(mask == value))


@pytest.mark.parametrize("zero_is_class", [False, True])
def test_many_voxels_are_thinned_out_evenly(zero_is_class: bool) -> None:
    mask = np.zeros((300, 700), np.uint8)
    mask[:, :200] = 1
    mask[5, 650] = 2
    store = AnnotationStore(mask.shape, 2, zero_is_class=zero_is_class)
    store.write(Region.whole(mask.shape), mask)
    part = split(store, limit=5_000)
    assert part.train_count[2] == 1
    for value in set(store.values()) - {2}:
        coords = np.concatenate([part.train_index[value], part.val_index[value]])
        assert 2_000 < len(coords) < 5_500
        assert (mask[tuple(coords.T)] == value).all()
        assert coords.mean(axis=0) == pytest.approx(
            np.argwhere(mask == value).mean(axis=0), rel=0.1
        )
        assert part.train_count[value] + part.val_count[value] == (mask == value).sum()
        held = part.validation_mask(Region.whole(mask.shape)) & (mask == value)
        assert part.val_count[value] == pytest.approx(held.sum(), rel=0.2)


def test_refused_shares() -> None:
    for fraction in (-0.1, 1.1):
        with pytest.raises(InputError, match="fraction cannot be held out"):
            split(AnnotationStore((4, 4), 2), fraction)


def test_everything_can_be_held_out() -> None:
    store = _strokes(3, 6)
    part = split(store, 1.0)
    assert part.val_count
    assert dict(part.val_count) == dict(store.snapshot().counts)
    assert set(part.train_count.values()) == {0}
    assert part.validation_mask(Region.whole(store.shape)).all()


def test_whole_pictures_leave_every_class_something_to_train_with() -> None:
    counts = [{1: 5, 2: 5}, {1: 5}, {1: 5, 3: 1}, {1: 2, 2: 9}, {}]
    for seed in range(20):
        held = whole_images(counts, 0.4, seed)
        assert 1 <= len(held) <= 2
        assert 2 not in held, "all of class 3 is there"
        assert not {0, 3} <= held, "all of class 2 is there"
        assert 4 not in held, "nothing is painted there"
    assert len({whole_images(counts, 0.2, seed) for seed in range(20)}) > 1
    with pytest.raises(InputError, match="every class painted on at least two images"):
        whole_images([{1: 5, 2: 5}], 0.2, 0)


def test_nothing_painted() -> None:
    part = split(AnnotationStore((40, 40), 2))
    assert (part.train_index, part.val_count) == ({}, {})
