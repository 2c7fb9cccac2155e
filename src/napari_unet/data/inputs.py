"""What goes into a network: normalised pixels, and where some are missing, which are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.filling import around, fill_smoothly
from napari_unet.data.image import ImageView
from napari_unet.data.normalisation import Normalisation
from napari_unet.data.source import Source
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region


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
    return ImageView(mask, view.layout.labels, view.planes, view.wrap, view.border)


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
