"""Patches lie around paint, and what is held out is seen by the validation alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.image import ImageView
from napari_unet.data.normalisation import Normalisation
from napari_unet.data.sampling import AnnotatedImage, PatchSampler, class_index
from napari_unet.data.source import open_source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import find_layout
from napari_unet.geometry.region import Region

PLAIN = Normalisation("none", (0.0,), (1.0,))


def _pair(
    labels: NDArray[Any], image: NDArray[Any] | None = None, ndim: int = 2, **options: Any
) -> AnnotatedImage:
    """Return a pair whose image tells where each pixel is from, mirrored pixels included."""
    if image is None:
        image = np.arange(labels.size, dtype=np.float64).reshape(labels.shape)
    view = ImageView(open_source(image), find_layout(image.shape, ndim))
    store = AnnotationStore(labels.shape, ndim, **options)
    store.write(Region.whole(labels.shape), labels)
    return AnnotatedImage(view, store)


def _strokes(shape: tuple[int, ...], seed: int = 0, count: int = 9) -> NDArray[Any]:
    labels, rng = np.zeros(shape, np.uint8), np.random.default_rng(seed)
    for k in range(count):
        place = tuple(int(rng.integers(0, n)) for n in shape)
        labels[(*place[:-1], slice(place[-1], place[-1] + 30))] = (3, 7, 2)[k % 3]
    return labels


def _voxels(sample: Any, shape: tuple[int, ...], known: NDArray[Any]) -> NDArray[Any]:
    """Return which voxels of the picture those of the sample are, by its pixels."""
    return np.stack(np.unravel_index(sample.image[0][known].astype(int), shape), axis=1)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 999),
    shape=st.sampled_from([(90, 100), (3, 60, 70), (20, 60, 70)]),
    read=st.integers(8, 40),
    margin=st.integers(0, 9),
    zero_is_class=st.booleans(),
    data=st.data(),
)
def test_draws(
    seed: int,
    shape: tuple[int, ...],
    read: int,
    margin: int,
    zero_is_class: bool,
    data: st.DataObject,
) -> None:
    ndim = 3 if shape[0] == 20 else 2
    labels, classes = _strokes(shape, seed), (7, 3, 2, 0)
    pair = _pair(labels, ndim=ndim, zero_is_class=zero_is_class)
    sampler = PatchSampler([pair], classes, PLAIN, 0.3, seed)
    read_shape = (read, read + 3, read + 6)[-ndim:]
    core = tuple(max(n - 2 * margin, 1) for n in read_shape)
    sample = sampler.draw(read_shape, np.random.default_rng(seed), core)
    assert sample.image.shape == (1, *read_shape)
    assert (sample.image.dtype, sample.labels.dtype) == (np.float32, np.int64)
    known = sample.labels >= 0
    centre = tuple(
        slice((r - c) // 2, (r - c) // 2 + c) for r, c in zip(read_shape, core, strict=True)
    )
    assert known[centre].any()
    voxels = _voxels(sample, shape, known)
    # No voxel counts twice, which it would if mirrored ones counted.
    assert len({*map(tuple, voxels.tolist())}) == known.sum()
    np.testing.assert_array_equal(labels[tuple(voxels.T)], np.array(classes)[sample.labels[known]])
    held = sampler.splits[0].validation_mask(Region.whole(shape))
    assert not held[tuple(voxels.T)].any()
    if not zero_is_class:
        assert not (sample.labels == classes.index(0)).any()


@settings(max_examples=25)
@given(
    seed=st.integers(0, 999),
    shape=st.sampled_from([(90, 100), (3, 60, 70), (20, 60, 70)]),
    core=st.integers(5, 70),
    margin=st.integers(0, 9),
)
def test_validation_counts_each_held_out_voxel_once(
    seed: int, shape: tuple[int, ...], core: int, margin: int
) -> None:
    ndim = 3 if shape[0] == 20 else 2
    labels = _strokes(shape, seed)
    sampler = PatchSampler([_pair(labels, ndim=ndim)], (2, 3, 7), PLAIN, 0.4, seed)
    core_shape = (core,) * ndim
    read = tuple(n + 2 * margin for n in core_shape)
    windows = list(sampler.windows(read, core_shape, limit=1000))
    found = []
    for sample in windows:
        known = sample.labels >= 0
        assert known.any()
        where = np.argwhere(known)
        assert where.min() >= margin
        assert (where < np.array(read) - margin).all()
        voxels = _voxels(sample, shape, known)
        found += voxels.tolist()
        np.testing.assert_array_equal(
            labels[tuple(voxels.T)], np.array([2, 3, 7])[sample.labels[known]]
        )
    held = sampler.splits[0].validation_mask(Region.whole(shape)) & (labels > 0)
    assert sorted(found) == np.argwhere(held).tolist()
    assert sampler.val_count.sum() == held.sum()
    again = list(sampler.windows(read, core_shape, limit=1000))
    for a, b in zip(windows, again, strict=True):
        np.testing.assert_array_equal(a.labels, b.labels)


def test_few_windows_still_see_every_class() -> None:
    labels = np.zeros((400, 400), np.uint8)
    labels[:, ::7] = 1
    labels[-40:, -40:] = 0
    labels[100, 200:300] = 2
    labels[101, 200:300] = 2
    sampler = PatchSampler([_pair(labels)], (1, 2), PLAIN, 0.5, 1)
    windows = list(sampler.windows((64, 64), (64, 64), limit=5))
    assert len(windows) == 5
    counts = sum(np.bincount(w.labels[w.labels >= 0], minlength=2) for w in windows)
    assert (counts > 0).all()


def test_windows_do_not_cut_cells() -> None:
    labels = np.zeros((300, 300), np.uint8)
    labels[40:60, 40:60] = 1
    labels[200, 200] = 1
    for seed in range(20):
        sampler = PatchSampler([_pair(labels)], (1,), PLAIN, 0.5, seed)
        cells = {*map(tuple, (sampler.splits[0].val_index[1] // 32).tolist())}
        assert len(list(sampler.windows((60, 60), (40, 40)))) == len(cells)


@pytest.mark.parametrize(("balance", "share"), [(1.0, 0.5), (0.5, 1 / 11), (0.0, 1 / 101)])
def test_balance(balance: float, share: float) -> None:
    labels = np.zeros((200, 200), np.uint8)
    labels[:10, :100] = 1
    labels[150, :10] = 2
    sampler = PatchSampler([_pair(labels)], (1, 2, 9), PLAIN, 0, balance=balance)
    rng = np.random.default_rng(0)
    drawn = [int(sampler.draw((1, 1), rng).labels[0, 0]) for _ in range(800)]
    assert np.mean(np.array(drawn) == 1) == pytest.approx(share, abs=0.05)
    assert 2 not in drawn


def test_several_pictures_in_proportion_and_each_split_by_itself() -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[:30, :30] = 1
    few = np.zeros_like(labels)
    few[0, :30] = 1
    pairs = [_pair(labels, np.full((64, 64), 1.0)), _pair(few, np.full((64, 64), 2.0))]
    sampler = PatchSampler(pairs, (1,), PLAIN, 0)
    rng = np.random.default_rng(0)
    drawn = [float(sampler.draw((2, 2), rng).image[0, 0, 0]) for _ in range(500)]
    assert np.mean(np.array(drawn) == 2) == pytest.approx(1 / 31, abs=0.025)
    many = [_pair(np.ones((320, 320), np.uint8)) for _ in range(2)]
    masks = [
        s.validation_mask(Region((0, 0), (320, 320)))
        for s in PatchSampler(many, (1,), PLAIN).splits
    ]
    assert not np.array_equal(*masks)


def test_strokes_enter_when_refreshed_and_leave_when_erased() -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[0, :20] = 1
    pair = _pair(labels)
    sampler = PatchSampler([pair], (1, 2), PLAIN, 0)
    rng = np.random.default_rng(0)
    assert not sampler.refresh()
    pair.store.write(Region((40, 40), (50, 50)), np.full((10, 10), 2))
    assert sampler.refresh()
    assert sampler.train_count.tolist() == [20, 100]
    assert {int(sampler.draw((1, 1), rng).labels[0, 0]) for _ in range(40)} == {0, 1}
    pair.store.write(Region((0, 0), (64, 64)), np.zeros((64, 64), int))
    sampler.refresh()
    with pytest.raises(InputError, match="All strokes were removed"):
        sampler.draw((1, 1), rng)


def test_pixels_that_are_not_finite_do_not_count() -> None:
    labels = np.ones((2, 20, 20), np.uint8)
    image = np.zeros((2, 20, 20))
    image[0, :, 3] = np.nan
    image[1, 5] = np.inf
    sampler = PatchSampler([_pair(labels, image)], (1,), PLAIN, 0)
    rng = np.random.default_rng(0)
    for _ in range(10):
        sample = sampler.draw((20, 20), rng)
        assert np.isfinite(sample.image).all()
        assert (sample.labels == -1).sum() == 20


def test_core_stays_inside_where_it_fits() -> None:
    sampler = PatchSampler([_pair(np.ones((30, 30), np.uint8))], (1,), PLAIN, 0)
    rng = np.random.default_rng(0)
    starts = set()
    for _ in range(300):
        sample = sampler.draw((32, 32), rng, (20, 20))
        assert (sample.labels[6:26, 6:26] == 0).all()
        starts.add(int(sample.image[0, 6, 6]))
    assert {i // 30 for i in starts} == {i % 30 for i in starts} == set(range(11))


def test_same_generator_same_draws() -> None:
    sampler = PatchSampler([_pair(_strokes((90, 100)))], (2, 3, 7), PLAIN)
    one, other = (sampler.draw((20, 20), np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.labels, other.labels)


@settings(max_examples=50)
@given(
    classes=st.lists(st.integers(0, 300), min_size=1, max_size=6, unique=True),
    labels=st.lists(st.integers(0, 301), min_size=1, max_size=30),
    zero_is_class=st.booleans(),
)
def test_class_index(classes: list[int], labels: list[int], zero_is_class: bool) -> None:
    found = class_index(np.array(labels), tuple(classes), zero_is_class)
    known = [v for v in classes if v or zero_is_class]
    assert found.tolist() == [classes.index(v) if v in known else -1 for v in labels]


def test_refused() -> None:
    labels = _strokes((40, 50))
    with pytest.raises(InputError, match="do not fit"):
        PatchSampler([_pair(labels, np.zeros((50, 40)))], (2, 3, 7), PLAIN)
    for classes in ((5,), (0,)):
        with pytest.raises(InputError, match="Nothing is painted"):
            PatchSampler([_pair(labels)], classes, PLAIN)
