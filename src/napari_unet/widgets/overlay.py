"""A layer upon an image that holds no more than what is worth showing of it."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

from napari_unet.geometry.region import Region
from napari_unet.widgets.layers import placement

MOST_SHOWN = {2: 1 << 20, 3: 1 << 22}
"""Displayed voxels up to which a layer covers its whole image: napari draws all of them anew
whenever one has changed. A larger image is covered only where the view is."""

MOST_KEPT = 1 << 26
"""Voxels up to which a layer covers its whole image, displayed or not."""


class Overlay:
    """A layer that is written into in place, and moves where it cannot cover its image.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer goes.
    make : callable
        Returns a new layer for an array; the layer's place in the world comes by keywords.
    """

    def __init__(self, viewer: Viewer, make: Callable[..., Labels | Image]) -> None:
        self._viewer, self._make = viewer, make
        self.layer: Labels | Image | None = None

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
            What to lie upon.
        channel : int, optional
            The image's axis that the overlay lacks.
        place : Region
            Over the image's other axes, in voxels.
        values : ndarray, shape place.shape
            Colours may be a last axis. What is not shown is 0, or NaN in floats: transparent.
        above : Layer, optional
            What a new layer goes directly above of, if it is there; else that is the image.
        """
        shape = tuple(int(n) for a, n in enumerate(_pixels(image).shape) if a != channel)
        cover = Region.whole(shape) if self._is_small(shape) else place
        where = placement(image, None if image.rgb else channel, cover.start)
        inside = place.shift(tuple(-a for a in cover.start)).slices
        whole = cover.shape + values.shape[len(shape) :]
        layer = self.layer
        if layer is None or layer not in self._viewer.layers:
            self.layer = self._make(_filled(whole, inside, values), **where)
            self._insert(self.layer, image if above not in self._viewer.layers else above)
        elif layer.data.shape != whole or not np.can_cast(values.dtype, layer.data.dtype):
            layer.data = _filled(whole, inside, values)
            layer.translate = where["translate"]
        else:
            layer.data[inside] = values
            if np.array_equal(layer.translate, where["translate"]):
                layer.refresh(thumbnail=False, highlight=False, extent=False)
            else:
                layer.translate = where["translate"]  # draws it anew by itself

    def remove(self) -> None:
        """Take the layer away."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None

    def _is_small(self, shape: tuple[int, ...]) -> bool:
        dims = self._viewer.dims
        axes = (axis - dims.ndim + len(shape) for axis in dims.displayed)
        shown = prod(shape[axis] for axis in axes if axis >= 0)
        return shown <= MOST_SHOWN[dims.ndisplay] and prod(shape) <= MOST_KEPT

    def _insert(self, layer: Labels | Image, above: Layer) -> None:
        """Put a layer directly above another; what was selected stays so."""
        layers = self._viewer.layers
        active = layers.selection.active
        layers.insert(layers.index(above) + 1, layer)
        if active is not None:
            layers.selection.active = active


def _pixels(image: Image) -> Any:
    return image.data[0] if image.multiscale else image.data


def _filled(
    shape: tuple[int, ...], inside: tuple[slice, ...], values: NDArray[Any]
) -> NDArray[Any]:
    data: NDArray[Any] = np.full(shape, np.nan if values.dtype.kind == "f" else 0, values.dtype)
    data[inside] = values
    return data
