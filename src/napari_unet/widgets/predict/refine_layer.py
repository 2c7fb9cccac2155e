"""What is refined: a result, the part of it that is in view, and a layer that shows both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels
from napari.utils.colormaps import label_colormap
from numpy.typing import NDArray

from napari_unet.postprocessing.options import RefineOptions
from napari_unet.widgets.layers.placement import insert_above, placement
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.layers.view_geometry import ViewGeometry

MOST_VOXELS = 2**22
"""What a preview shows at most; of a larger view it is the middle."""

MOST_AROUND = 2**20
"""Up to so many voxels, planes beside the one in view are looked at as well."""

Box = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class RefinableResult:
    """What is refined, as it was predicted.

    Parameters
    ----------
    probabilities : ndarray of uint8 or float, shape (class, *layer shape)
        As of `napari_unet.postprocessing.refine.refine`.
    original : ndarray of int
        The likeliest labels.
    values : tuple of int
        The label of each class.
    spacing : tuple of float
        World units per voxel and axis of the layer.
    spatial_ndim : int
        How many of the last axes are space.
    """

    probabilities: NDArray[Any]
    original: NDArray[Any]
    values: tuple[int, ...]
    spacing: tuple[float, ...]
    spatial_ndim: int

    def ndim(self, options: RefineOptions) -> int:
        """Return how many of the last axes are looked at together."""
        return min(3, self.original.ndim) if options.through_planes else self.spatial_ndim

    def arguments(self, options: RefineOptions) -> dict[str, Any]:
        """Return what `refine` needs beside the probabilities."""
        return {
            "options": options,
            "values": self.values,
            "spacing": self.spacing,
            "spatial_ndim": self.ndim(options),
        }


@dataclass(frozen=True)
class LayerLook:
    """What a preview shows, and what has to be looked at for that, in the layer's voxels.

    Parameters
    ----------
    shown, read : tuple of slice
        One per axis; `read` contains `shown`.
    whole : bool
        Whether all that is in view is shown.
    """

    shown: Box
    read: Box
    whole: bool

    @property
    def inside(self) -> Box:
        """Where the shown part lies in what was read."""
        pairs = zip(self.shown, self.read, strict=True)
        return tuple(slice(s.start - r.start, s.stop - r.start) for s, r in pairs)


def look_at(viewer: Viewer, layer: Labels, spatial_ndim: int) -> LayerLook | None:
    """Return what of a layer is in view, None if nothing is.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer is.
    layer : Labels
        Its last `spatial_ndim` axes are space.
    spatial_ndim : int
        Beside a plane of a volume, planes above and below are read: an object is more than what
        the plane cuts out of it.
    """
    shape, geometry = layer.data.shape, ViewGeometry(viewer, layer)
    seen, hidden, at = geometry.displayed, geometry.hidden, geometry.index
    if any(not 0 <= at[axis] < shape[axis] for axis in hidden):
        return None
    spans = {axis: (int(at[axis]), int(at[axis]) + 1) for axis in hidden}
    spans |= {axis: (0, int(shape[axis])) for axis in seen}
    full = _voxels(spans)
    if full > MOST_VOXELS:
        spans |= _cropped(layer, seen)
    shown = _box(spans)
    deep = [axis for axis in hidden if axis >= layer.ndim - spatial_ndim]
    reach = int((MOST_AROUND / _voxels(spans)) ** (1 / max(1, len(deep))) - 1) // 2
    for axis in deep if reach > 0 else ():
        spans[axis] = max(0, spans[axis][0] - reach), min(shape[axis], spans[axis][1] + reach)
    return LayerLook(shown, _box(spans), whole=math.prod(s.stop - s.start for s in shown) == full)


def _cropped(layer: Labels, seen: list[int]) -> dict[int, tuple[int, int]]:
    """Return the part of the axes in view that is on the canvas, or the middle of that."""
    side = int(MOST_VOXELS ** (1 / len(seen)))
    spans = {}
    for axis in seen:
        low, high = (int(corner[axis]) for corner in layer.corner_pixels)
        size = int(layer.data.shape[axis])
        low, high = max(0, low), min(size, high + 1)
        if high <= low:  # off the canvas
            low, high = 0, size
        over = max(0, high - low - side)
        spans[axis] = low + over // 2, high - (over + 1) // 2
    return spans


def _voxels(spans: dict[int, tuple[int, int]]) -> int:
    return math.prod(max(1, high - low) for low, high in spans.values())


def _box(spans: dict[int, tuple[int, int]]) -> Box:
    return tuple(slice(*spans[axis]) for axis in sorted(spans))


class RefinedLayer:
    """Writes labels into a layer, and takes back what was only a preview.

    All is written into the layer's array in place, past its history. It is for the caller not to
    write where the user has painted: see `edited`.

    Parameters
    ----------
    layer : Labels
        A result, in the colours of its classes.
    base : ndarray of int
        What the layer holds where no preview is.

    Attributes
    ----------
    edited : bool
        Whether anybody else has changed the layer's labels.
    """

    def __init__(self, layer: Labels, base: NDArray[Any]) -> None:
        self.layer, self.edited = layer, False
        self._base, self._objects = base, False
        self._shown: Box | None = None
        self._ours = self._cyclic = False
        self._colormap, self._features = layer.colormap, layer.features
        for emitter in self._emitters():
            emitter.connect(self._changed)

    def show(self, where: Box, labels: NDArray[Any], *, objects: bool) -> None:
        """Write a preview; the one before goes."""
        self._write_base()
        self._make_room(labels)
        self.layer.data[where] = labels
        self._shown = where
        self._show_as(objects)

    def commit(self, labels: NDArray[Any], options: RefineOptions | None) -> None:
        """Write labels of the whole layer, and note how they were made; None: as predicted."""
        self._base, self._shown = labels, None
        self._objects = options is not None and options.output == "objects"
        self._make_room(labels)
        self.layer.data[...] = labels
        noted = {k: v for k, v in self.layer.metadata.get(RESULT, {}).items() if k != "refined"}
        made = {} if options is None else {"refined": options.model_dump()}
        self.layer.metadata[RESULT] = noted | made
        self._show_as(self._objects)

    def take_back(self) -> None:
        """Remove the preview, if there is one."""
        if self._shown is not None and not self.edited:
            self._write_base()
            self._show_as(self._objects)

    def copy(self, viewer: Viewer, labels: NDArray[Any]) -> RefinedLayer:
        """Put a new layer with other labels above this one, in the colours of the classes."""
        old = self.layer
        layer = Labels(
            labels.copy(),
            name=f"{old.name.removesuffix(' – refined')} – refined",
            opacity=old.opacity,
            colormap=self._colormap if self._cyclic else old.colormap,
            features=self._features if self._cyclic else old.features,
            metadata={RESULT: dict(old.metadata.get(RESULT, {}))},
            **placement(old),
        )
        insert_above(viewer.layers, old, [layer])
        return RefinedLayer(layer, labels)

    def release(self) -> None:
        """Follow the layer no longer."""
        for emitter in self._emitters():
            emitter.disconnect(self._changed)

    def _emitters(self) -> tuple[Any, ...]:
        events = self.layer.events
        # The second comes with each dab of a brush, the first when the stroke is done.
        return (events.paint, events.labels_update, events.data)

    def _changed(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        self.edited = self.edited or not self._ours

    def _write_base(self) -> None:
        if self._shown is not None:
            self.layer.data[self._shown] = self._base[self._shown]
            self._shown = None

    def _make_room(self, labels: NDArray[Any]) -> None:
        """Let the layer's array hold larger numbers, if need be."""
        data = self.layer.data
        if labels.size and int(labels.max()) > np.iinfo(data.dtype).max:
            self._ours = True
            self.layer.data = data.astype(np.int32)
            self._ours = False

    def _show_as(self, objects: bool) -> None:
        """Draw the layer, in a colour for each object or in those of the classes."""
        layer = self.layer
        if objects and not self._cyclic:
            self._colormap, self._features = layer.colormap, layer.features
            # Names of classes would be wrong names for objects.
            layer.colormap, layer.features = label_colormap(), {}
        elif self._cyclic and not objects:
            layer.colormap, layer.features = self._colormap, self._features
        self._cyclic = objects
        self.layer.refresh(thumbnail=False, highlight=False, extent=False)
