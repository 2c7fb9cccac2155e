"""What is asked of a prediction, and what shape its result has. Knows no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_unet.data.image import ImageView
from napari_unet.data.source import open_source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import AxisLayout, ChannelAxis, find_layout
from napari_unet.model import TrainedModel

Output = Literal["labels", "probabilities"]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a prediction besides model and image.

    Parameters
    ----------
    output : {"labels", "probabilities"}
        Label values, or a channel of probabilities per class.
    tile : tuple of int, optional
        Largest input per spatial axis in voxels; chosen from the free memory when None.
    channel_axis, axes, rgb
        Roles of the image's axes, as in `napari_unet.geometry.axes.find_layout`.
    device : str
        "auto", "cuda", "mps" or "cpu".
    threads : int, optional
        Processor cores to use; None for torch's choice.
    """

    output: Output = "labels"
    tile: tuple[int, ...] | None = None
    channel_axis: ChannelAxis = "auto"
    axes: tuple[str, ...] | None = None
    rgb: bool = False
    device: str = "auto"
    threads: int | None = None


def find_view(model: TrainedModel, image: object, request: Request) -> ImageView:
    """Open an image the way the model saw its own.

    Raises
    ------
    InputError
        Where the image has too few axes, or other channels than the model.
    """
    source, config = open_source(image), model.config
    layout = find_layout(
        source.shape,
        config.ndim,
        channel_axis=request.channel_axis,
        names=request.axes,
        rgb=request.rgb,
    )
    if layout.channel is None and config.in_channels > 1 and request.channel_axis == "auto":
        layout = _layout_by_size(source.shape, config.ndim, config.in_channels) or layout
    have = layout.channels(source.shape)
    if have != config.in_channels:
        raise InputError(
            "The image has other channels than the model",
            got=f"{have} in an image of shape {source.shape}",
            expected=f"{config.in_channels}",
            todo="Set the channel axis, or train a model on this kind of image",
        )
    return ImageView(source, layout)


def _layout_by_size(shape: Sequence[int], ndim: int, channels: int) -> AxisLayout | None:
    """Take the first axis of just the right size for channels, if taking it leaves enough."""
    if len(shape) <= ndim:
        return None
    fits = [a for a, n in enumerate(shape) if n == channels]
    return find_layout(shape, ndim, channel_axis=fits[0]) if fits else None


def allocated(
    model: TrainedModel, view: ImageView, output: Output
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of the result: like the image without channels, classes first."""
    shape = tuple(n for a, n in enumerate(view.source.shape) if a != view.layout.channel)
    if output == "probabilities":
        return (model.config.out_channels, *shape), np.dtype(np.float32)
    return shape, np.min_scalar_type(max(c.value for c in model.classes))


def allocate(model: TrainedModel, view: ImageView, output: Output) -> np.ndarray[Any, Any]:
    """Return zeros for the result, of the shape and type that `allocated` tells."""
    return np.zeros(*allocated(model, view, output))
