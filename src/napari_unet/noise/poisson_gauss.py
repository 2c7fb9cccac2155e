"""Signal-dependent noise model (Poisson-Gaussian), fitted to the noisy image alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter
from scipy.optimize import nnls

from napari_unet.errors import InputError
from napari_unet.noise.filters import (
    Plane,
    as_plane,
    clipping_limits,
    high_pass,
    roughness,
    seen_by_high_pass,
)

TINY = 1e-150
"""Least variance: it may be squared, and divided by, without leaving the range of the numbers."""

_LEVELS = 40
"""Number of brightness levels at which the variance is measured."""

_SMOOTHEST = 0.4
"""Share of the pixels of a level that is used: those with the least structure around them."""

_FEWEST = 32
"""Least number of pixels of a level, so that its variance is meaningful."""

_EXCESS = 0.05
"""Relative excess over the fitted line at which a level has half of its weight."""

_MOST_CLIPPED = 0.02
"""Greatest share of clipped pixels of a level that is used for the fit."""

_MOST_PIXELS = 4_000_000
"""Number of pixels above which only a regular subset is used."""


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """Noise whose variance grows with the signal: ``gain * signal + offset_variance``.

    Parameters
    ----------
    gain : float
        Grey values per quantum (photon, count); 0 for noise that is the same everywhere.
    offset_variance : float
        Variance at signal 0, in squared grey values. Negative where the detector adds an offset
        to its readings, so that no light gives more than 0.
    floor, ceiling : float or None
        Grey values at which the image is clipped; None where it is not.
    darkest : float or None
        Least signal at which the line was fitted; below it the variance is that at `darkest`.

    Raises
    ------
    InputError
        If a number is not finite, the gain is negative, or the variance at `darkest` is not
        positive.
    """

    gain: float
    offset_variance: float
    floor: float | None = None
    ceiling: float | None = None
    darkest: float | None = None

    def __post_init__(self) -> None:
        numbers = [v for v in asdict(self).values() if v is not None]
        least = self.gain * (self.darkest or 0.0) + self.offset_variance
        if not all(map(math.isfinite, numbers)) or self.gain < 0 or least <= 0:
            raise InputError(
                "These numbers do not describe any noise",
                got=self.to_dict(),
                expected="finite numbers, gain >= 0, and gain * darkest + offset_variance > 0",
            )

    def variance(self, signal: ArrayLike) -> NDArray[np.float64]:
        """Return the variance of the noise, positive everywhere.

        Parameters
        ----------
        signal : array_like
            Noise-free grey values, any shape.

        Returns
        -------
        variance : ndarray of float64
            Same shape, in squared grey values.
        """
        darkest = self.darkest or 0.0
        above = np.maximum(np.asarray(signal, dtype=np.float64) - darkest, 0.0)
        return self.gain * above + (self.gain * darkest + self.offset_variance)

    def sigma(self, signal: ArrayLike) -> NDArray[np.float64]:
        """Return the standard deviation of the noise, positive everywhere.

        Parameters
        ----------
        signal : array_like
            Noise-free grey values, any shape.

        Returns
        -------
        sigma : ndarray of float64
            Same shape, in grey values.
        """
        return np.sqrt(self.variance(signal))

    def corrected(self, share: float) -> NoiseModel:
        """Return the model of noise of which only a share of the variance was measured.

        Parameters
        ----------
        share : float
            From :func:`napari_unet.noise.structure.share_of_high_pass`; above 0.

        Returns
        -------
        model : NoiseModel
            With gain and offset variance divided by `share`.
        """
        return replace(self, gain=self.gain / share, offset_variance=self.offset_variance / share)

    def to_dict(self) -> dict[str, float | None]:
        """Return the fields as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NoiseModel:
        """Make a model from what :meth:`to_dict` returned.

        Parameters
        ----------
        values : dict
            Value by name of the field.

        Returns
        -------
        model : NoiseModel

        Raises
        ------
        InputError
            If a name is unknown or missing, or a value is not a number.
        """
        try:
            numbers: dict[str, Any] = {
                name: None if value is None else float(value) for name, value in values.items()
            }
            return cls(**numbers)
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(
                "This is not a noise model",
                got=values,
                expected="gain, offset_variance and, if known, floor, ceiling and darkest",
            ) from error


@dataclass(frozen=True, slots=True)
class _Levels:
    """Noise at several brightness levels, darkest first; every array has one value per level.

    `signal` is the mean grey value, `variance` that of the noise, `clipped` the share of clipped
    pixels, and `weight` the square root of the number of pixels.
    """

    signal: NDArray[np.float64]
    variance: NDArray[np.float64]
    clipped: NDArray[np.float64]
    weight: NDArray[np.float64]

    def where(self, kept: NDArray[np.bool_]) -> _Levels:
        return _Levels(
            self.signal[kept], self.variance[kept], self.clipped[kept], self.weight[kept]
        )


def fit_noise(planes: Sequence[ArrayLike]) -> NoiseModel:
    """Fit a noise model to noisy images, without clean ones.

    Pixels are sorted into brightness levels by their local mean. In each level only the pixels
    with the least structure around them are used; the mean energy of their high-pass is the
    variance of the noise. A line is fitted to these variances by weighted least squares. Levels
    above the line have less weight, because structure can only increase the variance. After
    Foi et al. 2008, doi:10.1109/TIP.2008.2001399.

    The noise is assumed to be white. For correlated noise the result is too small, see
    :meth:`NoiseModel.corrected` and
    :func:`napari_unet.noise.structure.noise_autocorrelation`.

    Parameters
    ----------
    planes : sequence of array_like
        Images taken in the same way, each with axes (y, x) and at least 16 pixels along both.

    Returns
    -------
    model : NoiseModel

    Raises
    ------
    InputError
        If there is no plane, or one of them is too small or not finite.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> clean = np.linspace(10, 100, 256)[:, None].repeat(256, axis=1)
    >>> model = fit_noise([rng.poisson(clean)])
    >>> round(model.gain), round(float(model.sigma(49.0)))
    (1, 7)
    """
    images = [as_plane(plane, least=16) for plane in planes]
    if not images:
        raise InputError("There is no image to fit a noise model to", todo="Pass one or more")
    floor, ceiling = clipping_limits(images)
    levels = _measure(_samples(images, floor, ceiling))
    darkest = float(levels.signal.min())
    gain, dark_variance = _fit_line(_without_clipped(levels, floor), darkest)
    # A smaller value could be lost in the rounding of the line's value at 0.
    dark_variance = max(dark_variance, 1e-9 * gain * abs(darkest))
    return NoiseModel(gain, dark_variance - gain * darkest, floor, ceiling, darkest)


@dataclass(frozen=True, slots=True)
class _Samples:
    """Maps of the images as flat arrays, with one value per pixel in the same order."""

    local_mean: NDArray[np.float64]
    signal: NDArray[np.float64]
    energy: NDArray[np.float64]
    roughness: NDArray[np.float64]
    clipped: NDArray[np.float64]


def _samples(images: Sequence[Plane], floor: float | None, ceiling: float | None) -> _Samples:
    stride = max(1, math.ceil(sum(p.size for p in images) / _MOST_PIXELS))
    found = []
    for plane in images:
        maps = (
            gaussian_filter(plane, 2.0),
            seen_by_high_pass(plane),
            np.square(high_pass(plane)),
            roughness(plane),
            ((plane == floor) | (plane == ceiling)).astype(np.float64),
        )
        found.append([m[2:-2, 2:-2].ravel()[::stride] for m in maps])
    return _Samples(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _measure(samples: _Samples) -> _Levels:
    """Measure signal and variance at each brightness level."""
    order = np.argsort(samples.local_mean)
    rows = []
    for chosen in _level_slices(samples.local_mean[order]):
        level = order[chosen]
        keep = max(_FEWEST, int(_SMOOTHEST * level.size))
        rough = samples.roughness[level]
        smooth = level[np.argpartition(rough, min(keep, level.size - 1))[:keep]]
        maps = (samples.signal, samples.energy, samples.clipped)
        rows.append([*(m[smooth].mean() for m in maps), math.sqrt(smooth.size)])
    return _Levels(*np.array(rows).T)


def _without_clipped(levels: _Levels, floor: float | None) -> _Levels:
    """Leave out the levels whose noise is clipped, if enough are left for a line."""
    unclipped = levels.clipped <= _MOST_CLIPPED
    if unclipped.sum() < 3:
        return levels
    kept = levels.where(unclipped)
    dark = ~unclipped & (levels.signal < kept.signal.min())
    if floor is None or not dark.any():
        return kept
    # Photon counts end at 0 without being clipped: their variance goes to 0 with their signal.
    slope, _ = _fit_line(kept, floor)
    line = slope * (levels.signal[dark] - floor)
    counted = np.median(np.abs(levels.variance[dark] - line)) < 0.25 * np.median(line)
    return levels.where(unclipped | dark) if counted else kept


def _level_slices(ordered: NDArray[np.float64]) -> list[slice]:
    """Divide sorted values into levels: half by number and half by brightness."""
    ends = np.linspace(ordered[0], ordered[-1], _LEVELS // 2 + 1)[1:-1]
    by_number = np.linspace(0, ordered.size, _LEVELS // 2 + 1).astype(int)
    cuts = np.unique(np.concatenate([by_number, np.searchsorted(ordered, ends)]))
    kept = [0]
    for cut in cuts[1:]:
        if cut - kept[-1] >= 2 * _FEWEST:
            kept.append(int(cut))
    kept[-1] = ordered.size
    return [slice(a, b) for a, b in pairwise(kept)] or [slice(None)]


def _fit_line(levels: _Levels, darkest: float) -> tuple[float, float]:
    """Return slope and variance at the darkest signal of the fitted line, neither negative."""
    above = levels.signal - darkest
    design = np.stack([above, np.ones_like(above)], axis=1)
    scale = float(np.median(levels.variance))
    tiny = max(1e-3 * scale, 1e-12 * float(np.square(above).max()), TINY)
    fitted = levels.variance
    weight = levels.weight
    for _ in range(30):
        # Without the lower bound the darkest levels, whose variance is about 0, would dominate.
        error = np.maximum(fitted, 0.1 * scale + tiny)
        by = weight / error
        slope, dark = nnls(design * by[:, None], levels.variance * by)[0]
        fitted = slope * above + dark
        excess = np.maximum(levels.variance - fitted, 0.0) / error
        weight = levels.weight / np.sqrt(1.0 + excess / _EXCESS)
    return float(slope), max(float(dark), tiny)
