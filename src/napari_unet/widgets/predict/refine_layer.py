"""A result that is refined, the part of it that is in view, and the layer that shows it."""

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
from napari_unet.tasks.provenance import refined
from napari_unet.widgets.layers.placement import insert_above, placement
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.layers.result_history import add_copy, is_edited, unedited, written
from napari_unet.widgets.layers.view_geometry import ViewGeometry
from napari_unet.widgets.qt.subscriptions import Subscriptions

MOST_VOXELS = 2**22
"""Largest preview, in voxels; of a larger view it shows the middle."""

MOST_AROUND = 2**20
"""Largest part that is read for a preview of one plane of a volume, in voxels."""

Box = tuple[slice, ...]
"""Part of an array: one slice per axis."""


@dataclass(frozen=True, eq=False)
class RefinableResult:
    """A result as it was predicted.

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
        How many of the last axes are spatial axes of the model.
    """

    probabilities: NDArray[Any]
    original: NDArray[Any]
    values: tuple[int, ...]
    spacing: tuple[float, ...]
    spatial_ndim: int

    def ndim(self, options: RefineOptions) -> int:
        """Return how many of the last axes are refined together."""
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
    """The part of a layer that a preview shows, and the part that is read for it, in voxels.

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
    """Return the part of a layer that is in view; None where none is.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer is.
    layer : Labels
        The result.
    spatial_ndim : int
        How many of its last axes are refined together. Where one of them has a slider, planes
        above and below are read, too: an object is more than its section in one plane.
    """
    shape = layer.data.shape
    geometry = ViewGeometry(viewer, layer)
    seen, hidden = geometry.displayed, geometry.hidden
    at = geometry.index
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

    Everything is written into the layer's array in place, without an entry in its undo history.
    The caller must not write where the user has painted: see `edited`.

    Parameters
    ----------
    layer : Labels
        A result, in the colours of its classes.
    base : ndarray of int
        What the layer holds where no preview is.
    """

    def __init__(self, layer: Labels, base: NDArray[Any]) -> None:
        self.layer = layer
        self._edited = False
        self._base = base
        self._base_has_objects = False
        self._shown: Box | None = None
        self._is_ours = False
        self._shows_objects = False
        self._colormap = layer.colormap
        self._features = layer.features
        events = layer.events
        self._subscriptions = Subscriptions()
        # The second comes with each dab of a brush, the first when the stroke is done.
        self._subscriptions.connect(self._changed, events.paint, events.labels_update, events.data)

    @property
    def edited(self) -> bool:
        """Whether anybody else has changed the layer's labels."""
        self._edited = self._edited or is_edited(self.layer)
        return self._edited

    def mark_edited(self) -> None:
        """Never write into the layer again."""
        self._edited = True

    def show(self, where: Box, labels: NDArray[Any], *, objects: bool) -> None:
        """Write a preview in place of the last one.

        Parameters
        ----------
        where : tuple of slice
            The part of the layer.
        labels : ndarray of int
            Its labels.
        objects : bool
            Whether they number objects, which get a colour each, or are classes.
        """
        self._write_base()
        self._make_room(labels)
        with written(self.layer, where[0]):
            self.layer.data[where] = labels
        self._shown = where
        self._show_as(objects)

    def commit(self, labels: NDArray[Any], options: RefineOptions | None, **arguments: Any) -> None:
        """Write labels of the whole layer, and note in its metadata how they were made.

        Parameters
        ----------
        labels : ndarray of int
            Labels of the layer's shape.
        options : RefineOptions, optional
            What they were refined with; None where they are as predicted.
        **arguments
            What `napari_unet.refine` was given beside probabilities and options.
        """
        self._base = labels
        self._shown = None
        self._base_has_objects = options is not None and options.output == "objects"
        self._make_room(labels)
        with written(self.layer):
            self.layer.data[...] = labels
        given = None if options is None else options.model_dump(exclude_defaults=True)
        made = self.layer.metadata.get(RESULT, {})
        self.layer.metadata[RESULT] = refined(made, given, **arguments)
        self._show_as(self._base_has_objects)

    def take_back(self) -> None:
        """Remove the preview, if there is one."""
        if self._shown is not None and not self.edited:
            self._write_base()
            self._show_as(self._base_has_objects)

    def copy(self, viewer: Viewer, labels: NDArray[Any]) -> RefinedLayer:
        """Put a new layer with other labels above this one, in the colours of the classes.

        Parameters
        ----------
        viewer : napari.Viewer
            Where the layers are.
        labels : ndarray of int
            The labels of the new layer; they are copied.
        """
        old = self.layer
        layer = Labels(
            labels.copy(),
            name=f"{old.name.removesuffix(' – refined')} – refined",
            opacity=old.opacity,
            colormap=self._colormap if self._shows_objects else old.colormap,
            features=self._features if self._shows_objects else old.features,
            metadata={RESULT: dict(old.metadata.get(RESULT, {}))},
            **placement(old),
        )
        insert_above(viewer.layers, old, [layer])
        add_copy(old, layer)
        return RefinedLayer(layer, labels)

    def release(self) -> None:
        """Disconnect from the layer."""
        self._subscriptions.release()

    def _changed(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        self._edited = self._edited or not self._is_ours

    def _write_base(self) -> None:
        if self._shown is not None:
            with written(self.layer, self._shown[0]):
                self.layer.data[self._shown] = self._base[self._shown]
            self._shown = None

    def _make_room(self, labels: NDArray[Any]) -> None:
        """Make the layer's array one of larger numbers, if these do not fit."""
        data = self.layer.data
        if labels.size and int(labels.max()) > np.iinfo(data.dtype).max:
            self._is_ours = True
            with unedited(self.layer):
                self.layer.data = data.astype(np.int32)
            self._is_ours = False

    def _show_as(self, objects: bool) -> None:
        """Draw the layer, in a colour for each object or in the colours of the classes."""
        layer = self.layer
        if objects and not self._shows_objects:
            self._colormap, self._features = layer.colormap, layer.features
            # Names of classes would be wrong names for objects.
            layer.colormap, layer.features = label_colormap(), {}
        elif self._shows_objects and not objects:
            layer.colormap, layer.features = self._colormap, self._features
        self._shows_objects = objects
        self.layer.refresh(highlight=False, extent=False)


class RefineSession:
    """The refining of one result: what was predicted, what was applied, and where it is shown.

    What the user painted into a result is never overwritten: then a new layer is made.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    layer : Labels
        The layer of the result.
    result : RefinableResult
        What was predicted.

    Attributes
    ----------
    target : RefinedLayer
        The layer that is written into: that of the result, or a copy.
    applied : RefineOptions
        The settings of the labels that the layer holds without a preview.
    """

    def __init__(self, viewer: Viewer, layer: Labels, result: RefinableResult) -> None:
        self._viewer = viewer
        self.layer = layer
        self.result = result
        self.target = RefinedLayer(layer, result.original)
        self.applied = RefineOptions()

    def look(self, options: RefineOptions) -> LayerLook | None:
        """Return the part that is in view; None where none is."""
        return look_at(self._viewer, self.target.layer, self.result.ndim(options))

    def rarest_in_view(self) -> int | None:
        """Return the label of the rarest predicted class in view, besides 0."""
        look = look_at(self._viewer, self.layer, self.result.spatial_ndim)
        if look is None:
            return None
        found, voxels = np.unique(self.result.original[look.shown], return_counts=True)
        rare = [v for v in found[np.argsort(voxels)] if v in self.result.values and v != 0]
        return int(rare[0]) if rare else None

    def writable(self, *, new: bool) -> RefinedLayer | None:
        """Return the layer to write into.

        Parameters
        ----------
        new : bool
            Whether to make a new layer where the user has painted; else None is returned.
        """
        if not self.target.edited:
            return self.target
        if not new:
            return None
        self.target.release()
        self.target = self.target.copy(self._viewer, self.result.original)
        self.applied = RefineOptions()
        return self.target

    def apply(self, labels: NDArray[Any], options: RefineOptions) -> None:
        """Write labels of the whole layer.

        Parameters
        ----------
        labels : ndarray of int
            Labels of the layer's shape.
        options : RefineOptions
            What they were refined with.
        """
        target = self.writable(new=True)
        assert target is not None
        arguments = self.result.arguments(options)
        target.commit(labels, **arguments)
        self.applied = options

    def reset(self) -> bool:
        """Write the labels as predicted; return False where the user has painted on them."""
        self.applied = RefineOptions()
        if not self.target.edited:
            self.target.commit(self.result.original, None)
        return not self.target.edited

    def is_gone_with(self, layer: object) -> bool:
        """Take note that a layer was removed; return whether it was that of the result.

        Where it was a copy, the next one begins from the result again.
        """
        if layer is not self.target.layer:
            return False
        if layer is self.layer:
            return True
        self.target.release()
        self.target = RefinedLayer(self.layer, self.result.original)
        self.target.mark_edited()
        return False

    def release(self) -> None:
        """Take back what was only a preview, and disconnect from the layer."""
        self.target.take_back()
        self.target.release()
