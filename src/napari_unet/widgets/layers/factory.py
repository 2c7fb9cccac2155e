"""Makes new layers: to paint on, for results, and for what is measured of a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import Colormap, CyclicLabelColormap, DirectLabelColormap
from numpy.typing import NDArray

from napari_unet.geometry.axes import ChannelAxis
from napari_unet.model import TrainedModel
from napari_unet.widgets.layers.layer_data import LayerData, class_colour
from napari_unet.widgets.layers.placement import placement
from napari_unet.widgets.layers.provenance import RESULT, provenance

PAINTS = ("#00aaff", "#ffb000", "#ff3ea5", "#2fe05a", "#8f6bff", "#f4ee42", "#00e5d8", "#ff6b3d")
"""Colours of strokes: bright on grey pictures, and of unlike lightness for all eyes."""

DONE = {"denoise": "denoised", "restore": "restored", "inpaint": "filled in"}
"""What is said of an image when a task is done."""

LOOKS = ("gamma", "interpolation2d", "interpolation3d", "rendering")
"""How an image is drawn, besides its colours."""


def strokes_layer(image: Image, channel_axis: ChannelAxis = "auto") -> Labels:
    """Return an empty layer to paint on, that lies upon an image and lacks its channels.

    The brush is about a hundredth of the picture wide; label 1 is ready to be painted.
    """
    picture = LayerData.of(image)
    channel = picture.channel(channel_axis)
    shape = picture.spatial_shape(channel)
    layer = Labels(
        np.zeros(shape, np.uint8),
        name=f"{image.name} – strokes",
        opacity=0.8,
        colormap=CyclicLabelColormap(colors=["transparent", *PAINTS], name="strokes"),
        **placement(image, None if image.rgb else channel),
    )
    layer.brush_size = int(np.clip(min(shape[-2:]) // 100, 3, 20))
    layer.selected_label = 1
    layer.mode = "paint"
    return layer


def result_labels(
    data: NDArray[Any], model: TrainedModel, image: Image, dropped: int | None
) -> Labels:
    """Return a layer for predicted labels, upon the image and in the classes' colours."""
    colours: dict[int | None, Any] = {c.value: class_colour(c) for c in model.classes}
    named = {"index": [c.value for c in model.classes], "class": [str(c) for c in model.classes]}
    return Labels(
        data,
        name=f"{image.name} – prediction",
        opacity=0.5,
        colormap=DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", **colours}),
        features=named,
        metadata={RESULT: provenance(model, image, dropped)},
        **placement(image, dropped),
    )


def result_probabilities(
    data: NDArray[Any], model: TrainedModel, image: Image, dropped: int | None
) -> list[Image]:
    """Return a layer per class for predicted probabilities, from black to the class's colour."""
    return [
        Image(
            channel,
            name=f"{image.name} – {info}",
            colormap=Colormap([[0, 0, 0, 1], class_colour(info)], name=f"{info} {image.name}"),
            blending="additive",
            contrast_limits=(0.0, 1.0),
            metadata={RESULT: provenance(model, image, dropped, probabilities=True)},
            **placement(image, dropped),
        )
        for channel, info in zip(data, model.classes, strict=True)
    ]


def result_images(
    data: NDArray[Any],
    model: TrainedModel,
    image: Image,
    channel: int | None,
    request: Mapping[str, Any] | None = None,
) -> list[Image]:
    """Return layers for a predicted image: one, or one per channel that the image has no axis for.

    They lie upon the image, with its contrast and colours.

    Parameters
    ----------
    data : ndarray
        As `napari_unet.inference.request.allocated` tells; it is not copied.
    model : TrainedModel
        What predicts.
    image : Image
        What is predicted.
    channel : int, optional
        The image's axis of channels.
    request : mapping, optional
        What else to say of how it was made, see `provenance`.
    """
    name, count = f"{image.name} – {DONE.get(model.task, 'result')}", model.config.out_channels
    looks = {look: getattr(image, look) for look in LOOKS}
    looks["contrast_limits"] = tuple(image.contrast_limits)
    rgb = bool(image.rgb) and count in (3, 4)
    if not rgb:
        looks["colormap"] = "gray" if image.rgb else image.colormap
    if rgb or count == 1 or (channel is not None and not image.rgb):
        parts = {name: data[..., 0] if image.rgb and not rgb else data}
    else:
        single = np.moveaxis(data, -1, 0) if image.rgb else data
        parts = {f"{name} {i}": part for i, part in enumerate(single, 1)}
    return [
        Image(
            part,
            name=title,
            rgb=rgb,
            metadata={RESULT: provenance(model, image, channel, request=request)},
            **looks,
            **placement(image),
        )
        for title, part in parts.items()
    ]


def note_layer(data: Any, name: str, note: str, where: Mapping[str, Any], **looks: Any) -> Image:
    """Return a layer that shows something about a result, and says so when asked for its making.

    Parameters
    ----------
    data : array
        What it shows.
    name, note : str
        What it is called, and what it is.
    where : mapping
        As `placement` returns it.
    **looks
        Other arguments of an Image layer.
    """
    return Image(data, name=name, rgb=False, metadata={RESULT: {"notes": [note]}}, **where, **looks)
