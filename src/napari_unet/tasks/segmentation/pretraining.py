"""Self-supervised pretraining of a segmentation network: it first learns to denoise the image.

The network first predicts hidden pixels from their surroundings, for which every pixel of the
image is an example; its head is then replaced by one for the classes. As in DenoiSeg, Buchholz et
al. 2020, arXiv:2005.02987, but one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from napari_unet.control import Control
from napari_unet.network.blocks import Network
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.images.denoise import DenoiseDataset
from napari_unet.tasks.images.open import plan_dataset
from napari_unet.tasks.images.options import DenoiseOptions
from napari_unet.tasks.images.task import ImageTask
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.tasks.segmentation.task import SegmentationTask
from napari_unet.training.events import (
    Decision,
    Finished,
    Preparing,
    Stepped,
    TrainingEvent,
    Warned,
)
from napari_unet.training.trainer import train_network

BUDGET_SHARE = 1 / 5
"""Part of the budget that the pretraining takes."""

SECONDS = 15.0
"""Duration of the pretraining in seconds where there is no budget."""


def pretrain(
    task: SegmentationTask, options: SegmentOptions, control: Control
) -> Iterator[TrainingEvent]:
    """Pretrain a segmentation's network on its images; yield what the user should know.

    Parameters
    ----------
    task : SegmentationTask
        Its network is changed, all but the head and the fixed filters.
    options : SegmentOptions
        Those of the segmentation.
    control : Control
        Stops or pauses the pretraining.

    Yields
    ------
    TrainingEvent
        `Decision`, `Warned` and `Preparing` only.
    """
    first = _options(task, options)
    dataset = DenoiseDataset.of([one.view for one in task.annotated], first, residual=False)
    pretext = ImageTask(dataset, plan_dataset(dataset, first), first)
    yield Decision("The network is pretrained on the image, and then trained on the strokes.")
    percent = -1
    for event in train_network(pretext, first, control):
        if isinstance(event, Stepped) and int(100 * (event.progress or 0)) > percent:
            percent = int(100 * (event.progress or 0))
            yield Preparing("Pretraining on the image", event.progress)
        if isinstance(event, Finished):
            _copy_weights(task.network, event)
        elif isinstance(event, Warned):
            yield event


def remaining_options(options: SegmentOptions) -> SegmentOptions:
    """Return the options of the training after the pretraining: with the rest of the budget."""
    part = 1 - BUDGET_SHARE
    return options.model_copy(
        update={
            "seconds": options.seconds and options.seconds * part,
            "steps": options.steps and max(1, round(options.steps * part)),
        }
    )


def _options(task: SegmentationTask, options: SegmentOptions) -> DenoiseOptions:
    channels = task.annotated[0].view.channels
    without = {"filters": ()} if isinstance(task.config, UNetConfig) else {}
    network = task.config.model_copy(update={"out_channels": channels, **without})
    given: dict[str, Any] = {
        "seconds": options.seconds and options.seconds * BUDGET_SHARE,
        "steps": options.steps and max(1, round(options.steps * BUDGET_SHARE)),
        **{name: getattr(options, name) for name in ("seed", "device", "threads", "make_way")},
    }
    if options.open_ended or not (given["seconds"] or given["steps"]):
        given |= {"seconds": SECONDS, "steps": None}
    return DenoiseOptions(
        **given,
        network=network,
        method="blind_spot",
        normalise=options.normalise,
        planes=1,
        held_out=0.0,
        patch=task.input_shape,
        spacing=task.plan.spacing,
    )


def _copy_weights(network: Network, event: Finished) -> None:
    """Copy the pretrained weights, except those of the head."""
    known = network.state_dict()
    for name, weights in event.model.weights.items():
        if not name.startswith("head.") and name in known:
            known[name].copy_(torch.from_numpy(weights))
