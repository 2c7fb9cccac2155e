"""Edits of a Labels layer that the user asked for by a button: each is one step of its undo."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.errors import InputError


def check_editable(layer: Labels) -> None:
    """Check that a layer can be painted on.

    Raises
    ------
    InputError
        Where it is a pyramid, its array is read-only, or the layer was made not editable.
    """
    array = layer.data
    if layer.multiscale:
        raise InputError(
            f"“{layer.name}” is a pyramid, which napari cannot paint on",
            todo="Duplicate its largest level into a layer of its own",
        )
    writeable = array.flags.writeable if isinstance(array, np.ndarray) else hasattr(array, "store")
    if not writeable or getattr(array, "read_only", False):
        raise InputError(
            f"The pixels of “{layer.name}” are read-only",
            todo="Duplicate the layer, and choose the copy",
        )
    if not layer.editable:
        raise InputError(f"“{layer.name}” is set to be not editable", todo="Make it editable first")


def change_labels(
    layer: Labels, indices: tuple[NDArray[np.intp], ...], before: int, value: int
) -> int:
    """Change pixels of one label to another, as one step that Ctrl+Z takes back.

    Parameters
    ----------
    layer : Labels
        The layer, which has to be editable.
    indices : tuple of ndarray of int
        Where the pixels are, one array per axis.
    before : int
        The label that they have to have: others are left as they are.
    value : int
        The label that they get.

    Returns
    -------
    int
        How many pixels were changed.

    Raises
    ------
    InputError
        Where the layer cannot be painted on; see `check_editable`.
    """
    check_editable(layer)
    current: NDArray[Any] = np.asarray(layer.data[indices])
    wanted = current == before
    kept = tuple(axis[wanted] for axis in indices)
    layer.data_setitem(kept, value)
    return int(wanted.sum())
