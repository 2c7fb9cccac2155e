"""Noise analysis: what is measured of a noisy image, and which way of denoising follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.image import ImageView
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region
from napari_unet.noise.poisson_gauss import NoiseModel, fit_noise
from napari_unet.noise.structure import (
    noise_autocorrelation,
    normalised_difference,
    saturation,
    share_of_high_pass,
    structure_similarity,
)
from napari_unet.tasks.images.options import DenoiseOptions

SAMPLE_SIDE = 512
"""Side in pixels of the part of a plane whose noise is measured, at most."""

SAMPLE_PLANES = 6
"""Number of planes whose noise is measured."""

MAX_TRIES = 4 * SAMPLE_PLANES
"""Number of planes that are looked at to find so many that show something."""

CHECKED_PLANES = 256
"""Number of planes that are looked at, at most, to name those without values."""

MIN_SIDE = 32
"""Least side in pixels of an image whose noise can be measured."""

MAX_WHITE_CORRELATION = 0.25
"""Correlation of the noise of neighbouring pixels below which the noise counts as white."""

SAME_SCENE_RATIO = 1.25
"""Neighbouring planes show the same scene if they differ at most this much more than by noise."""

CONTEXT_PLANES = (5, 3)
"""Numbers of planes of one scene that are read together, the preferred one first."""

SHARED_STRUCTURE = 0.4
"""Part of their structure that neighbouring planes must share to be read together."""

PHOTON_GROWTH = 1.25
"""Ratio of the noise of bright parts to that of dark ones from which on it is stabilised."""

SATURATED_SHARE = 0.01
"""Part of the pixels at an end of the range from which on the user is warned."""

ChosenMethod = Literal["blind_spot", "lines_x", "lines_y", "neighbours"]
"""The ways of denoising, without "auto"."""

Plane = NDArray[np.float32]
"""Pixels (channel, y, x)."""


@dataclass(frozen=True)
class NoiseChoice:
    """How an image is denoised, and why.

    Parameters
    ----------
    method : str
        As in `DenoiseOptions`, but not "auto".
    photon : bool
        Whether the noise grows with the brightness and is stabilised.
    planes : int
        Number of planes that are read together.
    noise : tuple of NoiseModel
        Per channel; empty where the image is too small to measure it.
    why : str
        The reason, in sentences for the user.
    caution : tuple of str
        What the user should know.
    white : bool
        Whether the noise of neighbouring pixels is uncorrelated.
    measured : dict
        The measured numbers, as plain JSON.
    """

    method: ChosenMethod
    photon: bool
    planes: int
    noise: tuple[NoiseModel, ...]
    why: str
    caution: tuple[str, ...]
    white: bool
    measured: dict[str, Any]


def choose_method(view: ImageView, options: DenoiseOptions, seed: int = 0) -> NoiseChoice:
    """Measure an image, and choose how to denoise it, as far as the options leave that open.

    Parameters
    ----------
    view : ImageView
        The image, one plane at a time.
    options : DenoiseOptions
        What is set.
    seed : int
        Decides which parts of the image are measured.

    Raises
    ------
    InputError
        Where the image does not allow what is set.
    """
    sampled = list(_sample_planes(view, seed))
    channels = [[plane[c] for plane, _ in sampled] for c in range(view.channels)]
    if min(channels[0][0].shape) < MIN_SIDE:
        return _fallback(view, options)
    measured = _measure(sampled, channels)
    method, why = _method(view, options, measured)
    photon = _is_photon(options, measured)
    planes = options.planes or _context_planes(view, method, measured, seed)
    _check_method(view, method, planes)
    reasons = [why]
    if photon:
        reasons.append("The noise grows with brightness (photon noise) and is evened out first.")
    if planes > 1 and options.planes is None:
        share = f": they have {measured.neighbours.share:.0%} of their structure in common"
        share = "" if method == "neighbours" else share
        reasons.append(f"{planes} neighbouring planes are read together{share}.")
    return NoiseChoice(
        method,
        photon,
        planes,
        measured.models,
        " ".join(reasons),
        tuple(_cautions(measured, method)),
        measured.is_white,
        measured.to_dict(),
    )


@dataclass(frozen=True)
class _Neighbours:
    """How similar neighbouring planes are.

    Parameters
    ----------
    share : float
        Part of their structure that they share, from 0 to 1.
    ratio : float
        Their difference, relative to that of two planes that differ by their noise alone.
    """

    share: float = 0.0
    ratio: float = float("inf")


@dataclass(frozen=True)
class _Measurements:
    """What was measured of an image.

    Parameters
    ----------
    models : tuple of NoiseModel
        Per channel.
    correlation : ndarray, shape (2, lags)
        Autocorrelation of the noise along y and along x, at lags of 1 pixel and more.
    neighbours : _Neighbours
        How similar neighbouring planes are.
    channels : sequence of sequence of ndarray
        Planes (y, x) of each channel.
    """

    models: tuple[NoiseModel, ...]
    correlation: NDArray[np.float64]
    neighbours: _Neighbours
    channels: Sequence[Sequence[NDArray[Any]]]

    @property
    def is_white(self) -> bool:
        """Whether the noise of neighbouring pixels is uncorrelated."""
        return float(self.correlation[:, 0].max()) < MAX_WHITE_CORRELATION

    @property
    def growth(self) -> float:
        """How many times stronger the noise of bright parts is than that of dark ones."""
        found = []
        for model, planes in zip(self.models, self.channels, strict=True):
            low, high = np.percentile(np.concatenate([p.ravel() for p in planes]), (5, 99))
            found.append(float(model.sigma(high) / model.sigma(low)))
        return min(found)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain JSON."""
        numbers = {
            "noise": [model.to_dict() for model in self.models],
            "autocorrelation_y": round(float(self.correlation[0, 0]), 3),
            "autocorrelation_x": round(float(self.correlation[1, 0]), 3),
        }
        if np.isfinite(self.neighbours.ratio):
            numbers["neighbours_share"] = round(self.neighbours.share, 3)
            numbers["neighbours_differ"] = round(self.neighbours.ratio, 3)
        return numbers


def _measure(
    sampled: Sequence[tuple[Plane, Plane | None]], channels: Sequence[Sequence[NDArray[Any]]]
) -> _Measurements:
    """Measure the noise of sampled planes, and how similar they are to their neighbours."""
    models = tuple(fit_noise(planes) for planes in channels)
    fitted = zip(channels, models, strict=True)
    correlations = [noise_autocorrelation(planes, noise=model) for planes, model in fitted]
    correlation = np.mean(correlations, axis=0)
    # The fit uses differences of neighbouring pixels, which miss what correlated noise shares.
    models = tuple(model.corrected(share_of_high_pass(correlation)) for model in models)
    return _Measurements(models, correlation, _similarity(sampled, models), channels)


def _method(
    view: ImageView, options: DenoiseOptions, measured: _Measurements
) -> tuple[ChosenMethod, str]:
    """Return the way of denoising, and the reason."""
    if options.method != "auto":
        return options.method, "This method was set by hand."
    y, x = measured.correlation[:, 0]
    ratio = measured.neighbours.ratio
    differ = f"they differ {ratio:.2f} times as much as noise alone would explain"
    if ratio <= SAME_SCENE_RATIO and _goes_beyond(view, options.planes or 1):
        return "neighbours", (
            "Method: neighbouring planes (Noise2Noise), because they show the same scene: "
            f"{differ}."
        )
    if x >= MAX_WHITE_CORRELATION and y < x / 2:
        return "lines_x", _masked_lines("x", x)
    if y >= MAX_WHITE_CORRELATION and x < y / 2:
        return "lines_y", _masked_lines("y", y)
    why = "Method: blind spots (Noise2Void)"
    if measured.is_white:
        why += ", because the noise of neighbouring pixels is independent"
    else:
        why += ". The noise of neighbouring pixels is correlated, so some of it may remain"
    if SAME_SCENE_RATIO < ratio < np.inf:
        return "blind_spot", f"{why}; neighbouring planes show different scenes: {differ}."
    return "blind_spot", f"{why}."


def _masked_lines(axis: str, correlation: float) -> str:
    """Return why whole lines are masked."""
    return (
        f"Method: blind lines along {axis} (structured Noise2Void), because the noise is "
        f"correlated along {axis} (correlation {correlation:.2f})."
    )


def _is_photon(options: DenoiseOptions, measured: _Measurements) -> bool:
    """Tell whether the noise is stabilised: as set, or where it grows with the brightness."""
    if options.normalise != "auto":
        return options.normalise == "photon"
    return measured.growth >= PHOTON_GROWTH


def _context_planes(
    view: ImageView, method: ChosenMethod, measured: _Measurements, seed: int
) -> int:
    """Return how many planes are read together."""
    if method == "neighbours":
        return next((n for n in CONTEXT_PLANES if _is_still(view, n, measured, seed)), 1)
    deep = bool(view.loop_shape) and view.loop_shape[-1] >= 3
    return 3 if deep and measured.neighbours.share >= SHARED_STRUCTURE else 1


def reach(planes: int) -> int:
    """Return the distance of the nearest plane that is not read together with a plane.

    Parameters
    ----------
    planes : int
        Number of planes that are read together; odd.

    Examples
    --------
    >>> [reach(planes) for planes in (1, 3, 5)]
    [1, 2, 3]
    """
    return planes // 2 + 1


def _goes_beyond(view: ImageView, planes: int) -> bool:
    """Tell whether every plane has a neighbour beyond those that are read with it."""
    return bool(view.loop_shape) and view.loop_shape[-1] >= 2 * reach(planes)


def _is_still(view: ImageView, planes: int, measured: _Measurements, seed: int) -> bool:
    """Tell whether the planes beyond those that are read together show the same scene, too."""
    if not _goes_beyond(view, planes):
        return False
    sampled = list(_sample_planes(view, seed, reach(planes)))
    return _similarity(sampled, measured.models).ratio <= SAME_SCENE_RATIO


def _check_method(view: ImageView, method: ChosenMethod, planes: int) -> None:
    if method == "neighbours" and not _goes_beyond(view, planes):
        raise InputError(
            "There are no neighbouring planes or frames to learn from",
            got=f"an image of shape {view.source.shape}, and {planes} planes read together",
            expected=f"at least {2 * reach(planes)} planes",
            todo="Choose blind spots or fewer planes, or open a stack",
        )


def _cautions(measured: _Measurements, method: ChosenMethod) -> Iterator[str]:
    y, x = measured.correlation[:, 0]
    if method == "blind_spot" and not measured.is_white:
        yield (
            f"The noise of neighbouring pixels is correlated (y: {y:.2f}, x: {x:.2f}): blind "
            "spots cannot remove such noise. Bin the image, or use neighbouring frames "
            "or pairs of images."
        )
    full = max(saturation(plane) for planes in measured.channels for plane in planes)
    if full > SATURATED_SHARE:
        yield (
            f"{full:.1%} of the pixels are cut off at an end of the range (saturated or "
            "black); denoising cannot recover them."
        )


def _fallback(view: ImageView, options: DenoiseOptions) -> NoiseChoice:
    """Choose for an image that is too small for anything to be measured."""
    method: ChosenMethod = "blind_spot" if options.method == "auto" else options.method
    _check_method(view, method, options.planes or 1)
    why = f"The image is too small to measure its noise ({MIN_SIDE} pixels a side are needed)."
    return NoiseChoice(method, False, options.planes or 1, (), why, (), False, {})


def _sample_planes(
    view: ImageView, seed: int, distance: int = 1
) -> Iterator[tuple[Plane, Plane | None]]:
    """Yield parts (channel, y, x) of planes, each with the same part of a neighbouring plane.

    The neighbour is None in an image of a single plane. Every plane must have a neighbour at the
    given distance, before or behind it. Planes that are constant or mostly not finite say nothing
    of the noise, and are left out where there are others.
    """
    random = np.random.default_rng(seed)
    shape = view.spatial_shape
    single = prod(view.loop_shape) * prod(shape[:-2]) == 1 and max(shape) <= SAMPLE_SIDE
    wanted = 1 if single else SAMPLE_PLANES
    found = 0
    for tried in range(1 if single else MAX_TRIES):
        loop = tuple(int(random.integers(n)) for n in view.loop_shape)
        depth = tuple(int(random.integers(n)) for n in shape[:-2])
        size = [min(SAMPLE_SIDE, n) for n in shape[-2:]]
        start = [int(random.integers(n - s + 1)) for n, s in zip(shape[-2:], size, strict=True)]
        region = Region.of((*depth, *start), (*(1 for _ in depth), *size))
        plane = view.read(loop, region)
        is_last = tried == MAX_TRIES - 1 and not found
        if not (single or is_last or shows_something(plane)):
            continue
        yield _filled(plane), _neighbour(view, loop, region, distance)
        found += 1
        if found == wanted:
            return


def _neighbour(
    view: ImageView, loop: tuple[int, ...], region: Region, distance: int
) -> Plane | None:
    """Return the same part of the next plane at a distance that shows something, if there is one.

    The plane behind is preferred to the one before.
    """
    if not loop or view.loop_shape[-1] == 1:
        return None
    for step in (distance, -distance):
        if 0 <= loop[-1] + step < view.loop_shape[-1]:
            plane = view.read((*loop[:-1], loop[-1] + step), region)
            if shows_something(plane):
                return _filled(plane)
    return None


def shows_something(pixels: NDArray[Any]) -> bool:
    """Tell whether at least half of the pixels are finite, and not all of these have one value."""
    finite = pixels[np.isfinite(pixels)]
    return 2 * finite.size >= pixels.size and bool(finite.size and np.ptp(finite) > 0)


def _filled(pixels: NDArray[np.float32]) -> Plane:
    """Return pixels (channel, y, x), with the mean in place of those that are not finite."""
    mean = float(np.mean(pixels[np.isfinite(pixels)])) if np.isfinite(pixels).any() else 0.0
    pixels = np.nan_to_num(pixels, nan=mean, posinf=mean, neginf=mean)
    return pixels.reshape(len(pixels), *pixels.shape[-2:])


def planes_without_values(view: ImageView) -> list[str]:
    """Return the indices of planes that hold no finite pixel, as a user counts them, from 0.

    Of each plane a small part is read, and the whole only where that part holds nothing. Of more
    than `CHECKED_PLANES` planes only so many are looked at, spread evenly.

    Parameters
    ----------
    view : ImageView
        The image, one plane at a time.
    """
    if view.source.dtype.kind != "f" or not view.loop_shape:
        return []
    view = replace(view, context_planes=1)
    number = prod(view.loop_shape)
    middle = Region.of([n // 2 for n in view.spatial_shape], [1] * len(view.spatial_shape))
    found = []
    for flat in np.linspace(0, number - 1, min(number, CHECKED_PLANES)).round().astype(int):
        loop = tuple(map(int, np.unravel_index(flat, view.loop_shape)))
        parts = (middle, Region.whole(view.spatial_shape))
        if not any(np.isfinite(view.read_raw(loop, part)).any() for part in parts):
            found.append(", ".join(map(str, view.index_in_whole(loop))))
    return found


def _similarity(
    sampled: Sequence[tuple[Plane, Plane | None]], models: Sequence[NoiseModel]
) -> _Neighbours:
    """Return how similar planes are to their neighbours: medians over planes and channels."""
    compared = [
        (plane[c], neighbour[c], model)
        for plane, neighbour in sampled
        if neighbour is not None
        for c, model in enumerate(models)
    ]
    if not compared:
        return _Neighbours()
    return _Neighbours(
        median(structure_similarity(a, b, model) for a, b, model in compared),
        median(normalised_difference(a, b, model) for a, b, model in compared),
    )
