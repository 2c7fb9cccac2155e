"""Interactive U-Nets for napari: paint, watch a network learn, predict the whole volume.

The public names load on first use, so that importing the package costs nothing: neither torch
nor Qt is imported before it is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_unet.api import fit, predict, resume, train
    from napari_unet.control import Control
    from napari_unet.data.source import ChannelStack
    from napari_unet.errors import (
        InputError,
        ModelFileError,
        NapariUnetError,
        TrainingError,
        UnlikeTrainingWarning,
    )
    from napari_unet.geometry.unet_shape import AxisGeometry
    from napari_unet.inference.predictor import predict_events
    from napari_unet.model import TrainedModel, load_model
    from napari_unet.network.build import build_network
    from napari_unet.network.registry import preset
    from napari_unet.network.unet_config import UNetConfig
    from napari_unet.postprocessing.options import RefineOptions
    from napari_unet.postprocessing.refine import refine
    from napari_unet.runs.listing import list_runs
    from napari_unet.tasks.evaluate import evaluate
    from napari_unet.tasks.images.options import DenoiseOptions, InpaintOptions, RestoreOptions
    from napari_unet.tasks.segmentation.options import SegmentOptions

_HOMES = {
    "AxisGeometry": "geometry.unet_shape",
    "ChannelStack": "data.source",
    "Control": "control",
    "DenoiseOptions": "tasks.images.options",
    "InpaintOptions": "tasks.images.options",
    "InputError": "errors",
    "ModelFileError": "errors",
    "NapariUnetError": "errors",
    "RefineOptions": "postprocessing.options",
    "RestoreOptions": "tasks.images.options",
    "SegmentOptions": "tasks.segmentation.options",
    "TrainedModel": "model",
    "TrainingError": "errors",
    "UNetConfig": "network.unet_config",
    "UnlikeTrainingWarning": "errors",
    "build_network": "network.build",
    "evaluate": "tasks.evaluate",
    "fit": "api",
    "list_runs": "runs.listing",
    "load_model": "model",
    "predict": "api",
    "predict_events": "inference.predictor",
    "preset": "network.registry",
    "refine": "postprocessing.refine",
    "resume": "api",
    "train": "api",
}

__all__ = [
    "AxisGeometry",
    "ChannelStack",
    "Control",
    "DenoiseOptions",
    "InpaintOptions",
    "InputError",
    "ModelFileError",
    "NapariUnetError",
    "RefineOptions",
    "RestoreOptions",
    "SegmentOptions",
    "TrainedModel",
    "TrainingError",
    "UNetConfig",
    "UnlikeTrainingWarning",
    "build_network",
    "evaluate",
    "fit",
    "list_runs",
    "load_model",
    "predict",
    "predict_events",
    "preset",
    "refine",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
