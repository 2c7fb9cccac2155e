"""Edits of a Labels layer that the user asked for by a button: each is one step of its undo."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.widgets.layers.paintable import why_not_paintable


def check_editable(layer: Labels) -> None:
    """Check that a layer can be painted on.

    Raises
    ------
    InputError
        Where it is a pyramid, its array is read-only, or the layer was made not editable.
    """
    reason = why_not_paintable(layer)
    if reason:
        raise InputError(
            f"“{layer.name}” cannot be painted on: {reason}",
            todo="Choose it under “Strokes”, and make an editable copy there",
        )


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
