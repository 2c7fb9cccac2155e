"""Makes new layers: to paint on, for results, and for what is measured of a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import Colormap, CyclicLabelColormap, DirectLabelColormap
from numpy.typing import NDArray

from napari_unet.geometry.axes import ChannelAxis
from napari_unet.model import TrainedModel
from napari_unet.widgets.layers.layer_data import LayerData, class_colour, joint_name
from napari_unet.widgets.layers.placement import placement
from napari_unet.widgets.layers.provenance import RESULT, provenance

PAINTS = ("#00aaff", "#ffb000", "#ff3ea5", "#2fe05a", "#8f6bff", "#f4ee42", "#00e5d8", "#ff6b3d")
"""Colours of strokes: bright upon grey images, and distinct in lightness for the colour-blind."""

DONE = {"denoise": "denoised", "restore": "restored", "inpaint": "filled in"}
"""What is appended to an image's name for its result, by task."""

LOOKS = ("gamma", "interpolation2d", "interpolation3d", "rendering")
"""Attributes of an image that its result gets, besides contrast and colours."""


def strokes_layer(image: Image, channel_axis: ChannelAxis = "auto") -> Labels:
    """Return an empty Labels layer to paint on, of an image's shape without its channels.

    The brush is about a hundredth of the image wide, and label 1 is selected.

    Parameters
    ----------
    image : Image
        The layer to lie upon.
    channel_axis : int, None or "auto"
        The image's axis of channels, as of `napari_unet.geometry.axes.find_layout`.
    """
    image_data = LayerData.of(image)
    channel = image_data.channel(channel_axis)
    shape = image_data.spatial_shape(channel)
    layer = Labels(
        np.zeros(shape, np.uint8),
        name=f"{image.name} – strokes",
        opacity=0.8,
        colormap=CyclicLabelColormap(colors=["transparent", *PAINTS], name="strokes"),
        **placement(image, None if image.rgb else channel),
    )
    layer.brush_size = int(np.clip(min(shape[-2:]) // 100, 3, 20))
    layer.selected_label = 1
    return layer


def result_labels(
    data: NDArray[Any],
    model: TrainedModel,
    image: Image,
    dropped: int | None,
    channels: Sequence[Image] = (),
    request: Mapping[str, Any] | None = None,
) -> Labels:
    """Return a layer for predicted labels, upon the image and in the classes' colours.

    Parameters
    ----------
    data : ndarray of int
        The labels, which are not copied; of the image's shape without the axis of channels.
    model : TrainedModel
        What predicts.
    image : Image
        What is predicted.
    dropped : int, optional
        The image's axis of channels; None where it has none, or is RGB.
    channels : sequence of Image
        The layers of the channels, if they are several; `image` is the first of them.
    request : mapping, optional
        How it is predicted, see `napari_unet.widgets.layers.provenance.provenance`.
    """
    colours: dict[int | None, Any] = {c.value: class_colour(c) for c in model.classes if c.value}
    named = {"index": [c.value for c in model.classes], "class": [str(c) for c in model.classes]}
    return Labels(
        data,
        name=f"{joint_name(channels or (image,))} – prediction",
        opacity=0.5,
        colormap=DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", **colours}),
        features=named,
        metadata={RESULT: provenance(model, image, dropped, channels=channels, request=request)},
        **placement(image, dropped),
    )


def result_probabilities(
    data: NDArray[Any],
    model: TrainedModel,
    image: Image,
    dropped: int | None,
    channels: Sequence[Image] = (),
    request: Mapping[str, Any] | None = None,
) -> list[Image]:
    """Return a layer per class for predicted probabilities, from black to the class's colour.

    Parameters
    ----------
    data : ndarray of float32, shape (class, ...)
        The probabilities, which are not copied.
    model, image, dropped, channels, request
        As of `result_labels`.
    """
    name = joint_name(channels or (image,))
    made = provenance(model, image, dropped, channels=channels, probabilities=True, request=request)
    return [
        Image(
            pixels,
            name=f"{name} – {info}",
            colormap=Colormap([[0, 0, 0, 1], class_colour(info)], name=f"{info} {name}"),
            blending="additive",
            contrast_limits=(0.0, 1.0),
            metadata={RESULT: dict(made)},
            **placement(image, dropped),
        )
        for pixels, info in zip(data, model.classes, strict=True)
    ]


def result_images(
    data: NDArray[Any],
    model: TrainedModel,
    image: Image,
    channel: int | None,
    request: Mapping[str, Any] | None = None,
    channels: Sequence[Image] = (),
) -> list[Image]:
    """Return layers for a predicted image: one, or one per channel that the image has no axis for.

    They lie upon the image, with its contrast and colours. Where the channels are layers, each
    result has those of its channel, and the last one is that of the first channel.

    Parameters
    ----------
    data : ndarray
        Of the shape that `result_shape_and_dtype` returns; it is not copied.
    model : TrainedModel
        What predicts.
    image : Image
        What is predicted.
    channel : int, optional
        The image's axis of channels.
    request : mapping, optional
        How it is predicted, see `napari_unet.widgets.layers.provenance.provenance`.
    channels : sequence of Image
        The layers of the channels, if they are several; `image` is the first of them.
    """
    count = model.config.out_channels
    if len(channels) > 1 and count == len(channels):
        made = provenance(model, image, request=request, channels=channels)
        return _result_channels(data, model, channels, made)
    name = f"{joint_name(channels or (image,))} – {DONE.get(model.task, 'result')}"
    looks = {look: getattr(image, look) for look in LOOKS}
    looks["contrast_limits"] = tuple(image.contrast_limits)
    last = bool(image.rgb) or len(channels) > 1  # where the layer has no axis of channels
    rgb = bool(image.rgb) and count in (3, 4)
    if not rgb:
        looks["colormap"] = "gray" if image.rgb else image.colormap
    if rgb or count == 1 or (channel is not None and not last):
        parts = {name: data[..., 0] if last and not rgb else data}
    else:
        single = np.moveaxis(data, -1, 0) if last else data
        parts = {f"{name} {i}": part for i, part in enumerate(single, 1)}
    return [
        Image(
            part,
            name=title,
            rgb=rgb,
            metadata={
                RESULT: provenance(model, image, channel, request=request, channels=channels)
            },
            **looks,
            **placement(image),
        )
        for title, part in parts.items()
    ]


def _result_channels(
    data: NDArray[Any], model: TrainedModel, channels: Sequence[Image], made: Mapping[str, Any]
) -> list[Image]:
    """Return a layer per channel, from the last to the first, as its channel looks.

    The lowest one covers the image; the others are blended as the channels are.
    """
    layers: list[Image] = []
    for index, channel in reversed(list(enumerate(channels))):
        looks = {look: getattr(channel, look) for look in (*LOOKS, "colormap")}
        if layers:
            looks["blending"] = channel.blending
        layers.append(
            Image(
                data[..., index],
                name=f"{channel.name} – {DONE.get(model.task, 'result')}",
                rgb=False,
                metadata={RESULT: dict(made)},
                contrast_limits=tuple(channel.contrast_limits),
                **looks,
                **placement(channel),
            )
        )
    return layers


def note_layer(data: Any, name: str, note: str, where: Mapping[str, Any], **looks: Any) -> Image:
    """Return a layer that shows a measurement of a result, with a note as its provenance.

    Parameters
    ----------
    data : array
        The pixels.
    name : str
        The layer's name.
    note : str
        What it shows, as a sentence.
    where : mapping
        Its placement, see `napari_unet.widgets.layers.placement.placement`.
    **looks
        Other arguments of an Image layer.
    """
    return Image(data, name=name, rgb=False, metadata={RESULT: {"notes": [note]}}, **where, **looks)
