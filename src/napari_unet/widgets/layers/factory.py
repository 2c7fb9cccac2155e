"""What leaves a layer for a thread, and what comes back as one. Nothing here changes a layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.components import LayerList
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import (
    Colormap,
    CyclicLabelColormap,
    DirectLabelColormap,
    label_colormap,
)
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_unet.geometry.axes import ChannelAxis, find_layout
from napari_unet.model import ClassInfo, TrainedModel
from napari_unet.tasks.provenance import Origin, with_sources
from napari_unet.tasks.provenance import provenance as made_by
from napari_unet.widgets.forms.layer_combo import RESULT

RGBA = tuple[float, float, float, float]

PAINTS = ("#00aaff", "#ffb000", "#ff3ea5", "#2fe05a", "#8f6bff", "#f4ee42", "#00e5d8", "#ff6b3d")
"""Colours of strokes: bright on grey pictures, and of unlike lightness for all eyes."""

DONE = {"denoise": "denoised", "restore": "restored", "inpaint": "filled in"}
"""What is said of an image when a task is done."""

LOOKS = ("gamma", "interpolation2d", "interpolation3d", "rendering")
"""How an image is drawn, besides its colours."""


@dataclass(frozen=True, eq=False)
class LayerData:
    """What a thread needs to know of an image layer; it holds no layer.

    Parameters
    ----------
    name : str
        The layer's name.
    data : array
        Its pixels; of a pyramid the largest level. RGB has the colours last.
    rgb : bool
        Whether it is RGB.
    axes : tuple of str
        The layer's axis labels (RGB: without the colours).
    scale : tuple of float
        World units per pixel and axis.
    """

    name: str
    data: Any
    rgb: bool
    axes: tuple[str, ...]
    scale: tuple[float, ...]

    @classmethod
    def of(cls, layer: Image) -> LayerData:
        """Read a layer."""
        return cls(
            layer.name,
            layer.data[0] if layer.multiscale else layer.data,
            bool(layer.rgb),
            tuple(map(str, layer.axis_labels)),
            tuple(abs(float(s)) for s in layer.scale),
        )

    def channel(self, wanted: ChannelAxis = "auto", labels: tuple[int, ...] | None = None) -> Any:
        """Return the axis of channels, or None; `labels` is the shape of what is painted."""
        return find_layout(
            self.data.shape,
            2,
            channel_axis=wanted,
            names=self.axes,
            labels_shape=labels,
            rgb=self.rgb,
        ).channel

    def spatial_shape(self, channel: int | None) -> tuple[int, ...]:
        """Return the shape without the axis of channels."""
        return tuple(int(n) for a, n in enumerate(self.data.shape) if a != channel)

    def spacing(self, channel: int | None) -> tuple[float, ...]:
        """Return the scale without the axis of channels (RGB has none to begin with)."""
        return tuple(s for a, s in enumerate(self.scale) if self.rgb or a != channel)


def painted_data(layer: Labels) -> Any:
    """Return the array that is painted on, of a pyramid the largest level.

    It is not copied, for it may be huge: who reads it in a thread must follow its changes.
    """
    return layer.data[0] if layer.multiscale else layer.data


def placement(
    layer: Layer, dropped: int | None = None, start: Sequence[int] | None = None
) -> dict[str, Any]:
    """Return where a layer lies in the world, as arguments for a new one.

    Parameters
    ----------
    layer : Layer
        The layer to lie upon.
    dropped : int, optional
        The axis of the layer that the new one lacks.
    start : sequence of int, optional
        Where the new one begins, in voxels along its axes, if it is but a part.

    Returns
    -------
    dict
        scale, translate, rotate, shear, affine, units and axis_labels.
    """
    keep = [axis for axis in range(layer.ndim) if axis != dropped]
    square = np.ix_(keep, keep)
    affine = np.ix_([*keep, layer.ndim], [*keep, layer.ndim])
    linear = {
        "scale": np.asarray(layer.scale)[keep],
        "translate": np.asarray(layer.translate)[keep],
        "rotate": np.asarray(layer.rotate)[square],
        "shear": _shear_matrix(np.asarray(layer.shear), layer.ndim)[square],
    }
    if start is not None:
        linear["translate"] = np.asarray(Affine(**linear)(start))
    return {
        **linear,
        "affine": np.asarray(layer.affine.affine_matrix)[affine],
        "units": tuple(layer.units[axis] for axis in keep),
        "axis_labels": tuple(layer.axis_labels[axis] for axis in keep),
    }


def _shear_matrix(shear: NDArray[Any], ndim: int) -> NDArray[Any]:
    """Return napari's shear, a list of the upper triangle, as a matrix."""
    if shear.ndim == 2:
        return shear
    matrix = np.eye(ndim)
    matrix[np.triu_indices(ndim, 1)] = shear
    return matrix


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


def colors_of(layer: Labels, values: Iterable[int]) -> dict[int, RGBA]:
    """Return the colours of some values in a layer, and of all that have one of their own there."""
    colormap = layer.colormap
    own = colormap.color_dict if isinstance(colormap, DirectLabelColormap) else {}
    wanted = {int(v) for v in (*values, *own) if v is not None}
    return {v: _rgba(colormap.map(v)) for v in sorted(wanted) if v != colormap.background_value}


def class_names_of(layer: Labels) -> dict[int, str]:
    """Return the names of classes that a layer brings along, such as those of our samples.

    Looked for in ``metadata["class_names"]`` and in a table of features with the columns
    "index" and "class".
    """
    given = layer.metadata.get("class_names")
    if isinstance(given, Mapping):
        return {int(value): str(name) for value, name in given.items()}
    features = layer.features
    if {"index", "class"} <= set(features.columns):
        return {int(v): str(n) for v, n in zip(features["index"], features["class"], strict=True)}
    return {}


def class_color(info: ClassInfo) -> RGBA:
    """Return a class's colour: its own, or napari's for that label."""
    return info.color or _rgba(label_colormap().map(info.value or 1))


def hex_color(color: RGBA) -> str:
    """Return a colour as ``#rrggbb``."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in color[:3])


def _rgba(color: Any) -> RGBA:
    r, g, b, a = (round(float(part), 4) for part in np.asarray(color).reshape(-1)[:4])
    return (r, g, b, a)


def result_labels(
    data: NDArray[Any], model: TrainedModel, image: Image, dropped: int | None
) -> Labels:
    """Return a layer for predicted labels, upon the image and in the classes' colours."""
    colors: dict[int | None, Any] = {c.value: class_color(c) for c in model.classes}
    named = {"index": [c.value for c in model.classes], "class": [str(c) for c in model.classes]}
    return Labels(
        data,
        name=f"{image.name} – prediction",
        opacity=0.5,
        colormap=DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", **colors}),
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
            colormap=Colormap([[0, 0, 0, 1], class_color(info)], name=f"{info} {image.name}"),
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


def insert_above(layers: LayerList, below: Layer, new: Iterable[Layer]) -> None:
    """Put layers directly above another one, the last one on top; what is active stays so."""
    active = layers.selection.active
    place = layers.index(below) + 1 if below in layers else len(layers)
    for layer in new:
        layers.insert(place, layer)
        place += 1
    if active is not None:
        layers.selection.active = active


def origin(layer: Layer) -> Origin:
    """Return where a layer's pixels came from."""
    path = layer.source.path
    return Origin(layer.name, None if path is None else str(path))


def provenance(
    model: TrainedModel,
    image: Image,
    channel: int | None = None,
    *,
    probabilities: bool = False,
    request: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what a result's metadata say: from which image, by which model, learned how.

    Parameters
    ----------
    model, image
        As in `result_labels`.
    channel : int, optional
        The image's axis of channels.
    probabilities : bool
        Whether the result is probabilities.
    request : mapping, optional
        What else was asked for, named as on the command line; see
        `napari_unet.tasks.provenance.provenance`.
    """
    axes: dict[str, Any] = {"rgb": True} if image.rgb else {"channel_axis": channel}
    asked = {**axes, **(request or {})}
    return made_by(model, origin(image), request=asked, probabilities=probabilities)


def described(
    model: TrainedModel,
    names: Mapping[int, str],
    colors: Mapping[int, RGBA],
    pairs: Iterable[tuple[Layer, Layer]],
) -> TrainedModel:
    """Return the same model, which says where it learned and what its classes are called now.

    Names and colours may have been given while it learned; `pairs` are images, each with its
    labels.
    """
    classes = tuple(
        replace(c, name=names.get(c.value, c.name), color=colors.get(c.value, c.color))
        for c in model.classes
    )
    sources = [(origin(image), origin(labels)) for image, labels in pairs]
    return with_sources(model.with_facts(classes=classes), sources)


def note_time(layers: Iterable[Layer], seconds: float) -> None:
    """Write into results how long the prediction took."""
    for layer in layers:
        layer.metadata[RESULT]["prediction_seconds"] = round(seconds, 2)
