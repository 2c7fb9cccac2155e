"""What is measured of a noisy image before anything is learned, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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

SIDE, PLANES = 512, 6
"""Of how many planes, and how large a part of each, the noise is measured."""

LEAST = 32
"""Least side, in pixels, of a picture whose noise can be measured."""

ALIKE = 0.25
"""Correlation of the noise of two neighbouring pixels from which on it is not white."""

SAME_SCENE = 1.25
"""Neighbours differ at most so many times as much as by their noise, to show the same scene."""

MOST_TOGETHER = (5, 3)
"""Planes of one scene that are seen together: as many as there is reason for."""

RELATED = 0.4
"""Neighbours that share this much of their structure are worth looking at together."""

GROWS = 1.25
"""How much stronger the noise of bright parts is than that of dark ones, to be stabilised."""

SATURATED = 0.01

Chosen = Literal["blind_spot", "lines_x", "lines_y", "neighbours"]


@dataclass(frozen=True)
class NoiseChoice:
    """How an image is denoised, and why.

    Parameters
    ----------
    method : str
        As in `DenoiseOptions`, but not "auto".
    photon : bool
        Whether the noise is stabilised.
    planes : int
        How many are seen together.
    noise : tuple of NoiseModel
        Per channel; empty where the image is too small to tell.
    why : str
        One sentence.
    caution : tuple of str
        What the user should know.
    white : bool
        Whether the noise of neighbouring pixels is unrelated.
    measured : dict
        The numbers, as plain JSON.
    """

    method: Chosen
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
        Decides which parts are measured.

    Raises
    ------
    InputError
        Where the image does not allow what is set.
    """
    pairs = list(_pairs(view, seed))
    channels = [[plane[c] for plane, _ in pairs] for c in range(view.channels)]
    if min(channels[0][0].shape) < LEAST:
        return _fallback(view, options)
    models = tuple(fit_noise(planes) for planes in channels)
    fitted = zip(channels, models, strict=True)
    along = np.mean([noise_autocorrelation(p, noise=model) for p, model in fitted], axis=0)
    # Where neighbours are alike, the fit, which looks at differences, saw less than there is.
    models = tuple(m.corrected(share_of_high_pass(along)) for m in models)
    alike = _likeness(pairs, models)
    facts = _Facts(models, along, alike, channels)
    method, why = _method(view, options, facts)
    photon = _is_photon(options, facts)
    planes = options.planes or _planes(view, method, facts, seed)
    _check_method(view, method, planes)
    why += " Its noise grows with the brightness, and is stabilised." * photon
    if planes > 1 and options.planes is None:
        shared = "" if method == "neighbours" else f", for they share {alike.share:.0%}"
        why += f" {planes} planes are seen together{shared}."
    return NoiseChoice(
        method,
        photon,
        planes,
        models,
        why,
        tuple(_cautions(facts, method)),
        float(along[:, 0].max()) < ALIKE,
        facts.as_json(),
    )


@dataclass(frozen=True)
class _Neighbours:
    """How alike neighbouring planes are: shared structure, and by how much more they differ."""

    share: float = 0.0
    ratio: float = float("inf")


@dataclass(frozen=True)
class _Facts:
    models: tuple[NoiseModel, ...]
    along: NDArray[np.float64]
    neighbours: _Neighbours
    channels: Sequence[Sequence[NDArray[Any]]]

    @property
    def growth(self) -> float:
        """How many times stronger the noise of bright parts is than that of dark ones."""
        found = []
        for model, planes in zip(self.models, self.channels, strict=True):
            low, high = np.percentile(np.concatenate([p.ravel() for p in planes]), (5, 99))
            found.append(float(model.sigma(high) / model.sigma(low)))
        return min(found)

    def as_json(self) -> dict[str, Any]:
        numbers = {
            "noise": [model.to_dict() for model in self.models],
            "autocorrelation_y": round(float(self.along[0, 0]), 3),
            "autocorrelation_x": round(float(self.along[1, 0]), 3),
        }
        if np.isfinite(self.neighbours.ratio):
            numbers["neighbours_share"] = round(self.neighbours.share, 3)
            numbers["neighbours_differ"] = round(self.neighbours.ratio, 3)
        return numbers


def _method(view: ImageView, options: DenoiseOptions, facts: _Facts) -> tuple[Chosen, str]:
    if options.method != "auto":
        return options.method, "As set."
    y, x = facts.along[:, 0]
    differ = f"neighbouring planes differ {facts.neighbours.ratio:.2f} times as much as by noise"
    if facts.neighbours.ratio <= SAME_SCENE and _goes_beyond(view, options.planes or 1):
        return "neighbours", f"Planes are learned from each other: {differ}."
    if x >= ALIKE and y < x / 2:
        return "lines_x", f"Whole lines are hidden: the noise is alike along x ({x:.2f})."
    if y >= ALIKE and x < y / 2:
        return "lines_y", f"Whole lines are hidden: the noise is alike along y ({y:.2f})."
    kind = "unrelated" if max(x, y) < ALIKE else "alike"
    why = f"Single pixels are hidden: the noise of neighbouring pixels is {kind}"
    loops = view.loop_shape and view.loop_shape[-1] > 1
    return "blind_spot", why + (f", and {differ}." if loops else ".")


def _is_photon(options: DenoiseOptions, facts: _Facts) -> bool:
    if options.normalise != "auto":
        return options.normalise == "photon"
    return facts.growth >= GROWS


def _planes(view: ImageView, method: Chosen, facts: _Facts, seed: int) -> int:
    if method == "neighbours":
        return next((n for n in MOST_TOGETHER if _is_still(view, n, facts, seed)), 1)
    deep = bool(view.loop_shape) and view.loop_shape[-1] >= 3
    return 3 if deep and facts.neighbours.share >= RELATED else 1


def reach(planes: int) -> int:
    """Return how far the next plane lies that is not seen together with one.

    Examples
    --------
    >>> [reach(planes) for planes in (1, 3, 5)]
    [1, 2, 3]
    """
    return planes // 2 + 1


def _goes_beyond(view: ImageView, planes: int) -> bool:
    """Tell whether every plane has one to learn from besides those that are seen with it."""
    return bool(view.loop_shape) and view.loop_shape[-1] >= 2 * reach(planes)


def _is_still(view: ImageView, planes: int, facts: _Facts, seed: int) -> bool:
    """Tell whether even the planes beyond those that are seen together show the same scene."""
    if not _goes_beyond(view, planes):
        return False
    apart = list(_pairs(view, seed, reach(planes)))
    return _likeness(apart, facts.models).ratio <= SAME_SCENE


def _check_method(view: ImageView, method: Chosen, planes: int) -> None:
    if method == "neighbours" and not _goes_beyond(view, planes):
        raise InputError(
            "There are no neighbouring planes or frames to learn from",
            got=f"an image of shape {view.source.shape}, and {planes} planes seen together",
            expected=f"at least {2 * reach(planes)} planes",
            todo="Choose blind spots, fewer planes seen together, or open a stack",
        )


def _cautions(facts: _Facts, method: Chosen) -> Iterator[str]:
    y, x = facts.along[:, 0]
    if method == "blind_spot" and max(x, y) >= ALIKE:
        yield (
            f"The noise of neighbouring pixels is alike (along y {y:.2f}, along x {x:.2f}): blind "
            "spots cannot take it away. Bin the image, or use neighbouring frames or pairs."
        )
    full = max(saturation(plane) for planes in facts.channels for plane in planes)
    if full > SATURATED:
        yield f"{full:.1%} of the pixels are cut off at an end of the range: they stay so."


def _fallback(view: ImageView, options: DenoiseOptions) -> NoiseChoice:
    """Choose for an image that is too small for anything to be measured."""
    method: Chosen = "blind_spot" if options.method == "auto" else options.method
    _check_method(view, method, options.planes or 1)
    why = f"The image is too small to measure its noise ({LEAST} pixels a side are needed)."
    return NoiseChoice(method, False, options.planes or 1, (), why, (), False, {})


def _pairs(
    view: ImageView, seed: int, apart: int = 1
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
    """Yield parts (channel, y, x) of planes, each with the same part of the next plane if any.

    Or of one that is so many planes `apart`, where every plane has such a one.
    """
    random, shape = np.random.default_rng(seed), view.spatial_shape
    alone = prod(view.loop_shape) * prod(shape[:-2]) == 1 and max(shape) <= SIDE
    for _ in range(1 if alone else PLANES):
        loop = tuple(int(random.integers(n)) for n in view.loop_shape)
        depth = tuple(int(random.integers(n)) for n in shape[:-2])
        size = [min(SIDE, n) for n in shape[-2:]]
        start = [int(random.integers(n - s + 1)) for n, s in zip(shape[-2:], size, strict=True)]
        region = Region.of((*depth, *start), (*(1 for _ in depth), *size))
        plane = _flat(view, loop, region)
        beside = None
        if loop and view.loop_shape[-1] > 1:
            step = apart if loop[-1] + apart < view.loop_shape[-1] else -apart
            beside = _flat(view, (*loop[:-1], loop[-1] + step), region)
        yield plane, beside


def _flat(view: ImageView, loop: tuple[int, ...], region: Region) -> NDArray[np.float32]:
    pixels = view.read(loop, region)
    mean = float(np.mean(pixels[np.isfinite(pixels)])) if np.isfinite(pixels).any() else 0.0
    pixels = np.nan_to_num(pixels, nan=mean, posinf=mean, neginf=mean)
    return pixels.reshape(len(pixels), *pixels.shape[-2:])


def _likeness(
    pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32] | None]],
    models: Sequence[NoiseModel],
) -> _Neighbours:
    found = [
        (structure_similarity(a[c], b[c], model), normalised_difference(a[c], b[c], model))
        for a, b in pairs
        if b is not None
        for c, model in enumerate(models)
    ]
    if not found:
        return _Neighbours()
    return _Neighbours(*(median(values) for values in zip(*found, strict=True)))
