"""Patches for training, drawn around what is painted, and windows for validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.image import ImageView
from napari_unet.data.normalisation import Normalisation
from napari_unet.data.split import Split, split, whole_images
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region

#: Label index of voxels that count nowhere: not painted, held out, outside, or not finite.
IGNORED = -1

Shape = tuple[int, ...]


class AnnotatedView(NamedTuple):
    """A picture and what is painted on it."""

    view: ImageView
    store: AnnotationStore


@dataclass(frozen=True, eq=False)
class PatchSample:
    """A piece of a picture with its labels.

    Attributes
    ----------
    image : ndarray of float32, shape (channels, *read)
        Normalised.
    labels : ndarray of int64, shape read
        Index of the class, or -1 where the voxel does not count: not painted, on the other side
        of the split, outside the picture, or not finite.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.int64]


class PatchSampler:
    """Draw patches from pictures and what is painted on them.

    Parameters
    ----------
    pairs : sequence of Pair
        Pictures with as many channels as the normalisation, and their labels.
    classes : tuple of int
        Label values in the order of the network's classes; other values are ignored.
    normalisation : Normalisation
    fraction : float
        Share of the painted cells that is held out for validation.
    seed : int
        Decides what is held out. Draws take their own random generator.
    balance : float
        1: all classes are drawn equally often; 0: as often as they are painted; between, in
        proportion to ``count ** (1 - balance)``.
    whole : bool
        Hold out whole pictures, about `fraction` of them and at least one, but none without which
        a class would have nothing to train with.

    Raises
    ------
    InputError
        Where a picture and its labels are unlike in shape, no voxel of the classes is painted, or
        no picture can be held out as a whole.
    """

    def __init__(
        self,
        pairs: Sequence[AnnotatedView],
        classes: tuple[int, ...],
        normalisation: Normalisation,
        fraction: float = 1 / 6,
        seed: int = 0,
        *,
        balance: float = 1.0,
        whole: bool = False,
    ) -> None:
        self.pairs = [AnnotatedView(*pair) for pair in pairs]
        self.classes = classes
        self.normalisation = normalisation
        self.balance = balance
        for pair in self.pairs:
            _check_pair(pair)
        # Unlike seeds, else small pictures would all be held out or none.
        self._seeds = [seed + 1_000_003 * i for i in range(len(self.pairs))]
        self._fractions = [fraction] * len(self.pairs)
        if whole and fraction:
            held = whole_images([p.store.snapshot().counts for p in self.pairs], fraction, seed)
            self._fractions = [1.0 if i in held else 0.0 for i in range(len(self.pairs))]
        self._splits: list[Split] = []
        self.refresh()
        if not self.train_count.any():
            raise InputError(
                "Nothing is painted",
                expected=f"strokes with the labels {', '.join(map(str, classes))}",
                todo="Paint a few strokes of each class",
            )

    @property
    def train_count(self) -> NDArray[np.int64]:
        """Number of painted training voxels per class, shape (classes,)."""
        total: NDArray[np.int64] = self._counts.sum(axis=0)
        return total

    @property
    def val_count(self) -> NDArray[np.int64]:
        """Number of painted voxels per class that are held out, shape (classes,)."""
        counts = [[s.val_count.get(v, 0) for v in self.classes] for s in self._splits]
        total: NDArray[np.int64] = np.array(counts, np.int64).sum(axis=0)
        return total

    @property
    def splits(self) -> Sequence[Split]:
        """The split of each pair."""
        return tuple(self._splits)

    def refresh(self) -> bool:
        """Take up what was painted since; return whether anything was."""
        old: Sequence[Split | None] = self._splits or [None] * len(self.pairs)
        new = [
            split(pair.store, fraction, seed, previous=before)
            for pair, fraction, seed, before in zip(
                self.pairs, self._fractions, self._seeds, old, strict=True
            )
        ]
        changed = any(a is not b for a, b in zip(old, new, strict=True))
        self._splits = new
        counts = [[s.train_count.get(v, 0) for v in self.classes] for s in new]
        self._counts = np.array(counts, np.int64).reshape(len(new), len(self.classes))
        return changed

    def draw(
        self, read_shape: Shape, rng: np.random.Generator, core: Shape | None = None
    ) -> PatchSample:
        """Draw a patch around a random painted training voxel.

        The class is drawn first, then a voxel of it, then a window such that the voxel lies at a
        random place of the window's central part. That part stays inside the picture where the
        picture is large enough; the rest is mirrored where it leaves the picture.

        Parameters
        ----------
        read_shape : tuple of int
            Shape of the patch, in voxels.
        rng : numpy.random.Generator
        core : tuple of int, optional
            Shape of the central part, what the network puts out; all of the patch if not given.

        Returns
        -------
        Sample
            Labels that are held out are -1.

        Raises
        ------
        InputError
            Where all training paint has been erased.
        """
        which, voxel = self._draw_voxel(rng)
        pair, core = self.pairs[which], core or read_shape
        loops = len(pair.view.loop_shape)
        start = [
            _draw_start(v, c, n, rng) - (r - c) // 2
            for v, c, n, r in zip(
                voxel[loops:], core, pair.view.spatial_shape, read_shape, strict=True
            )
        ]
        region = Region.of(start, read_shape)
        return self._sample(which, voxel[:loops], region, held_out=False)

    def windows(
        self, read_shape: Shape, core: Shape, limit: int = 16, *, held_out: bool = True
    ) -> Iterator[PatchSample]:
        """Yield windows that cover what is held out, or what is not.

        They are always the same ones for the same paint.

        The windows' central parts lie on a grid that does not cut through the cells of the
        split where the core holds a cell, so no voxel counts twice. If there are more than
        `limit`, those with the largest shares of the classes' voxels are taken.

        Parameters
        ----------
        read_shape, core : tuple of int
            As for :meth:`draw`.
        limit : int
            Most windows to yield.
        held_out : bool
            Cover what validation has; else what training has.

        Yields
        ------
        Sample
            All labels are -1 but those of that side.
        """
        windows: dict[tuple[int, Shape, Shape], float] = {}
        for which, index, share in self._voxels(held_out):
            loops = len(self.pairs[which].view.loop_shape)
            step = _grid_step(core, self._splits[which].cell[loops:])
            index[:, loops:] //= np.array(step)
            cells, counts = np.unique(index, axis=0, return_counts=True)
            for cell, count in zip(cells.tolist(), counts.tolist(), strict=True):
                key = (which, tuple(cell[:loops]), tuple(cell[loops:]))
                windows[key] = windows.get(key, 0.0) + share * count
        best = sorted(windows, key=lambda key: (-windows[key], key))[:limit]
        for which, loop, cell in sorted(best):
            yield self._window(which, loop, cell, read_shape, core, held_out)

    def _draw_voxel(self, rng: np.random.Generator) -> tuple[int, Shape]:
        counts = self._counts
        total = counts.sum(axis=0)
        if not total.any():
            raise InputError("Nothing is painted any more", todo="Paint a few strokes")
        weight = np.where(total > 0, total ** (1.0 - self.balance), 0.0)
        c = int(rng.choice(len(weight), p=weight / weight.sum()))
        which = int(rng.choice(len(counts), p=counts[:, c] / total[c]))
        index = self._splits[which].train_index[self.classes[c]]
        return which, tuple(int(i) for i in index[rng.integers(len(index))])

    def _sample(self, which: int, loop: Shape, region: Region, *, held_out: bool) -> PatchSample:
        pair = self.pairs[which]
        raw = pair.view.read_raw(loop, region)
        whole = Region.of(loop + region.start, (1,) * len(loop) + region.shape)
        labels = class_index(pair.store.read(whole), self.classes, pair.store.zero_is_class)
        held = self._splits[which].validation_mask(whole)
        labels[held != held_out] = IGNORED
        labels = labels.reshape(region.shape)
        outside = np.ones(region.shape, bool)
        inside = region.intersect(Region.whole(pair.view.spatial_shape))
        outside[inside.within(region).slices] = False
        labels[outside] = IGNORED
        if raw.dtype.kind == "f":
            labels[~np.isfinite(raw).all(axis=0)] = IGNORED
        return PatchSample(self.normalisation.apply(raw), labels)

    def _voxels(self, held_out: bool) -> Iterator[tuple[int, NDArray[np.int32], float]]:
        """Yield pair, coordinates and what one voxel is worth, for each class of each pair."""
        totals = (self.val_count if held_out else self.train_count).tolist()
        for which, part in enumerate(self._splits):
            indices = part.val_index if held_out else part.train_index
            counts = part.val_count if held_out else part.train_count
            for value, total in zip(self.classes, totals, strict=True):
                index = indices.get(value)
                if index is not None and len(index):
                    yield which, index.copy(), counts[value] / len(index) / max(total, 1)

    def _window(
        self,
        which: int,
        loop: Shape,
        cell: Shape,
        read_shape: Shape,
        core: Shape,
        held_out: bool,
    ) -> PatchSample:
        step = _grid_step(core, self._splits[which].cell[len(loop) :])
        start = tuple(i * s for i, s in zip(cell, step, strict=True))
        counted = Region.of(start, step)
        first = tuple(
            a - (c - s) // 2 - (r - c) // 2
            for a, s, c, r in zip(start, step, core, read_shape, strict=True)
        )
        window = Region.of(first, read_shape)
        sample = self._sample(which, loop, window, held_out=held_out)
        labels = np.full_like(sample.labels, IGNORED)
        place = counted.within(window).slices
        labels[place] = sample.labels[place]
        return PatchSample(sample.image, labels)


def class_index(
    labels: NDArray[Any], classes: tuple[int, ...], zero_is_class: bool = False
) -> NDArray[np.int64]:
    """Return the index of each label's class, -1 for labels of no class.

    Parameters
    ----------
    labels : ndarray of int
    classes : tuple of int
        Label values in the order of the classes.
    zero_is_class : bool
        Whether 0 may be a class; else it is none whatever `classes` says.

    Examples
    --------
    >>> class_index(np.array([0, 7, 3, 4]), (7, 3))
    array([-1,  0,  1, -1])
    """
    order = np.argsort(classes)
    values = np.asarray(classes)[order]
    # Mostly nothing is painted: only what is is looked up.
    where = np.ones(labels.shape, bool) if zero_is_class else labels != 0
    painted = labels[where]
    place = np.searchsorted(values, painted).clip(max=len(classes) - 1)
    index = np.full(labels.shape, IGNORED, np.int64)
    index[where] = np.where(values[place] == painted, order[place], IGNORED)
    return index


def _draw_start(voxel: int, core: int, size: int, rng: np.random.Generator) -> int:
    """Draw where a core begins that holds the voxel and, if it can, lies inside the picture."""
    low, high = voxel - core + 1, voxel
    if core <= size:
        low, high = max(low, 0), min(high, size - core)
    return int(rng.integers(low, high + 1))


def _grid_step(core: Shape, cell: Shape) -> Shape:
    return tuple(c // n * n or c for c, n in zip(core, cell, strict=True))


def _check_pair(pair: AnnotatedView) -> None:
    shape = pair.view.loop_shape + pair.view.spatial_shape
    if pair.store.shape != shape:
        raise InputError(
            "The labels do not fit the picture",
            got=f"labels of shape {pair.store.shape}",
            expected=f"{shape}",
            todo="Choose the labels that were painted on this picture",
        )
