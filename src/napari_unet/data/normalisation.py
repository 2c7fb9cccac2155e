"""Bringing pixels to the range that the network expects: fitted once, saved with the model."""

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
PERCENTILES = (1.0, 99.8)
#: Numbers of boxes that are tried: where the first few all look alike, many are read.
BOXES = (32, 512)


@dataclass(frozen=True)
class Normalisation:
    """``(pixel - offset) / scale``, per channel.

    Parameters
    ----------
    kind : {"percentile", "mean_sd", "none", "photon"}
        How it was fitted.
    offset, scale : tuple of float
        One of each per channel, in the picture's units; `scale` is positive. With "photon" in
        units of the noise, see `noise`.
    noise : tuple of (float, float)
        With "photon" one pair per channel: gain and variance at signal 0 of the noise. Pixels are
        then stabilised first (`napari_unet.noise.variance_stabilising`), so that the noise is the
        same at every brightness. Empty otherwise.

    Raises
    ------
    InputError
        Where the numbers are not finite, unlike in number, or a scale is not positive.
    """

    kind: Kind
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    noise: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        sound = (
            self.kind in get_args(Kind)
            and len(self.offset) == len(self.scale) > 0
            and bool(np.isfinite([*self.offset, *self.scale]).all())
            and min(self.scale) > 0
            and len(self.noise) == (len(self.scale) if self.kind == "photon" else 0)
        )
        if not sound:
            raise InputError(
                "This is no normalisation",
                got=f"{self.kind}, offset {self.offset}, scale {self.scale}",
                expected="finite numbers and positive scales, one of each per channel",
            )

    def apply(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Return the normalised picture; pixels that are not finite become 0.

        The offset is subtracted in float64, so that small differences on top of a large offset
        survive.

        Parameters
        ----------
        x : ndarray, shape (channels, *spatial)
            Of any real type.

        Returns
        -------
        ndarray of float32, the same shape

        Raises
        ------
        InputError
            Where the picture has another number of channels.
        """
        if len(x) != len(self.offset):
            raise InputError(
                "The picture has another number of channels than the normalisation",
                got=len(x),
                expected=len(self.offset),
                todo="Choose a picture with the same channels, or set the channel axis",
            )
        out = np.empty(x.shape, np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            for c, (offset, scale) in enumerate(zip(self.offset, self.scale, strict=True)):
                if self.noise:
                    stable = Stabiliser(*self.noise[c]).forward(x[c].astype(np.float64))
                    out[c] = (stable - offset) / scale
                    continue
                # A ufunc casts buffer by buffer: float64 inside, no float64 copy of the picture.
                np.subtract(x[c], offset, out=out[c], dtype=np.float64, casting="same_kind")
                np.divide(out[c], scale, out=out[c], dtype=np.float64, casting="same_kind")
        return np.nan_to_num(out, copy=False, nan=0.0, posinf=0.0, neginf=0.0)

    def undo(self, y: NDArray[Any]) -> NDArray[np.float32]:
        """Return a network's output in the picture's units.

        With "photon" the inverse is the unbiased one, for what a network gives is a mean.

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
        """Return the same for so many times the channels, such as those of several planes."""
        return replace(
            self, offset=self.offset * times, scale=self.scale * times, noise=self.noise * times
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the same as plain values for JSON."""
        plain = {"kind": self.kind, "offset": list(self.offset), "scale": list(self.scale)}
        return {**plain, "noise": [list(pair) for pair in self.noise]} if self.noise else plain

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Normalisation:
        """Return the normalisation that :meth:`to_dict` wrote.

        Raises
        ------
        InputError
            Where a value is missing or of another kind.
        """
        try:
            offset = tuple(float(v) for v in values["offset"])
            scale = tuple(float(v) for v in values["scale"])
            noise = tuple((float(g), float(v)) for g, v in values.get("noise", ()))
            return cls(values["kind"], offset, scale, noise)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("This is no normalisation", got=values) from error


def fit_normalisation(
    views: ImageView | Sequence[ImageView],
    kind: Kind = "mean_sd",
    *,
    seed: int = 0,
    max_voxels: int = 4_000_000,
    noise: tuple[tuple[float, float], ...] = (),
) -> tuple[Normalisation, float]:
    """Fit a normalisation to a picture, or one to several, without reading all of a large one.

    Up to `max_voxels` pixels are read, of several pictures an equal share of each: the whole
    picture if it has no more, else 32 flat boxes spread evenly over planes, heights and widths by
    the additive recurrence of Roberts 2018 ("The unreasonable effectiveness of quasirandom
    sequences"). If these hold a single value (a large volume that is mostly empty), 512 smaller
    ones are read. Statistics are computed in float64 over the finite pixels.

    ``"percentile"``: offset is the 1st percentile, scale the 99.8th minus the 1st (the standard
    deviation where these are equal). ``"mean_sd"``: mean and standard deviation. ``"none"``: 0
    and 1. A constant channel beside others that are not, such as an alpha channel, gets scale 1.

    Parameters
    ----------
    views : ImageView or sequence of ImageView
        The picture, or several with the same channels.
    kind : {"percentile", "mean_sd", "none"}
        What to fit.
    seed : int
        Shifts where the boxes lie.
    max_voxels : int
        Most pixels to read, all channels together.
    noise : tuple of (float, float)
        For ``"photon"``, and only for that: gain and variance at signal 0 per channel. Offset and
        scale are then mean and standard deviation of the stabilised pixels.

    Returns
    -------
    normalisation : Normalisation
    finite_fraction : float
        Share of the pixels read that are finite.

    Raises
    ------
    InputError
        Where no pixel of some channel is finite, and where the picture is constant.
    """
    each = [views] if isinstance(views, ImageView) else views
    for count in BOXES:
        samples, finite_fraction = _finite_samples(each, count, seed, max_voxels)
        if any(v.size and v.min() < v.max() for v in samples):
            break
    _check_samples(samples)
    if noise:
        stable = zip(noise, samples, strict=True)
        samples = [Stabiliser(*model).forward(values) for model, values in stable]
    with np.errstate(over="ignore", invalid="ignore"):
        pairs = [_fit_channel(values, kind) for values in samples]
    offset, scale = zip(*pairs, strict=True)
    return Normalisation(kind, offset, scale, noise), finite_fraction


def _fit_channel(values: NDArray[np.float64], kind: Kind) -> tuple[float, float]:
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
    """Return the finite pixels of one picture per channel, of a large one an even sample.

    Parameters
    ----------
    view : ImageView
        The image.
    loop : tuple of int
        Which of its pictures.
    max_voxels : int
        Most pixels to read, all channels together.
    """
    return _finite_samples([view], BOXES[0], 0, max_voxels, loop)[0]


def _finite_samples(
    views: Sequence[ImageView],
    count: int,
    seed: int,
    max_voxels: int,
    only: tuple[int, ...] | None = None,
) -> tuple[list[NDArray[np.float64]], float]:
    channels = views[0].channels
    found: list[list[NDArray[np.float64]]] = [[] for _ in range(channels)]
    read = 0
    voxels, boxes = max_voxels // channels // len(views), -(-count // len(views))
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
    """Yield boxes of all pictures, or of `only` one, and in which picture they lie."""
    shape, loops = view.spatial_shape, view.loop_shape if only is None else ()
    if prod(loops) * prod(shape) <= max_voxels:
        whole = view.loops() if only is None else [only]
        yield from ((loop, Region.whole(shape)) for loop in whole)
        return
    stack = (*loops, *shape[:-2])
    side = max(1, int((max_voxels / count) ** 0.5))
    height = min(side, shape[-2])
    width = min(max(1, max_voxels // count // height), shape[-1])
    for plane, y, x in _spread(count, seed):
        index = tuple(int(i) for i in np.unravel_index(int(plane * prod(stack)), stack or (1,)))
        index = index if stack else ()
        loop, depth = index[: len(loops)], index[len(loops) :]
        top, left = int(y * (shape[-2] - height + 1)), int(x * (shape[-1] - width + 1))
        stop = (*(d + 1 for d in depth), top + height, left + width)
        yield loop if only is None else only, Region((*depth, top, left), stop)


def _spread(count: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield points spread evenly over the unit cube."""
    golden = 1.2207440846057596  # the root of x**4 = x + 1
    steps = (1 / golden) ** np.arange(1, 4)
    shift = np.random.default_rng(seed).random(3)
    for k in range(count):
        yield (shift + k * steps) % 1.0


def _check_samples(samples: list[NDArray[np.float64]]) -> None:
    for channel, values in enumerate(samples):
        if not values.size:
            raise InputError(
                "The picture holds no finite pixel",
                got=f"only NaN or infinity in channel {channel}",
                todo="Choose another picture or leave that channel out",
            )
    if all(values.min() == values.max() for values in samples):
        raise InputError(
            "The picture is constant, there is nothing to learn from",
            got=f"the value {', '.join(f'{v[0]:g}' for v in samples)} everywhere",
            todo="Choose another picture",
        )
