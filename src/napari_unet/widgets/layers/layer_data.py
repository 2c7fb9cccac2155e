"""What is read of a layer: its pixels, axes, scale, class names and colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap, label_colormap

from napari_unet.data.source import ChannelStack
from napari_unet.errors import InputError
from napari_unet.geometry.axes import (
    CHANNEL_NAMES,
    SPACE_NAMES,
    TIME_NAMES,
    ChannelAxis,
    find_layout,
    is_time,
    name_axes,
    plain_name,
)
from napari_unet.model import ClassInfo
from napari_unet.widgets.layers.placement import check_same_place

MOST_NAMES = 3
"""Layers up to which the name of an image of several layers holds all of their names."""

RGBA = tuple[float, float, float, float]
"""A colour: red, green, blue and opacity, each from 0 to 1."""

BACKGROUND: RGBA = (0.5, 0.5, 0.5, 1.0)
"""The colour of label 0 in curves and tables, where that is a class; in a layer it is clear."""

CLEAR_DISTANCE = 60.0
"""Distance in CIELAB from which on two colours are told apart at a glance."""


def distinct_colour(
    candidates: Sequence[tuple[float, float, float]], classes: Iterable[RGBA], image: Image
) -> tuple[float, float, float]:
    """Return the first candidate that is clearly told from other colours, else the best one.

    Parameters
    ----------
    candidates : sequence of RGB
        From 0 to 1, the preferred one first.
    classes : iterable of RGBA
        Colours that it must not be taken for.
    image : Image
        The layer that it lies upon; what its thumbnail shows counts by the usual distance.
    """
    from skimage.color import rgb2lab

    shown = image.thumbnail[::4, ::4].reshape(-1, 4) / 255.0
    picture = rgb2lab(shown[shown[:, 3] > 0][:, :3])
    others = rgb2lab(np.array([colour[:3] for colour in classes if colour[3]]).reshape(-1, 3))

    def distance(candidate: tuple[float, float, float]) -> float:
        here = rgb2lab(np.array(candidate))
        found = [float(np.linalg.norm(other - here)) for other in others]
        if len(picture):
            found.append(float(np.median(np.linalg.norm(picture - here, axis=1))))
        return min(CLEAR_DISTANCE, *found) if found else CLEAR_DISTANCE

    return max(candidates, key=distance)


STROKES = "napari_unet_strokes"
"""The key in the metadata of a layer of strokes, under which names of classes and settings are."""


def largest_level(layer: Layer) -> Any:
    """Return the array of an Image or Labels layer; of a pyramid the level of full resolution.

    It is not copied, for it may be huge: a thread that reads the array of a layer that is being
    painted on must follow the layer's changes.
    """
    return layer.data[0] if layer.multiscale else layer.data


def array_shape(layer: Layer) -> tuple[int, ...]:
    """Return the shape of a layer's array at full resolution; of RGB the colours are last."""
    return tuple(int(n) for n in largest_level(layer).shape)


def joint_name(layers: Sequence[Layer]) -> str:
    """Return a name for an image whose channels are these layers; of one layer its own.

    Examples
    --------
    >>> joint_name([Image(np.zeros((2, 2)), name=name) for name in ("DAPI", "GFP")])
    'DAPI + GFP'
    """
    if len(layers) > MOST_NAMES:
        return f"{layers[0].name} + {len(layers) - 1} more"
    return " + ".join(layer.name for layer in layers)


@dataclass(frozen=True, eq=False)
class LayerData:
    """What a thread needs to know of an Image layer; it holds no layer.

    Several layers can be the channels of one image, which then come as a last axis.

    Parameters
    ----------
    name : str
        The layer's name.
    data : array
        Its pixels; of a pyramid the largest level. RGB has the colours last.
    rgb : bool
        Whether it is RGB.
    axes : tuple of str
        The layer's axis labels (RGB: without the colours); "t" in place of an unknown label of an
        axis whose unit is one of time, and the names in the layer's metadata in place of other
        unknown ones. Of several layers "c" is the last.
    scale : tuple of float
        World units per pixel and axis of the layer.
    channel_names : tuple of str
        Names of the layers that are the channels, in order; empty where it is a single layer.
    """

    name: str
    data: Any
    rgb: bool
    axes: tuple[str, ...]
    scale: tuple[float, ...]
    channel_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, layer: Image) -> LayerData:
        """Read a layer."""
        return cls(
            layer.name,
            largest_level(layer),
            bool(layer.rgb),
            axis_names(layer),
            tuple(abs(float(s)) for s in layer.scale),
        )

    @classmethod
    def of_channels(cls, layers: Sequence[Image]) -> LayerData:
        """Read layers that are the channels of one image; a single one is read as it is.

        Raises
        ------
        InputError
            Where they do not fit together: it says in what they differ.
        """
        first = cls.of(layers[0])
        if len(layers) == 1:
            return first
        for number, layer in enumerate(layers):
            _check_channel(layer, layers[:number])
        return cls(
            joint_name(layers),
            ChannelStack([largest_level(layer) for layer in layers]),
            rgb=False,
            axes=(*first.axes, "c"),
            scale=first.scale,
            channel_names=tuple(layer.name for layer in layers),
        )

    def channel(self, wanted: ChannelAxis = "auto", labels: tuple[int, ...] | None = None) -> Any:
        """Return the axis of channels, or None.

        Parameters
        ----------
        wanted : int, None or "auto"
            As of `napari_unet.geometry.axes.find_layout`.
        labels : tuple of int, optional
            The shape of the labels that belong to the image.
        """
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
        """Return the scale without the axis of channels (RGB has none to begin with).

        Time comes first, with the scale of the last axis, for seconds are no length.
        """
        kept = [a for a in range(len(self.scale)) if self.rgb or a != channel]
        timed = [a for a in kept if a < len(self.axes) and is_time(self.axes[a])]
        others = [self.scale[a] for a in kept if a not in timed]
        return (*(others[-1:] * len(timed)), *others)


def axis_names(layer: Layer) -> tuple[str, ...]:
    """Return the names of a layer's axes: its labels, and what unit and metadata say of others.

    Metadata is that of readers, with an entry "axes" like ``"CYX"`` or ``["c", "y", "x"]``, or with
    the "multiscales" of an OME-Zarr.
    """
    labels = tuple(map(str, layer.axis_labels))
    described = _described_axes(layer.metadata, len(labels))
    known = TIME_NAMES | SPACE_NAMES | CHANNEL_NAMES
    filled = tuple(
        name if plain_name(name) in known or plain_name(other) not in known else other
        for name, other in zip(labels, described or labels, strict=True)
    )
    return name_axes(filled, tuple(map(str, layer.units)))


def _described_axes(metadata: Mapping[Any, Any], ndim: int) -> tuple[str, ...]:
    """Return the names of axes in a layer's metadata; empty where there are none for all axes."""
    found = metadata.get("axes")
    pyramids = metadata.get("ome", metadata)
    pyramids = pyramids.get("multiscales") if isinstance(pyramids, Mapping) else None
    if found is None and isinstance(pyramids, Sequence) and pyramids:
        first = pyramids[0]
        found = first.get("axes") if isinstance(first, Mapping) else None
    if not isinstance(found, Sequence) or len(found) != ndim:
        return ()
    return tuple(
        str(axis.get("name", "")) if isinstance(axis, Mapping) else str(axis) for axis in found
    )


def check_paired(image: Sequence[Image], other: Layer) -> None:
    """Check that what goes with an image lies upon it: labels, a target or a mask.

    Parameters
    ----------
    image : sequence of Image
        The layer of the image, or those of its channels.
    other : Layer
        What goes with it: of the image's shape, with or without its axis of channels. (Other
        shapes are refused elsewhere.)

    Raises
    ------
    InputError
        Where its transform is another one.
    """
    shape, others = array_shape(image[0]), array_shape(other)[: other.ndim]
    if shape[: image[0].ndim] == others:
        check_same_place(image[0], other)
        return
    channel = LayerData.of(image[0]).channel(labels=others)
    if not image[0].rgb and tuple(n for a, n in enumerate(shape) if a != channel) == others:
        check_same_place(image[0], other, channel)


def _check_channel(layer: Image, before: Sequence[Image]) -> None:
    """Check that a layer can be one more channel of an image.

    Raises
    ------
    InputError
        Where it has channels of its own, or lies elsewhere than the first one.
    """
    if layer in before:
        raise InputError(
            f"“{layer.name}” is chosen for two channels",
            todo="Choose another layer for one of them",
        )
    if layer.rgb or any(plain_name(name) in CHANNEL_NAMES for name in axis_names(layer)):
        raise InputError(
            f"“{layer.name}” has channels of its own, so it cannot be one of several channels",
            todo="Choose that layer alone, or split it: right-click it, Split Stack or Split RGB",
        )
    if before:
        check_same_place(before[0], layer)


def typed_names_of(layer: Labels) -> dict[int, str]:
    """Return the names of classes, by label value, that were typed in a panel for this layer."""
    typed = remembered(layer, "class_names")
    return {int(v): str(name) for v, name in typed.items()} if isinstance(typed, Mapping) else {}


def name_class(layer: Labels, value: int, name: str) -> None:
    """Remember the name of a class in the metadata of its layer."""
    names = {**typed_names_of(layer), value: name}
    remember(layer, class_names={str(v): text for v, text in names.items()})


def remember(layer: Labels, **facts: Any) -> None:
    """Keep facts in a layer's metadata, where its copies have them, too.

    Parameters
    ----------
    layer : Labels
        A layer of strokes.
    **facts
        Plain JSON, by name; others that were kept before stay.
    """
    before = layer.metadata.get(STROKES)
    layer.metadata[STROKES] = {**(before if isinstance(before, Mapping) else {}), **facts}


def remembered(layer: Labels, name: str) -> Any:
    """Return a fact that `remember` has kept, or None."""
    found = layer.metadata.get(STROKES)
    return found.get(name) if isinstance(found, Mapping) else None


def class_names_of(layer: Labels) -> dict[int, str]:
    """Return the names of classes, by label value, that a layer brings along.

    They are read from ``metadata["class_names"]``, as in our sample data, or from a table of
    features with the columns "index" and "class"; empty where there are none.
    """
    given = layer.metadata.get("class_names")
    if isinstance(given, Mapping):
        return {int(value): str(name) for value, name in given.items()}
    features = layer.features
    if {"index", "class"} <= set(features.columns):
        return {int(v): str(n) for v, n in zip(features["index"], features["class"], strict=True)}
    return {}


def colours_of(layer: Labels, values: Iterable[int]) -> dict[int, RGBA]:
    """Return colours in which a layer shows label values.

    Parameters
    ----------
    layer : Labels
        Whose colormap is read.
    values : iterable of int
        Label values; those that have a colour of their own in the colormap are added.

    Returns
    -------
    dict
        By label value, without the background.
    """
    colormap = layer.colormap
    own = colormap.color_dict if isinstance(colormap, DirectLabelColormap) else {}
    wanted = {int(v) for v in (*values, *own) if v is not None}
    return {v: _rgba(colormap.map(v)) for v in sorted(wanted) if v != colormap.background_value}


def class_colour(info: ClassInfo) -> RGBA:
    """Return a class's colour: its own, or napari's for that label; the background is grey."""
    return info.color or (_rgba(label_colormap().map(info.value)) if info.value else BACKGROUND)


def _rgba(colour: Any) -> RGBA:
    parts = [round(float(part), 4) for part in np.asarray(colour).reshape(-1)[:4]]
    return parts[0], parts[1], parts[2], parts[3]
