"""Which parts of images to look into, where there is no time for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from napari_unet.control import Viewport
from napari_unet.data.image import ImageView
from napari_unet.geometry.region import Region

Shape = tuple[int, ...]


@dataclass(frozen=True)
class WindowGrid:
    """An image cut into windows of one shape; the last along an axis may leave the image.

    Parameters
    ----------
    pair : int
        The number of the image.
    image : ImageView
        The image.
    box : tuple of int
        Shape of a window along the spatial axes, in voxels.
    """

    pair: int
    image: ImageView
    box: Shape

    @property
    def shape(self) -> Shape:
        """Number of windows along looped and spatial axes."""
        sizes = zip(self.image.spatial_shape, self.box, strict=True)
        return self.image.loop_shape + tuple(-(-n // b) for n, b in sizes)

    def window(self, number: int) -> Viewport:
        """Return one of the windows, counted from 0."""
        return self._at(tuple(map(int, np.unravel_index(number, self.shape))))

    def around(
        self, looked: Viewport, count: int, random: np.random.Generator
    ) -> Iterator[Viewport]:
        """Iterate over windows that what is looked at touches: that in its middle, then others."""
        spans = [
            range(max(0, a // b), min(n, -(-c // b)))
            for a, c, b, n in zip(
                looked.region.start,
                looked.region.stop,
                self.box,
                self.shape[len(looked.index) :],
                strict=True,
            )
        ]
        if not all(spans):
            return
        cells = list(product(*spans))
        ends = zip(looked.region.start, looked.region.stop, self.box, spans, strict=True)
        middle = tuple(min((a + c) // 2 // b, s[-1]) for a, c, b, s in ends)
        yield self._at(looked.index + middle)
        for i in random.choice(len(cells), min(count, len(cells)), replace=False):
            yield self._at(looked.index + cells[i])

    def _at(self, cell: Shape) -> Viewport:
        loops = len(self.image.loop_shape)
        start = tuple(i * b for i, b in zip(cell[loops:], self.box, strict=True))
        return Viewport(cell[:loops], Region.of(start, self.box), self.pair)


def choose_windows(
    grids: Sequence[WindowGrid], count: int, looked: Viewport | None, random: np.random.Generator
) -> list[Viewport]:
    """Choose windows at random, up to a quarter of them around what somebody looks at.

    Parameters
    ----------
    grids : sequence of WindowGrid
        One per image.
    count : int
        How many at most; no window comes twice.
    looked : Viewport, optional
        What is looked at; the window in its middle is the first.
    random : numpy.random.Generator
    """
    ends = np.cumsum([prod(grid.shape) for grid in grids])
    chosen: dict[Viewport, None] = {}
    for grid in grids:
        if looked is not None and grid.pair == looked.pair:
            chosen |= dict.fromkeys(grid.around(looked, count // 4, random))
    for number in random.choice(int(ends[-1]), min(count, int(ends[-1])), replace=False):
        which = int(np.searchsorted(ends, number, "right"))
        first = int(ends[which - 1]) if which else 0
        chosen[grids[which].window(int(number) - first)] = None
    return list(chosen)[:count]


def spread_windows(
    images: Sequence[ImageView], patch: Shape, core: Shape, count: int, seed: int
) -> Iterator[tuple[ImageView, Shape, Region]]:
    """Yield windows from all over some images, the same ones for the same seed.

    Parameters
    ----------
    images : sequence of ImageView
        Each gets as many, and at least one.
    patch, core : tuple of int
        Shape of a window, and of its middle, which lies inside the image where it can.
    count : int
        How many in all.
    seed : int
        Where they lie.

    Yields
    ------
    image : ImageView
    loop : tuple of int
        Where along the looped axes.
    window : Region
    """
    random = np.random.default_rng(seed)
    for k in range(max(count, len(images))):
        view = images[k % len(images)]
        loop = tuple(int(random.integers(n)) for n in view.loop_shape)
        middle = [
            int(random.integers(max(1, n - c + 1)))
            for n, c in zip(view.spatial_shape, core, strict=True)
        ]
        start = tuple(a - (p - c) // 2 for a, p, c in zip(middle, patch, core, strict=True))
        yield view, loop, Region.of(start, patch)
