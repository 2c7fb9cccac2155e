"""What all tasks have in common: a plan, a network, random numbers, and how they are stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from napari_unet._version import __version__
from napari_unet.device import choose_device
from napari_unet.inference.memory import memory_problem
from napari_unet.model import TrainedModel
from napari_unet.network.architecture import Architecture
from napari_unet.network.blocks import Network
from napari_unet.network.build import build_network, load_network
from napari_unet.tasks.network_options import NetworkOptions
from napari_unet.tasks.plan import TrainingPlan
from napari_unet.training.task import TrainingTask

NOT_STORED = {"network", "checkpoint", "checkpoint_seconds"}
"""Options that a model does not keep: its own network, and files of this computer."""


class TaskBase(TrainingTask):
    """A training task as far as it does not depend on what is learned.

    Subclasses add examples, loss, validation and preview.

    Parameters
    ----------
    plan : TrainingPlan
        Network and shapes.
    options : NetworkOptions
        Those of the task.
    start : TrainedModel, optional
        The model that the training goes on from.

    Attributes
    ----------
    network : Network
        The network that learns, on the CPU; the same weights for the same seed.
    random : numpy.random.Generator
        Draws what is learned from.
    """

    options: NetworkOptions
    network: Network

    def __init__(
        self, plan: TrainingPlan, options: NetworkOptions, start: TrainedModel | None = None
    ) -> None:
        self.plan = plan
        self.input_shape = plan.input_shape
        self.output_shape = plan.output_shape
        self.batch_size = plan.batch_size
        self.options = options
        self.start = start
        self.network = self._seeded_network()
        self.preview_error = memory_problem(plan.network, choose_device(options.device))
        self.random = np.random.default_rng(options.seed)
        self._continued_from = None if start is None else start.digest

    def _seeded_network(self) -> Network:
        """Return the network to begin with; torch's own random state stays as it is."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.options.seed)
            if self.start is None:
                return build_network(self.config)
            return self._continued_network(self.start)

    def _continued_network(self, start: TrainedModel) -> Network:
        """Return the network of a model, ready to learn more."""
        return load_network(start.config, start.weights).train()

    @property
    def config(self) -> Architecture:
        """Configuration of the network."""
        return self.plan.network

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the image's channels: as set, else those of the model to start from."""
        return self.options.channel_names or (self.start.channel_names if self.start else ())

    def plan_entry(self) -> dict[str, Any]:
        """Return the plan as plain JSON."""
        return self.plan.to_dict()

    def warnings(self) -> Iterator[str]:
        """Yield what the user should know before the first step."""
        if self.preview_error:
            yield (
                f"There is no preview: {self.preview_error}. The training continues; images "
                "that fit into memory as a whole can be predicted in one piece."
            )

    def state(self) -> dict[str, Any]:
        """Return what a training needs to go on exactly so, as plain JSON."""
        return {
            "random": self.random.bit_generator.state,
            "continued_from": self._continued_from,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Set what `state` returned.

        Parameters
        ----------
        state : dict
            From a checkpoint.
        """
        self.random.bit_generator.state = state["random"]
        self._continued_from = state["continued_from"]

    def _metadata(self, metadata: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
        """Return a model's metadata: the loop's, its origin, the task's own, and the options."""
        origin = {} if self._continued_from is None else {"continued_from": self._continued_from}
        return {**metadata, **origin, **more, **options_metadata(self.options)}


def options_metadata(options: NetworkOptions) -> dict[str, Any]:
    """Return the seed, the options that differ from their defaults, and versions, as plain JSON."""
    return {
        "seed": options.seed,
        "options": options.model_dump(mode="json", exclude_defaults=True, exclude=NOT_STORED),
        "versions": {
            "napari-unet-live": __version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
        },
    }
