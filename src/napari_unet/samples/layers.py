"""Samples as layer data tuples of napari, for *File > Open Sample > U-Net Live*."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.samples.catalogue import sample
from napari_unet.samples.sample import Sample

LayerTuple = tuple[NDArray[np.generic], dict[str, Any], str]
"""Data, arguments and type of a layer, as napari expects them."""

_COLOURS: dict[int | None, str] = {
    None: "#a0a0a0",
    0: "transparent",
    1: "#00aaff",
    2: "#00e63c",
    3: "#ff00a0",
    4: "#ffb000",
    5: "#8050ff",
    6: "#f0e442",
}
"""Colours of label values: bright, and of different lightness for colour-blind people."""


def layer_data(name: str) -> list[LayerTuple]:
    """Return a sample as layers: the image, and the strokes to paint on.

    Parameters
    ----------
    name : str
        A name from :func:`napari_unet.samples.names`.

    Returns
    -------
    list of (data, arguments, layer type)
        An image layer with the name of the sample and a labels layer "strokes", with the same
        scale, units and axis labels. The truth is not among them; see :class:`Sample`.

    Raises
    ------
    InputError
        If there is no sample of that name.
    """
    found = sample(name)
    return [
        (found.image, _shared(found) | {"name": name} | _display(found), "image"),
        (found.strokes, _shared(found) | {"name": "strokes"} | _painting(found), "labels"),
    ]


def open_cells2d() -> list[LayerTuple]:
    """Open the tissue slice "cells2d": see :func:`layer_data`."""
    return layer_data("cells2d")


def open_volume3d() -> list[LayerTuple]:
    """Open the synthetic volume "volume3d": see :func:`layer_data`."""
    return layer_data("volume3d")


def _shared(found: Sample) -> dict[str, Any]:
    """Return the arguments that both layers of a sample have."""
    return {
        "scale": found.scale,
        "units": found.units,
        "axis_labels": found.axis_labels,
        "metadata": {
            "sample": found.name,
            "description": found.description,
            "class_names": dict(found.class_names),
        },
    }


def _display(found: Sample) -> dict[str, Any]:
    """Return the display settings of the image; the contrast ignores a few very bright voxels."""
    if found.rgb:
        return {"rgb": True}
    low, high = np.percentile(found.image.astype(np.float32), (0.5, 99.8))
    return {"rgb": False, "colormap": "gray", "contrast_limits": (float(low), float(high))}


def _painting(found: Sample) -> dict[str, Any]:
    """Return the display settings of the strokes; napari shows `features` under the mouse."""
    classes = found.class_names
    return {
        "opacity": 0.7,
        "colormap": dict(_COLOURS),
        "features": {"index": list(classes), "class": list(classes.values())},
    }
