"""What a network makes of an image, as a block to be shown and a layer to show it in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image
from numpy.typing import NDArray

from napari_unet.control import PreviewedImage, Viewport
from napari_unet.geometry.axes import AxisLayout
from napari_unet.geometry.region import Region

LINKED = ("contrast_limits", "gamma", "colormap")
"""What a preview and the layer that it looks like change together."""


@dataclass(frozen=True)
class Block:
    """Values, where they belong, and the image's axis that they lack, if any.

    `values` has the shape of `place`, over the image's other axes; colours are a last axis.
    """

    channel: int | None
    place: Region
    values: NDArray[Any]


def place_of(layout: AxisLayout, view: Viewport, channels: int = 1) -> Region:
    """Return where a preview belongs in an array with these axes; of channels all are shown."""
    spans = dict(zip(layout.loops, ((i, i + 1) for i in view.index), strict=True))
    spans |= zip(layout.spatial, zip(view.region.start, view.region.stop, strict=True), strict=True)
    if layout.channel is not None:
        spans[layout.channel] = (0, channels)
    start, stop = zip(*(spans[axis] for axis in sorted(spans)), strict=True)
    return Region(start, stop)


def image_block(preview: PreviewedImage, image: Image, layout: AxisLayout) -> Block:
    """Return what to show of a preview.

    With the image's channels all of them; then its slider, or its colours, work here too. With
    others the first.

    Parameters
    ----------
    preview : PreviewedImage
        What to show.
    image : Image
        Upon which it will lie.
    layout : AxisLayout
        Roles of the image's axes.
    """
    pixels, flat = preview.image, place_of(layout.labels, preview.view)
    shape = (image.data[0] if image.multiscale else image.data).shape
    if layout.channel is None or len(pixels) != layout.channels(shape):
        return Block(layout.channel, flat, pixels[0].astype(np.float32).reshape(flat.shape))
    if image.rgb:
        colors = _as_colors(pixels, np.dtype(image.dtype))
        return Block(layout.channel, flat, colors.reshape(*flat.shape, 4))
    place = place_of(layout, preview.view, len(pixels))
    before = sum(axis < layout.channel for axis in layout.spatial)
    values = np.moveaxis(pixels.astype(np.float32), 0, before)
    return Block(None, place, values.reshape(place.shape))


def image_layer(data: NDArray[Any], like: Image, **how: Any) -> Image:
    """Return a layer that covers what is below it, and looks like another one.

    Parameters
    ----------
    data : ndarray
        Of floats, NaN where it is transparent; or colours, then of integers or from 0 to 1.
    like : Image
        Whose contrast and colormap it has.
    **how
        Its name and place.
    """
    over = {"blending": "translucent_no_depth", **how}
    colors = data.ndim > len(how["scale"])
    if colors or like.rgb:
        return Image(data, rgb=colors, **over)
    return Image(
        data,
        rgb=False,
        colormap=like.colormap,
        contrast_limits=like.contrast_limits,
        gamma=like.gamma,
        interpolation2d=like.interpolation2d,
        rendering=like.rendering,
        **over,
    )


def link_looks(viewer: Viewer, one: Image, other: Image) -> None:
    """Let two layers of a viewer have the same contrast and colormap from now on."""
    if not (one.rgb or other.rgb) and one in viewer.layers and other in viewer.layers:
        viewer.layers.link_layers([one, other], LINKED)


def _as_colors(pixels: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return colours as napari takes them, opaque: the last axis is RGBA."""
    top: Any = 1 if dtype.kind == "f" else np.iinfo(dtype).max
    values = np.moveaxis(np.clip(pixels[:3], 0, top), 0, -1)
    values = (values if dtype.kind == "f" else np.rint(values)).astype(dtype)
    return np.concatenate([values, np.full((*values.shape[:-1], 1), top, dtype)], -1)
