"""Layers that are painted on: whether that works, copies that can be painted on, where they lie."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_unet.widgets.layers.layer_data import array_shape
from napari_unet.widgets.layers.placement import placement

PLACED = ("scale", "translate", "rotate", "shear")
"""Attributes of a layer that say where it lies, besides the affine transform of others."""

CLOSE = 1e-6
"""Difference of positions, in pixels per pixel, that does not count."""


def why_not_paintable(layer: Labels) -> str:
    """Return why a layer cannot be painted on, as the end of a sentence; empty if it can.

    Parameters
    ----------
    layer : Labels
        The layer.
    """
    data = layer.data
    if layer.multiscale:
        return "it is a pyramid (multiscale), and napari paints on single images only"
    if isinstance(data, np.ndarray):
        if not data.flags.writeable:
            return "its pixels are read-only"
    elif hasattr(data, "dask"):
        return "its pixels are computed when they are needed (dask), so paint is not stored"
    elif getattr(data, "read_only", False) or getattr(data, "mode", "r+") == "r":
        return "its file is open for reading only"
    return "" if layer.editable else "it is set to be not editable"


def editable_copy(layer: Labels, pixels: NDArray[Any]) -> Labels:
    """Return a layer like another one that can be painted on.

    Parameters
    ----------
    layer : Labels
        The layer, which is not changed.
    pixels : ndarray of int
        A copy of its pixels, at full resolution.
    """
    names = ("opacity", "blending", "axis_labels", "units", "affine", "features", "colormap")
    same = {name: getattr(layer, name) for name in (*PLACED, *names)}
    metadata = {key: value for key, value in layer.metadata.items() if key == "class_names"}
    return Labels(pixels, name=f"{layer.name} – copy", metadata=metadata, **same)


def copied_pixels(layer_data: Any) -> NDArray[Any]:
    """Return a copy of an array in memory; to be called in a thread, for it may be large."""
    return np.array(layer_data)


def begin_painting(viewer: ViewerModel, layer: Labels) -> None:
    """Select a layer of the viewer, and take up the brush.

    The mode is set when the layer is selected already: the buttons of the toolbar follow only what
    changes then.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layer is.
    layer : Labels
        The layer.
    """
    viewer.layers.selection.active = layer
    layer.mode = "paint"


def lies_elsewhere(image: Image, labels: Labels, channel: int | None) -> bool:
    """Tell whether the pixels of labels are not seen upon those of the image that have their index.

    Parameters
    ----------
    image : Image
        The image.
    labels : Labels
        Labels of its shape without the channels.
    channel : int, optional
        The image's axis of channels; None where it has none, or is RGB.
    """
    expected = Labels(np.zeros((1,) * labels.ndim, np.uint8), **placement(image, channel))
    if expected.ndim != labels.ndim:
        return False
    shape = array_shape(labels)
    corners = np.array([(0,) * len(shape), shape, *np.diag(shape)], float)
    here, there = (
        np.array([layer.data_to_world(corner) for corner in corners])
        for layer in (labels, expected)
    )
    pixel = np.abs(np.asarray(expected.scale)).min()
    return bool(np.abs(here - there).max() > CLOSE * pixel * max(1, *shape))


def lay_upon(labels: Labels, image: Image, channel: int | None) -> None:
    """Move labels so that each pixel lies upon the pixel of the image that has its index.

    Parameters
    ----------
    labels, image, channel
        As of `lies_elsewhere`.
    """
    for name, value in placement(image, channel).items():
        setattr(labels, name, value)
