"""A task that learns next to nothing in next to no time, and does as it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_unet.control import Viewport
from napari_unet.data.normalisation import Normalisation
from napari_unet.model import ClassInfo, TrainedModel, Weights
from napari_unet.network.build import build_network
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.segmentation.losses import segmentation_loss
from napari_unet.training.events import Previewed, Suggested, Validated
from napari_unet.training.options import TrainingOptions
from napari_unet.training.task import Batch, TrainingTask

CONFIG = UNetConfig(encoder=((3,),), bottom=(4,), decoder=((3,),))


class Toy(TrainingTask):
    """Finds where its noise is above zero; `on_batch` is called with a size before each batch."""

    class_names, counts, values = ("below", "above"), (5, 7), (1, 2)
    batch_size = 2

    def __init__(
        self,
        on_batch: Callable[[int], None] = lambda size: None,
        config: UNetConfig = CONFIG,
        warnings: tuple[str, ...] = (),
        validates: bool = True,
    ) -> None:
        self.on_batch, self.said, self.validates = on_batch, warnings, validates
        self.config = config
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network: nn.Module = build_network(config)
        self.input_shape = config.input_for((2, 2))
        self.output_shape = config.output_for(self.input_shape)
        self.generator = torch.Generator().manual_seed(1)
        self.sizes: list[int] = []
        self.settled = 0

    def warnings(self) -> Iterator[str]:
        yield from self.said

    def batch(self, size: int) -> Batch:
        self.sizes.append(size)
        self.on_batch(size)
        x = torch.randn(size, 1, *self.input_shape, generator=self.generator)
        cut = (x.shape[-1] - self.output_shape[-1]) // 2
        return Batch(x, (x[:, 0, cut:-cut, cut:-cut] > 0).long())

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return segmentation_loss("ce", outputs, batch.targets)

    def validate(self, network: nn.Module, device: torch.device, step: int) -> Validated | None:
        return Validated(step, 0.7, "IoU", (0.5, None), 12) if self.validates else None

    def calibrate(self, network: nn.Module, device: torch.device) -> None:
        self.settled += 1

    def preview(
        self, network: nn.Module, device: torch.device, step: int, view: Viewport
    ) -> Previewed:
        return Previewed(step, view, np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.float32))

    def suggest(self, network: nn.Module, device: torch.device) -> Suggested:
        return Suggested(0, ((1, 2),))

    def build_model(self, weights: Weights, metadata: dict[str, Any]) -> TrainedModel:
        return TrainedModel(
            self.config,
            weights,
            Normalisation("none", (0.0,), (1.0,)),
            classes=(ClassInfo(1), ClassInfo(2)),
            training=metadata,
        )

    def state(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state().tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        self.generator.set_state(torch.tensor(state["generator"], dtype=torch.uint8))


def options(**fields: Any) -> TrainingOptions:
    return TrainingOptions(**{"batch_size": 2, "device": "cpu", **fields})
