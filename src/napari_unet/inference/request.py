"""Settings, events and result shape of a prediction; this module does not import torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.image import ImageView
from napari_unet.data.inputs import missing_view
from napari_unet.data.source import ChannelStack, open_source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import (
    SPACE_NAMES,
    TIME_NAMES,
    AxisLayout,
    ChannelAxis,
    find_layout,
    plain_name,
)
from napari_unet.geometry.region import Region
from napari_unet.model import TrainedModel

Output = Literal["auto", "labels", "probabilities", "image"]
"""Kind of the result of a prediction."""


LARGE_OFFSET = 1e4
"""Offset in standard deviations from which on grey values need double precision."""


@dataclass(frozen=True, slots=True)
class Request:
    """Settings of a prediction.

    Parameters
    ----------
    output : {"auto", "labels", "probabilities", "image"}
        Label values, probabilities per class, or an image in grey values; auto: labels if the
        model has classes, else an image.
    tile : tuple of int, optional
        Largest input per spatial axis in voxels; by default it follows from the free memory.
    channel_axis, axes, rgb
        Roles of the image's axes, as in `napari_unet.geometry.axes.find_layout`.
    device : str
        "auto", "cuda", "mps" or "cpu".
    threads : int, optional
        Number of processor cores; None for the default of torch.
    flips : bool
        Whether the result is the mean over the eight flips and rotations in the plane: smoother,
        and eight times as slow.
    keep_known : bool
        Whether a model that fills in missing pixels returns known pixels unchanged.
    region : tuple of int, optional
        What to predict: first voxel and one past the last, for each axis of the image but that of
        channels. Elsewhere labels and probabilities are 0, and an image is as it was.
    inside : ndarray of bool, optional
        Which voxels of that region to predict; its shape is that of the region, or 1 along axes
        along which all voxels are alike.
    comparable : bool
        Whether intensities mean the same as in the images that the model learned from; else
        background and contrast of each image are measured, where the model was trained so.
    spacing : tuple of float, optional
        Distance between voxels per spatial axis of the image, where it is known: only to say where
        it differs from that of the training.
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
    region: tuple[int, ...] | None = None
    inside: NDArray[np.bool_] | None = None
    comparable: bool = False
    spacing: tuple[float, ...] | None = None

    def with_output(self, model: TrainedModel) -> Request:
        """Return the request with its output resolved, if it is "auto".

        Raises
        ------
        InputError
            If the model cannot produce the requested output.
        """
        possible: tuple[Output, ...] = (
            ("labels", "probabilities") if model.target is None else ("image",)
        )
        if self.output == "auto":
            return replace(self, output=possible[0])
        if self.output not in possible:
            raise InputError(
                "The model cannot produce this output",
                got=f'"{self.output}" of a model of task {model.task}',
                expected=" or ".join(f'"{f}"' for f in ("auto", *possible)),
            )
        return self


def find_view(model: TrainedModel, image: object, request: Request) -> ImageView:
    """Open an image with the roles of axes that a model expects.

    Parameters
    ----------
    model : TrainedModel
        The model.
    image : array-like or path
        See `napari_unet.data.source.open_source`. The channels of a `ChannelStack` with names are
        put into the order of the model's.
    request : Request
        Roles of the axes.

    Raises
    ------
    InputError
        If the image has too few axes, or another number of channels than the model.
    """
    source = open_source(image)
    if isinstance(source, ChannelStack):
        request = replace(request, channel_axis=-1)
        if source.names and model.channel_names:
            source = source.ordered(model.channel_names)
    config = model.config
    wanted = model.image_channels
    layout = find_layout(
        source.shape,
        config.ndim,
        channel_axis=request.channel_axis,
        names=request.axes,
        rgb=request.rgb,
    )
    if layout.channel is None and wanted > 1 and request.channel_axis == "auto":
        layout = _layout_by_size(source.shape, config.ndim, wanted, request.axes) or layout
    found = layout.channels(source.shape)
    if found != wanted:
        raise InputError(
            "The image has other channels than the model",
            got=f"{found} in an image of shape {source.shape}",
            expected=f"{wanted}",
            todo="Choose an image with as many channels, or train a model on this kind of image",
        )
    spec = model.input_spec
    return ImageView(source, layout, spec.context_planes, spec.periodic_axes, spec.border)


def region_of(view: ImageView, request: Request) -> Region:
    """Return what is to be predicted: by default all of it.

    Parameters
    ----------
    view : ImageView
        The image.
    request : Request
        With a region, or without.

    Returns
    -------
    Region
        Over all axes of the image but that of channels, in voxels.

    Raises
    ------
    InputError
        Where the region does not lie in the image, or `inside` does not fit it.
    """
    channel = view.layout.channel
    shape = tuple(n for axis, n in enumerate(view.source.shape) if axis != channel)
    if request.region is None:
        return Region.whole(shape)
    region = Region.of_bounds(request.region, shape)
    if request.inside is not None:
        sizes = zip(request.inside.shape, region.shape, strict=False)
        if request.inside.ndim != region.ndim or any(n not in (1, m) for n, m in sizes):
            raise InputError(
                "The mask of the region has another shape",
                got=request.inside.shape,
                expected=region.shape,
            )
    return region


def find_missing(model: TrainedModel, view: ImageView, mask: object | None) -> ImageView | None:
    """Open the mask of missing pixels; None for a model that does not fill in.

    Parameters
    ----------
    model : TrainedModel
        The model.
    view : ImageView
        The image.
    mask : array-like or path, optional
        Not 0 where pixels are missing.

    Raises
    ------
    InputError
        If the model needs a mask and there is none, it does not use one, or the shape is wrong.
    """
    if not model.input_spec.mask:
        if mask is not None:
            raise InputError(
                "This model does not fill in missing pixels, and uses no mask",
                got=f"a mask for a model of task {model.task}",
            )
        return None
    if mask is None and view.source.dtype.kind != "f":
        raise InputError(
            "This model needs to know which pixels are missing",
            got="no mask, and an image of integers, which has no NaN",
            todo="Pass a mask that is not 0 where pixels are missing",
        )
    return missing_view(view, None if mask is None else open_source(mask))


def _layout_by_size(
    shape: Sequence[int], ndim: int, channels: int, names: Sequence[str] | None
) -> AxisLayout | None:
    """Use the first axis with the size of the channels as channel axis, if enough are left.

    Axes with a name of time or space hold no channels.
    """
    if len(shape) <= ndim:
        return None
    other = TIME_NAMES | SPACE_NAMES
    taken = {a for a, name in enumerate(names or ()) if plain_name(name) in other}
    fits = [a for a, n in enumerate(shape) if n == channels and a not in taken]
    return find_layout(shape, ndim, channel_axis=fits[0], names=names) if fits else None


def result_shape_and_dtype(
    model: TrainedModel, view: ImageView, output: Output
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of a result.

    Labels have the shape of the image without channels; probabilities have the classes first. An
    image has its channels where the input has them, or first; its type is floating point, with
    at least the range of the input, so that nothing is clipped.

    Parameters
    ----------
    model : TrainedModel
        The model.
    view : ImageView
        The image.
    output : {"labels", "probabilities", "image"}
        Kind of the result.
    """
    channel = view.layout.channel
    shape = tuple(n for a, n in enumerate(view.source.shape) if a != channel)
    if output == "image":
        out = model.config.out_channels
        if channel is None and out > 1:
            channel = 0
        if channel is not None:
            shape = (*shape[:channel], out, *shape[channel:])
        kind = np.result_type(view.source.dtype, np.float32)
        return shape, np.result_type(kind, np.float64) if _needs_double(model) else kind
    if output == "probabilities":
        return (model.config.out_channels, *shape), np.dtype(np.float32)
    return shape, np.min_scalar_type(max(c.value for c in model.classes))


def _needs_double(model: TrainedModel) -> bool:
    """Tell whether a result lies on so large an offset that float32 would round it."""
    if model.target is None:
        return False
    pairs = zip(model.target.offset, model.target.scale, strict=True)
    return any(abs(offset) > LARGE_OFFSET * scale for offset, scale in pairs)


def allocate_result(model: TrainedModel, view: ImageView, output: Output) -> np.ndarray[Any, Any]:
    """Return zeros of the shape and type of a result; see `result_shape_and_dtype`."""
    return np.zeros(*result_shape_and_dtype(model, view, output))


@dataclass(frozen=True, slots=True)
class PredictionStarted:
    """A prediction has started; shape and type are those of the result, `tile_shape` in voxels."""

    tiles: int
    tile_shape: tuple[int, ...]
    device: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class TileDone:
    """A tile has been written into the result; times in seconds.

    `index` is its index along the loop axes, `region` its region over the spatial axes.
    """

    done: int
    tiles: int
    index: tuple[int, ...]
    region: Region
    elapsed: float
    remaining: float


@dataclass(frozen=True, slots=True)
class PredictionFinished:
    """A prediction has ended; if it is not `complete`, it was stopped, and the rest is 0.

    `warnings` says in what the image is unlike those that the model learned from, a sentence each.
    """

    result: Any
    seconds: float
    complete: bool
    warnings: tuple[str, ...] = ()


PredictionEvent = PredictionStarted | TileDone | PredictionFinished
