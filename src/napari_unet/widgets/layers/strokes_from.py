"""Strokes made of points and shapes: a new Labels layer, while the original stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points, Shapes
from numpy.typing import NDArray
from skimage.draw import polygon

from napari_unet.errors import InputError
from napari_unet.geometry.axes import ChannelAxis
from napari_unet.widgets.layers.factory import strokes_layer

MOST_CLASSES = 20
"""Greatest number of classes that a feature or a colour may stand for."""

CLASS_COLUMNS = ("class", "label", "category", "type")
"""Names of features that are classes in the first place."""

LEAST_RADIUS = 0.71
"""Radius in pixels below which a point or a line might miss all pixels."""

ELLIPSE_VERTICES = 64
"""Number of vertices of the polygon that is drawn for an ellipse."""


@dataclass(frozen=True)
class Grouping:
    """The classes of points or shapes.

    Parameters
    ----------
    values : tuple of int
        The label value of each point or shape, from 1.
    names : mapping of int to str
        The name of each class.
    """

    values: tuple[int, ...]
    names: Mapping[int, str]


def group(layer: Points | Shapes) -> Grouping:
    """Return the classes of points or shapes: by a feature, else by colour, else a single one.

    Parameters
    ----------
    layer : Points or Shapes
        The layer.
    """
    features = layer.features
    columns = [c for c in features.columns if features[c].dtype.kind not in "fc"]
    for column in sorted(columns, key=lambda c: str(c).lower() not in CLASS_COLUMNS):
        found = [str(value) for value in features[column]]
        if 2 <= len(set(found)) <= MOST_CLASSES:
            return _numbered(found, dict.fromkeys(sorted(set(found))))
    colours = [tuple(np.round(colour, 3).tolist()) for colour in _colours(layer)]
    if 2 <= len(set(colours)) <= MOST_CLASSES:
        found = [str(colour) for colour in colours]
        numbered = _numbered(found, dict.fromkeys(found))
        return Grouping(numbered.values, {v: f"class {v}" for v in numbered.names})
    return Grouping((1,) * len(layer.data), {1: layer.name})


def strokes_from(
    viewer: ViewerModel,
    layer: Points | Shapes,
    image: Image,
    channel_axis: ChannelAxis = "auto",
) -> Labels:
    """Return a new strokes layer upon an image, with what lies upon it of points or shapes.

    Points become discs of their size, in their plane; shapes are filled, lines and paths as wide as
    their edge.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers are; what has no third dimension is drawn in the plane in view.
    layer : Points or Shapes
        What is drawn.
    image : Image
        The image to lie upon.
    channel_axis : int, None or "auto"
        The image's axis of channels, as of `napari_unet.geometry.axes.find_layout`.

    Raises
    ------
    InputError
        Where nothing lies upon the image.
    """
    strokes = strokes_layer(image, channel_axis)
    strokes.name = f"{layer.name} – strokes"
    classes = group(layer)
    strokes.metadata["class_names"] = dict(classes.names)
    pixels: NDArray[Any] = strokes.data
    for value, (plane, where) in zip(classes.values, _drawn(viewer, layer, strokes), strict=True):
        inside = all(0 <= i < n for i, n in zip(plane, pixels.shape[:-2], strict=True))
        if inside:
            pixels[plane][where] = value
    if not pixels.any():
        raise InputError(
            f"Nothing of “{layer.name}” lies upon “{image.name}”",
            todo="Choose the image that it belongs to",
        )
    return strokes


def _drawn(
    viewer: ViewerModel, layer: Points | Shapes, onto: Labels
) -> Iterator[tuple[tuple[int, ...], tuple[NDArray[np.intp], NDArray[np.intp]]]]:
    """Yield the plane of each point or shape, and the indices of its pixels in that."""
    shape = onto.data.shape[-2:]
    ratio = float(np.abs(layer.scale[-1]) / np.abs(onto.scale[-1]))
    if isinstance(layer, Points):
        sizes = np.broadcast_to(np.asarray(layer.size, float), len(layer.data))
        for point, size in zip(layer.data, sizes, strict=True):
            (centre,) = _moved(viewer, layer, onto, [point])
            yield _plane(centre[None]), _thick_line(centre[None, -2:], size * ratio / 2, shape)
        return
    kinds = zip(layer.data, layer.shape_type, layer.edge_width, strict=True)
    for vertices, kind, width in kinds:
        corners = _moved(viewer, layer, onto, vertices)
        flat = corners[:, -2:]
        if kind in ("line", "path"):
            yield _plane(corners), _thick_line(flat, float(width) * ratio / 2, shape)
        else:
            outline = _ellipse(flat) if kind == "ellipse" else flat
            yield _plane(corners), polygon(outline[:, 0], outline[:, 1], shape)


def _moved(
    viewer: ViewerModel, layer: Layer, onto: Labels, positions: Sequence[Any]
) -> NDArray[np.float64]:
    """Return positions in one layer as positions in another, shape (positions, onto.ndim)."""
    moved = []
    for position in positions:
        world = np.asarray(layer.data_to_world(position), float)
        missing = onto.ndim - len(world)
        if missing > 0:
            seen = np.asarray(viewer.dims.point, float)[-onto.ndim :]
            world = np.concatenate([seen[:missing], world])
        moved.append(onto.world_to_data(world[-onto.ndim :]))
    return np.asarray(moved, float)


def _plane(positions: NDArray[np.float64]) -> tuple[int, ...]:
    """Return the indices of the plane that positions lie in, on average."""
    return tuple(int(i) for i in np.rint(positions[:, :-2].mean(0)))


def _thick_line(
    vertices: NDArray[np.float64], radius: float, shape: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pixels of a plane that are not farther from a line than its radius.

    A line of one vertex is a disc.
    """
    reach = max(radius, LEAST_RADIUS)
    ends = np.concatenate([vertices[1:], vertices[-1:]])
    corner, opposite = _box(vertices, reach, shape)
    found = np.zeros(opposite - corner, bool)
    for start, end in zip(vertices, ends, strict=True):
        low, high = _box(np.stack([start, end]), reach, shape)
        grid = np.indices(tuple(high - low)) + low[:, None, None]
        along, off = end - start, grid - start[:, None, None]
        share = np.tensordot(along, off, 1) / max(float(along @ along), 1e-12)
        nearest = np.clip(share, 0, 1) * along[:, None, None]
        part = found[tuple(map(slice, low - corner, high - corner))]
        part |= ((off - nearest) ** 2).sum(0) <= reach**2
    rows, columns = np.nonzero(found)
    return rows + corner[0], columns + corner[1]


def _box(
    vertices: NDArray[np.float64], reach: float, shape: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the corners of the box around vertices, within a plane; both are the same outside."""
    low = np.clip(np.floor(vertices.min(0) - reach), 0, shape).astype(np.intp)
    high = np.clip(np.ceil(vertices.max(0) + reach) + 1, low, shape).astype(np.intp)
    return low, high


def _ellipse(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a polygon for the ellipse within four corners, in their order around it."""
    angle = np.linspace(0, 2 * np.pi, ELLIPSE_VERTICES, endpoint=False)[:, None]
    one, other = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    outline: NDArray[np.float64] = corners.mean(0) + np.cos(angle) * one + np.sin(angle) * other
    return outline


def _colours(layer: Points | Shapes) -> NDArray[Any]:
    """Return the colour of each point or shape: of its face, or of its edge where that is clear."""
    face = np.asarray(layer.face_color, float).reshape(-1, 4)
    edge = layer.border_color if isinstance(layer, Points) else layer.edge_color
    lines = np.zeros(len(face), bool)
    if isinstance(layer, Shapes):
        lines = np.isin(layer.shape_type, ("line", "path"))
    clear = (face[:, 3:] == 0) | lines[:, None]
    return np.where(clear, np.asarray(edge, float).reshape(-1, 4), face)


def _numbered(found: Sequence[str], order: Mapping[str, None]) -> Grouping:
    """Return groups that are numbered from 1, in this order."""
    number = {name: k for k, name in enumerate(order, start=1)}
    return Grouping(tuple(number[name] for name in found), {k: n for n, k in number.items()})
