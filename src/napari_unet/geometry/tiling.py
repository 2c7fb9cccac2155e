"""Cutting an image into tiles whose results fit together without a seam.

Each tile reads a box with context on all sides; the output of the network is assigned, not
blended::

        ┌───────── read ─────────┐        out[tile.write] = net(x[tile.read])[tile.keep]
        │   ┌──── output ────┐   │
        │   │ keep = write │ │   │        All tiles of a plan read boxes of one shape, and their
        │   └────────────────┘   │        positions differ by multiples of the stride, so that
        └────────────────────────┘        poolings fall on the same voxels in every tile.

Beyond the image's border the read box is mirrored. The overlap-tile strategy is that of
Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from napari_unet.geometry.region import Region
from napari_unet.geometry.unet_shape import AxisGeometry


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of an image.

    Parameters
    ----------
    read : Region
        Box of the image that the network reads; it may reach beyond the border (mirror it).
    keep : Region
        Part of the network's output that is used.
    write : Region
        Box of the result that this part is written to; as large as `keep`.
    """

    read: Region
    keep: Region
    write: Region

    def clip(self, region: Region) -> Tile:
        """Return the tile without what it would write outside of a region."""
        write = self.write.intersect(region)
        return Tile(self.read, write.within(self.write).shift(self.keep.start), write)


@dataclass(frozen=True, slots=True)
class AxisPlan:
    """The tiles along one axis, in voxels.

    Parameters
    ----------
    size : int
        Size of the image.
    count : int
        Number of tiles.
    step : int
        Distance between two tiles, and what each writes (the last one less).
    read : int
        What each tile reads.
    context : int
        Difference between what a tile reads and the output of the network.
    """

    size: int
    count: int
    step: int
    read: int
    context: int

    def intervals(self) -> Iterator[tuple[int, int]]:
        """Iterate over the written intervals [start, stop)."""
        for i in range(self.count):
            yield i * self.step, min((i + 1) * self.step, self.size)


def plan_axis(size: int, geometry: AxisGeometry, max_input: int) -> AxisPlan:
    """Plan the tiles along one axis: as few as possible, and then as small as possible.

    Parameters
    ----------
    size : int
        Size of the image, in voxels.
    geometry : AxisGeometry
        Allowed sizes of the network.
    max_input : int
        Largest input of a tile, in voxels.

    Raises
    ------
    InputError
        Where `max_input` lies below the smallest allowed input.
    """
    # Tiles lie multiples of the stride apart: an output must not be shorter than one stride.
    limit = max(geometry.largest_input(max_input), geometry.input_for(min(size, geometry.stride)))
    if size <= geometry.output_for(limit):
        return AxisPlan(size, 1, size, geometry.input_for(size), geometry.context)
    most = geometry.output_for(limit) // geometry.stride
    count = -(-size // (most * geometry.stride))
    step = -(-size // (count * geometry.stride)) * geometry.stride
    count = -(-size // step)
    return AxisPlan(size, count, step, geometry.input_for(step), geometry.context)


def plan_tiles(
    shape: Sequence[int], geometry: Sequence[AxisGeometry], max_input: Sequence[int]
) -> Iterator[Tile]:
    """Cut an image into tiles.

    Parameters
    ----------
    shape : sequence of int
        The image's spatial shape, (y, x) or (z, y, x).
    geometry : sequence of AxisGeometry
        The network's, one per axis.
    max_input : sequence of int
        Largest input per axis in voxels. An axis along which a tile of that size could not
        advance by a whole stride takes the smallest tile that can.

    Yields
    ------
    Tile
        Their `write` regions partition the image; all `read` regions have one allowed shape.

    Raises
    ------
    InputError
        Where `max_input` lies below the smallest allowed input.

    Examples
    --------
    >>> axis = AxisGeometry(stride=4, grow=4, shrink=8)
    >>> for tile in plan_tiles((18,), [axis], [24]):
    ...     print(tile.read.start, tile.read.shape, tile.write.start, tile.write.shape)
    (-6,) (24,) (0,) (12,)
    (6,) (24,) (12,) (6,)
    """
    plans = [plan_axis(n, g, m) for n, g, m in zip(shape, geometry, max_input, strict=True)]
    for intervals in product(*(plan.intervals() for plan in plans)):
        write = Region(tuple(a for a, _ in intervals), tuple(b for _, b in intervals))
        start = tuple(a - p.context // 2 for a, p in zip(write.start, plans, strict=True))
        read = Region.of(start, [p.read for p in plans])
        yield Tile(read, Region.whole(write.shape), write)


def plan_tiles_in(
    region: Region, geometry: Sequence[AxisGeometry], max_input: Sequence[int]
) -> Iterator[Tile]:
    """Cut a part of an image into tiles, on the grid of the tiles of the whole image.

    Parameters
    ----------
    region : Region
        The part, over the spatial axes.
    geometry, max_input
        As for `plan_tiles`.

    Yields
    ------
    Tile
        Their `write` regions partition the part; the results are those of the whole image.
    """
    start = tuple(a // g.stride * g.stride for a, g in zip(region.start, geometry, strict=True))
    shape = tuple(b - a for a, b in zip(start, region.stop, strict=True))
    for tile in plan_tiles(shape, geometry, max_input):
        moved = Tile(tile.read.shift(start), tile.keep, tile.write.shift(start))
        clipped = moved.clip(region)
        if clipped.write.size:
            yield clipped


def choose_tile(
    shape: Sequence[int], geometry: Sequence[AxisGeometry], max_voxels: int
) -> tuple[int, ...]:
    """Choose the tile that needs the least computation, among those of at most `max_voxels`.

    Parameters
    ----------
    shape : sequence of int
        The image's spatial shape.
    geometry : sequence of AxisGeometry
        The network's, one per axis.
    max_voxels : int
        Largest number of voxels of one input.

    Returns
    -------
    tuple of int
        Input size per axis, for `plan_tiles`. Where even the smallest tile is larger than
        `max_voxels`, the smallest.
    """
    choices = [_axis_choices(n, g) for n, g in zip(shape, geometry, strict=True)]

    def voxels(plans: tuple[AxisPlan, ...]) -> int:
        total = 1
        for plan in plans:
            total *= plan.read
        return total

    def work(plans: tuple[AxisPlan, ...]) -> tuple[int, int]:
        tiles = 1
        for plan in plans:
            tiles *= plan.count
        return tiles * voxels(plans), tiles

    combinations = list(product(*choices))
    fitting = [c for c in combinations if voxels(c) <= max_voxels]
    best = min(fitting, key=work) if fitting else min(combinations, key=voxels)
    return tuple(plan.read for plan in best)


def _axis_choices(size: int, geometry: AxisGeometry) -> list[AxisPlan]:
    """Return plans with 1, 2, 3, 4, 6, 8, 12, ... tiles, down to the smallest tile."""
    plans: dict[int, AxisPlan] = {}
    smallest = geometry.input_for(geometry.stride)
    for power in range(24):
        for count in {2**power, 3 * 2**power // 2}:
            read = max(geometry.input_for(-(-size // count)), smallest)
            plan = plan_axis(size, geometry, read)
            plans.setdefault(plan.count, plan)
        if read <= smallest:
            break
    return list(plans.values())
