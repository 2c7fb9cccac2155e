"""What the metadata of our layers say: by which model, from which image, trained on what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from napari.layers import Image, Layer

from napari_unet.model import TrainedModel
from napari_unet.tasks.provenance import Origin, with_sources
from napari_unet.tasks.provenance import provenance as model_provenance
from napari_unet.widgets.layers.layer_data import RGBA

RESULT = "napari_unet"
"""The key in a layer's metadata under which its provenance is kept; only our own layers have it."""


def is_result(layer: Layer) -> bool:
    """Tell whether a layer was made by a prediction of ours."""
    return RESULT in layer.metadata


def origin(*layers: Layer) -> Origin:
    """Return a layer's name, and the file that it was read from where that is known.

    Several layers are the channels of one image.
    """
    paths = [layer.source.path for layer in layers]
    return Origin.of_channels(
        [
            Origin(layer.name, None if path is None else str(path))
            for layer, path in zip(layers, paths, strict=True)
        ]
    )


def provenance(
    model: TrainedModel,
    image: Image,
    channel: int | None = None,
    *,
    channels: Sequence[Image] = (),
    probabilities: bool = False,
    request: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the metadata of a result: the image, the model, and how that was trained.

    Parameters
    ----------
    model : TrainedModel
        What predicts.
    image : Image
        What is predicted.
    channel : int, optional
        The image's axis of channels.
    channels : sequence of Image
        The layers of the channels, if they are several; `image` is the first of them.
    probabilities : bool
        Whether the result is probabilities.
    request : mapping, optional
        What else was asked for, named as on the command line; see
        `napari_unet.tasks.provenance.provenance`.
    """
    axes: dict[str, Any] = {}
    if len(channels) < 2:
        axes = {"rgb": True} if image.rgb else {"channel_axis": channel}
    asked = {**axes, **(request or {})}
    predicted = origin(*(channels or (image,)))
    return model_provenance(model, predicted, request=asked, probabilities=probabilities)


def layer_sources(
    pairs: Iterable[tuple[Sequence[Layer], Layer | None]],
) -> list[tuple[Origin, ...]]:
    """Return where images and what belongs to them came from.

    Parameters
    ----------
    pairs : iterable of (sequence of Layer, Layer or None)
        As of `with_training_layers`; images without a layer are left out.
    """
    return [
        (origin(*channels),) if other is None else (origin(*channels), origin(other))
        for channels, other in pairs
        if channels
    ]


def with_training_layers(
    model: TrainedModel,
    names: Mapping[int, str],
    colours: Mapping[int, RGBA],
    pairs: Iterable[tuple[Sequence[Layer], Layer | None]],
) -> TrainedModel:
    """Return the same model with the layers that it was trained on in its training facts.

    Parameters
    ----------
    model : TrainedModel
        What was trained.
    names, colours : mapping
        Names and colours of classes by label value, which may have been given while it was
        trained; other classes keep their own.
    pairs : iterable of (sequence of Layer, Layer or None)
        Images, each a layer or the layers of its channels, with the layer that belonged to it:
        labels, a target, a mask, or none.
    """
    classes = tuple(
        replace(c, name=names.get(c.value, c.name), color=colours.get(c.value, c.color))
        for c in model.classes
    )
    return with_sources(model.with_facts(classes=classes), layer_sources(pairs))


def note_time(layers: Iterable[Layer], seconds: float) -> None:
    """Write into the metadata of results how long the prediction took.

    Parameters
    ----------
    layers : iterable of Layer
        Results.
    seconds : float
        How long the prediction took.
    """
    for layer in layers:
        layer.metadata[RESULT]["prediction_seconds"] = round(seconds, 2)
