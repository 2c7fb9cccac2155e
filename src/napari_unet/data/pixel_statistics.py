"""Statistics of pixels: evenly distributed samples of images, and what is measured on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from math import prod, sqrt

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.image import ImageView
from napari_unet.geometry.region import Region

BOXES = (32, 512)
"""Numbers of boxes that are sampled: first few, and many if those hold a single value."""

MEASURED_VOXELS = 1_000_000
"""Number of pixels, in all channels together, that an image is measured on, at most."""

CLEAR_CONTRAST = 8.0
"""An image whose contrast is more than so many times its noise shows its own contrast."""

CLEAR_RANGE = 6.0
"""The same for the range of an image that is filled with structures; noise alone has 4.7."""

SMOOTHEST = 0.9
"""Share of the differences between neighbouring pixels that noise is measured on: the smallest."""

SMOOTHEST_SD = 0.789
"""Root mean square of the smallest nine tenths of Gaussian values, in standard deviations."""

ROUNDING = 0.3
"""Standard deviation of what rounding adds, in steps between grey values."""


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """What is measured of one channel of one image, in grey values.

    Parameters
    ----------
    low, median, high : float
        1st, 50th and 99th percentile.
    spread : float
        Median distance from the median, times 1.4826: the standard deviation of Gaussian pixels.
    noise : float
        Standard deviation of what differs between neighbouring pixels where the image is smooth;
        at least what rounding adds.
    finite : float
        Share of finite pixels; without one all other values are 0.
    """

    low: float
    median: float
    high: float
    spread: float
    noise: float
    finite: float = 1.0

    @property
    def on_background(self) -> bool:
        """Whether bright structures stand out from a background that fills most of the image."""
        return self.high - self.median > CLEAR_CONTRAST * max(self.spread, self.noise)

    @property
    def percentiles(self) -> tuple[float, float, float]:
        """The 1st, 50th and 99th percentile."""
        return self.low, self.median, self.high

    @property
    def shows_contrast(self) -> bool:
        """Whether structures stand out from the noise."""
        return self.on_background or self.range > CLEAR_RANGE * self.noise > 0

    @property
    def contrast(self) -> float:
        """Distance of the bright structures from the background."""
        return self.high - self.median

    @property
    def range(self) -> float:
        """Distance of bright from dark pixels."""
        return self.high - self.low

    def gain_over(self, reference: ChannelStatistics) -> float:
        """Return the contrast as a multiple of a reference's; 1 where this image shows none.

        Where the reference has bright structures on a background, contrasts are compared, else
        ranges. What does not stand out from the noise has no contrast of its own: an empty image
        is not amplified until its noise looks like structures.

        Parameters
        ----------
        reference : ChannelStatistics
            Of an image of like content.
        """
        if reference.on_background:
            return self.contrast / reference.contrast if self.on_background else 1.0
        clear = self.range > CLEAR_RANGE * self.noise and reference.range > 0
        return self.range / reference.range if clear else 1.0

    def to_list(self) -> list[float]:
        """Return the values as plain JSON, in their order."""
        return list(astuple(self))


def measure_image(
    view: ImageView, loop: tuple[int, ...], max_voxels: int = MEASURED_VOXELS
) -> tuple[ChannelStatistics, ...]:
    """Measure an image, channel by channel, on all of it or on evenly distributed samples.

    It is the whole image that is measured, as it is for a prediction, even where only a window of
    it is learned from. Pixels that are not finite are left out. Percentiles: a few hot or dead
    pixels do not matter.

    Parameters
    ----------
    view : ImageView
        The images.
    loop : tuple of int
        Index along the loop axes.
    max_voxels : int
        Greatest number of pixels to read, in all channels together.

    Returns
    -------
    tuple of ChannelStatistics
        One per channel; of a channel without finite pixels all values are 0.
    """
    loop = view.index_in_whole(loop)
    view = view.whole
    values: list[list[NDArray[np.float64]]] = [[] for _ in range(view.channels)]
    steps: list[list[NDArray[np.float64]]] = [[] for _ in range(view.channels)]
    voxels = max_voxels // view.channels
    read = 0
    for index, box in sample_boxes(view, BOXES[0], 0, voxels, loop):
        data = view.read_raw(index, box).astype(np.float64)
        read += box.size
        for c, pixels in enumerate(data):
            values[c].append(pixels[np.isfinite(pixels)])
            with np.errstate(over="ignore", invalid="ignore"):
                step = np.abs(np.diff(pixels, axis=-1)).ravel()
            steps[c].append(step[np.isfinite(step)])
    channels = zip(map(np.concatenate, values), map(np.concatenate, steps), strict=True)
    return tuple(_channel_statistics(v, s, read) for v, s in channels)


def _channel_statistics(
    values: NDArray[np.float64], steps: NDArray[np.float64], read: int
) -> ChannelStatistics:
    if not values.size:
        return ChannelStatistics(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    low, median, high = (float(v) for v in np.percentile(values, (1, 50, 99)))
    spread = 1.4826 * float(np.median(np.abs(values - median)))
    return ChannelStatistics(low, median, high, spread, _noise(steps), values.size / read)


def _noise(steps: NDArray[np.float64]) -> float:
    """Return the standard deviation of the noise from differences of neighbouring pixels."""
    if not steps.size or not steps.any():
        return 0.0
    kept = max(1, int(SMOOTHEST * steps.size))
    smallest = np.partition(steps, kept - 1)[:kept]
    rounding = ROUNDING * float(steps[steps > 0].min())
    return max(float(np.sqrt(np.square(smallest).mean())) / (SMOOTHEST_SD * sqrt(2)), rounding)


def typical_statistics(
    images: Sequence[tuple[ChannelStatistics, ...]],
) -> tuple[ChannelStatistics, ...]:
    """Return the medians of the statistics of several images, per channel.

    Parameters
    ----------
    images : sequence of tuple of ChannelStatistics
        At least one image; all have as many channels.
    """
    table = np.array([[astuple(channel) for channel in image] for image in images])
    return tuple(ChannelStatistics(*row) for row in np.median(table, axis=0).tolist())


def finite_samples(
    views: Sequence[ImageView],
    count: int,
    seed: int,
    max_voxels: int,
    only: tuple[int, ...] | None = None,
) -> tuple[list[NDArray[np.float64]], float]:
    """Return the finite pixels that were read per channel, and the share of finite ones.

    Parameters
    ----------
    views : sequence of ImageView
        Images with as many channels.
    count : int
        Number of boxes in all images together.
    seed : int
        Changes the positions of the boxes.
    max_voxels : int
        Greatest number of pixels to read, in all channels together.
    only : tuple of int, optional
        Index along the loop axes, where only one image is wanted.
    """
    channels = views[0].channels
    found: list[list[NDArray[np.float64]]] = [[] for _ in range(channels)]
    read = 0
    voxels = max_voxels // channels // len(views)
    boxes = -(-count // len(views))
    for view in views:
        for loop, box in sample_boxes(view, boxes, seed, voxels, only):
            data = view.read_raw(loop, box).reshape(channels, -1).astype(np.float64)
            read += data.size
            for channel, values in zip(found, data, strict=True):
                channel.append(values[np.isfinite(values)])
    samples = [np.concatenate(parts) for parts in found]
    return samples, sum(v.size for v in samples) / read


def sample_boxes(
    view: ImageView, count: int, seed: int, max_voxels: int, only: tuple[int, ...] | None
) -> Iterator[tuple[tuple[int, ...], Region]]:
    """Yield loop indices and boxes that cover images, or samples of them.

    Parameters
    ----------
    view : ImageView
        The images.
    count : int
        Number of boxes where the images have more than `max_voxels`: they are distributed evenly
        by the additive recurrence of Roberts 2018 ("The unreasonable effectiveness of
        quasirandom sequences"), each in a single plane.
    seed : int
        Changes the positions of the boxes.
    max_voxels : int
        Greatest number of voxels in all boxes together.
    only : tuple of int or None
        Index along the loop axes, where only one image is wanted.
    """
    shape = view.spatial_shape
    loops = view.loop_shape if only is None else ()
    if prod(loops) * prod(shape) <= max_voxels:
        indices = view.loops() if only is None else [only]
        yield from ((loop, Region.whole(shape)) for loop in indices)
        return
    stack = (*loops, *shape[:-2])
    side = max(1, int((max_voxels / count) ** 0.5))
    height = min(side, shape[-2])
    width = min(max(1, max_voxels // count // height), shape[-1])
    for plane, y, x in _spread(count, seed):
        index = tuple(int(i) for i in np.unravel_index(int(plane * prod(stack)), stack or (1,)))
        index = index if stack else ()
        loop = index[: len(loops)]
        depth = index[len(loops) :]
        top = int(y * (shape[-2] - height + 1))
        left = int(x * (shape[-1] - width + 1))
        stop = (*(d + 1 for d in depth), top + height, left + width)
        yield loop if only is None else only, Region((*depth, top, left), stop)


def _spread(count: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield points (plane, y, x) that are distributed evenly in the unit cube."""
    golden = 1.2207440846057596  # root of x**4 = x + 1
    steps = (1 / golden) ** np.arange(1, 4)
    shift = np.random.default_rng(seed).random(3)
    for k in range(count):
        yield (shift + k * steps) % 1.0
