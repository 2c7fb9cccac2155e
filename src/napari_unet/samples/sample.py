"""What a sample is: a picture, a few strokes on it, and how the finished labels should look."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture that comes with the package, painted and ready for training.

    Parameters
    ----------
    name : str
        The name by which :func:`napari_unet.samples.sample` finds it.
    image : ndarray
        The picture, axes ``(y, x, channel)`` for RGB or ``(z, y, x)``.
    strokes : ndarray of uint8
        The painted classes, with the image's spatial shape; 0 is "not painted".
    truth : ndarray of uint8 or None
        The class of every pixel, shaped like `strokes`, or None if nobody knows it.
    scale : tuple of float
        Size of a pixel along each spatial axis, in `units`.
    units : tuple of str
        Unit of each spatial axis, as napari names it.
    axis_labels : tuple of str
        Name of each spatial axis.
    class_names : dict of int to str
        What each class value stands for; 0 has no entry.
    description : str
        What is to be seen, where it comes from, and how `truth` was found.
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
        """Whether the image has a last axis of colours that the strokes lack."""
        return self.image.ndim > self.strokes.ndim

    def copy(self) -> Sample:
        """Return the same sample with arrays of its own, free to be painted on."""
        truth = None if self.truth is None else self.truth.copy()
        return replace(
            self,
            image=self.image.copy(),
            strokes=self.strokes.copy(),
            truth=truth,
            class_names=dict(self.class_names),
        )
