"""Samples as napari's layer tuples, for *File > Open Sample > U-Net Live*."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.samples.catalogue import sample
from napari_unet.samples.sample import Sample

LayerData = tuple[NDArray[np.generic], dict[str, Any], str]

# Bright on tissue and on black, and of unlike lightness for eyes that cannot tell red from green.
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


def layer_data(name: str) -> list[LayerData]:
    """Return a sample as layers: the picture, and the strokes to go on painting.

    Parameters
    ----------
    name : str
        A name from :func:`napari_unet.samples.names`.

    Returns
    -------
    list of (data, arguments, layer type)
        An image layer named like the sample and a labels layer "strokes", with the same scale,
        units and axis labels. The truth is not among them: it is in :class:`PatchSample`.

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


def open_cells2d() -> list[LayerData]:
    """Open the tissue slice "cells2d": see :func:`layer_data`."""
    return layer_data("cells2d")


def open_volume3d() -> list[LayerData]:
    """Open the synthetic volume "volume3d": see :func:`layer_data`."""
    return layer_data("volume3d")


def _shared(found: Sample) -> dict[str, Any]:
    """Return what both layers of a sample have in common."""
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
    """Return how the picture is shown; a few very bright voxels must not darken the rest."""
    if found.rgb:
        return {"rgb": True}
    low, high = np.percentile(found.image.astype(np.float32), (0.5, 99.8))
    return {"rgb": False, "colormap": "gray", "contrast_limits": (float(low), float(high))}


def _painting(found: Sample) -> dict[str, Any]:
    """Return how the strokes are shown; napari names the class under the mouse from `features`."""
    classes = found.class_names
    return {
        "opacity": 0.7,
        "colormap": dict(_COLOURS),
        "features": {"index": list(classes), "class": list(classes.values())},
    }
