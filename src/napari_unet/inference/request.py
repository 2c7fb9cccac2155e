"""What is asked of a prediction, and what shape its result has. Knows no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from napari_unet.data.image import ImageView
from napari_unet.data.inputs import missing_view
from napari_unet.data.source import open_source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import AxisLayout, ChannelAxis, find_layout
from napari_unet.geometry.region import Region
from napari_unet.model import TrainedModel

Output = Literal["auto", "labels", "probabilities", "image"]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a prediction besides model and image.

    Parameters
    ----------
    output : {"auto", "labels", "probabilities", "image"}
        Label values, a channel of probabilities per class, or an image in intensity units; auto:
        labels where the model knows classes, else an image.
    tile : tuple of int, optional
        Largest input per spatial axis in voxels; chosen from the free memory when None.
    channel_axis, axes, rgb
        Roles of the image's axes, as in `napari_unet.geometry.axes.find_layout`.
    device : str
        "auto", "cuda", "mps" or "cpu".
    threads : int, optional
        Processor cores to use; None for torch's choice.
    flips : bool
        Whether an image is the mean over the eight flips and quarter turns in the plane: smoother,
        and eight times as long.
    keep_known : bool
        Whether a model that fills in returns known pixels untouched.
    """

    output: Output = "auto"
    tile: tuple[int, ...] | None = None
    channel_axis: ChannelAxis = "auto"
    axes: tuple[str, ...] | None = None
    rgb: bool = False
    device: str = "auto"
    threads: int | None = None
    flips: bool = False
    keep_known: bool = True

    def settled(self, model: TrainedModel) -> Request:
        """Return the same with the output that "auto" stands for.

        Raises
        ------
        InputError
            Where the model cannot give what is asked.
        """
        fits: tuple[Output, ...] = (
            ("labels", "probabilities") if model.target is None else ("image",)
        )
        if self.output == "auto":
            return replace(self, output=fits[0])
        if self.output not in fits:
            raise InputError(
                "The model cannot give such an output",
                got=f'"{self.output}" of a model of task {model.task}',
                expected=" or ".join(f'"{f}"' for f in ("auto", *fits)),
            )
        return self


def find_view(model: TrainedModel, image: object, request: Request) -> ImageView:
    """Open an image the way the model saw its own.

    Raises
    ------
    InputError
        Where the image has too few axes, or other channels than the model.
    """
    source, config = open_source(image), model.config
    wanted = model.image_channels
    layout = find_layout(
        source.shape,
        config.ndim,
        channel_axis=request.channel_axis,
        names=request.axes,
        rgb=request.rgb,
    )
    if layout.channel is None and wanted > 1 and request.channel_axis == "auto":
        layout = _layout_by_size(source.shape, config.ndim, wanted) or layout
    have = layout.channels(source.shape)
    if have != wanted:
        raise InputError(
            "The image has other channels than the model",
            got=f"{have} in an image of shape {source.shape}",
            expected=f"{wanted}",
            todo="Set the channel axis, or train a model on this kind of image",
        )
    spec = model.input_spec
    return ImageView(source, layout, spec.context_planes, spec.periodic_axes, spec.border)


def find_missing(model: TrainedModel, view: ImageView, mask: object | None) -> ImageView | None:
    """Open the mask that says which pixels are missing; None where the model has no use for one.

    Raises
    ------
    InputError
        Where there is none although nothing else tells what is missing, or of another shape.
    """
    if not model.input_spec.mask:
        if mask is not None:
            raise InputError(
                "This model fills nothing in, and has no use for a mask",
                got=f"a mask for a model of task {model.task}",
            )
        return None
    if mask is None and view.source.dtype.kind != "f":
        raise InputError(
            "A model that fills in must be told what is missing",
            got="no mask, and an image of integers, which are all known",
            todo="Give a mask that is not 0 where pixels are missing",
        )
    return missing_view(view, None if mask is None else open_source(mask))


def _layout_by_size(shape: Sequence[int], ndim: int, channels: int) -> AxisLayout | None:
    """Take the first axis of just the right size for channels, if taking it leaves enough."""
    if len(shape) <= ndim:
        return None
    fits = [a for a, n in enumerate(shape) if n == channels]
    return find_layout(shape, ndim, channel_axis=fits[0]) if fits else None


def allocated(
    model: TrainedModel, view: ImageView, output: Output
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of the result.

    Like the image without channels; probabilities have the classes first. An image has its
    channels where the input has them, or first; its type is floating point and holds whatever
    the input's type holds, so that nothing is clipped.
    """
    channel = view.layout.channel
    shape = tuple(n for a, n in enumerate(view.source.shape) if a != channel)
    if output == "image":
        out = model.config.out_channels
        place = (0 if out > 1 else None) if channel is None else channel
        shape = shape if place is None else (*shape[:place], out, *shape[place:])
        return shape, np.result_type(view.source.dtype, np.float32)
    if output == "probabilities":
        return (model.config.out_channels, *shape), np.dtype(np.float32)
    return shape, np.min_scalar_type(max(c.value for c in model.classes))


def allocate(model: TrainedModel, view: ImageView, output: Output) -> np.ndarray[Any, Any]:
    """Return zeros for the result, of the shape and type that `allocated` tells."""
    return np.zeros(*allocated(model, view, output))


@dataclass(frozen=True, slots=True)
class PredictionStarted:
    """The plan: how many tiles of which input shape (voxels), where, and what comes out."""

    tiles: int
    tile_shape: tuple[int, ...]
    device: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class TileDone:
    """One more piece of the result is there; times in seconds.

    `index` is where along the looped axes, `region` which voxels of the spatial axes.
    """

    done: int
    tiles: int
    index: tuple[int, ...]
    region: Region
    elapsed: float
    remaining: float


@dataclass(frozen=True, slots=True)
class PredictionFinished:
    """The prediction ended; unless `complete`, it was stopped and the rest is still empty."""

    result: Any
    seconds: float
    complete: bool


PredictionEvent = PredictionStarted | TileDone | PredictionFinished
