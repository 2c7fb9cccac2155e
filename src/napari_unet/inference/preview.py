"""The part of an image that somebody looks at, predicted as the whole image would be."""

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
from napari_unet.inference.output_transforms import in_units, widened, with_pixels
from napari_unet.inference.predictor import normalisation_of
from napari_unet.inference.request import Request, find_missing, find_view
from napari_unet.model import InputSpec, TrainedModel
from napari_unet.network.architecture import Architecture
from napari_unet.network.blocks import Network, centre_crop
from napari_unet.network.build import load_network
from napari_unet.network.inference import as_input, for_inference

PLAIN = InputSpec()
"""Nothing of the pixels themselves goes into the result."""


def preview_events(
    model: TrainedModel,
    image: object,
    request: Request,
    view: Viewport,
    mask: object | None = None,
) -> Iterator[Previewed | PreviewedImage]:
    """Predict what somebody looks at, with a finished model.

    Parameters
    ----------
    model : TrainedModel
        What predicts.
    image, mask : array-like or path
        As for `napari_unet.inference.predictor.predict_events`.
    request : Request
        How the image's axes are meant, device and threads; output and tile do not matter here.
    view : Viewport
        Inside the image.

    Yields
    ------
    Previewed or PreviewedImage
        One, with the step at which the model was taken: just what `predict_events` says there.

    Raises
    ------
    InputError
        Where model and image do not fit, or the view lies outside the image.
    """
    picture = find_view(model, image, request)
    missing = find_missing(model, picture, mask)
    if model.target is None and len(model.classes) < 2:
        raise InputError("This model tells no classes apart", got=f"a model of task {model.task}")
    _check(view, picture)
    device = choose_device(request.device)
    check_memory(model.config, device)
    network = for_inference(load_network(model.config, model.weights), device)
    step = int(model.training.get("steps", 0))
    with using_threads(request.threads):
        normalisation = normalisation_of(model, picture, view.index)
        answers = outputs_in_view(network, normalisation, picture, view, missing, model.input_spec)
    if model.target is None:
        values = [c.value for c in model.classes]
        yield previewed(step, view, torch.softmax(answers, 0), values)
    else:
        kept = missing if request.keep_known else None
        image = in_units(model.target, answers, picture, kept, view.index, view.region)
        yield PreviewedImage(step, view, image)


def probabilities(
    network: Network, normalisation: Normalisation, image: ImageView, view: Viewport
) -> Tensor:
    """Return the probabilities (class, *view.region.shape) of what is looked at.

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
    input_spec: InputSpec = PLAIN,
) -> Tensor:
    """Return what a network gives for a part of an image, just as a tiled prediction would.

    Parameters
    ----------
    network : Network
        As `for_inference` returns it, on its device.
    normalisation : Normalisation
        The network's.
    image : ImageView
        The image that `view` is a part of.
    view : Viewport
        The part; what lies outside the image is mirrored.
    missing : ImageView, optional
        What is missing of the image.
    input_spec : InputSpec
        How much of the pixels themselves goes into the result.

    Returns
    -------
    Tensor
        (channel, *view.region.shape), on the CPU.
    """
    config, device = network.config, next(network.parameters()).device
    box = _on_the_grid(config, view.region)
    geometry = widened(config.geometry, input_spec.noise)
    read = _read_for(geometry, box)
    smooth = bool(input_spec.residual)
    pixels = read_inputs(image, normalisation, view.index, read, missing, smooth=smooth)
    inputs = torch.from_numpy(pixels)
    outputs = network(as_input(inputs[None], device))
    outputs = centre_crop(outputs, config.output_for(read.shape))[0]
    outputs = with_pixels(outputs, inputs, image, input_spec, config.geometry)
    inside = view.region.within(box).slices
    return outputs[(slice(None), *inside)].float().cpu()


def previewed(step: int, view: Viewport, answers: Tensor, values: Sequence[int]) -> Previewed:
    """Return the likeliest labels, and how unsure they are.

    Parameters
    ----------
    step : int
        At which the network was as it is.
    view : Viewport
        What the answers are about.
    answers : Tensor
        Probabilities (class, *view.region.shape).
    values : sequence of int
        The label of each class.
    """
    labels = np.array(values, np.min_scalar_type(max(values)))
    return Previewed(step, view, labels[answers.argmax(0).numpy()], unsure(answers).numpy())


def unsure(answers: Tensor) -> Tensor:
    """Return 1 minus the margin between the two likeliest classes.

    The margin is that of Scheffer, Decomain and Wrobel 2001, doi:10.1007/3-540-44816-0_31.

    Parameters
    ----------
    answers : Tensor
        Probabilities (class, *spatial) of two classes or more.
    """
    best = answers.topk(2, 0).values
    return 1 - best[0] + best[1]


def _on_the_grid(config: Architecture, region: Region) -> Region:
    """Return the region grown to where tiles may begin: poolings then fall on the same voxels."""
    start = tuple(
        a // g.stride * g.stride for a, g in zip(region.start, config.geometry, strict=True)
    )
    return Region(start, region.stop)


def _read_for(geometry: Sequence[AxisGeometry], box: Region) -> Region:
    """Return what the network reads to answer for a box."""
    start = tuple(a - g.context // 2 for a, g in zip(box.start, geometry, strict=True))
    size = tuple(g.input_for(n) for g, n in zip(geometry, box.shape, strict=True))
    return Region.of(start, size)


def _check(view: Viewport, image: ImageView) -> None:
    """Refuse what lies outside the image."""
    fits = len(view.index) == len(image.loop_shape) and len(view.region.start) == len(
        image.spatial_shape
    )
    if (
        not fits
        or any(not 0 <= i < n for i, n in zip(view.index, image.loop_shape, strict=True))
        or not Region.whole(image.spatial_shape).contains(view.region)
        or not view.region.size
    ):
        raise InputError(
            "The view does not lie in the image",
            got=f"{view.region} at {view.index}",
            expected=f"inside {image.spatial_shape}, at an index below {image.loop_shape}",
        )
