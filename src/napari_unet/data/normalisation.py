"""Normalisation of pixels, fitted to images and saved with the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.image import ImageView
from napari_unet.data.pixel_statistics import (
    BOXES,
    ChannelStatistics,
    finite_samples,
    measure_image,
    typical_statistics,
)
from napari_unet.errors import InputError
from napari_unet.noise.variance_stabilising import Stabiliser

Kind = Literal["percentile", "mean_sd", "none", "photon"]
"""How a normalisation is fitted."""

PERCENTILES = (1.0, 99.8)
"""Percentiles that become 0 and 1 with "percentile"."""

EXTREMES = (0.05, 99.95)
"""Percentiles of all but a few pixels; what lies further out than their distance is cut off."""

IGNORED_SCALE = 1e30
"""Scale of a channel that was constant: whatever it is later, it becomes 0."""

MAX_VOXELS = 4_000_000
"""Number of pixels, in all channels together, that a normalisation is fitted to, at most."""

REFERENCE_IMAGES = 16
"""Number of images that the reference is measured on, at most, distributed evenly."""


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
    limits : tuple of (float, float)
        Smallest and largest normalised value per channel; what lies outside, such as a hot pixel,
        is cut off. Empty: nothing is.
    reference : tuple of ChannelStatistics
        What was measured of the images that it was fitted to, per channel; empty: nothing was.
    per_image : bool
        Whether each further image is measured too, and normalised such that it becomes like the
        reference, see `for_image`; else all images are normalised alike.
    variety : (float, float)
        Largest `distance` from the reference among the images that it was fitted to.

    Raises
    ------
    InputError
        If values are not finite, differ in number, or a scale is not positive.
    """

    kind: Kind
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    noise: tuple[tuple[float, float], ...] = ()
    limits: tuple[tuple[float, float], ...] = ()
    reference: tuple[ChannelStatistics, ...] = ()
    per_image: bool = False
    variety: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        valid = (
            self.kind in get_args(Kind)
            and len(self.offset) == len(self.scale) > 0
            and bool(np.isfinite([*self.offset, *self.scale]).all())
            and min(self.scale) > 0
            and len(self.noise) == (len(self.scale) if self.kind == "photon" else 0)
            and len(self.limits) in (0, len(self.scale))
            and len(self.reference) in (len(self.scale), 0)
            and (bool(self.reference) or not self.per_image)
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
                todo="Choose an image with as many channels",
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
        for channel, (low, high) in zip(out, self.limits, strict=False):
            known = np.isfinite(channel)
            np.clip(channel, low, high, out=channel, where=known)
        return np.nan_to_num(out, copy=False, nan=0.0, posinf=0.0, neginf=0.0)

    def for_image(self, statistics: Sequence[ChannelStatistics]) -> Normalisation:
        """Return the normalisation of an image of which `statistics` were measured.

        Its background, the median, takes the place of the reference's; where it shows a contrast
        of its own, so does that.

        Parameters
        ----------
        statistics : sequence of ChannelStatistics
            One per channel, from `measure_image`.
        """
        if not self.per_image:
            return self
        offsets = []
        scales = []
        channels = zip(statistics, self.reference, self.offset, self.scale, strict=True)
        for image, reference, offset, scale in channels:
            gain = image.gain_over(reference)
            offsets.append(image.median + (offset - reference.median) * gain)
            scales.append(scale * gain)
        return replace(self, offset=tuple(offsets), scale=tuple(scales), per_image=False)

    def distance(
        self, statistics: Sequence[ChannelStatistics], used: Normalisation
    ) -> tuple[float, float]:
        """Return how far an image, normalised, is from the reference.

        Parameters
        ----------
        statistics : sequence of ChannelStatistics
            What was measured of the image, per channel.
        used : Normalisation
            What it is normalised by.

        Returns
        -------
        intensities : float
            Largest difference of a percentile, in the range of the reference; mean over channels.
        noise : float
            Largest ratio of its noise to that of the reference; 1 where that has none.
        """
        intensities = []
        ratios = [0.0]
        for i, (here, there) in enumerate(zip(statistics, self.reference, strict=True)):
            if self.scale[i] >= IGNORED_SCALE:
                continue
            now = (np.array(here.percentiles) - used.offset[i]) / used.scale[i]
            then = (np.array(there.percentiles) - self.offset[i]) / self.scale[i]
            intensities.append(float(np.abs(now - then).max() / max(then[2] - then[0], 1e-12)))
            noise = there.noise / self.scale[i]
            ratios.append(here.noise / used.scale[i] / noise if noise else 1.0)
        return float(np.mean(intensities)) if intensities else 0.0, max(ratios) or 1.0

    def of_samples(self, samples: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        """Return normalised samples of each channel, of any number, in double precision."""
        channels = zip(samples, self.offset, self.scale, strict=True)
        return [(values - offset) / scale for values, offset, scale in channels]

    def undo(self, y: NDArray[Any]) -> NDArray[np.float64]:
        """Return the output of a network in grey values.

        With "photon" the unbiased inverse is used, because a network estimates means.

        Parameters
        ----------
        y : ndarray, shape (channels, *spatial)
            Normalised.

        Returns
        -------
        ndarray of float64, the same shape
        """
        out = np.empty(y.shape, np.float64)
        for c, (offset, scale) in enumerate(zip(self.offset, self.scale, strict=True)):
            values = y[c].astype(np.float64) * (scale if scale < IGNORED_SCALE else 0.0) + offset
            out[c] = Stabiliser(*self.noise[c]).inverse(values) if self.noise else values
        return out

    def repeat(self, times: int) -> Normalisation:
        """Return the normalisation for channels that are repeated, as of several planes."""
        per_channel = ("offset", "scale", "noise", "limits", "reference")
        return replace(self, **{name: getattr(self, name) * times for name in per_channel})

    def to_dict(self) -> dict[str, Any]:
        """Return the normalisation as plain JSON types."""
        plain = {"kind": self.kind, "offset": list(self.offset), "scale": list(self.scale)}
        more = {
            "noise": [list(model) for model in self.noise],
            "limits": [list(pair) for pair in self.limits],
            "reference": [channel.to_list() for channel in self.reference],
            "per_image": self.per_image,
            "variety": list(self.variety) if self.reference else [],
        }
        return plain | {name: values for name, values in more.items() if values}

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
            limits = tuple((float(low), float(high)) for low, high in values.get("limits", ()))
            measured = values.get("reference", ())
            reference = tuple(ChannelStatistics(*map(float, channel)) for channel in measured)
            per_image = bool(values.get("per_image", False))
            distance, ratio = map(float, values.get("variety", (0.0, 1.0)))
            variety = distance, ratio
            return cls(values["kind"], offset, scale, noise, limits, reference, per_image, variety)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("This is not a normalisation", got=values) from error


def fit_normalisation(
    views: ImageView | Sequence[ImageView],
    kind: Kind = "mean_sd",
    *,
    seed: int = 0,
    max_voxels: int = MAX_VOXELS,
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
    1. A constant channel beside others that are not, such as an alpha channel, is ignored: it has
    so large a scale that it becomes 0, also where its value is another one later.

    Pixels that lie far outside all the others, such as hot ones, are cut off before: further than
    the range of all but a few (`EXTREMES`) beyond it.

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
    samples, finite_fraction = _varied_samples(images, seed, max_voxels)
    _check_samples(samples)
    if noise:
        channels = zip(noise, samples, strict=True)
        samples = [Stabiliser(*model).forward(values) for model, values in channels]
    with np.errstate(over="ignore", invalid="ignore"):
        fitted = [_fit_channel(values, kind) for values in samples]
    offset, scale = zip(*fitted, strict=True)
    return Normalisation(kind, offset, scale, noise), finite_fraction


def fit_to_classes(
    views: Sequence[ImageView], kind: Kind, *, per_image: bool, seed: int = 0
) -> tuple[Normalisation, float]:
    """Fit the normalisation of a segmentation: what is no part of the image is cut off.

    Parameters
    ----------
    views : sequence of ImageView
        Images with the same number of channels.
    kind : {"percentile", "mean_sd", "none"}
        How it is fitted, see `fit_normalisation`; with "none" pixels stay as they are.
    per_image : bool
        Whether each image is measured, here and when it is predicted; see
        `Normalisation.for_image`. The reference are the medians of what is measured.
    seed : int
        Changes the positions of the boxes that are read of large images.

    Returns
    -------
    normalisation : Normalisation
        With `limits` and `reference`.
    finite_fraction : float
        Share of finite pixels among those that were read.

    Raises
    ------
    InputError
        As `fit_normalisation`.
    """
    if kind == "none":
        return fit_normalisation(views, kind, seed=seed)
    images = [(view, loop) for view in views for loop in view.loops()]
    chosen = np.linspace(0, len(images) - 1, min(REFERENCE_IMAGES, len(images))).astype(int)
    images = [images[i] for i in chosen]
    measured = [measure_image(*image) for image in images]
    # Empty images, such as the first planes of a stack, are no reference where there are others.
    clear = [one for one in measured if any(channel.shows_contrast for channel in one)]
    reference = typical_statistics(clear or measured)
    if per_image and len(images) > 1:
        samples, finite_fraction = _alike_samples(images, measured, reference, seed)
    else:
        samples, finite_fraction = _varied_samples(views, seed, MAX_VOXELS)
    _check_samples(samples)
    fitted = [_fit_channel(values, kind) for values in samples]
    offset, scale = zip(*fitted, strict=True)
    limits = tuple(_limits(values, *one) for values, one in zip(samples, fitted, strict=True))
    fitted_to = Normalisation(kind, offset, scale, (), limits, reference, per_image)
    distances = [fitted_to.distance(one, fitted_to.for_image(one)) for one in clear or measured]
    intensities, ratios = zip(*distances, strict=True)
    return replace(fitted_to, variety=(max(intensities), max(ratios))), finite_fraction


def _alike_samples(
    images: Sequence[tuple[ImageView, tuple[int, ...]]],
    measured: Sequence[tuple[ChannelStatistics, ...]],
    reference: tuple[ChannelStatistics, ...],
    seed: int,
) -> tuple[list[NDArray[np.float64]], float]:
    """Return samples of several images, made like the reference, and the share of finite ones."""
    zeros = (0.0,) * len(reference)
    ones = (1.0,) * len(reference)
    as_is = Normalisation("none", zeros, ones, reference=reference, per_image=True)
    parts = []
    finite = []
    for (view, loop), statistics in zip(images, measured, strict=True):
        found, share = _varied_samples([view], seed, MAX_VOXELS // len(images), loop)
        parts.append(as_is.for_image(statistics).of_samples(found))
        finite.append(share)
    samples = [np.concatenate(channel) for channel in zip(*parts, strict=True)]
    return samples, float(np.mean(finite))


def _limits(values: NDArray[np.float64], offset: float, scale: float) -> tuple[float, float]:
    """Return the normalised values between which those of an image lie."""
    bounds = [(bound - offset) / scale for bound in _bounds(values)]
    low, high = np.clip(bounds, -IGNORED_SCALE, IGNORED_SCALE).tolist()
    return low, high


def _bounds(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the values outside of which pixels are no part of the image, as hot ones are not."""
    below, above = EXTREMES
    low = float(np.percentile(values, below, method="higher"))
    high = float(np.percentile(values, above, method="lower"))
    reach = high - low if high > low else np.inf  # almost constant: the few others are the image
    return low - reach, high + reach


def _varied_samples(
    views: Sequence[ImageView], seed: int, max_voxels: int, only: tuple[int, ...] | None = None
) -> tuple[list[NDArray[np.float64]], float]:
    """Return finite pixels per channel, of many boxes if few hold a single value."""
    for count in BOXES:
        samples, finite_fraction = finite_samples(views, count, seed, max_voxels, only)
        if any(v.size and v.min() < v.max() for v in samples):
            break
    return samples, finite_fraction


class ImageNormalisations:
    """The normalisation of each image: that of a model, after the image was measured.

    Parameters
    ----------
    fitted : Normalisation
        That of the model; without `reference` it is that of all images.
    """

    def __init__(self, fitted: Normalisation) -> None:
        self.fitted = fitted
        self._known: dict[tuple[int, tuple[int, ...]], tuple[ImageView, Normalisation]] = {}

    def of(self, view: ImageView, loop: tuple[int, ...]) -> Normalisation:
        """Return the normalisation of an image; it is measured once.

        Parameters
        ----------
        view : ImageView
            The images.
        loop : tuple of int
            Index along the loop axes.
        """
        if not self.fitted.per_image:
            return self.fitted
        key = (id(view.source), view.index_in_whole(loop))
        if key not in self._known:
            # The view is kept, so that no other source gets the identity of its source.
            self._known[key] = view, self.fitted.for_image(measure_image(view, loop))
        return self._known[key][1]


def _fit_channel(values: NDArray[np.float64], kind: Kind) -> tuple[float, float]:
    """Return offset and scale."""
    if kind == "none":
        return 0.0, 1.0
    if values.min() == values.max():
        return float(values[0]), IGNORED_SCALE
    values = values.clip(*_bounds(values))
    if kind in ("mean_sd", "photon"):
        return float(values.mean()), float(values.std())
    low, high = np.percentile(values, PERCENTILES)
    return float(low), float(high - low if high > low else values.std())


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
