"""The part of an image that somebody looks at, predicted as the whole image would be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from napari_unet.control import Previewed, Viewport
from napari_unet.data.image import ImageView
from napari_unet.data.normalisation import Normalisation
from napari_unet.device import choose_device, using_threads
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region
from napari_unet.inference.request import Request, find_view
from napari_unet.model import TrainedModel
from napari_unet.network.blocks import centre_crop
from napari_unet.network.config import UNetConfig
from napari_unet.network.optimise import as_input, for_inference
from napari_unet.network.unet import UNet


def preview_events(
    model: TrainedModel, image: object, request: Request, view: Viewport
) -> Iterator[Previewed]:
    """Predict what somebody looks at, with a finished model.

    Parameters
    ----------
    model : TrainedModel
        A segmentation.
    image : array-like or path
        As for `napari_unet.inference.predictor.predict_events`.
    request : Request
        How the image's axes are meant, device and threads; output and tile do not matter here.
    view : Viewport
        Inside the image.

    Yields
    ------
    Previewed
        One, with the step at which the model was taken: just what `predict_events` says there.

    Raises
    ------
    InputError
        Where model and image do not fit, or the view lies outside the image.
    """
    picture = find_view(model, image, request)
    if len(model.classes) < 2:
        raise InputError("This model tells no classes apart", got=f"a model of task {model.task}")
    _check(view, picture)
    network = for_inference(model.network(), choose_device(request.device))
    with using_threads(request.threads):
        answers = probabilities(network, model.normalisation, picture, view)
    values = [c.value for c in model.classes]
    yield previewed(int(model.training.get("steps", 0)), view, answers, values)


@torch.inference_mode()
def probabilities(
    network: UNet, normalisation: Normalisation, image: ImageView, view: Viewport
) -> Tensor:
    """Return what a network says of a part of an image, just as a tiled prediction would.

    Parameters
    ----------
    network : UNet
        As `for_inference` returns it, on its device.
    normalisation : Normalisation
        The network's.
    image : ImageView
        The image that `view` is a part of.
    view : Viewport
        The part; what lies outside the image is mirrored.

    Returns
    -------
    Tensor
        (class, *view.region.shape), on the CPU, summing to 1 over the classes.
    """
    config, device = network.config, next(network.parameters()).device
    box = _on_the_grid(config, view.region)
    read = _read_for(config, box)
    pixels = normalisation.apply(image.read_raw(view.index, read))
    outputs = network(as_input(torch.from_numpy(pixels)[None], device))
    logits = centre_crop(outputs, config.output_for(read.shape))[0]
    inside = view.region.shift(tuple(-a for a in box.start)).slices
    return torch.softmax(logits[(slice(None), *inside)].float().cpu(), 0)


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


def _on_the_grid(config: UNetConfig, region: Region) -> Region:
    """Return the region grown to where tiles may begin: poolings then fall on the same voxels."""
    start = tuple(
        a // g.stride * g.stride for a, g in zip(region.start, config.geometry, strict=True)
    )
    return Region(start, region.stop)


def _read_for(config: UNetConfig, box: Region) -> Region:
    """Return what the network reads to answer for a box."""
    start = tuple(a - g.context // 2 for a, g in zip(box.start, config.geometry, strict=True))
    size = config.input_for(box.shape)
    return Region(start, tuple(a + n for a, n in zip(start, size, strict=True)))


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
