"""Make noise that grows with the signal equally strong everywhere, and undo it without a bias."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unet.errors import InputError
from napari_unet.noise.poisson_gauss import NoiseModel

_ROOT = math.sqrt(1.5)


@dataclass(frozen=True, slots=True)
class Stabiliser:
    """The generalised Anscombe transform of noise with ``gain * signal + offset_variance``.

    It is shifted so that a picture of 0 stays 0 wherever the root exists there. So it turns into
    ``x / sigma`` by itself as the gain goes to 0, and its values stay small enough for float32.

    Parameters
    ----------
    gain : float
        Grey values per quantum, at least 0.
    offset_variance : float
        Variance of the noise at signal 0; positive if the gain is 0.

    Raises
    ------
    InputError
        If no noise could have these numbers.
    """

    gain: float
    offset_variance: float

    def __post_init__(self) -> None:
        known = math.isfinite(self.gain) and math.isfinite(self.offset_variance)
        if not known or self.gain < 0 or (self.gain == 0 and self.offset_variance <= 0):
            raise InputError(
                "These numbers describe no noise",
                got=f"gain {self.gain}, offset_variance {self.offset_variance}",
                expected="finite ones, gain >= 0, and a positive variance where the gain is 0",
            )

    @classmethod
    def of(cls, noise: NoiseModel) -> Stabiliser:
        """Make the one that fits `noise`."""
        return cls(noise.gain, noise.offset_variance)

    @property
    def _inner(self) -> float:
        return 0.375 * self.gain**2 + self.offset_variance

    @property
    def _start(self) -> float:
        """The root at signal 0, by which the transform is shifted."""
        return math.sqrt(max(self._inner, 0.0))

    def forward(self, x: ArrayLike) -> NDArray[np.float64]:
        """Give the picture whose noise has a variance of about 1 everywhere.

        Parameters
        ----------
        x : array_like
            Noisy grey values, any shape. What lies below the end of the root is put there.

        Returns
        -------
        y : ndarray of float64
            Same shape, in standard deviations of the noise.
        """
        values = np.asarray(x, dtype=np.float64)
        inside = np.maximum(self.gain * values + self._inner, 0.0)
        if self._inner <= 0.0:
            return np.asarray(2.0 / self.gain * np.sqrt(inside))
        # (sqrt(inside) - start) * 2 / gain, written so that a gain near 0 divides nothing.
        lowest = -self._inner / self.gain if self.gain else -math.inf
        return np.asarray(2.0 * np.maximum(values, lowest) / (np.sqrt(inside) + self._start))

    def algebraic_inverse(self, y: ArrayLike) -> NDArray[np.float64]:
        """Undo :meth:`forward` value by value.

        Of a denoised picture that is too dark where there are few quanta, because the mean of a
        root is less than the root of the mean: that is what :meth:`inverse` is for.

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
        # Only where the root does not exist at 0 is something left to subtract.
        missing = min(self._inner, 0.0)
        below = missing / self.gain if missing else 0.0
        return np.asarray(values * (self.gain * values / 4.0 + self._start) - below)

    def inverse(self, y: ArrayLike) -> NDArray[np.float64]:
        """Give the signal whose noisy pictures have the stabilised mean `y`.

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
        # closed form means nothing below that.
        least = (self.gain * _ROOT - 2.0 * self._start) / self.gain if self.gain else -math.inf
        values = np.maximum(np.asarray(y, dtype=np.float64), least)
        unshifted = np.maximum(self.gain * values + 2.0 * self._start, self.gain * _ROOT)
        one_over = self.gain / unshifted
        series = 0.25 + one_over * (0.25 * _ROOT + one_over * (-1.375 + one_over * 0.625 * _ROOT))
        return self.algebraic_inverse(values) + self.gain * series
