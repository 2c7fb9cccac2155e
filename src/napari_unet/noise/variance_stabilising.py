"""Variance-stabilising transform (generalised Anscombe) and its unbiased inverse."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unet.errors import InputError
from napari_unet.noise.poisson_gauss import NoiseModel

_ROOT = math.sqrt(1.5)
"""Constant of the closed-form inverse (Mäkitalo and Foi 2013)."""


@dataclass(frozen=True, slots=True)
class Stabiliser:
    """The generalised Anscombe transform of noise with ``gain * signal + offset_variance``.

    It is shifted so that 0 is mapped to 0 where the root exists there. So it goes over into
    ``x / sigma`` as the gain goes to 0, and its values stay small enough for float32.

    Parameters
    ----------
    gain : float
        Grey values per quantum, at least 0.
    offset_variance : float
        Variance of the noise at signal 0; positive if the gain is 0.

    Raises
    ------
    InputError
        If a number is not finite, the gain is negative, or there is no noise at all.
    """

    gain: float
    offset_variance: float

    def __post_init__(self) -> None:
        finite = math.isfinite(self.gain) and math.isfinite(self.offset_variance)
        if not finite or self.gain < 0 or (self.gain == 0 and self.offset_variance <= 0):
            raise InputError(
                "These numbers do not describe any noise",
                got=f"gain {self.gain}, offset_variance {self.offset_variance}",
                expected="finite numbers, gain >= 0, and a positive variance if the gain is 0",
            )

    @classmethod
    def of(cls, noise: NoiseModel) -> Stabiliser:
        """Return the transform for `noise`."""
        return cls(noise.gain, noise.offset_variance)

    @property
    def _inner(self) -> float:
        return 0.375 * self.gain**2 + self.offset_variance

    @property
    def _start(self) -> float:
        """Value of the root at signal 0, by which the transform is shifted."""
        return math.sqrt(max(self._inner, 0.0))

    def forward(self, x: ArrayLike) -> NDArray[np.float64]:
        """Transform grey values so that their noise has a variance of about 1 everywhere.

        Parameters
        ----------
        x : array_like
            Noisy grey values, any shape. Values below the domain of the root are set to its end.

        Returns
        -------
        y : ndarray of float64
            Same shape, in standard deviations of the noise.
        """
        values = np.asarray(x, dtype=np.float64)
        inside = np.maximum(self.gain * values + self._inner, 0.0)
        if self._inner <= 0.0:
            return np.asarray(2.0 / self.gain * np.sqrt(inside))
        # (sqrt(inside) - start) * 2 / gain, written without a division by a gain near 0.
        lowest = -self._inner / self.gain if self.gain else -math.inf
        return np.asarray(2.0 * np.maximum(values, lowest) / (np.sqrt(inside) + self._start))

    def algebraic_inverse(self, y: ArrayLike) -> NDArray[np.float64]:
        """Undo :meth:`forward` value by value.

        A denoised image becomes too dark by it where there are few quanta, because the mean of a
        root is less than the root of the mean; :meth:`inverse` corrects that.

        Parameters
        ----------
        y : array_like
            Stabilised values, any shape.

        Returns
        -------
        x : ndarray of float64
            Same shape, in grey values.
        """
        end = -2.0 * self._start / self.gain if self.gain else -math.inf
        values = np.maximum(np.asarray(y, dtype=np.float64), end)
        # Where the root exists at 0, the shift has already done this subtraction.
        missing = min(self._inner, 0.0)
        below = missing / self.gain if missing else 0.0
        return np.asarray(values * (self.gain * values / 4.0 + self._start) - below)

    def inverse(self, y: ArrayLike) -> NDArray[np.float64]:
        """Return the signal whose noisy images have the stabilised mean `y`.

        The closed form of the exact unbiased inverse (Mäkitalo and Foi 2013,
        doi:10.1109/TIP.2012.2202675). It never falls as `y` grows, and is finite for finite `y`.

        Parameters
        ----------
        y : array_like
            Denoised stabilised values, any shape.

        Returns
        -------
        x : ndarray of float64
            Same shape, in grey values.
        """
        # Without its shift and in quanta, the stabilised mean is sqrt(3 / 2) at signal 0; the
        # closed form is not defined below that.
        least = (self.gain * _ROOT - 2.0 * self._start) / self.gain if self.gain else -math.inf
        values = np.maximum(np.asarray(y, dtype=np.float64), least)
        unshifted = np.maximum(self.gain * values + 2.0 * self._start, self.gain * _ROOT)
        one_over = self.gain / unshifted
        series = 0.25 + one_over * (0.25 * _ROOT + one_over * (-1.375 + one_over * 0.625 * _ROOT))
        return self.algebraic_inverse(values) + self.gain * series
