"""The learner of every task whose result is an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log10
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from napari_unet.control import PreviewedImage, Viewport
from napari_unet.data.flips import SAME, Turn, apply_flip, flips_and_rotations
from napari_unet.data.normalisation import Normalisation
from napari_unet.device import choose_device
from napari_unet.errors import InputError
from napari_unet.inference.memory import memory_problem
from napari_unet.inference.output_transforms import added, in_units
from napari_unet.inference.preview import outputs_in_view
from napari_unet.model import TrainedModel, Weights
from napari_unet.network.architecture import Architecture
from napari_unet.network.blocks import Network
from napari_unet.network.build import build_network, load_network
from napari_unet.network.inference import for_inference
from napari_unet.tasks.base import options_metadata, preview_warning
from napari_unet.tasks.images.dataset import (
    ImageDataset,
    PatchLocation,
    TrainingExample,
    location_at,
)
from napari_unet.tasks.images.options import ImageOptions, RestoreOptions
from napari_unet.tasks.network_choice import choose_network, fitting_input_shape, output_shape_of
from napari_unet.training.events import Validated
from napari_unet.training.task import Batch, TrainingTask

BATCH_SIZE = {2: 8, 3: 2}
"""Patches per step."""

PATCH = {2: 64, 3: 24}
"""Side of what is learned in a step, in voxels: small, for there is plenty to learn from."""

WINDOWS = 12
"""Fixed places by which weights are judged."""


class ImageTask(TrainingTask):
    """Tells the training loop what an image task learns from, and how it is judged.

    Parameters
    ----------
    lesson : Lesson
        What is learned.
    ndim : {2, 3}
        Spatial dimensions of the network.
    options : ImageOptions
        What can be set.
    start : TrainedModel, optional
        Where to go on from.

    Raises
    ------
    InputError
        Where image, network, model and options do not fit together.
    """

    def __init__(
        self,
        lesson: ImageDataset,
        ndim: Literal[2, 3],
        options: ImageOptions,
        start: TrainedModel | None = None,
    ) -> None:
        self.lesson, self.options, self.start = lesson, options, start
        self.spacing = tuple(options.spacing or (1.0,) * ndim)[-ndim:]
        channels = (
            len(lesson.normalisation.offset) * (1 + lesson.input_spec.mask),
            len(lesson.target.offset),
        )
        self.config = choose_network(options, ndim, channels, self.spacing, start)
        if start is None and isinstance(options, RestoreOptions):
            # A network that is given in full has its own readout, unless another is asked for.
            own = options.network is not None and options.readout == "linear"
            readout = {} if own else {"readout": options.readout}
            self.config = self.config.model_copy(update=readout)
        if start is not None:
            _check_start(start, lesson, channels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            fresh = (
                build_network(self.config)
                if start is None
                else load_network(start.config, start.weights).train()
            )
        self.network: Network = fresh
        views = lesson.views
        largest = [max(sizes) for sizes in zip(*(v.spatial_shape for v in views), strict=True)]
        self.input_shape = _patch(self.config, largest, options)
        self.output_shape = output_shape_of(self.config, self.input_shape)
        self.preview_error = memory_problem(self.config, choose_device(options.device))
        self.batch_size = BATCH_SIZE[ndim]
        self.random = np.random.default_rng(options.seed)
        self._turns = self._allowed_turns()
        self._continued_from = start.digest if start is not None else None
        self._whole = _held_images(len(lesson.views), options)
        judges = np.random.default_rng(options.seed)
        self._places = [self._place(judges, validation=True) for _ in range(WINDOWS)]
        if start is None:
            self._start_at_the_mean()

    @property
    def measured(self) -> Normalisation:
        """What was measured of these images."""
        return self.lesson.normalisation

    @torch.no_grad()
    def _start_at_the_mean(self) -> None:
        """Let a fresh network begin with the mean of what it shall give: it saves many steps.

        Where it adds to something, it begins with nothing to add.
        """
        bias = self.network.head.bias
        if bias is None:
            return
        if self.lesson.input_spec.residual:
            self.network.head.weight.zero_()
            bias.zero_()
            return
        random = np.random.default_rng(self.options.seed)
        found = [self.lesson.example(p, random, validation=False) for p in self._places]
        axes = tuple(range(1, found[0].targets.ndim))
        # What has no weight may be anything, such as a dead pixel.
        total = sum((e.targets * e.weights).sum(axes) for e in found)
        count = sum(e.weights.sum(axes) for e in found)
        mean = torch.as_tensor(total / np.maximum(count, 1))
        bias.copy_(mean.repeat_interleave(self.config.block_volume))

    def _allowed_turns(self) -> tuple[Turn, ...]:
        if self.options.turns == "none":
            return (SAME,)
        alike = (
            self.input_shape[-1] == self.input_shape[-2]
            and self.output_shape[-1] == self.output_shape[-2]
        )
        even = self.spacing[-1] == self.spacing[-2]
        return flips_and_rotations(square=alike and even and self.options.turns == "all")

    def _place(self, random: np.random.Generator, *, validation: bool = False) -> PatchLocation:
        """Choose a place to learn from, or to validate by."""
        views, held = self.lesson.views, self.options.held_out
        images = list(range(len(views)))
        if self._whole:
            images = [i for i in images if (i in self._whole) == validation]
            held = float(validation)
        which = images[int(random.integers(len(images)))]
        return location_at(views[which], which, random, self.input_shape, self.output_shape, held)

    def notes(self) -> Iterator[str]:
        """Say what was decided by itself, and why."""
        yield from self.lesson.notes()

    def warnings(self) -> Iterator[str]:
        """Say what the user should know before the first step."""
        yield from preview_warning(self.preview_error)
        yield from self.lesson.warnings()

    def batch(self, size: int) -> Batch:
        """Draw examples from anywhere, each turned at random."""
        drawn = [self._example(self._place(self.random), self.random) for _ in range(size)]
        inputs, targets, weights = map(torch.stack, zip(*drawn, strict=True))
        return Batch(inputs, targets, weights)

    def _example(
        self, place: PatchLocation, random: np.random.Generator, *, validation: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        found: TrainingExample = self.lesson.example(place, random, validation)
        arrays = (found.inputs, found.targets, found.weights)
        inputs, targets, weights = map(torch.from_numpy, arrays)
        turn = SAME if validation else self._turns[int(random.integers(len(self._turns)))]
        return apply_flip(inputs, turn), apply_flip(targets, turn), apply_flip(weights, turn)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the loss over what has weight."""
        assert batch.weights is not None
        whole = self._whole_result(outputs, batch.inputs)
        return self.lesson.loss(whole, batch.targets, batch.weights)

    def _whole_result(self, outputs: Tensor, inputs: Tensor) -> Tensor:
        if not self.lesson.input_spec.residual:
            return outputs
        return added(outputs, inputs, self.lesson.views[0], self.lesson.input_spec)

    @torch.no_grad()
    def validate(self, network: nn.Module, device: torch.device, step: int) -> Validated | None:
        """Return the loss over what is held out, at fixed places."""
        total, random = 0.0, np.random.default_rng(self.options.seed)
        given, wanted = [torch.empty(0)], [torch.empty(0)]
        for place in self._places:
            inputs, targets, weights = self._example(place, random, validation=True)
            seen = weights > 0
            if not seen.any():
                continue
            outputs = self._whole_result(network(inputs[None].to(device)).cpu(), inputs[None])
            loss = self.lesson.loss(outputs, targets[None], weights[None])
            total += int(seen.sum()) * loss.item()
            given.append(outputs[0][seen])
            wanted.append(targets[seen])
        answers, truth = torch.cat(given), torch.cat(wanted)
        if not len(truth):
            return None
        psnr = _psnr(answers, truth) if self.lesson.has_truth else None
        return Validated(step, total / len(truth), "loss", (), len(truth), psnr=psnr)

    @torch.no_grad()
    def preview(
        self, network: nn.Module, device: torch.device, step: int, view: Viewport
    ) -> PreviewedImage:
        """Apply weights to what is looked at."""
        assert isinstance(network, Network)
        lesson = self.lesson
        image, missing = lesson.views[view.pair], lesson.missing(view.pair)
        outputs = outputs_in_view(
            for_inference(network, device),
            lesson.normalisation,
            image,
            view,
            missing,
            lesson.input_spec,
        )
        pixels = in_units(lesson.target, outputs, image, missing, view.index, view.region)
        return PreviewedImage(step, view, pixels)

    def build_model(self, weights: Weights, metadata: dict[str, Any]) -> TrainedModel:
        """Make the model."""
        origin = {"continued_from": self._continued_from} if self._continued_from else {}
        return TrainedModel(
            config=self.config,
            weights=weights,
            normalisation=self.lesson.normalisation,
            task=self.lesson.task,
            spacing=self.spacing,
            target=self.lesson.target,
            input_spec=self.lesson.input_spec,
            training={
                **metadata,
                **origin,
                **self.lesson.facts(),
                **options_metadata(self.options),
            },
        )

    def state(self) -> dict[str, Any]:
        """Return what a training needs to go on just so, as plain JSON."""
        return {
            "random": self.random.bit_generator.state,
            "continued_from": self._continued_from,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was."""
        self.random.bit_generator.state = state["random"]
        self._continued_from = state["continued_from"]


def _psnr(answers: Tensor, truth: Tensor) -> float | None:
    """Return the peak signal-to-noise ratio in dB, the truth's span taken for the data range."""
    error = (answers - truth).square().mean().item()
    span = (truth.max() - truth.min()).item()
    return 20 * log10(span) - 10 * log10(error) if span > 0 and error > 0 else None


def _held_images(number: int, options: ImageOptions) -> frozenset[int]:
    """Choose images that are held out as a whole; none where places are."""
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


def _patch(config: Architecture, image: Sequence[int], options: ImageOptions) -> tuple[int, ...]:
    """Return the input's shape: with padded convolutions no larger than what is learned."""
    seen = (PATCH[config.ndim],) * config.ndim
    if not config.padded or options.patch:
        return fitting_input_shape(config, image, options.patch or config.input_for(seen))
    strides = [g.stride for g in config.geometry]
    return tuple(
        max(1, min(a, -(-n // s) * s) // s) * s
        for a, n, s in zip(seen, image, strides, strict=True)
    )


def _check_start(start: TrainedModel, lesson: ImageDataset, channels: tuple[int, int]) -> None:
    have = (start.task, start.config.in_channels, start.config.out_channels)
    if have != (lesson.task, *channels):
        raise InputError(
            "The model to start from does not fit",
            got=f"a model of task {have[0]}, {have[1]} channels in and {have[2]} out",
            expected=f"task {lesson.task}, {channels[0]} in and {channels[1]} out",
            todo="Start from another model, or from a fresh network",
        )
