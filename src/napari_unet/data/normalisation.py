"""Normalisation of pixels, fitted to images and saved with the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.image import ImageView
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region
from napari_unet.noise.variance_stabilising import Stabiliser

Kind = Literal["percentile", "mean_sd", "none", "photon"]
"""How a normalisation is fitted."""

PERCENTILES = (1.0, 99.8)
"""Percentiles that become 0 and 1 with "percentile"."""

BOXES = (32, 512)
"""Numbers of boxes that are sampled: first few, and many if those hold a single value."""


@dataclass(frozen=True)
class Normalisation:
    """``(pixel - offset) / scale``, per channel.

    Parameters
    ----------
    kind : {"percentile", "mean_sd", "none", "photon"}
        How it was fitted.
    offset, scale : tuple of float
        One value per channel, in grey values; `scale` is positive. With "photon" in standard
        deviations of the noise, see `noise`.
    noise : tuple of (float, float)
        With "photon" gain and variance at signal 0 of the noise, per channel. The variance is
        then stabilised first (`napari_unet.noise.variance_stabilising`), so that the noise is the
        same at every brightness. Otherwise empty.

    Raises
    ------
    InputError
        If values are not finite, differ in number, or a scale is not positive.
    """

    kind: Kind
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    noise: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        valid = (
            self.kind in get_args(Kind)
            and len(self.offset) == len(self.scale) > 0
            and bool(np.isfinite([*self.offset, *self.scale]).all())
            and min(self.scale) > 0
            and len(self.noise) == (len(self.scale) if self.kind == "photon" else 0)
        )
        if not valid:
            raise InputError(
                "This is not a normalisation",
                got=f"{self.kind}, offset {self.offset}, scale {self.scale}",
                expected="finite numbers and positive scales, one of each per channel",
            )

    def apply(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Return normalised pixels; those that are not finite become 0.

        The offset is subtracted in float64, so that small differences at a large offset are
        kept.

        Parameters
        ----------
        x : ndarray, shape (channels, *spatial)
            Pixels of any real type.

        Returns
        -------
        ndarray of float32, the same shape

        Raises
        ------
        InputError
            If the image has another number of channels.
        """
        if len(x) != len(self.offset):
            raise InputError(
                "The image has another number of channels than the normalisation",
                got=len(x),
                expected=len(self.offset),
                todo="Choose an image with the same channels, or set the channel axis",
            )
        out = np.empty(x.shape, np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            for c, (offset, scale) in enumerate(zip(self.offset, self.scale, strict=True)):
                if self.noise:
                    stable = Stabiliser(*self.noise[c]).forward(x[c].astype(np.float64))
                    out[c] = (stable - offset) / scale
                    continue
                # A ufunc casts in small buffers, so there is no float64 copy of the image.
                np.subtract(x[c], offset, out=out[c], dtype=np.float64, casting="same_kind")
                np.divide(out[c], scale, out=out[c], dtype=np.float64, casting="same_kind")
        return np.nan_to_num(out, copy=False, nan=0.0, posinf=0.0, neginf=0.0)

    def undo(self, y: NDArray[Any]) -> NDArray[np.float32]:
        """Return the output of a network in grey values.

        With "photon" the unbiased inverse is used, because a network estimates means.

        Parameters
        ----------
        y : ndarray, shape (channels, *spatial)
            Normalised.

        Returns
        -------
        ndarray of float32, the same shape
        """
        out = np.empty(y.shape, np.float32)
        for c, (offset, scale) in enumerate(zip(self.offset, self.scale, strict=True)):
            values = y[c].astype(np.float64) * scale + offset
            out[c] = Stabiliser(*self.noise[c]).inverse(values) if self.noise else values
        return out

    def repeat(self, times: int) -> Normalisation:
        """Return the normalisation for channels that are repeated, as of several planes."""
        return replace(
            self, offset=self.offset * times, scale=self.scale * times, noise=self.noise * times
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the normalisation as plain JSON types."""
        plain = {"kind": self.kind, "offset": list(self.offset), "scale": list(self.scale)}
        return {**plain, "noise": [list(model) for model in self.noise]} if self.noise else plain

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Normalisation:
        """Return the normalisation from :meth:`to_dict`.

        Raises
        ------
        InputError
            If a value is missing or of another type.
        """
        try:
            offset = tuple(float(v) for v in values["offset"])
            scale = tuple(float(v) for v in values["scale"])
            noise = tuple((float(g), float(v)) for g, v in values.get("noise", ()))
            return cls(values["kind"], offset, scale, noise)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("This is not a normalisation", got=values) from error


def fit_normalisation(
    views: ImageView | Sequence[ImageView],
    kind: Kind = "mean_sd",
    *,
    seed: int = 0,
    max_voxels: int = 4_000_000,
    noise: tuple[tuple[float, float], ...] = (),
) -> tuple[Normalisation, float]:
    """Fit a normalisation to one or several images, without reading all of large ones.

    Up to `max_voxels` pixels are read, an equal share of each image: all of an image if it has
    no more, else 32 boxes in single planes, distributed evenly by the additive recurrence of
    Roberts 2018 ("The unreasonable effectiveness of quasirandom sequences"). If these hold a
    single value (a large volume that is mostly empty), 512 smaller ones are read. Statistics
    are computed in float64 over the finite pixels.

    ``"percentile"``: offset is the 1st percentile, scale the 99.8th minus the 1st (the standard
    deviation if these are equal). ``"mean_sd"``: mean and standard deviation. ``"none"``: 0 and
    1. A constant channel beside others that are not, such as an alpha channel, has scale 1.

    Parameters
    ----------
    views : ImageView or sequence of ImageView
        One image, or several with the same number of channels.
    kind : {"percentile", "mean_sd", "none", "photon"}
        How it is fitted.
    seed : int
        Changes the positions of the boxes.
    max_voxels : int
        Greatest number of pixels to read, in all channels together.
    noise : tuple of (float, float)
        With ``"photon"`` only: gain and variance at signal 0 per channel. Offset and scale are
        mean and standard deviation of the stabilised pixels.

    Returns
    -------
    normalisation : Normalisation
    finite_fraction : float
        Share of finite pixels among those that were read.

    Raises
    ------
    InputError
        If a channel has no finite pixel, or the image is constant.
    """
    images = [views] if isinstance(views, ImageView) else views
    for count in BOXES:
        samples, finite_fraction = _finite_samples(images, count, seed, max_voxels)
        if any(v.size and v.min() < v.max() for v in samples):
            break
    _check_samples(samples)
    if noise:
        channels = zip(noise, samples, strict=True)
        samples = [Stabiliser(*model).forward(values) for model, values in channels]
    with np.errstate(over="ignore", invalid="ignore"):
        fitted = [_fit_channel(values, kind) for values in samples]
    offset, scale = zip(*fitted, strict=True)
    return Normalisation(kind, offset, scale, noise), finite_fraction


def _fit_channel(values: NDArray[np.float64], kind: Kind) -> tuple[float, float]:
    """Return offset and scale."""
    if kind == "none":
        return 0.0, 1.0
    if values.min() == values.max():
        return float(values[0]), 1.0
    if kind in ("mean_sd", "photon"):
        return float(values.mean()), float(values.std())
    low, high = np.percentile(values, PERCENTILES)
    return float(low), float(high - low if high > low else values.std())


def image_pixels(
    view: ImageView, loop: tuple[int, ...], max_voxels: int = 4_000_000
) -> list[NDArray[np.float64]]:
    """Return the finite pixels of an image per channel, or evenly distributed samples of them.

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
    list of ndarray of float64, shape (n,)
    """
    return _finite_samples([view], BOXES[0], 0, max_voxels, loop)[0]


def _finite_samples(
    views: Sequence[ImageView],
    count: int,
    seed: int,
    max_voxels: int,
    only: tuple[int, ...] | None = None,
) -> tuple[list[NDArray[np.float64]], float]:
    """Return the finite pixels that were read per channel, and the share of finite ones."""
    channels = views[0].channels
    found: list[list[NDArray[np.float64]]] = [[] for _ in range(channels)]
    read = 0
    voxels = max_voxels // channels // len(views)
    boxes = -(-count // len(views))
    for view in views:
        for loop, box in _boxes(view, boxes, seed, voxels, only):
            data = view.read_raw(loop, box).reshape(channels, -1).astype(np.float64)
            read += data.size
            for channel, values in zip(found, data, strict=True):
                channel.append(values[np.isfinite(values)])
    samples = [np.concatenate(parts) for parts in found]
    return samples, sum(v.size for v in samples) / read


def _boxes(
    view: ImageView, count: int, seed: int, max_voxels: int, only: tuple[int, ...] | None
) -> Iterator[tuple[tuple[int, ...], Region]]:
    """Yield loop indices and boxes in all images, or in the one with loop index `only`."""
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


def _check_samples(samples: list[NDArray[np.float64]]) -> None:
    for channel, values in enumerate(samples):
        if not values.size:
            raise InputError(
                "The image has no finite pixels",
                got=f"only NaN or infinity in channel {channel}",
                todo="Choose another image, or leave out that channel",
            )
    if all(values.min() == values.max() for values in samples):
        raise InputError(
            "The image is constant, so there is nothing to learn from",
            got=f"the value {', '.join(f'{v[0]:g}' for v in samples)} everywhere",
            todo="Choose another image",
        )
