"""Inputs of a network: normalised pixels, and with missing pixels a mask of the known ones."""

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
"""Number of times the image is halved; gaps wider than about 2**LEVELS pixels stay 0 inside."""

SWEEPS = 2
"""Relaxation steps on each level; twice as many on the finest one."""

MARGIN = 5 * 2**LEVELS
"""Greatest distance at which a known pixel has an influence, in pixels.

On each level it is one cell per relaxation step and one for the interpolation: in sum less than
four cells of the coarsest level, and up to one more for the position within a cell.
"""


def fill_context(region: Region) -> tuple[Region, tuple[slice, ...]]:
    """Return the region to read so that a part of it is filled as in the whole image.

    Parameters
    ----------
    region : Region
        Over the spatial axes, in voxels.

    Returns
    -------
    wide : Region
        Larger along y and x; its start is a multiple of 2**LEVELS.
    inner : tuple of slice
        Where `region` lies in `wide`.
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
    """Interpolate missing pixels smoothly from the known ones, plane by plane.

    The image is halved repeatedly by the means of known pixels. From the coarsest level on, the
    missing pixels of a level are interpolated from the next coarser one, and then relaxed
    towards the mean of their neighbours. The levels are those of the "pull push" algorithm
    (Gortler et al. 1996, doi:10.1145/237170.237200).

    Parameters
    ----------
    pixels : ndarray of float32, shape (..., y, x)
        Normalised.
    known : ndarray of bool, the same shape
        Whether a pixel is known.

    Returns
    -------
    ndarray of float32, the same shape
        Known pixels are unchanged; far from any known pixel it is 0, the mean.
    """
    if known.all():
        return pixels
    height, width = pixels.shape[-2:]
    padding = [(0, 0)] * (pixels.ndim - 2) + [(0, -n % 2**LEVELS) for n in (height, width)]
    sums = [np.pad(np.where(known, pixels, np.float32(0)), padding)]
    shares = [np.pad(known.astype(np.float32), padding)]
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
    """Return the means of squares of 2 x 2 pixels."""
    rows = values[..., 0::2, :] + values[..., 1::2, :]
    means: NDArray[np.float32] = (rows[..., 0::2] + rows[..., 1::2]) * np.float32(0.25)
    return means


def _doubled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return twice as many values along the last axis, linearly interpolated."""
    near = values * np.float32(0.75)
    far = values * np.float32(0.25)
    out = np.empty((*values.shape[:-1], values.shape[-1], 2), np.float32)
    np.add(near[..., 1:], far[..., :-1], out=out[..., 1:, 0])
    np.add(near[..., :-1], far[..., 1:], out=out[..., :-1, 1])
    out[..., 0, 0] = values[..., 0]
    out[..., -1, 1] = values[..., -1]
    return out.reshape(*values.shape[:-1], -1)


def _relax(values: NDArray[np.float32], free: NDArray[np.float32]) -> None:
    """Move values in place towards the mean of their four neighbours, by the share `free`."""
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
    """Read a region of an image as input of a network.

    Parameters
    ----------
    view : ImageView
        The image.
    normalisation : Normalisation
        For all of its channels.
    loop : tuple of int
        Index along the loop axes.
    region : Region
        Over the spatial axes, in voxels; it may extend beyond the image.
    missing : ImageView, optional
        Mask of the image's shape without channels, not 0 where pixels are missing.
    smooth : bool
        Whether missing pixels are interpolated, see `fill_smoothly`.

    Returns
    -------
    ndarray of float32
        (channels, *region.shape); with `missing` twice as many channels, see `with_known`.
    """
    if missing is None:
        return normalisation.apply(view.read_raw(loop, region))
    wide, inner = fill_context(region) if smooth else (region, Region.whole(region.shape).slices)
    raw = view.read_raw(loop, wide)
    pixels = normalisation.apply(raw)
    inputs = with_known(pixels, known_pixels(raw, missing, loop, wide), smooth=smooth)
    return inputs[(slice(None), *inner)]


def known_pixels(
    raw: NDArray[Any], missing: ImageView, loop: tuple[int, ...], region: Region
) -> NDArray[np.bool_]:
    """Return which pixels are known: not marked as missing, and finite.

    Parameters
    ----------
    raw : ndarray, shape (channels, *region.shape)
        Pixels of the image in this region.
    missing, loop, region
        As in `read_inputs`.

    Returns
    -------
    ndarray of bool, the shape of `raw`
    """
    marked = missing.read_raw(loop, region) != 0
    channels = len(raw) // len(marked)
    known = ~np.repeat(marked, channels, axis=0)
    return known & np.isfinite(raw) if raw.dtype.kind == "f" else known


def with_known(
    pixels: NDArray[np.float32], known: NDArray[np.bool_], *, smooth: bool
) -> NDArray[np.float32]:
    """Append the mask of known pixels to the channels of an image.

    Parameters
    ----------
    pixels : ndarray of float32, shape (channels, *spatial)
        Normalised.
    known : ndarray of bool, the same shape
        Whether a pixel is known.
    smooth : bool
        Whether missing pixels are interpolated; else they are 0.

    Returns
    -------
    ndarray of float32, shape (2 * channels, *spatial)
        The pixels, and as many channels that are 1 where they are known and 0 elsewhere.
    """
    filled = fill_smoothly(pixels, known) if smooth else pixels * known
    return np.concatenate([filled, known.astype(np.float32)])


def missing_view(view: ImageView, mask: Source | None) -> ImageView:
    """Return the view of a mask of missing pixels.

    Parameters
    ----------
    view : ImageView
        The image.
    mask : Source or None
        Not 0 where pixels are missing; None if none are.

    Returns
    -------
    ImageView
        With the roles of the image's axes, without its channel axis.

    Raises
    ------
    InputError
        If its shape is not that of the image without channels.
    """
    shape = tuple(n for a, n in enumerate(view.source.shape) if a != view.layout.channel)
    mask = _EmptyMask(shape) if mask is None else mask
    if tuple(mask.shape) != shape:
        raise InputError(
            "Image and mask differ in shape",
            got=f"image {view.source.shape}, mask {mask.shape}",
            expected=f"a mask of shape {shape}",
        )
    return replace(view, source=mask, layout=view.layout.labels)


class _EmptyMask:
    """A mask of zeros, which takes no memory."""

    dtype = np.dtype(np.uint8)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def read(self, region: Region) -> NDArray[Any]:
        return np.zeros(region.shape, np.uint8)


class _MaskedSource:
    """An image whose missing pixels are NaN."""

    dtype = np.dtype(np.float64)

    def __init__(self, view: ImageView, missing: ImageView) -> None:
        self.shape = view.source.shape
        self._source = view.source
        self._mask = missing.source
        self._channel = view.layout.channel

    def read(self, region: Region) -> NDArray[Any]:
        pixels = self._source.read(region).astype(np.float64)
        axes = [a for a in range(len(self.shape)) if a != self._channel]
        spatial = Region(tuple(region.start[a] for a in axes), tuple(region.stop[a] for a in axes))
        marked = self._mask.read(spatial) != 0
        if self._channel is not None:
            marked = np.expand_dims(marked, self._channel)
        return np.where(marked, np.nan, pixels)


def only_known(view: ImageView, missing: ImageView) -> ImageView:
    """Return the view of an image whose missing pixels are NaN, so that statistics ignore them.

    Parameters
    ----------
    view : ImageView
        The image.
    missing : ImageView
        From :func:`missing_view`.
    """
    return replace(view, source=_MaskedSource(view, missing))
