"""The training task of everything whose result is an image."""

from __future__ import annotations

from collections.abc import Iterator
from math import log10
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_unet.control import PreviewedImage, Viewport
from napari_unet.data.flips import IDENTITY, Flip, apply_flip, flips_and_rotations
from napari_unet.data.normalisation import Normalisation
from napari_unet.data.pixel_statistics import BOXES, MEASURED_VOXELS, finite_samples
from napari_unet.errors import InputError
from napari_unet.inference.output_transforms import add_residual, to_grey_values
from napari_unet.inference.preview import outputs_in_view
from napari_unet.model import TrainedModel, Weights
from napari_unet.network.blocks import Network
from napari_unet.network.inference import for_inference
from napari_unet.tasks.base import TaskBase
from napari_unet.tasks.images.dataset import (
    ImageDataset,
    PatchLocation,
    TrainingExample,
    random_location,
)
from napari_unet.tasks.images.options import ImageOptions
from napari_unet.tasks.plan import TrainingPlan
from napari_unet.training.events import Validated
from napari_unet.training.task import Batch

VALIDATION_PATCHES = 12
"""Number of fixed patches that weights are validated on."""


class ImageTask(TaskBase):
    """What a task whose result is an image gives to the training loop.

    Parameters
    ----------
    dataset : ImageDataset
        What is learned, and from which images.
    plan : TrainingPlan
        Network and shapes; see `plan_dataset`.
    options : ImageOptions
        What can be set.
    start : TrainedModel, optional
        The model to go on from.

    Raises
    ------
    InputError
        Where the only image would have to be held out.
    """

    options: ImageOptions

    def __init__(
        self,
        dataset: ImageDataset,
        plan: TrainingPlan,
        options: ImageOptions,
        start: TrainedModel | None = None,
    ) -> None:
        super().__init__(plan, options, start)
        self.dataset = dataset
        self._flips = self._allowed_flips()
        self._held_out_images = _held_out_images(len(dataset.views), options)
        self._validation_locations = self._choose_validation_locations()
        if start is None:
            self._initialise_head()

    @property
    def measured(self) -> Normalisation:
        """Normalisation that was fitted to these images."""
        return self.dataset.normalisation

    def _allowed_flips(self) -> tuple[Flip, ...]:
        """Return the flips and rotations that leave patches in shape."""
        if self.options.turns == "none":
            return (IDENTITY,)
        sides_alike = all(
            shape[-1] == shape[-2]
            for shape in (self.input_shape, self.output_shape, self.plan.spacing)
        )
        return flips_and_rotations(square=sides_alike and self.options.turns == "all")

    def _choose_validation_locations(self) -> list[PatchLocation]:
        """Return where weights are validated, the same for the same seed."""
        random = np.random.default_rng(self.options.seed)
        return [self._location(random, validation=True) for _ in range(VALIDATION_PATCHES)]

    @torch.no_grad()
    def _initialise_head(self) -> None:
        """Let a fresh network's output be the mean of its targets: that saves many steps.

        Where the output is added to the input, it begins as 0.
        """
        head = self.network.head
        if head.bias is None:
            return
        if self.dataset.input_spec.residual:
            head.weight.zero_()
            head.bias.zero_()
            return
        means = torch.as_tensor(self._mean_targets())
        head.bias.copy_(means.repeat_interleave(self.config.block_volume))

    def _mean_targets(self) -> Any:
        """Return the mean target per channel, over the training part of the validation patches."""
        random = np.random.default_rng(self.options.seed)
        examples = [
            self.dataset.example(location, random, validation=False)
            for location in self._validation_locations
        ]
        axes = tuple(range(1, examples[0].targets.ndim))
        # Targets without weight may be anything, such as a dead pixel.
        total = sum((one.targets * one.weights).sum(axes) for one in examples)
        count = sum(one.weights.sum(axes) for one in examples)
        return total / np.maximum(count, 1)

    def _location(self, random: np.random.Generator, *, validation: bool = False) -> PatchLocation:
        """Choose a patch to learn from, or to validate on."""
        views = self.dataset.views
        held_out = self.options.held_out
        images = list(range(len(views)))
        if self._held_out_images:
            images = [i for i in images if (i in self._held_out_images) == validation]
            held_out = 1.0 if validation else 0.0
        image = images[int(random.integers(len(images)))]
        return random_location(
            views[image], image, random, self.input_shape, self.output_shape, held_out
        )

    def notes(self) -> Iterator[str]:
        """Yield the decisions that were made from the images."""
        yield from self.dataset.notes()

    def warnings(self) -> Iterator[str]:
        """Yield what the user should know before the first step."""
        yield from super().warnings()
        _, finite = finite_samples(self.dataset.views, BOXES[0], 0, MEASURED_VOXELS)
        if finite < 1 and self.dataset.missing(0) is None:
            yield (
                f"{1 - finite:.2%} of the pixels are not finite: nothing is learned from them, and "
                "in the result they are filled in."
            )
        yield from self.dataset.warnings()

    def batch(self, size: int) -> Batch:
        """Draw patches from anywhere, each flipped or rotated at random.

        Parameters
        ----------
        size : int
            Number of patches.
        """
        drawn = [self._example(self._location(self.random), self.random) for _ in range(size)]
        inputs, targets, weights = map(torch.stack, zip(*drawn, strict=True))
        return Batch(inputs, targets, weights)

    def _example(
        self, location: PatchLocation, random: np.random.Generator, *, validation: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return inputs, targets and weights (channel, *spatial) of a patch."""
        example: TrainingExample = self.dataset.example(location, random, validation)
        arrays = (example.inputs, example.targets, example.weights)
        inputs, targets, weights = map(torch.from_numpy, arrays)
        flip = IDENTITY if validation else self._flips[int(random.integers(len(self._flips)))]
        return apply_flip(inputs, flip), apply_flip(targets, flip), apply_flip(weights, flip)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the loss over the voxels that have weight.

        Parameters
        ----------
        outputs : Tensor
            (B, C, *output_shape), normalised.
        batch : Batch
            On the device of the outputs.
        """
        assert batch.weights is not None
        result = self._with_residual(outputs, batch.inputs)
        return self.dataset.loss(result, batch.targets, batch.weights)

    def _with_residual(self, outputs: Tensor, inputs: Tensor) -> Tensor:
        """Return the outputs, added to the inputs where the network learns the residual."""
        if not self.dataset.input_spec.residual:
            return outputs
        return add_residual(outputs, inputs, self.dataset.views[0], self.dataset.input_spec)

    @torch.no_grad()
    def validate(self, network: nn.Module, device: torch.device, step: int) -> Validated | None:
        """Return the loss over what is held out, in fixed patches.

        Parameters
        ----------
        network : Module
            The weights to test.
        device : torch.device
            Where to compute.
        step : int
            The step that was reached.
        """
        total = 0.0
        random = np.random.default_rng(self.options.seed)
        results = [torch.empty(0)]
        truths = [torch.empty(0)]
        for location in self._validation_locations:
            inputs, targets, weights = self._example(location, random, validation=True)
            seen = weights > 0
            if not seen.any():
                continue
            outputs = self._with_residual(network(inputs[None].to(device)).cpu(), inputs[None])
            loss = self.dataset.loss(outputs, targets[None], weights[None])
            total += int(seen.sum()) * loss.item()
            results.append(outputs[0][seen])
            truths.append(targets[seen])
        truth = torch.cat(truths)
        if not len(truth):
            return None
        psnr = _psnr(torch.cat(results), truth) if self.dataset.has_truth else None
        return Validated(step, total / len(truth), "loss", (), len(truth), psnr=psnr)

    @torch.no_grad()
    def preview(
        self, network: nn.Module, device: torch.device, step: int, view: Viewport
    ) -> PreviewedImage:
        """Predict the visible region.

        Parameters
        ----------
        network : Module
            Averaged weights.
        device : torch.device
            Where to compute.
        step : int
            The step that was reached.
        view : Viewport
            The visible region.
        """
        assert isinstance(network, Network)
        dataset = self.dataset
        image = dataset.views[view.image_index].whole
        missing = dataset.missing(view.image_index)
        missing = None if missing is None else missing.whole
        outputs = outputs_in_view(
            for_inference(network, device),
            dataset.normalisation,
            image,
            view,
            missing,
            dataset.input_spec,
        )
        pixels = to_grey_values(dataset.target, outputs, image, missing, view.index, view.region)
        return PreviewedImage(step, view, pixels)

    def build_model(self, weights: Weights, metadata: dict[str, Any]) -> TrainedModel:
        """Return the model.

        Parameters
        ----------
        weights : mapping
            Arrays by name.
        metadata : dict
            What the loop says of the training, as plain JSON.
        """
        dataset = self.dataset
        return TrainedModel(
            config=self.config,
            weights=weights,
            normalisation=dataset.normalisation,
            task=dataset.task,
            spacing=self.plan.spacing,
            channel_names=self.channel_names,
            target=dataset.target,
            input_spec=dataset.input_spec,
            training=self._metadata(metadata, dataset.facts()),
        )


def _psnr(results: Tensor, truth: Tensor) -> float | None:
    """Return the peak signal-to-noise ratio in dB, the truth's span taken for the data range."""
    error = (results - truth).square().mean().item()
    span = (truth.max() - truth.min()).item()
    return 20 * log10(span) - 10 * log10(error) if span > 0 and error > 0 else None


def _held_out_images(number: int, options: ImageOptions) -> frozenset[int]:
    """Choose images that are held out as a whole; none where parts of all images are."""
    if options.split == "space" or not options.held_out:
        return frozenset()
    if number < 2:
        raise InputError(
            "No image can be held out as a whole",
            got="one image",
            todo="Give several images, or hold out places in all of them (split: space)",
        )
    wanted = max(1, round(options.held_out * number))
    order = np.random.default_rng(options.seed).permutation(number)
    return frozenset(order[: min(wanted, number - 1)].tolist())
