"""Going on from a model that was trained before: whether it fits, and what of it is kept.

Architecture, normalisation and classes come from the model. What it was calibrated by (see
`calibration`) is taken back, for training undoes it anyway, and the end of the training would do it
a second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor

from napari_unet.errors import InputError
from napari_unet.model import ClassInfo, TrainedModel
from napari_unet.network.grow import with_classes
from napari_unet.network.module import Network
from napari_unet.tasks.architecture import check_learns
from napari_unet.tasks.calibration import shift_head
from napari_unet.tasks.segment_options import SegmentOptions

CALIBRATION = "calibration"
"""In a model's `training`: how many times more likely calibration has made each class."""


def check_start(model: TrainedModel, ndim: Literal[2, 3], channels: int | None = None) -> None:
    """Check that a model can go on with images of so many dimensions and channels.

    Raises
    ------
    InputError
        Naming what differs.
    """
    if model.task != "segment" or not model.classes:
        raise InputError(
            "This model cannot be continued as a segmentation", got=f"a model of task {model.task}"
        )
    check_learns(model.config)
    c, found, needed = model.config, [], []
    if c.ndim != ndim:
        found.append(f"a {c.ndim}D model")
        needed.append(f"a {ndim}D one")
    if channels is not None and c.in_channels != channels:
        found.append(f"a model of {c.in_channels} channels")
        needed.append(f"one of {channels}, as the image has")
    if found:
        raise InputError(
            "The model to start from does not fit",
            got=", ".join(found),
            expected=", ".join(needed),
            todo="Start from another model, or from a fresh network",
        )


def all_classes(
    values: Sequence[int], options: SegmentOptions, start: TrainedModel | None
) -> tuple[ClassInfo, ...]:
    """Return what is known of classes: from the model to start from, else from the options.

    Parameters
    ----------
    values : sequence of int
        Their label values.
    options : SegmentOptions
        What is set.
    start : TrainedModel or None
        Where a training goes on from.
    """
    names, colors = options.class_names, options.class_colors
    known = {info.value: info for info in start.classes} if start else {}
    return tuple(
        known.get(v)
        or ClassInfo(v, names.get(v, "background" if v == 0 else f"class {v}"), colors.get(v))
        for v in values
    )


def all_values(known: Iterable[int], painted: Iterable[int]) -> tuple[int, ...]:
    """Return the model's classes in its order, and behind them what is new among the painted."""
    return tuple(dict.fromkeys([*known, *sorted(painted)]))


def continued_network(model: TrainedModel, classes: int) -> Network:
    """Return the model's network, in training mode, uncalibrated, and with so many classes."""
    network = model.network()
    shift_head(network, 1 / factors_of(model, len(model.classes)))
    return with_classes(network, classes).train()


def factors_of(model: TrainedModel | None, classes: int) -> Tensor:
    """Return (classes,): how many times more likely calibration made each class; 1 for new ones."""
    known = [] if model is None else model.training.get(CALIBRATION, [])
    factors = torch.ones(classes)
    factors[: len(known)] = torch.tensor(known, dtype=factors.dtype)
    return factors
