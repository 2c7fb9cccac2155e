"""How large the noise is at each brightness, found from the noisy picture alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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

_LEVELS = 40  # brightnesses at which the variance is measured
_SMOOTHEST = 0.4  # share of each level that is looked at: the part with the least structure
_FEWEST = 32  # pixels that a level needs, so that its variance means something
_EXCESS = 0.05  # a level this far above the line, relatively, counts half
_MOST_CUT = 0.02  # share of pixels on the floor or the ceiling
_MOST_PIXELS = 4_000_000  # more tell nothing new


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """Noise whose variance grows with the signal: ``gain * signal + offset_variance``.

    Parameters
    ----------
    gain : float
        Grey values per quantum (photon, count); 0 for noise that is the same everywhere.
    offset_variance : float
        Variance at signal 0, in squared grey values. Negative where the detector adds a constant
        to its readings: darkness is then brighter than 0.
    floor, ceiling : float or None
        Grey values at which the picture is cut off; None where it is not.
    darkest : float or None
        Least signal at which the line holds; below it the noise is taken to be what it is there.

    Raises
    ------
    InputError
        If a number is not finite, the gain is negative, or no variance is left at `darkest`.
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
                "These numbers describe no noise",
                got=self.to_dict(),
                expected="finite ones, gain >= 0, and gain * darkest + offset_variance > 0",
            )

    def variance(self, signal: ArrayLike) -> NDArray[np.float64]:
        """Give the variance of the noise, positive everywhere.

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
        """Give the standard deviation of the noise, positive everywhere.

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

    def to_dict(self) -> dict[str, float | None]:
        """Give the numbers as plain JSON can hold them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NoiseModel:
        """Make it again from what :meth:`to_dict` gave.

        Parameters
        ----------
        values : dict
            By name of the field.

        Returns
        -------
        model : NoiseModel

        Raises
        ------
        InputError
            If a name is unknown or missing, or a value is no number.
        """
        try:
            numbers: dict[str, Any] = {
                name: None if value is None else float(value) for name, value in values.items()
            }
            return cls(**numbers)
        except (TypeError, ValueError, AttributeError) as wrong:
            raise InputError(
                "This is no noise model",
                got=values,
                expected="gain, offset_variance and, if known, floor, ceiling and darkest",
            ) from wrong


@dataclass(frozen=True, slots=True)
class _Levels:
    """Mean and variance of the noise at a few brightnesses, and the share that is cut off."""

    signal: NDArray[np.float64]
    variance: NDArray[np.float64]
    cut: NDArray[np.float64]
    weight: NDArray[np.float64]

    def where(self, kept: NDArray[np.bool_]) -> _Levels:
        return _Levels(self.signal[kept], self.variance[kept], self.cut[kept], self.weight[kept])


def fit_noise(planes: Sequence[ArrayLike]) -> NoiseModel:
    """Find the noise of a picture without knowing the clean one.

    Pixels are sorted into levels by their local mean. Of each level the part with the least
    structure around it is kept, and the energy of its high-pass is the variance of the noise. A
    line is fitted to these by weighted least squares, where what lies above it counts less,
    because structure only ever adds. After Foi et al. 2008, doi:10.1109/TIP.2008.2001399.

    The noise is taken to be white. Where it is blurred the result is too small: see
    :func:`napari_unet.noise.structure.noise_autocorrelation`.

    Parameters
    ----------
    planes : sequence of array_like
        Pictures taken in the same way, each with axes (y, x) and at least 16 pixels along both.

    Returns
    -------
    model : NoiseModel

    Raises
    ------
    InputError
        If there is no plane, or one of them is no finite picture of that size.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> clean = np.linspace(10, 100, 256)[:, None].repeat(256, axis=1)
    >>> model = fit_noise([rng.poisson(clean)])
    >>> round(model.gain), round(float(model.sigma(49.0)))
    (1, 7)
    """
    pictures = [as_plane(plane, least=16) for plane in planes]
    if not pictures:
        raise InputError("There is no picture to find the noise of", todo="Hand in one or more")
    floor, ceiling = clipping_limits(pictures)
    levels = _measure(_samples(pictures, floor, ceiling))
    darkest = float(levels.signal.min())
    gain, dark_variance = _fit_line(_uncut(levels, floor), darkest)
    # Else it could drown in the rounding of the line's value at 0.
    dark_variance = max(dark_variance, 1e-9 * gain * abs(darkest))
    return NoiseModel(gain, dark_variance - gain * darkest, floor, ceiling, darkest)


@dataclass(frozen=True, slots=True)
class _Samples:
    """One value per pixel of each map, all flat and in the same order."""

    local_mean: NDArray[np.float64]
    signal: NDArray[np.float64]
    energy: NDArray[np.float64]
    roughness: NDArray[np.float64]
    cut: NDArray[np.float64]


def _samples(pictures: Sequence[Plane], floor: float | None, ceiling: float | None) -> _Samples:
    stride = max(1, math.ceil(sum(p.size for p in pictures) / _MOST_PIXELS))
    found = []
    for plane in pictures:
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
    order = np.argsort(samples.local_mean)
    rows = []
    for chosen in _cut(samples.local_mean[order]):
        level = order[chosen]
        keep = max(_FEWEST, int(_SMOOTHEST * level.size))
        rough = samples.roughness[level]
        smooth = level[np.argpartition(rough, min(keep, level.size - 1))[:keep]]
        maps = (samples.signal, samples.energy, samples.cut)
        rows.append([*(m[smooth].mean() for m in maps), math.sqrt(smooth.size)])
    return _Levels(*np.array(rows).T)


def _uncut(levels: _Levels, floor: float | None) -> _Levels:
    """Leave out the levels in which the noise is cut off, if that leaves a line to fit."""
    whole = levels.cut <= _MOST_CUT
    if whole.sum() < 3:
        return levels
    kept = levels.where(whole)
    dark = ~whole & (levels.signal < kept.signal.min())
    if floor is None or not dark.any():
        return kept
    # Counts end at nothing without being cut off: their variance runs out with their signal.
    slope, _ = _fit_line(kept, floor)
    line = slope * (levels.signal[dark] - floor)
    counted = np.median(np.abs(levels.variance[dark] - line)) < 0.25 * np.median(line)
    return levels.where(whole | dark) if counted else kept


def _cut(ordered: NDArray[np.float64]) -> list[slice]:
    """Cut sorted values into levels: half by number and half by brightness."""
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
    """Give the slope, and the variance at the darkest signal: neither is negative."""
    above = levels.signal - darkest
    design = np.stack([above, np.ones_like(above)], axis=1)
    scale = float(np.median(levels.variance))
    tiny = max(1e-3 * scale, 1e-12 * float(np.square(above).max()), 1e-30)
    fitted, trust = levels.variance, levels.weight
    for _ in range(30):
        # The darkest levels must not rule the line because their variance is next to nothing.
        error = np.maximum(fitted, 0.1 * scale + tiny)
        by = trust / error
        slope, dark = nnls(design * by[:, None], levels.variance * by)[0]
        fitted = slope * above + dark
        excess = np.maximum(levels.variance - fitted, 0.0) / error
        trust = levels.weight / np.sqrt(1.0 + excess / _EXCESS)
    return float(slope), max(float(dark), tiny)
