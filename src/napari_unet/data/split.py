"""Division of the painted voxels into training and validation, by cells in space."""

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
"""Coordinates of voxels over all axes, loop axes first, shape (n, ndim)."""

Mask = NDArray[np.bool_]

CELL = (8, 32, 32)
"""Shape of the cells along z, y, x, in voxels.

They are wider than strokes, because neighbouring voxels are too similar for a validation.
"""

MOST_HELD = 1.25
"""Greatest share of a class that is held out, relative to the intended share.

Without the limit, half of the voxels could be held out by chance where little is painted.
"""


@dataclass(frozen=True, eq=False)
class _Part:
    """The indexed voxels of one block by label value, and whether their cells are held out."""

    block: Block
    halvings: Mapping[int, int]
    coords: Mapping[int, Coords]
    held: Mapping[int, Mask]


@dataclass(frozen=True, eq=False)
class Split:
    """Division of the painted voxels into training and validation.

    Space is divided into cells. A hash of the seed and of the index of a cell decides whether it
    is held out, so that this does not change when more is painted. Where clearly more of a class
    than its share would be held out, some of its cells (`kept`) move to training for good.

    Attributes
    ----------
    version : int
        Version of the annotations.
    cell : tuple of int
        Shape of the cells, in voxels, over all axes.
    fraction : float
        Share of the cells that is held out.
    seed : int
        Of the hash.
    kept : frozenset of tuple of int
        Indices of the cells that are used for training although their hash holds them out.
    train_index, val_index : dict of label value to ndarray of int32, shape (n, ndim)
        Coordinates of painted voxels, a random subset if a class has many.
    train_count, val_count : dict of label value to int
        Numbers of painted voxels, estimated from the subset.
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

    def validation_mask(self, region: Region) -> Mask:
        """Return whether each voxel of a region over all axes is held out, shape region.shape."""
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
    """Divide the painted voxels into training and validation.

    Parameters
    ----------
    store : AnnotationStore
        The annotations.
    fraction : float
        Share of the cells to hold out, from 0 to 1; with 1 all voxels are held out.
    seed : int
        Another seed holds out other cells.
    cell : tuple of int, optional
        Shape of the cells over the spatial axes, in voxels; (32, 32) or (8, 32, 32) by default.
        Along the loop axes it is 1.
    limit : int
        Approximate greatest number of indexed voxels per class.
    previous : Split, optional
        Split of an earlier version of the same annotations with the same settings. Unchanged
        blocks are not indexed again, and cells that were moved to training stay there.

    Raises
    ------
    InputError
        If the fraction is not between 0 and 1.
    """
    if not 0 <= fraction <= 1:
        raise InputError("This fraction cannot be held out", got=fraction, expected="0 to 1")
    now = store.snapshot()
    if previous is not None and previous.version == now.version:
        return previous
    loops = len(now.shape) - store.spatial_ndim
    full_cell = (1,) * loops + (cell or CELL[-store.spatial_ndim :])
    parts = _index_blocks(now, full_cell, fraction, seed, limit, previous)
    coords, held = _join(parts.values(), now.counts, len(now.shape))
    cells = {value: coords[value] // np.array(full_cell) for value in now.counts}
    kept = set(previous.kept if previous else ())
    if fraction < 1:
        _limit_held(held, cells, kept, min(MOST_HELD * fraction, (1 + fraction) / 2), seed)
    if kept:
        for value in cells:
            held[value] &= ~_in_cells(cells[value], kept)
    val_count = {v: round(n * float(held[v].mean())) for v, n in now.counts.items()}
    return Split(
        version=now.version,
        cell=full_cell,
        fraction=fraction,
        seed=seed,
        kept=frozenset(kept),
        train_index={v: c[~held[v]] for v, c in coords.items()},
        val_index={v: c[held[v]] for v, c in coords.items()},
        train_count={v: n - val_count[v] for v, n in now.counts.items()},
        val_count=val_count,
        _parts=parts,
    )


def _limit_held(
    held: dict[int, Mask], cells: Mapping[int, Coords], kept: set[Index], most: float, seed: int
) -> None:
    """Move cells to training, in place, until at most the share `most` of a class is held out."""
    for value in cells:
        held[value] &= ~_in_cells(cells[value], kept)
        while held[value].sum() > most * held[value].size:
            moved = _last_to_hold_out(cells[value][held[value]], seed)
            kept.add(moved)
            held[value] &= ~_in_cells(cells[value], [moved])


def whole_images(counts: Sequence[Mapping[int, int]], fraction: float, seed: int) -> frozenset[int]:
    """Choose the images that are held out as a whole.

    Parameters
    ----------
    counts : sequence of mapping
        Number of painted voxels by label value, one mapping per image.
    fraction : float
        Share of the images; at least one is chosen.
    seed : int
        Another seed may choose others.

    Raises
    ------
    InputError
        If every image holds all voxels of some class.
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
    """Index the voxels of every block; unchanged blocks are taken from the previous split."""
    # Subsets by powers of two, so that a few more voxels rarely require to index a block again.
    halvings = {v: max(0, ceil(log2(n / limit))) for v, n in now.counts.items()}
    previous_parts = previous._parts if previous else {}
    parts = {}
    for index, block in now.blocks.items():
        needed = {v: halvings[v] for v in (*block.counts, 0) if v in halvings}
        part = previous_parts.get(index)
        if part is None or part.block is not block or part.halvings != needed:
            rng = np.random.default_rng([seed % 2**63, *index])
            coords = _voxels(block.labels, needed, now.region(index).start, rng)
            part = _part(block, needed, coords, cell, fraction, seed)
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
    """Return the coordinates of a block's voxels by label value, or of random subsets."""
    flat = labels.ravel()
    found = np.arange(flat.size) if 0 in halvings else np.flatnonzero(flat)
    values = flat[found]
    coords = {}
    for value, halved in halvings.items():
        own = found[values == value]
        if halved:
            own = own[rng.random(own.size) < 0.5**halved]
        coords[value] = _unravel(own, labels.shape, start)
    return coords


def _background(now: Annotations, halved: int, seed: int) -> Coords:
    """Return coordinates of voxels in the blocks that are not stored: all, or a random subset."""
    grid = tuple(-(-n // b) for n, b in zip(now.shape, now.block_shape, strict=True))
    stored = [int(np.ravel_multi_index(index, grid)) for index in now.blocks]
    empty = np.setdiff1d(np.arange(prod(grid)), stored, assume_unique=True)
    if not halved:
        regions = (now.region(_index(e, grid)) for e in empty)
        parts = [_unravel(np.arange(r.size), r.shape, r.start) for r in regions]
        return np.concatenate(parts or [np.empty((0, len(grid)), np.int32)])
    rng = np.random.default_rng(seed % 2**63)
    voxels = empty.size * prod(now.block_shape)
    chosen = rng.integers(0, max(voxels, 1), int(voxels * 0.5**halved))
    block, voxel = np.divmod(chosen, prod(now.block_shape))
    corner = np.stack(np.unravel_index(empty[block], grid), axis=1) * np.array(now.block_shape)
    coords = (_unravel(voxel, now.block_shape, (0,) * len(grid)) + corner).astype(np.int32)
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
    """Concatenate coordinates and held-out flags of all parts, by label value."""
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
    # With a fraction of 1, a hash that is rounded up to 2**64 must be held out, too.
    mask: Mask = (_hash(cells, seed) < np.float64(fraction) * 2.0**64) | (fraction == 1)
    return mask & ~_in_cells(cells, kept)


def _in_cells(cells: NDArray[Any], wanted: Iterable[Index]) -> Mask:
    mask = np.zeros(len(cells), bool)
    for index in wanted:
        mask |= (cells == np.array(index)).all(axis=1)
    return mask


def _last_to_hold_out(cells: NDArray[Any], seed: int) -> Index:
    """Return the cell with the greatest hash, which a growing fraction would hold out last."""
    return tuple(int(i) for i in cells[np.argmax(_hash(cells, seed))])


def _hash(cells: NDArray[Any], seed: int) -> NDArray[np.uint64]:
    """Hash rows of integers with the finaliser of SplitMix64 (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        state = np.full(len(cells), seed % 2**64, np.uint64)
        for column in cells.T:
            state = _mix(state + column.astype(np.int64).view(np.uint64))
        return state


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Apply the finaliser of SplitMix64."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


_PRIMES = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1)
"""Multipliers of the coordinates, one per axis."""


def held_out(
    loop: tuple[int, ...], region: Region, share: float, seed: int, cell: int = 1
) -> NDArray[np.bool_]:
    """Return which voxels of a region are held out, without a store.

    The result for a voxel does not depend on the region.

    Parameters
    ----------
    loop : tuple of int
        Index along the loop axes.
    region : Region
        Over the spatial axes, in voxels.
    share : float
        Share of the cells that are held out.
    seed : int
        Another seed holds out other cells.
    cell : int
        Side of the cells, in voxels.

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
