"""Painted voxels for training and for validation, held out in space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, log2, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.annotations import Annotations, AnnotationStore, Block, Index
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region

Coords = NDArray[np.int32]
Mask = NDArray[np.bool_]

#: Cells are this large along z, y, x; voxels of neighbouring cells are too much alike to tell
#: whether a network has learned, so cells are wider than strokes.
CELL = (8, 32, 32)

#: Of no class is more held out than so many times its share; chance could else take half of what
#: little is painted.
MOST_HELD = 1.25


@dataclass(frozen=True, eq=False)
class _Part:
    """The painted voxels of one block, per label value, and whether their cells are held out."""

    block: Block
    halvings: Mapping[int, int]
    coords: Mapping[int, Coords]
    held: Mapping[int, Mask]


@dataclass(frozen=True, eq=False)
class Split:
    """Which voxels train the network and which validate it.

    Space is divided into cells. A hash of the seed and the cell's index decides, so a cell stays
    on its side whatever else is painted. One exception: where clearly more of a class than its
    share would be held out, as chance has it where little is painted, some of its cells (`kept`)
    move to training, and stay there.

    Attributes
    ----------
    version : int
        The store's version.
    cell : tuple of int
        Shape of the cells, in voxels, over all axes.
    fraction : float
        Share of the cells that is held out.
    seed : int
    kept : frozenset of tuple of int
        Indices of the cells that train although their hash would hold them out.
    train_index, val_index : dict of label value to ndarray of int32, shape (n, ndim)
        Coordinates of painted voxels, thinned out at random where a class has many.
    train_count, val_count : dict of label value to int
        Numbers of painted voxels (estimated where they were thinned out).
    """

    version: int
    cell: tuple[int, ...]
    fraction: float
    seed: int
    kept: frozenset[Index]
    train_index: Mapping[int, Coords]
    val_index: Mapping[int, Coords]
    train_count: Mapping[int, int]
    val_count: Mapping[int, int]
    _parts: Mapping[Index, _Part] = field(default_factory=dict, repr=False)

    def is_validation(self, coords: NDArray[Any]) -> Mask:
        """Tell for each voxel whether it is held out.

        Parameters
        ----------
        coords : ndarray of int, shape (n, ndim)

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        cells = np.asarray(coords) // np.array(self.cell)
        return _held_out(cells, self.fraction, self.seed, self.kept)

    def validation_mask(self, region: Region) -> Mask:
        """Return for each voxel of a region (over all axes) whether it is held out."""
        spans = [
            np.arange(a, b) // n
            for a, b, n in zip(region.start, region.stop, self.cell, strict=True)
        ]
        if not region.size:
            return np.zeros(region.shape, bool)
        grids = np.meshgrid(*(np.arange(s[0], s[-1] + 1) for s in spans), indexing="ij")
        cells = np.stack([g.ravel() for g in grids], axis=1)
        mask = _held_out(cells, self.fraction, self.seed, self.kept).reshape(grids[0].shape)
        return mask[np.ix_(*(s - s[0] for s in spans))]


def split(
    store: AnnotationStore,
    fraction: float = 1 / 6,
    seed: int = 0,
    *,
    cell: tuple[int, ...] | None = None,
    limit: int = 200_000,
    previous: Split | None = None,
) -> Split:
    """Divide what is painted into training and validation.

    Parameters
    ----------
    store : AnnotationStore
    fraction : float
        Share of the cells to hold out, from 0 to 1; with 1 everything is held out, whatever class
        has then nothing to train with.
    seed : int
    cell : tuple of int, optional
        Shape of the cells over the spatial axes, in voxels; (32, 32) or (8, 32, 32) if not given.
        Along the looped axes it is 1.
    limit : int
        About how many voxels per class to index at most.
    previous : Split, optional
        The split of an earlier version of the same store with the same settings: blocks that did
        not change are taken over, and so are the cells that were moved to training.

    Raises
    ------
    InputError
        For a fraction outside its range.
    """
    if not 0 <= fraction <= 1:
        raise InputError("No such share can be held out", got=fraction, expected="0 to 1")
    now = store.snapshot()
    if previous is not None and previous.version == now.version:
        return previous
    loops = len(now.shape) - store.spatial_ndim
    whole_cell = (1,) * loops + (cell or CELL[-store.spatial_ndim :])
    parts = _index_blocks(now, whole_cell, fraction, seed, limit, previous)
    coords, held = _join(parts.values(), now.counts, len(now.shape))
    kept = set(previous.kept if previous else ())
    most = min(MOST_HELD * fraction, (1 + fraction) / 2)
    for value in now.counts if fraction < 1 else ():
        cells = coords[value] // np.array(whole_cell)
        held[value] &= ~_in_cells(cells, kept)
        while held[value].sum() > most * held[value].size:
            moved = _last_to_hold_out(cells[held[value]], seed)
            kept.add(moved)
            held[value] &= ~_in_cells(cells, [moved])
    for value in now.counts if kept else ():
        held[value] &= ~_in_cells(coords[value] // np.array(whole_cell), kept)
    val_count = {v: round(n * float(held[v].mean())) for v, n in now.counts.items()}
    return Split(
        version=now.version,
        cell=whole_cell,
        fraction=fraction,
        seed=seed,
        kept=frozenset(kept),
        train_index={v: c[~held[v]] for v, c in coords.items()},
        val_index={v: c[held[v]] for v, c in coords.items()},
        train_count={v: n - val_count[v] for v, n in now.counts.items()},
        val_count=val_count,
        _parts=parts,
    )


def whole_images(counts: Sequence[Mapping[int, int]], fraction: float, seed: int) -> frozenset[int]:
    """Choose pictures that are held out as a whole.

    Parameters
    ----------
    counts : sequence of mapping
        Painted voxels by label value, picture by picture.
    fraction : float
        Share of the pictures; at least one is chosen.
    seed : int
        Another seed may choose others.

    Raises
    ------
    InputError
        Where no picture can be spared: each holds all there is of some class.
    """
    wanted = max(1, round(fraction * len(counts)))
    chosen: set[int] = set()
    for i in np.random.default_rng(seed).permutation(len(counts)).tolist():
        rest = [c for k, c in enumerate(counts) if k != i and k not in chosen]
        painted = {v for c in rest for v, n in c.items() if n}
        if len(chosen) < wanted and any(counts[i].values()):
            missing = {v for v, n in counts[i].items() if n} - painted
            if not missing:
                chosen.add(i)
    if not chosen:
        raise InputError(
            "No image can be held out as a whole",
            got=f"{len(counts)} painted" if len(counts) > 1 else "one image",
            expected="every class painted on at least two images",
            todo="Hold out places in all images instead (split: space), or paint on more images",
        )
    return frozenset(chosen)


def _index_blocks(
    now: Annotations,
    cell: tuple[int, ...],
    fraction: float,
    seed: int,
    limit: int,
    previous: Split | None,
) -> dict[Index, _Part]:
    """Index every block, taking over from the previous split those that did not change."""
    # Thinning by powers of two, so that a few more voxels rarely change what was indexed before.
    halvings = {v: max(0, ceil(log2(n / limit))) for v, n in now.counts.items()}
    old = previous._parts if previous else {}
    parts = {}
    for index, block in now.blocks.items():
        thinned = {v: halvings[v] for v in (*block.counts, 0) if v in halvings}
        part = old.get(index)
        if part is None or part.block is not block or part.halvings != thinned:
            rng = np.random.default_rng([seed % 2**63, *index])
            coords = _voxels(block.labels, thinned, now.region(index).start, rng)
            part = _part(block, thinned, coords, cell, fraction, seed)
        parts[index] = part
    if now.zero_is_class:
        coords = {0: _background(now, halvings.get(0, 0), seed)}
        parts[()] = _part(Block(np.empty(0)), {}, coords, cell, fraction, seed)
    return parts


def _part(
    block: Block,
    halvings: Mapping[int, int],
    coords: Mapping[int, Coords],
    cell: tuple[int, ...],
    fraction: float,
    seed: int,
) -> _Part:
    held = {v: _held_out(c // np.array(cell), fraction, seed) for v, c in coords.items()}
    return _Part(block, halvings, coords, held)


def _voxels(
    labels: NDArray[Any], halvings: Mapping[int, int], start: Index, rng: np.random.Generator
) -> dict[int, Coords]:
    """Return the coordinates of a block's voxels per label value, thinned out."""
    flat = labels.ravel()
    found = np.arange(flat.size) if 0 in halvings else np.flatnonzero(flat)
    values = flat[found]
    coords = {}
    for value, halved in halvings.items():
        mine = found[values == value]
        if halved:
            mine = mine[rng.random(mine.size) < 0.5**halved]
        coords[value] = _unravel(mine, labels.shape, start)
    return coords


def _background(now: Annotations, halved: int, seed: int) -> Coords:
    """Return coordinates in the blocks without a label, where 0 is a class: all, or a sample."""
    grid = tuple(-(-n // b) for n, b in zip(now.shape, now.block_shape, strict=True))
    taken = [int(np.ravel_multi_index(index, grid)) for index in now.blocks]
    empty = np.setdiff1d(np.arange(prod(grid)), taken, assume_unique=True)
    if not halved:
        regions = (now.region(_index(e, grid)) for e in empty)
        parts = [_unravel(np.arange(r.size), r.shape, r.start) for r in regions]
        return np.concatenate(parts or [np.empty((0, len(grid)), np.int32)])
    rng = np.random.default_rng(seed % 2**63)
    voxels = empty.size * prod(now.block_shape)
    chosen = rng.integers(0, max(voxels, 1), int(voxels * 0.5**halved))
    which, where = np.divmod(chosen, prod(now.block_shape))
    corner = np.stack(np.unravel_index(empty[which], grid), axis=1) * np.array(now.block_shape)
    coords = (_unravel(where, now.block_shape, (0,) * len(grid)) + corner).astype(np.int32)
    inside: Coords = coords[(coords < np.array(now.shape)).all(axis=1)]
    return inside


def _index(flat: int, grid: tuple[int, ...]) -> Index:
    return tuple(int(i) for i in np.unravel_index(flat, grid))


def _unravel(flat: NDArray[np.intp], shape: tuple[int, ...], start: Index) -> Coords:
    coords = np.stack(np.unravel_index(flat, shape), axis=1, dtype=np.int32)
    return coords + np.array(start, np.int32)


def _join(
    parts: Iterable[_Part], values: Iterable[int], ndim: int
) -> tuple[dict[int, Coords], dict[int, Mask]]:
    coords = {v: [np.empty((0, ndim), np.int32)] for v in values}
    held = {v: [np.empty(0, bool)] for v in coords}
    for part in parts:
        for value, found in part.coords.items():
            coords.setdefault(value, []).append(found)
            held.setdefault(value, []).append(part.held[value])
    return (
        {v: np.concatenate(c) for v, c in coords.items()},
        {v: np.concatenate(h) for v, h in held.items()},
    )


def _held_out(cells: NDArray[Any], fraction: float, seed: int, kept: Iterable[Index] = ()) -> Mask:
    # A hash may round up to 2**64.
    mask: Mask = (_hash(cells, seed) < np.float64(fraction) * 2.0**64) | (fraction == 1)
    return mask & ~_in_cells(cells, kept)


def _in_cells(cells: NDArray[Any], wanted: Iterable[Index]) -> Mask:
    mask = np.zeros(len(cells), bool)
    for index in wanted:
        mask |= (cells == np.array(index)).all(axis=1)
    return mask


def _last_to_hold_out(cells: NDArray[Any], seed: int) -> Index:
    """Return the cell that a growing fraction would hold out last."""
    return tuple(int(i) for i in cells[np.argmax(_hash(cells, seed))])


def _hash(cells: NDArray[Any], seed: int) -> NDArray[np.uint64]:
    """Hash rows of integers with the finaliser of SplitMix64 (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        state = np.full(len(cells), seed % 2**64, np.uint64)
        for column in cells.T:
            state = _mix(state + column.astype(np.int64).view(np.uint64))
        return state


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


_PRIMES = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1)


def held_out(
    loop: tuple[int, ...], region: Region, share: float, seed: int, cell: int = 1
) -> NDArray[np.bool_]:
    """Tell which voxels of a region are held out.

    The answer for a voxel does not depend on the region it is asked in, and needs no memory.

    Parameters
    ----------
    loop : tuple of int
        Which picture.
    region : Region
        In voxels.
    share : float
        Part of the cells that are held out.
    seed : int
        Another seed holds out other cells.
    cell : int
        Side of the cubes of voxels that are held out together.

    Returns
    -------
    ndarray of bool, shape region.shape
    """
    if share >= 1:
        return np.ones(region.shape, bool)
    salt = seed
    for index in loop:
        salt = salt * _PRIMES[3] + index + 1
    mixed = np.full((1,) * len(region.shape), salt % 2**64, np.uint64)
    with np.errstate(over="ignore"):
        for axis, (start, stop) in enumerate(zip(region.start, region.stop, strict=True)):
            cells = (np.arange(start, stop) // cell).astype(np.int64).view(np.uint64)
            shape = [1] * len(region.shape)
            shape[axis] = -1
            mixed = _mix(mixed ^ (cells.reshape(shape) * np.uint64(_PRIMES[axis])))
    return mixed < np.uint64(share * 2**64)
