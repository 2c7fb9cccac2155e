"""Where layers lie: in the world, and in a viewer's list of layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from napari.components import LayerList
from napari.layers import Layer
from napari.utils.transforms import Affine
from numpy.typing import NDArray


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


@contextmanager
def active_layer_kept(layers: LayerList) -> Iterator[None]:
    """Change a list of layers within this context; the active layer stays the active one.

    napari makes an inserted layer the active one. Where none is active, or the active one is
    removed in the meantime, napari's choice stands.

    Parameters
    ----------
    layers : LayerList
        The layers of a viewer.
    """
    active = layers.selection.active
    yield
    if active is not None and active in layers:
        layers.selection.active = active


def insert_above(layers: LayerList, below: Layer, new: Iterable[Layer]) -> None:
    """Insert layers directly above another one; the active layer stays the active one.

    Parameters
    ----------
    layers : LayerList
        The layers of a viewer.
    below : Layer
        The layer to lie upon; where it is not in the list, the new ones come on top of all.
    new : iterable of Layer
        From the bottom to the top.
    """
    place = layers.index(below) + 1 if below in layers else len(layers)
    with active_layer_kept(layers):
        for layer in new:
            layers.insert(place, layer)
            place += 1
