"""A sample: an image, a few strokes on it, and the true labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Sample:
    """An image that comes with the package, with strokes to train on.

    Parameters
    ----------
    name : str
        Name for :func:`napari_unet.samples.sample`.
    image : ndarray
        The image, axes ``(y, x, channel)`` for RGB or ``(z, y, x)``.
    strokes : ndarray of uint8
        Painted label values, with the spatial shape of the image; 0 is "not painted".
    truth : ndarray of uint8 or None
        True label value of every pixel, with the shape of `strokes`; None if unknown.
    scale : tuple of float
        Size of a pixel along each spatial axis, in `units`.
    units : tuple of str
        Unit of each spatial axis, as in napari.
    axis_labels : tuple of str
        Name of each spatial axis.
    class_names : dict of int to str
        Name of each class by its label value; 0 has none.
    description : str
        What the image shows, where it comes from, and how the truth was found.
    """

    name: str
    image: NDArray[np.generic]
    strokes: NDArray[np.uint8]
    truth: NDArray[np.uint8] | None
    scale: tuple[float, ...]
    units: tuple[str, ...]
    axis_labels: tuple[str, ...]
    class_names: dict[int, str]
    description: str

    @property
    def rgb(self) -> bool:
        """Whether the last axis of the image is RGB."""
        return self.image.ndim > self.strokes.ndim

    def copy(self) -> Sample:
        """Return the same sample with arrays of its own."""
        truth = None if self.truth is None else self.truth.copy()
        return replace(
            self,
            image=self.image.copy(),
            strokes=self.strokes.copy(),
            truth=truth,
            class_names=dict(self.class_names),
        )
