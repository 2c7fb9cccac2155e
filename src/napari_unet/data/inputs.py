"""What goes into a network: normalised pixels, and where some are missing, which are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.image import ImageView
from napari_unet.data.normalisation import Normalisation
from napari_unet.data.source import Source
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region

LEVELS = 4
"""How often the picture is halved: what is more than about 2**LEVELS pixels inside stays 0."""

SWEEPS = 2
"""Steps towards the smoothest surface on each level, twice as many on the finest."""

MARGIN = 5 * 2**LEVELS
"""How far a pixel reaches at most, in pixels: on each level one cell for each step and for what is
in between, which is just below four coarsest cells, and up to one more as cells have a grid."""


def around(region: Region) -> tuple[Region, tuple[slice, ...]]:
    """Return what must be read for a region to be filled as it is in the whole picture.

    Parameters
    ----------
    region : Region
        Over the spatial axes, in voxels.

    Returns
    -------
    wide : Region
        Larger along y and x; it begins where squares of 2**LEVELS pixels do.
    inner : tuple of slice
        Where the region lies in it.
    """
    first = len(region.start) - 2
    cell = 2**LEVELS
    start = tuple(
        a if axis < first else (a - MARGIN) // cell * cell for axis, a in enumerate(region.start)
    )
    stop = tuple(b if axis < first else b + MARGIN for axis, b in enumerate(region.stop))
    wide = Region(start, stop)
    return wide, region.within(wide).slices


def fill_smoothly(pixels: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fill what is not known, plane by plane, between what is.

    The picture is halved again and again, means being taken of known pixels; what is unknown is
    then interpolated from the next coarser level, and relaxed towards the surface whose every
    pixel is the mean of its neighbours (Gortler et al. 1996, doi:10.1145/237170.237200, "pull
    push", for the levels).

    Parameters
    ----------
    pixels : ndarray of float32, shape (..., y, x)
        Normalised.
    known : ndarray of bool, the same shape
        Which of them are.

    Returns
    -------
    ndarray of float32, the same shape
        Known pixels as they are; 0, which is the mean, where nothing is known far around.
    """
    if known.all():
        return pixels
    height, width = pixels.shape[-2:]
    rest = [(0, 0)] * (pixels.ndim - 2) + [(0, -n % 2**LEVELS) for n in (height, width)]
    sums = [np.pad(np.where(known, pixels, np.float32(0)), rest)]
    shares = [np.pad(known.astype(np.float32), rest)]
    for _ in range(LEVELS):
        sums.append(_halved(sums[-1]))
        shares.append(_halved(shares[-1]))
    value: NDArray[np.float32] = np.zeros_like(sums[-1])
    np.divide(sums[-1], shares[-1], out=value, where=shares[-1] > 0)
    for level in reversed(range(LEVELS)):
        free = np.float32(1) - shares[level]
        rows = _doubled(value.swapaxes(-1, -2)).swapaxes(-1, -2)
        value = sums[level] + free * _doubled(rows)
        for _ in range(SWEEPS if level else 2 * SWEEPS):
            _relax(value, free)
    return value[..., :height, :width]


def _halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means of squares of 2 x 2."""
    rows = values[..., 0::2, :] + values[..., 1::2, :]
    means: NDArray[np.float32] = (rows[..., 0::2] + rows[..., 1::2]) * np.float32(0.25)
    return means


def _doubled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return twice as many values along the last axis, in between linearly."""
    near, far = values * np.float32(0.75), values * np.float32(0.25)
    out = np.empty((*values.shape[:-1], values.shape[-1], 2), np.float32)
    np.add(near[..., 1:], far[..., :-1], out=out[..., 1:, 0])
    np.add(near[..., :-1], far[..., 1:], out=out[..., :-1, 1])
    out[..., 0, 0], out[..., -1, 1] = values[..., 0], values[..., -1]
    return out.reshape(*values.shape[:-1], -1)


def _relax(values: NDArray[np.float32], free: NDArray[np.float32]) -> None:
    """Bring what is free nearer to the mean of its four neighbours."""
    mean = np.empty_like(values)
    np.add(values[..., :-2, :], values[..., 2:, :], out=mean[..., 1:-1, :])
    np.add(values[..., 0, :], values[..., 1, :], out=mean[..., 0, :])
    np.add(values[..., -1, :], values[..., -2, :], out=mean[..., -1, :])
    mean[..., 1:] += values[..., :-1]
    mean[..., :-1] += values[..., 1:]
    mean[..., 0] += values[..., 0]
    mean[..., -1] += values[..., -1]
    mean *= np.float32(0.25)
    mean -= values
    mean *= free
    values += mean


def read_inputs(
    view: ImageView,
    normalisation: Normalisation,
    loop: tuple[int, ...],
    region: Region,
    missing: ImageView | None = None,
    *,
    smooth: bool = False,
) -> NDArray[np.float32]:
    """Read a part of a picture as a network sees it.

    Parameters
    ----------
    view : ImageView
        The picture.
    normalisation : Normalisation
        For all of its channels.
    loop : tuple of int
        Which picture.
    region : Region
        Which part, in voxels; it may reach beyond the picture.
    missing : ImageView, optional
        Of the picture's shape without channels, not 0 where pixels are missing.
    smooth : bool
        Whether missing pixels are filled smoothly, see `fill_smoothly`.

    Returns
    -------
    ndarray of float32
        (channels, *region.shape); with `missing` twice as many channels, see `with_known`.
    """
    if missing is None:
        return normalisation.apply(view.read_raw(loop, region))
    wide, inner = around(region) if smooth else (region, Region.whole(region.shape).slices)
    raw = view.read_raw(loop, wide)
    pixels = normalisation.apply(raw)
    inputs = with_known(pixels, known_pixels(raw, missing, loop, wide), smooth=smooth)
    return inputs[(slice(None), *inner)]


def known_pixels(
    raw: NDArray[Any], missing: ImageView, loop: tuple[int, ...], region: Region
) -> NDArray[np.bool_]:
    """Tell which pixels are known: not marked as missing, and finite.

    Parameters
    ----------
    raw : ndarray, shape (channels, *region.shape)
        What is read there of the picture.
    missing, loop, region
        As in `read_inputs`.

    Returns
    -------
    ndarray of bool, the shape of `raw`
    """
    marked = missing.read_raw(loop, region) != 0
    each = len(raw) // len(marked)
    known = ~np.repeat(marked, each, axis=0)
    return known & np.isfinite(raw) if raw.dtype.kind == "f" else known


def with_known(
    pixels: NDArray[np.float32], known: NDArray[np.bool_], *, smooth: bool
) -> NDArray[np.float32]:
    """Return pixels, and behind them as many channels that are 1 where they are known, else 0.

    Parameters
    ----------
    pixels : ndarray of float32, shape (channels, *spatial)
        Normalised.
    known : ndarray of bool, the same shape
        Which of them are.
    smooth : bool
        Whether the others are filled smoothly; else they are 0.
    """
    filled = fill_smoothly(pixels, known) if smooth else pixels * known
    return np.concatenate([filled, known.astype(np.float32)])


def missing_view(view: ImageView, mask: Source | None) -> ImageView:
    """Return a mask with the roles of its picture's axes; without one, nothing is marked.

    Raises
    ------
    InputError
        Where it has another shape than the picture has without its channels.
    """
    shape = tuple(n for a, n in enumerate(view.source.shape) if a != view.layout.channel)
    mask = _Nothing(shape) if mask is None else mask
    if tuple(mask.shape) != shape:
        raise InputError(
            "Image and mask differ in shape",
            got=f"image {view.source.shape}, mask {mask.shape}",
            expected=f"a mask of shape {shape}",
        )
    return ImageView(mask, view.layout.labels, view.context_planes, view.periodic_axes, view.border)


class _Nothing:
    """A mask in which nothing is marked."""

    dtype = np.dtype(np.uint8)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def read(self, region: Region) -> NDArray[Any]:
        return np.zeros(region.shape, np.uint8)


class _Known:
    """A picture whose missing pixels are NaN."""

    dtype = np.dtype(np.float64)

    def __init__(self, view: ImageView, missing: ImageView) -> None:
        self.shape = view.source.shape
        self._source, self._mask, self._channel = view.source, missing.source, view.layout.channel

    def read(self, region: Region) -> NDArray[Any]:
        pixels = self._source.read(region).astype(np.float64)
        axes = [a for a in range(len(self.shape)) if a != self._channel]
        where = Region(tuple(region.start[a] for a in axes), tuple(region.stop[a] for a in axes))
        marked = self._mask.read(where) != 0
        if self._channel is not None:
            marked = np.expand_dims(marked, self._channel)
        return np.where(marked, np.nan, pixels)


def only_known(view: ImageView, missing: ImageView) -> ImageView:
    """Return a picture whose missing pixels are NaN, and so count in no statistics."""
    return replace(view, source=_Known(view, missing))
