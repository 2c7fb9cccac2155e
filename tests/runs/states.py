"""Trainings that never were: events as a training would tell them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from napari_unet.control import Previewed, Viewport
from napari_unet.data.normalisation import Normalisation
from napari_unet.geometry.region import Region
from napari_unet.model import ClassInfo, TrainedModel, weights_of
from napari_unet.network.build import build_network
from napari_unet.network.unet_config import UNetConfig
from napari_unet.training.events import Finished, Started, Stepped, TrainingEvent, Validated, Warned

EVIL = '<script>alert("1")</script>, a\nb'
"""A name that breaks tables and pages unless it is taken care of."""

CONFIG = UNetConfig(encoder=((2,),), bottom=(3,), decoder=((2,),))


def started(names: tuple[str, ...] = ("cell", EVIL), **changes: Any) -> Started:
    told: dict[str, Any] = {
        "device": "CPU", "threads": 1, "parameters": 123, "steps": 3, "seconds": None,
        "batch_size": 2, "patch": (8, 8), "core": (4, 4), "class_names": names,
        "counts": tuple(range(10, 10 + len(names))),
        "class_values": tuple(range(1, 1 + len(names))),
    }  # fmt: skip
    return Started(**{**told, **changes})


def model(**facts: Any) -> TrainedModel:
    return TrainedModel(
        CONFIG,
        weights_of(build_network(CONFIG)),
        Normalisation("none", (0.0,), (1.0,)),
        classes=(ClassInfo(1, "cell", (1.0, 0.0, 0.5, 1.0)), ClassInfo(2, EVIL)),
        training={"steps": 3, "seed": 7, "strokes": "ab" * 32, **facts},
    )


def steps(count: int) -> Iterator[TrainingEvent]:
    for step in range(1, count + 1):
        yield Stepped(step, 1 / step, 0.01, step / 4, None, None)


def judged(step: int = 3) -> Validated:
    return Validated(step, 0.25, "IoU", (0.5, None), 40, ((10, 5), (5, 20)))


def preview() -> Previewed:
    labels = np.array([[1, 1, 2], [2, 2, 1]], np.uint8)
    view = Viewport((), Region((0, 0), (2, 3)))
    return Previewed(2, view, labels, np.zeros((2, 3), np.float32))


def whole() -> list[TrainingEvent]:
    """Return a training from its start to its end."""
    return [
        started(),
        Warned(f"Paint more of {EVIL}."),
        *steps(3),
        judged(),
        preview(),
        Finished(model(), "budget", 3, 0.75),
    ]
