"""Windows of images: a sample of them, where predicting everything would take too long."""

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
    image_index : int
        Index of the image.
    image : ImageView
        The image.
    window_shape : tuple of int
        Shape of a window along the spatial axes, in voxels.
    """

    image_index: int
    image: ImageView
    window_shape: Shape

    @property
    def shape(self) -> Shape:
        """Number of windows along looped and spatial axes."""
        sizes = zip(self.image.spatial_shape, self.window_shape, strict=True)
        return self.image.loop_shape + tuple(-(-n // b) for n, b in sizes)

    def window(self, number: int) -> Viewport:
        """Return one of the windows, by its index in C order."""
        return self._at(tuple(map(int, np.unravel_index(number, self.shape))))

    def around(
        self, visible: Viewport, count: int, random: np.random.Generator
    ) -> Iterator[Viewport]:
        """Iterate over windows that overlap the visible region: that in its middle, then others.

        Parameters
        ----------
        visible : Viewport
            The visible region.
        count : int
            Number of the others, at most.
        random : numpy.random.Generator
            Draws them.
        """
        spans = [
            range(max(0, a // b), min(n, -(-c // b)))
            for a, c, b, n in zip(
                visible.region.start,
                visible.region.stop,
                self.window_shape,
                self.shape[len(visible.index) :],
                strict=True,
            )
        ]
        if not all(spans):
            return
        cells = list(product(*spans))
        ends = zip(visible.region.start, visible.region.stop, self.window_shape, spans, strict=True)
        middle = tuple(min((a + c) // 2 // b, s[-1]) for a, c, b, s in ends)
        yield self._at(visible.index + middle)
        for i in random.choice(len(cells), min(count, len(cells)), replace=False):
            yield self._at(visible.index + cells[i])

    def _at(self, cell: Shape) -> Viewport:
        loops = len(self.image.loop_shape)
        start = tuple(i * b for i, b in zip(cell[loops:], self.window_shape, strict=True))
        return Viewport(cell[:loops], Region.of(start, self.window_shape), self.image_index)


def choose_windows(
    grids: Sequence[WindowGrid], count: int, visible: Viewport | None, random: np.random.Generator
) -> list[Viewport]:
    """Choose windows at random, up to a quarter of them around the visible region.

    Parameters
    ----------
    grids : sequence of WindowGrid
        One per image.
    count : int
        How many at most; no window comes twice.
    visible : Viewport, optional
        The visible region; the window in its middle is the first.
    random : numpy.random.Generator
        Draws the windows.
    """
    ends = np.cumsum([prod(grid.shape) for grid in grids])
    chosen: dict[Viewport, None] = {}
    for grid in grids:
        if visible is not None and grid.image_index == visible.image_index:
            chosen |= dict.fromkeys(grid.around(visible, count // 4, random))
    for number in random.choice(int(ends[-1]), min(count, int(ends[-1])), replace=False):
        image = int(np.searchsorted(ends, number, "right"))
        first = int(ends[image - 1]) if image else 0
        chosen[grids[image].window(int(number) - first)] = None
    return list(chosen)[:count]


def spread_windows(
    images: Sequence[ImageView],
    input_shape: Shape,
    output_shape: Shape,
    count: int,
    seed: int,
) -> Iterator[tuple[ImageView, Shape, Region]]:
    """Yield windows from all over some images, the same ones for the same seed.

    Parameters
    ----------
    images : sequence of ImageView
        Each gets as many, and at least one.
    input_shape, output_shape : tuple of int
        Shape of a window, and of its middle, which lies inside the image where it can.
    count : int
        Number of windows in all.
    seed : int
        Decides where they lie.

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
            int(random.integers(max(1, n - m + 1)))
            for n, m in zip(view.spatial_shape, output_shape, strict=True)
        ]
        margins = [(n - m) // 2 for n, m in zip(input_shape, output_shape, strict=True)]
        start = [a - margin for a, margin in zip(middle, margins, strict=True)]
        yield view, loop, Region.of(start, input_shape)
