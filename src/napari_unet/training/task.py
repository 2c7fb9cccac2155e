"""What a task tells the training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from napari_unet.control import Previewed, PreviewedImage, Viewport
from napari_unet.model import TrainedModel, Weights
from napari_unet.training.events import Suggested, Validated


@dataclass(frozen=True, slots=True)
class SoftLabels:
    """Class probabilities that another classifier gives for some voxels of a batch.

    Parameters
    ----------
    indices : Tensor
        (voxels,): their indices in the flattened targets.
    probabilities : Tensor
        (voxels, classes): one probability per class.
    """

    indices: Tensor
    probabilities: Tensor

    def to(self, device: torch.device) -> SoftLabels:
        """Return the same on a device."""
        return SoftLabels(self.indices.to(device), self.probabilities.to(device))


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from: inputs (B, C, *input) and targets (B, ...), on the CPU.

    `weights`, of the targets' shape, says where an image counts, and how much; None: everywhere.
    `soft_labels` say what to learn where a segmentation's targets say nothing.
    """

    inputs: Tensor
    targets: Tensor
    weights: Tensor | None = None
    soft_labels: SoftLabels | None = None

    def to(self, device: torch.device, layout: torch.memory_format) -> Batch:
        """Return the same on a device, the inputs laid out as the network likes them."""
        return Batch(
            self.inputs.to(device, memory_format=layout),
            self.targets.to(device),
            None if self.weights is None else self.weights.to(device),
            None if self.soft_labels is None else self.soft_labels.to(device),
        )


class TrainingTask(Protocol):
    """What a task tells the loop: where examples come from and what is wanted of them."""

    @property
    def network(self) -> nn.Module:
        """The network that learns, on the CPU."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The input's spatial shape."""

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The output's spatial shape."""

    @property
    def batch_size(self) -> int:
        """Patches per step, where the options do not say."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the output's channels."""

    @property
    def values(self) -> tuple[int, ...]:
        """Label values of the classes; none where the output is an image."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Painted pixels per class."""

    def warnings(self) -> Iterator[str]:
        """Say, before the first step, what the user should know."""

    def notes(self) -> Iterator[str]:
        """Say, before the first step, what was decided by itself, and why."""

    def batch(self, size: int) -> Batch:
        """Return the next examples."""

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the loss, a scalar; the batch is where the outputs are."""

    def validate(self, network: nn.Module, device: torch.device, step: int) -> Validated | None:
        """Test weights on what is held out; None where nothing is."""

    def sync_annotations(self) -> Callable[[nn.Module], nn.Module] | None:
        """Take up what was painted since; where a class is new, return how a network grows it."""

    @property
    def preview_error(self) -> str:
        """Why weights cannot be applied to what is looked at; empty: they can."""

    @property
    def annotations_changed(self) -> bool:
        """Whether something was painted that was not taken up yet; quick to tell."""

    @property
    def has_labels(self) -> bool:
        """Whether there is anything to learn from at the moment."""

    def preview(
        self, network: nn.Module, device: torch.device, step: int, view: Viewport
    ) -> Previewed | PreviewedImage:
        """Apply weights to what is looked at."""

    def calibrate(self, network: nn.Module, device: torch.device) -> None:
        """Give the averaged weights a last touch, when all steps are taken."""

    def suggest(self, network: nn.Module, device: torch.device) -> Suggested:
        """Find, by averaged weights, where the next strokes would help most."""

    def build_model(self, weights: Weights, facts: dict[str, Any]) -> TrainedModel:
        """Make the model."""

    def state(self) -> dict[str, Any]:
        """Return what a training needs to go on just so, as plain JSON."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was."""
