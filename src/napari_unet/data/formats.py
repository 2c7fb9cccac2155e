"""The two formats of results: OME-TIFF and OME-Zarr, as empty arrays that are filled on disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.data.grid import UNITS, Grid

CHUNK = 512
"""Side of the square chunks of a zarr array: whole planes are looked at, and written, in pieces."""

_TYPE = {"t": "time", "c": "channel"}


@dataclass(frozen=True, slots=True)
class Picture:
    """What a picture on disk is like.

    Parameters
    ----------
    shape : tuple of int
        Size of each axis.
    dtype : dtype
        Of the pixels.
    grid : Grid
        The axes; those without a name get one by their place.
    names : tuple of str
        Names of the channels, if it has any.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    grid: Grid
    names: tuple[str, ...] = ()


def create_tiff(path: Path, picture: Picture) -> Any:
    """Make an OME-TIFF of zeros, and map it into memory."""
    import tifffile

    size = prod(picture.shape) * picture.dtype.itemsize
    free = shutil.disk_usage(path.parent).free
    if size > free:
        # A mapped file that outgrows the disk ends the program without a word.
        raise OSError(f"{size / 2**30:.1f} GiB needed, {free / 2**30:.1f} GiB free")
    return tifffile.memmap(
        path,
        shape=picture.shape,
        dtype=picture.dtype,
        ome=True,
        metadata=_ome(picture),
        photometric="rgb" if picture.grid.axes[-1] == "s" else "minisblack",
    )


def _ome(picture: Picture) -> dict[str, Any]:
    """Return the metadata of OME-TIFF, https://docs.openmicroscopy.org/ome-model/."""
    grid = picture.grid
    metadata: dict[str, Any] = {"axes": "".join(grid.axes).upper()}
    for axis, scale, unit in zip(grid.axes, grid.scale, grid.units, strict=True):
        if scale is None:
            continue
        if axis in ("z", "y", "x"):
            key, symbol = f"PhysicalSize{axis.upper()}", UNITS[unit][0] if unit else "pixel"
            # Without a unit it would mean micrometres.
            metadata |= {key: scale, f"{key}Unit": symbol}
        elif axis == "t" and unit:
            metadata |= {"TimeIncrement": scale, "TimeIncrementUnit": UNITS[unit][0]}
    if picture.names:
        metadata["Channel"] = {"Name": list(picture.names)}
    return metadata


def create_zarr(path: Path, picture: Picture) -> Any:
    """Make an OME-Zarr of zeros, with one level."""
    import zarr

    axes, planes = picture.grid.axes, len(picture.shape) - 2
    group = zarr.open_group(
        path, mode="w", zarr_format=3, attributes={"ome": _ngff(path.stem, picture)}
    )
    return group.create_array(
        "0",
        shape=picture.shape,
        dtype=picture.dtype,
        chunks=(1,) * planes + tuple(min(n, CHUNK) for n in picture.shape[planes:]),
        dimension_names=axes,
    )


def _ngff(name: str, picture: Picture) -> dict[str, Any]:
    """Return the metadata of OME-Zarr 0.5, https://ngff.openmicroscopy.org/0.5/."""
    axes = [
        {"name": axis, "type": _TYPE.get(axis, "space")} | ({"unit": unit} if unit else {})
        for axis, unit in zip(picture.grid.axes, picture.grid.units, strict=True)
    ]
    scale = {"type": "scale", "scale": [s or 1.0 for s in picture.grid.scale]}
    level = {"path": "0", "coordinateTransformations": [scale]}
    metadata: dict[str, Any] = {
        "version": "0.5",
        "multiscales": [{"name": name, "axes": axes, "datasets": [level]}],
    }
    if picture.names:
        range_ = {"start": 0, "end": 1, "min": 0, "max": 1}
        metadata["omero"] = {
            "channels": [{"label": n, "color": "FFFFFF", "window": range_} for n in picture.names]
        }
    return metadata
