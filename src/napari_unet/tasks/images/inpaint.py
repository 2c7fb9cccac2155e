"""Fill in: learn to continue an image into its holes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from napari_unet.data.image import ImageView
from napari_unet.data.inputs import known_pixels, only_known, with_known
from napari_unet.data.masking import draw_gaps
from napari_unet.data.normalisation import Normalisation, fit_normalisation
from napari_unet.data.split import held_out
from napari_unet.errors import InputError
from napari_unet.model import InputSpec, ResidualMode
from napari_unet.tasks.images.dataset import PatchLocation, TrainingExample, in_image, middle
from napari_unet.tasks.images.losses import image_loss
from napari_unet.tasks.images.options import InpaintOptions

CELL = 8
"""Side of the squares that are held out, in voxels."""


@dataclass(frozen=True, eq=False)
class InpaintDataset:
    """Images with holes; more holes like them are made, and what is in those is known.

    Parameters
    ----------
    views, masks : sequence of ImageView
        The images, and what is missing of them (not 0), both as the network reads them.
    normalisation, target : Normalisation
        For all of a view's channels, and for those of one plane.
    options : InpaintOptions
        What is set.
    residual : bool
        Whether the network adds to a smooth filling, see `InputSpec`.
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
        """Bring images and masks together.

        Parameters
        ----------
        views, masks : sequence of ImageView
            Images and what is missing of them, one plane at a time.
        options : InpaintOptions
            What is set.
        residual : bool
            Whether the network adds to a smooth filling.

        Raises
        ------
        InputError
            Where nothing is missing, or nothing is known.
        """
        planes = options.planes or 1
        # A dead pixel's value tells nothing.
        known = [only_known(view, mask) for view, mask in zip(views, masks, strict=True)]
        target, finite = fit_normalisation(known, options.normalise, seed=options.seed)
        if finite == 1:
            raise InputError(
                "Nothing is missing",
                todo="Mark missing pixels in a mask, or leave them not finite (NaN)",
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

    has_truth = True

    def notes(self) -> Iterator[str]:
        """Nothing is decided that the options do not say."""
        yield from ()

    def warnings(self) -> Iterator[str]:
        """Nothing to warn of."""
        yield from ()

    def missing(self, image: int) -> ImageView:
        """Return which pixels of an image are missing."""
        return self.masks[image]

    def example(
        self, location: PatchLocation, random: np.random.Generator, validation: bool
    ) -> TrainingExample:
        """Return an example."""
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
        held = held_out(
            location.loop, location.output_region, location.held_out, self.options.seed, CELL
        )
        counts = (held if validation else ~held) & in_image(location, view.spatial_shape)
        hidden = middle((holes & known)[view.centre_channels], output_shape)
        return TrainingExample(
            with_known(pixels, known & ~holes, smooth=self.residual),
            middle(pixels[view.centre_channels], output_shape),
            (hidden & counts).astype(np.float32),
        )

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return the losses that are set, added up, over what was hidden."""
        return image_loss(self.options.loss, outputs, targets, weights)

    def facts(self) -> dict[str, Any]:
        """Return nothing beyond the options."""
        return {}
