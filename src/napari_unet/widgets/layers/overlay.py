"""Layers that show a preview upon an image, and cover only a part of a large one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray
from superqt.utils import qthrottled

from napari_unet.control import PreviewedImage, Viewport
from napari_unet.geometry.axes import AxisLayout
from napari_unet.geometry.region import Region
from napari_unet.widgets.layers.layer_data import array_shape
from napari_unet.widgets.layers.placement import insert_above, placement
from napari_unet.widgets.layers.result_history import topmost_on
from napari_unet.widgets.layers.view_geometry import canvas_axes

MOST_SHOWN = {2: 1 << 20, 3: 1 << 22}
"""Most displayed voxels of a layer that covers its whole image, by number of displayed axes.

napari draws all of them again whenever one has changed. A larger image is covered only where the
view is.
"""

MOST_KEPT = 1 << 26
"""Most voxels of a layer that covers its whole image, displayed or not."""

THUMBNAIL_MS = 1000
"""Least time in milliseconds between two drawings of a layer's thumbnail."""

LINKED = ("contrast_limits", "gamma", "colormap")
"""Attributes that change together in a preview and the layer whose look it has."""


class Overlay:
    """A layer that is written into in place; where it cannot cover its image, it moves.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer is inserted.
    make : callable
        Returns a new layer for an array; its placement in the world is passed as keywords.

    Attributes
    ----------
    layer : Labels or Image, optional
        The layer, once something was written.
    """

    def __init__(self, viewer: Viewer, make: Callable[..., Labels | Image]) -> None:
        self._viewer, self._make = viewer, make
        self.layer: Labels | Image | None = None
        self._draw_thumbnail_soon = qthrottled(
            self._draw_thumbnail, timeout=THUMBNAIL_MS, leading=False
        )

    def write(
        self,
        image: Image,
        channel: int | None,
        place: Region,
        values: NDArray[Any],
        above: Layer | None = None,
    ) -> None:
        """Show values at a place; make the layer if there is none.

        Parameters
        ----------
        image : Image
            The layer to cover.
        channel : int, optional
            The image's axis that the overlay lacks.
        place : Region
            Over the image's other axes, in voxels.
        values : ndarray, shape place.shape
            Colours may be a last axis. 0, or NaN in floats, is transparent.
        above : Layer, optional
            The layer above which a new one is inserted, if it is in the viewer; else it lies above
            the image and its results.
        """
        shape = tuple(n for a, n in enumerate(array_shape(image)) if a != channel)
        cover = Region.whole(shape) if self._is_small(shape) else place
        where = placement(image, None if image.rgb else channel, cover.start)
        inside = place.within(cover).slices
        whole = cover.shape + values.shape[len(shape) :]
        layer = self.layer
        if layer is None or layer not in self._viewer.layers:
            self.layer = self._make(_filled(whole, inside, values), **where)
            layers = self._viewer.layers
            below = above if above in layers else topmost_on(layers, image)
            insert_above(layers, below, [self.layer])
        elif layer.data.shape != whole or not np.can_cast(values.dtype, layer.data.dtype):
            layer.data = _filled(whole, inside, values)
            layer.translate = where["translate"]
        else:
            layer.data[inside] = values
            if np.array_equal(layer.translate, where["translate"]):
                layer.refresh(thumbnail=False, highlight=False, extent=False)
            else:
                layer.translate = where["translate"]  # draws the layer as well
            self._draw_thumbnail_soon()

    def remove(self) -> None:
        """Remove the layer."""
        self._draw_thumbnail_soon.cancel()
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None

    def _draw_thumbnail(self) -> None:
        if self.layer is not None and self.layer in self._viewer.layers:
            self.layer.refresh(data_displayed=False, highlight=False, extent=False)

    def _is_small(self, shape: tuple[int, ...]) -> bool:
        """Tell whether a layer of this shape may cover its whole image."""
        axes = canvas_axes(self._viewer, len(shape))
        shown = prod(shape[axis] for axis in axes if axis >= 0)
        return shown <= MOST_SHOWN[self._viewer.dims.ndisplay] and prod(shape) <= MOST_KEPT


def _filled(
    shape: tuple[int, ...], inside: tuple[slice, ...], values: NDArray[Any]
) -> NDArray[Any]:
    data: NDArray[Any] = np.full(shape, np.nan if values.dtype.kind == "f" else 0, values.dtype)
    data[inside] = values
    return data


@dataclass(frozen=True)
class OverlayBlock:
    """Values to show upon an image, and their place.

    Parameters
    ----------
    channel : int, optional
        The image's axis that the values lack.
    place : Region
        Over the image's other axes, in voxels.
    values : ndarray, shape place.shape
        Colours may be a last axis.
    """

    channel: int | None
    place: Region
    values: NDArray[Any]


def place_of(layout: AxisLayout, view: Viewport, channels: int = 1) -> Region:
    """Return the place of a preview in an array.

    Parameters
    ----------
    layout : AxisLayout
        Roles of the axes of the array.
    view : Viewport
        What is previewed.
    channels : int
        Number of channels, all of which are part of the place, if the array has such an axis.
    """
    spans = dict(zip(layout.loops, ((i, i + 1) for i in view.index), strict=True))
    spans |= zip(layout.spatial, zip(view.region.start, view.region.stop, strict=True), strict=True)
    if layout.channel is not None:
        spans[layout.channel] = (0, channels)
    start, stop = zip(*(spans[axis] for axis in sorted(spans)), strict=True)
    return Region(start, stop)


def image_block(preview: PreviewedImage, image: Image, layout: AxisLayout) -> OverlayBlock:
    """Return what to show of a preview.

    Where it has as many channels as the image, all of them are shown, with the image's slider or
    as colours; else only the first.

    Parameters
    ----------
    preview : PreviewedImage
        What to show.
    image : Image
        The layer to cover.
    layout : AxisLayout
        Roles of the image's axes.
    """
    pixels, flat = preview.image, place_of(layout.labels, preview.view)
    shape = array_shape(image)
    # Where the channels are layers of their own, the image's array has no such axis.
    channel = layout.channel
    if channel is None or channel >= len(shape) or len(pixels) != shape[channel]:
        return OverlayBlock(channel, flat, pixels[0].astype(np.float32).reshape(flat.shape))
    if image.rgb:
        colours = _as_colours(pixels, np.dtype(image.dtype))
        return OverlayBlock(channel, flat, colours.reshape(*flat.shape, 4))
    place = place_of(layout, preview.view, len(pixels))
    before = sum(axis < channel for axis in layout.spatial)
    values = np.moveaxis(pixels.astype(np.float32), 0, before)
    return OverlayBlock(None, place, values.reshape(place.shape))


def image_layer(data: NDArray[Any], like: Image, **how: Any) -> Image:
    """Return a layer that covers the layers below, with the look of another one.

    Parameters
    ----------
    data : ndarray
        Floats, NaN where it is transparent; or colours, as integers or from 0 to 1.
    like : Image
        Whose contrast and colormap it gets.
    **how
        Other arguments of an Image layer: its name and placement.
    """
    over = {"blending": "translucent_no_depth", **how}
    is_rgb = data.ndim > len(how["scale"])
    if is_rgb or like.rgb:
        return Image(data, rgb=is_rgb, **over)
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
    """Link the contrast and colormap of two layers, if both are in the viewer and not RGB.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    one, other : Image
        The layers to link.
    """
    if not (one.rgb or other.rgb) and one in viewer.layers and other in viewer.layers:
        viewer.layers.link_layers([one, other], LINKED)


def _as_colours(pixels: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return colours as napari takes them, opaque: the last axis is RGBA."""
    top: Any = 1 if dtype.kind == "f" else np.iinfo(dtype).max
    values = np.moveaxis(np.clip(pixels[:3], 0, top), 0, -1)
    values = (values if dtype.kind == "f" else np.rint(values)).astype(dtype)
    return np.concatenate([values, np.full((*values.shape[:-1], 1), top, dtype)], -1)
