"""Inpainting: learn to fill in missing pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from napari_unet.data.image import ImageView
from napari_unet.data.inputs import known_pixels, only_known, with_known
from napari_unet.data.masking import draw_gaps
from napari_unet.data.normalisation import Normalisation, fit_normalisation
from napari_unet.errors import InputError
from napari_unet.model import InputSpec, ResidualMode
from napari_unet.tasks.images.dataset import (
    ImageDataset,
    PatchLocation,
    TrainingExample,
    counted_voxels,
    middle,
)
from napari_unet.tasks.images.losses import image_loss
from napari_unet.tasks.images.options import InpaintOptions


@dataclass(frozen=True, eq=False)
class InpaintDataset(ImageDataset):
    """Images with missing pixels; further pixels are hidden like them, and are the targets.

    Parameters
    ----------
    views, masks : sequence of ImageView
        The images, and masks of their missing pixels (not 0), as the network reads them.
    normalisation, target : Normalisation
        For all of a view's channels, and for those of one plane.
    options : InpaintOptions
        What is set.
    residual : bool
        Whether the output is added to a smooth interpolation, see `InputSpec`.
    """

    views: Sequence[ImageView]
    masks: Sequence[ImageView]
    normalisation: Normalisation
    target: Normalisation
    options: InpaintOptions
    residual: bool
    task: str = "inpaint"

    @classmethod
    def of(
        cls,
        views: Sequence[ImageView],
        masks: Sequence[ImageView],
        options: InpaintOptions,
        residual: bool,
    ) -> InpaintDataset:
        """Fit the normalisation to the known pixels of images.

        Parameters
        ----------
        views, masks : sequence of ImageView
            Images and masks of their missing pixels, one plane at a time.
        options : InpaintOptions
            What is set.
        residual : bool
            Whether the output is added to a smooth interpolation.

        Raises
        ------
        InputError
            Where nothing is missing, or nothing is known.
        """
        planes = options.planes or 1
        # The value of a dead pixel is no measurement.
        known = [only_known(view, mask) for view, mask in zip(views, masks, strict=True)]
        target, finite = fit_normalisation(known, options.normalise, seed=options.seed)
        if finite == 1:
            raise InputError(
                "No pixel is missing",
                todo="Mark the missing pixels in a mask, or set them to NaN",
            )
        return cls(
            [replace(view, context_planes=planes) for view in views],
            [replace(mask, context_planes=planes) for mask in masks],
            target.repeat(planes),
            target,
            options,
            residual,
        )

    @property
    def input_spec(self) -> InputSpec:
        """How an image is read."""
        view = self.views[0]
        residual: ResidualMode = "image" if self.residual else ""
        return InputSpec(
            view.context_planes,
            view.periodic_axes,
            mask=True,
            border=view.border,
            residual=residual,
        )

    def missing(self, image_index: int) -> ImageView:
        """Return the mask of an image's missing pixels."""
        return self.masks[image_index]

    def example(
        self, location: PatchLocation, random: np.random.Generator, validation: bool
    ) -> TrainingExample:
        """Return an example: pixels are hidden like the missing ones, and are the targets.

        Parameters
        ----------
        location, random, validation
            As in `ImageDataset.example`.
        """
        view = self.views[location.image_index]
        mask = self.masks[location.image_index]
        output_shape = location.output_region.shape
        raw = view.read_raw(location.loop, location.input_region)
        known = known_pixels(raw, mask, location.loop, location.input_region)
        holes = np.repeat(
            draw_gaps(mask, location.input_region.shape, random),
            len(raw) // view.context_planes,
            0,
        )
        pixels = self.normalisation.apply(raw)
        counts = counted_voxels(
            location, location.loop, view.spatial_shape, self.options.seed, validation
        )
        hidden = middle((holes & known)[view.centre_channels], output_shape)
        return TrainingExample(
            with_known(pixels, known & ~holes, smooth=self.residual),
            middle(pixels[view.centre_channels], output_shape),
            (hidden & counts).astype(np.float32),
        )

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return the sum of the losses that are set, over what was hidden.

        Parameters
        ----------
        outputs, targets, weights : Tensor
            As in `ImageDataset.loss`.
        """
        return image_loss(self.options.loss, outputs, targets, weights)
