"""Where layers lie: in the world, and in a viewer's list of layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
from napari.components import LayerList
from napari.layers import Layer
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_unet.errors import InputError


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


FAR = 0.5
"""Distance in voxels from which on two layers do not lie in the same place."""


def check_same_place(one: Layer, other: Layer, dropped: int | None = None) -> None:
    """Check that two layers lie in the same place in the world, voxel upon voxel.

    Parameters
    ----------
    one, other : Layer
        The layers.
    dropped : int, optional
        The axis of the first layer that the other one lacks.

    Raises
    ------
    InputError
        Where their shapes differ, or a corner of them lies half a voxel or more elsewhere.
    """
    shape = tuple(n for axis, n in enumerate(_shape(one)) if axis != dropped)
    if shape != _shape(other):
        raise InputError(
            f"“{other.name}” has another shape than “{one.name}”",
            got=f"{_listed(_shape(other))} beside {_listed(shape)}",
            todo="Choose layers of the same image",
        )
    first, second = placement(one, dropped), placement(other)
    corners = np.array(list(product(*((0, n - 1) for n in shape))), float)
    away = np.linalg.inv(_to_world(first)) @ _to_world(second)
    moved = corners @ away[:-1, :-1].T + away[:-1, -1]
    if np.abs(moved - corners).max() < FAR:
        return
    names = ("scale", "translate", "rotate", "shear", "affine")
    differs = [name for name in names if not np.allclose(first[name], second[name])]
    name = differs[0] if differs else "affine"
    values = [np.round(np.asarray(where[name], float), 4).tolist() for where in (second, first)]
    raise InputError(
        f"“{other.name}” is not aligned with “{one.name}”: their transforms differ",
        got=f"{name} {values[0]} beside {values[1]}",
        todo=f"Give both layers the same {name}, or choose others",
    )


def _shape(layer: Layer) -> tuple[int, ...]:
    """Return the shape of a layer at full resolution, along its own axes."""
    data = layer.data[0] if layer.multiscale else layer.data
    return tuple(int(n) for n in data.shape[: layer.ndim])


def _listed(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def _to_world(where: Mapping[str, Any]) -> NDArray[Any]:
    """Return the matrix from voxels to the world of a placement, in homogeneous coordinates."""
    linear = {name: where[name] for name in ("scale", "translate", "rotate", "shear")}
    matrix: NDArray[Any] = np.asarray(where["affine"]) @ Affine(**linear).affine_matrix
    return matrix


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
