"""Restore: learn from pairs of a degraded image and a good one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.data.image import ImageView
from napari_unet.data.normalisation import Normalisation, fit_normalisation
from napari_unet.errors import InputError
from napari_unet.model import InputSpec, ResidualMode
from napari_unet.noise.poisson_gauss import TINY
from napari_unet.tasks.images.dataset import (
    ImageDataset,
    PatchLocation,
    TrainingExample,
    counted_voxels,
)
from napari_unet.tasks.images.losses import image_loss
from napari_unet.tasks.images.options import RestoreOptions
from napari_unet.tasks.images.residual import learns_residual, middle_plane, some_planes

MAX_SHIFT = 0.5
"""Shift in pixels between the images of a pair from which on the user is warned."""


@dataclass(frozen=True, eq=False)
class RestoreDataset(ImageDataset):
    """Pairs of a degraded image and a good one.

    Parameters
    ----------
    views, goals : sequence of ImageView
        The degraded images as the network reads them, and the good ones, alike in space.
    normalisation, target : Normalisation
        Of the degraded images, for all of a view's channels; and of the good ones.
    options : RestoreOptions
        What is set.
    residual : bool
        Whether the output is added to the degraded image, see `InputSpec`.
    """

    views: Sequence[ImageView]
    goals: Sequence[ImageView]
    normalisation: Normalisation
    target: Normalisation
    options: RestoreOptions
    residual: bool
    task: str = "restore"

    @classmethod
    def of(
        cls,
        views: Sequence[ImageView],
        goals: Sequence[ImageView],
        options: RestoreOptions,
        residual: bool | None,
    ) -> RestoreDataset:
        """Check pairs of images, and fit their normalisations.

        Parameters
        ----------
        views, goals : sequence of ImageView
            Degraded and good images, one plane at a time.
        options : RestoreOptions
            What is set.
        residual : bool, optional
            Whether the output is added to the degraded image; None: where that is better.

        Raises
        ------
        InputError
            Where the images of a pair do not fit together, or are constant.
        """
        for number, (view, goal) in enumerate(zip(views, goals, strict=True), start=1):
            _check_pair(number, view, goal)
        planes = options.planes or 1
        source, _ = fit_normalisation(views, options.normalise, seed=options.seed)
        target, _ = fit_normalisation(goals, options.normalise, seed=options.seed)
        if options.readout == "softplus":
            # A softplus output is at least 0: so must normalised targets be.
            target = replace(target, offset=(0.0,) * len(target.offset))
        if residual is None:
            residual = len(source.offset) == len(target.offset) and all(
                learns_residual(
                    np.concatenate([source.apply(p) for p in some_planes(view)]),
                    np.concatenate([target.apply(p) for p in some_planes(goal)]),
                )
                for view, goal in zip(views, goals, strict=True)
            )
        together = [replace(view, context_planes=planes) for view in views]
        return cls(together, goals, source.repeat(planes), target, options, residual)

    @property
    def input_spec(self) -> InputSpec:
        """How an image is read."""
        view = self.views[0]
        residual: ResidualMode = "image" if self.residual else ""
        return InputSpec(
            view.context_planes, view.periodic_axes, border=view.border, residual=residual
        )

    def warnings(self) -> Iterator[str]:
        """Yield a sentence for each pair whose images are shifted."""
        if not self.options.align:
            return
        for number, pair in enumerate(zip(self.views, self.goals, strict=True), start=1):
            shift = _shift(*pair)
            if max(map(abs, shift)) >= MAX_SHIFT:
                y, x = shift
                yield (
                    f"The images of pair {number} seem to be shifted by {y:+.1f} pixels along y "
                    f"and {x:+.1f} along x. The network learns this shift, too: register the "
                    "images first."
                )

    def example(
        self,
        location: PatchLocation,
        random: np.random.Generator,  # noqa: ARG002 - nothing is hidden
        validation: bool,
    ) -> TrainingExample:
        """Return an example: the target is the good image.

        Parameters
        ----------
        location, random, validation
            As in `ImageDataset.example`.
        """
        view = self.views[location.image_index]
        goal = self.goals[location.image_index]
        inputs = self.normalisation.apply(view.read_raw(location.loop, location.input_region))
        raw = goal.read_raw(location.loop, location.output_region)
        counts = counted_voxels(
            location, location.loop, view.spatial_shape, self.options.seed, validation
        )
        weights = (counts & np.isfinite(raw)).astype(np.float32)
        return TrainingExample(inputs, self.target.apply(raw), weights)

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return the sum of the losses that are set.

        Parameters
        ----------
        outputs, targets, weights : Tensor
            As in `ImageDataset.loss`.
        """
        return image_loss(self.options.loss, outputs, targets, weights)


def _check_pair(number: int, view: ImageView, goal: ImageView) -> None:
    sizes = (view.loop_shape, view.spatial_shape)
    if sizes != (goal.loop_shape, goal.spatial_shape):
        raise InputError(
            f"The images of pair {number} differ in shape",
            got=f"{view.source.shape} and {goal.source.shape}",
            expected="the same shape but for the channels",
            todo="Crop or resample one of them; a channel axis can be set",
        )


def _shift(view: ImageView, goal: ImageView) -> tuple[float, float]:
    """Return the shift of the good image in pixels along y and x, relative to the other."""
    from skimage.registration import phase_cross_correlation

    flat = [_without_extremes(plane) for plane in map(middle_plane, (view, goal))]
    if any(plane.min() == plane.max() for plane in flat):
        return 0.0, 0.0
    window = np.outer(*(np.hanning(n) for n in flat[0].shape))
    still = [(plane - plane.mean()) * window for plane in flat]
    found, *_ = phase_cross_correlation(still[1], still[0], upsample_factor=10, normalization=None)
    return float(found[0]), float(found[1])


def _without_extremes(plane: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean of the channels (y, x), from 0 to 1.

    Hot and dead pixels count as the brightest and the darkest of the others, and what is not finite
    as the darkest.
    """
    finite = np.isfinite(plane)
    pixels = np.where(finite, plane, 0).astype(np.float64)
    if not finite.any():
        return np.zeros(plane.shape[1:])
    low, high = np.percentile(pixels[finite], (0.1, 99.9))
    if low == high:
        low, high = float(pixels[finite].min()), float(pixels[finite].max())
    pixels[~finite] = low
    scaled: NDArray[np.float64] = (pixels.clip(low, high) - low) / max(high - low, TINY)
    return np.asarray(scaled.mean(0))
