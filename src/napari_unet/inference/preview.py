"""Prediction of the visible part of an image, exactly as in the whole image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from napari_unet.control import Previewed, PreviewedImage, Viewport
from napari_unet.data.image import ImageView
from napari_unet.data.inputs import read_inputs
from napari_unet.data.normalisation import Normalisation
from napari_unet.device import choose_device, using_threads
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region
from napari_unet.geometry.unet_shape import AxisGeometry
from napari_unet.inference.memory import check_memory
from napari_unet.inference.output_transforms import (
    combine_with_input,
    to_grey_values,
    with_filter_margin,
)
from napari_unet.inference.predictor import image_normalisation
from napari_unet.inference.request import Request, find_missing, find_view
from napari_unet.model import InputSpec, TrainedModel
from napari_unet.network.architecture import Architecture
from napari_unet.network.blocks import Network, centre_crop
from napari_unet.network.build import load_network
from napari_unet.network.inference import as_input, for_inference

DEFAULT_INPUT_SPEC = InputSpec()
"""The output of the network is not combined with its input."""


def preview_events(
    model: TrainedModel,
    image: object,
    request: Request,
    view: Viewport,
    mask: object | None = None,
) -> Iterator[Previewed | PreviewedImage]:
    """Predict the visible part of an image with a finished model.

    Parameters
    ----------
    model : TrainedModel
        The model.
    image, mask : array-like or path
        As for `napari_unet.inference.predictor.predict_events`.
    request : Request
        Roles of the axes, device and threads; output and tile size are not used.
    view : Viewport
        The visible part; it has to lie inside the image.

    Yields
    ------
    Previewed or PreviewedImage
        One event with the training step of the model; its result is that of `predict_events`.

    Raises
    ------
    InputError
        If the image does not fit the model, or the view is outside the image.
    """
    image_view = find_view(model, image, request)
    missing = find_missing(model, image_view, mask)
    if model.target is None and len(model.classes) < 2:
        raise InputError(
            "This model does not distinguish classes", got=f"a model of task {model.task}"
        )
    _check_view(view, image_view)
    device = choose_device(request.device)
    check_memory(model.config, device)
    network = for_inference(load_network(model.config, model.weights), device)
    step = int(model.training.get("steps", 0))
    with using_threads(request.threads):
        normalisation = image_normalisation(
            model, image_view, view.index, comparable=request.comparable
        )
        outputs = outputs_in_view(
            network, normalisation, image_view, view, missing, model.input_spec
        )
    if model.target is None:
        values = [c.value for c in model.classes]
        yield previewed(step, view, torch.softmax(outputs, 0), values)
    else:
        kept = missing if request.keep_known else None
        pixels = to_grey_values(model.target, outputs, image_view, kept, view.index, view.region)
        yield PreviewedImage(step, view, pixels)


def probabilities(
    network: Network, normalisation: Normalisation, image: ImageView, view: Viewport
) -> Tensor:
    """Return the class probabilities (class, *view.region.shape) in a viewport.

    Parameters as in `outputs_in_view`.
    """
    return torch.softmax(outputs_in_view(network, normalisation, image, view), 0)


@torch.inference_mode()
def outputs_in_view(
    network: Network,
    normalisation: Normalisation,
    image: ImageView,
    view: Viewport,
    missing: ImageView | None = None,
    input_spec: InputSpec = DEFAULT_INPUT_SPEC,
) -> Tensor:
    """Return the output of a network for a part of an image, equal to that of a tiled prediction.

    Parameters
    ----------
    network : Network
        From `for_inference`, on its device.
    normalisation : Normalisation
        That of the network.
    image : ImageView
        The image.
    view : Viewport
        The part of the image.
    missing : ImageView, optional
        Mask of missing pixels.
    input_spec : InputSpec
        How the output is combined with the input.

    Returns
    -------
    Tensor
        (channel, *view.region.shape), on the CPU.
    """
    config = network.config
    device = next(network.parameters()).device
    box = _aligned(config, view.region)
    geometry = with_filter_margin(config.geometry, input_spec.noise)
    read = _input_region(geometry, box)
    smooth = bool(input_spec.residual)
    pixels = read_inputs(image, normalisation, view.index, read, missing, smooth=smooth)
    inputs = torch.from_numpy(pixels)
    outputs = network(as_input(inputs[None], device))
    outputs = centre_crop(outputs, config.output_for(read.shape))[0]
    outputs = combine_with_input(outputs, inputs, image, input_spec, config.geometry)
    inside = view.region.within(box).slices
    return outputs[(slice(None), *inside)].float().cpu()


def previewed(step: int, view: Viewport, probabilities: Tensor, values: Sequence[int]) -> Previewed:
    """Return the most probable labels, and their uncertainty.

    Parameters
    ----------
    step : int
        Training step of the network.
    view : Viewport
        The part of the image.
    probabilities : Tensor
        (class, *view.region.shape).
    values : sequence of int
        Label value of each class.

    Returns
    -------
    Previewed
    """
    labels = np.array(values, np.min_scalar_type(max(values)))
    likeliest = labels[probabilities.argmax(0).numpy()]
    return Previewed(step, view, likeliest, class_uncertainty(probabilities).numpy())


def class_uncertainty(probabilities: Tensor) -> Tensor:
    """Return 1 minus the margin between the two most probable classes.

    The margin is that of Scheffer, Decomain and Wrobel 2001, doi:10.1007/3-540-44816-0_31.

    Parameters
    ----------
    probabilities : Tensor
        (class, *spatial), of two classes or more.

    Returns
    -------
    Tensor
        (*spatial), from 0 to 1.
    """
    best = probabilities.topk(2, 0).values
    return 1 - best[0] + best[1]


def _aligned(config: Architecture, region: Region) -> Region:
    """Return a region that starts where tiles may start, so that poolings have their positions."""
    start = tuple(
        a // g.stride * g.stride for a, g in zip(region.start, config.geometry, strict=True)
    )
    return Region(start, region.stop)


def _input_region(geometry: Sequence[AxisGeometry], box: Region) -> Region:
    """Return the input region of the network for an output region."""
    start = tuple(a - g.context // 2 for a, g in zip(box.start, geometry, strict=True))
    size = tuple(g.input_for(n) for g, n in zip(geometry, box.shape, strict=True))
    return Region.of(start, size)


def _check_view(view: Viewport, image: ImageView) -> None:
    """Check that a viewport lies inside an image."""
    same_ndim = len(view.index) == len(image.loop_shape) and (
        len(view.region.start) == len(image.spatial_shape)
    )
    if (
        not same_ndim
        or any(not 0 <= i < n for i, n in zip(view.index, image.loop_shape, strict=True))
        or not Region.whole(image.spatial_shape).contains(view.region)
        or not view.region.size
    ):
        raise InputError(
            "The view lies outside the image",
            got=f"{view.region} at {view.index}",
            expected=f"inside {image.spatial_shape}, at an index below {image.loop_shape}",
        )
