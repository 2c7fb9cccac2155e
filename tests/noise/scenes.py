"""Clean pictures with structure, and the noise of a camera."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter


def cells(size: int = 256, seed: int = 0, top: float = 200.0, dark: float = 10.0):
    """Blobs and filaments as a microscope would see them, from `dark` to about `top`."""
    rng = np.random.default_rng(seed)
    blobs = np.zeros((size, size))
    blobs[tuple(rng.integers(0, size, (2, size // 4)))] = rng.uniform(0.2, 1.0, size // 4)
    blobs = gaussian_filter(blobs, 5.0)
    y, x = np.mgrid[:size, :size]
    waves = np.sin(x / 7.0 + 4.0 * np.sin(y / 41.0)) > 0.93
    filaments = gaussian_filter(waves * (y > size // 2) * 1.0, 1.5)
    clean = blobs / blobs.max() + 0.6 * filaments
    return dark + (top - dark) * clean / clean.max()


def camera(clean, gain=1.0, read=0.0, dark=0.0, seed=0):
    """Counts of quanta, amplified, with Gaussian noise and a constant added."""
    rng = np.random.default_rng(seed)
    quanta = rng.poisson(clean / gain)
    return gain * quanta + rng.normal(0.0, read, clean.shape) + dark
