"""The layers of a training: what its previews look like, and where its model says it learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari.layers import Image

from napari_unet.model import TrainedModel
from napari_unet.tasks.provenance import with_sources
from napari_unet.widgets.image_request import ImageRequest
from napari_unet.widgets.layers import RGBA, described, origin


def like_of(request: object, image: Image, other: Any) -> Image | None:
    """Return the layer that previews look like: the target where there is one, else the image.

    None where previews are labels.
    """
    if not isinstance(request, ImageRequest):
        return None
    return other if request.task == "restore" else image


def with_layers(
    model: TrainedModel,
    names: Mapping[int, str],
    colors: Mapping[int, RGBA],
    pairs: Sequence[tuple[Any, Any]],
) -> TrainedModel:
    """Return the same model, which says where it learned, and how its classes are called.

    `pairs` are images, each with the layer that went with it, or None.
    """
    if all(other is not None for _, other in pairs):
        return described(model, names, colors, pairs)
    sources = [tuple(origin(x) for x in pair if x is not None) for pair in pairs]
    return with_sources(model, sources)
