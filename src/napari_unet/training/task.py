"""What a training learns: the interface between the trainer and the tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

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
        """Return the same labels on a device."""
        return SoftLabels(self.indices.to(device), self.probabilities.to(device))


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from.

    Parameters
    ----------
    inputs : Tensor
        (B, C, *input_shape): normalised pixels.
    targets : Tensor
        (B, *output_shape) class numbers, or (B, C, *output_shape) normalised pixels.
    weights : Tensor, optional
        Of the targets' shape: how much each pixel of an image counts; None: all alike.
    soft_labels : SoftLabels, optional
        Class probabilities for pixels that have no label.
    """

    inputs: Tensor
    targets: Tensor
    weights: Tensor | None = None
    soft_labels: SoftLabels | None = None

    def to(self, device: torch.device, memory_format: torch.memory_format) -> Batch:
        """Return the same batch on a device.

        Parameters
        ----------
        device : torch.device
            The device.
        memory_format : torch.memory_format
            Of the inputs: the one in which the network is fastest.
        """
        return Batch(
            self.inputs.to(device, memory_format=memory_format),
            self.targets.to(device),
            None if self.weights is None else self.weights.to(device),
            None if self.soft_labels is None else self.soft_labels.to(device),
        )


class TrainingTask(ABC):
    """What a training learns: the network, its examples, its loss and its validation.

    A task must provide the attributes without a value and the abstract methods; the others have
    defaults for a task whose result is an image and whose data do not change meanwhile.

    Attributes
    ----------
    network : Module
        The network to train, on the CPU.
    input_shape, output_shape : tuple of int
        Spatial shapes of the network's input and output in a training step.
    batch_size : int
        Patches per step, where the options do not set it.
    class_names : tuple of str
        Names of the output's channels; none where the output is an image.
    values : tuple of int
        Label values of the classes.
    counts : tuple of int
        Labelled pixels per class.
    preview_error : str
        Why previews are impossible; empty where they are possible.
    """

    network: nn.Module
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    batch_size: int
    class_names: tuple[str, ...] = ()
    values: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    preview_error: str = ""

    @property
    def has_labels(self) -> bool:
        """Whether there is anything to learn from at the moment."""
        return True

    @property
    def annotations_changed(self) -> bool:
        """Whether labels changed since the last `sync_annotations`; asked for in every step."""
        return False

    def sync_annotations(self) -> Callable[[nn.Module], nn.Module] | None:
        """Take over labels that changed.

        Returns
        -------
        callable or None
            Where there are new classes: takes a network, returns one with outputs for them.
        """
        return None

    def plan_entry(self) -> dict[str, Any]:
        """Return what was planned of network, images and shapes, as plain JSON."""
        return {}

    def warnings(self) -> Iterator[str]:
        """Yield, before the first step, sentences that the user should know."""
        yield from ()

    def notes(self) -> Iterator[str]:
        """Yield, before the first step, what was decided automatically, and why."""
        yield from ()

    @abstractmethod
    def batch(self, size: int) -> Batch:
        """Return the next `size` patches, augmented, on the CPU."""

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the loss of a batch.

        Parameters
        ----------
        outputs : Tensor
            (B, C, *output_shape): what the network gave for the batch's inputs.
        batch : Batch
            On the same device.

        Returns
        -------
        Tensor
            A scalar, which gradients can be computed of.
        """

    @abstractmethod
    def validate(self, network: nn.Module, device: torch.device, step: int) -> Validated | None:
        """Return loss and scores on what is held out; None where nothing is held out.

        Parameters
        ----------
        network : Module
            In evaluation mode.
        device : torch.device
            Where the network is.
        step : int
            Steps that were taken.
        """

    @abstractmethod
    def preview(
        self, network: nn.Module, device: torch.device, step: int, view: Viewport
    ) -> Previewed | PreviewedImage:
        """Predict the part of the image that is looked at.

        Parameters
        ----------
        network : Module
            In evaluation mode.
        device : torch.device
            Where the network is.
        step : int
            Steps that were taken.
        view : Viewport
            What is looked at.
        """

    def suggest(self, network: nn.Module, device: torch.device) -> Suggested:  # noqa: ARG002
        """Return the places where more labels would help most; by default none.

        Parameters
        ----------
        network : Module
            In evaluation mode.
        device : torch.device
            Where the network is.
        """
        return Suggested(0, ())

    def calibrate(self, network: nn.Module, device: torch.device) -> None:  # noqa: B027
        """Correct weights after training, in place; by default nothing is corrected.

        Parameters
        ----------
        network : Module
            In evaluation mode.
        device : torch.device
            Where the network is.
        """

    @abstractmethod
    def build_model(self, weights: Weights, metadata: dict[str, Any]) -> TrainedModel:
        """Return a model ready to predict with.

        Parameters
        ----------
        weights : mapping of str to ndarray
            State of the network, calibrated.
        metadata : dict
            What the trainer knows of the training, as plain JSON.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return, as plain JSON, what is needed to resume: random numbers, for example."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Resume from what `state` returned."""
