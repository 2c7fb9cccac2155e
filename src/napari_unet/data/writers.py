"""Writing images as OME-TIFF or OME-Zarr, completely or not at all.

Pixels are written to disk at once, into a hidden folder next to the target, and replace the target
when all are written.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.metadata import UNITS, AxesMetadata, known_unit
from napari_unet.data.source import channel_files
from napari_unet.errors import InputError

CHUNK = 512
"""Side of the square chunks of a zarr array, in pixels; a chunk lies in one plane."""

_TYPE = {"t": "time", "c": "channel"}
"""Types of axes in OME-Zarr; others are space."""


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """Shape, type and axes of an image file.

    Parameters
    ----------
    shape : tuple of int
        Size of each axis.
    dtype : dtype
        Type of the pixels.
    metadata : AxesMetadata
        The axes; those without a name get one by their position.
    names : tuple of str
        Names of the channels, if there are any.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    metadata: AxesMetadata
    names: tuple[str, ...] = ()


def create_tiff(path: Path, spec: ImageSpec) -> Any:
    """Create an OME-TIFF of zeros.

    Parameters
    ----------
    path : Path
        The new file.
    spec : ImageSpec
        Shape, type and axes.

    Returns
    -------
    memmap

    Raises
    ------
    OSError
        If it cannot be written, or the disk has not enough space.
    """
    import tifffile

    size = prod(spec.shape) * spec.dtype.itemsize
    free = shutil.disk_usage(path.parent).free
    if size > free:
        # Writing to a mapped file that exceeds the disk ends the process without an error.
        raise OSError(f"{size / 2**30:.1f} GiB needed, {free / 2**30:.1f} GiB free")
    return tifffile.memmap(
        path,
        shape=spec.shape,
        dtype=spec.dtype,
        ome=True,
        metadata=_ome(spec),
        photometric="rgb" if spec.metadata.axes[-1] == "s" else "minisblack",
    )


def _ome(spec: ImageSpec) -> dict[str, Any]:
    """Return the metadata of OME-TIFF, https://docs.openmicroscopy.org/ome-model/."""
    metadata = spec.metadata
    ome: dict[str, Any] = {"axes": "".join(metadata.axes).upper()}
    for axis, scale, unit in zip(metadata.axes, metadata.scale, metadata.units, strict=True):
        if scale is None:
            continue
        if axis in ("z", "y", "x"):
            key = f"PhysicalSize{axis.upper()}"
            # Without a unit, readers assume micrometres.
            symbol = UNITS[unit][0] if unit else "pixel"
            ome |= {key: scale, f"{key}Unit": symbol}
        elif axis == "t" and unit:
            ome |= {"TimeIncrement": scale, "TimeIncrementUnit": UNITS[unit][0]}
    if spec.names:
        ome["Channel"] = {"Name": list(spec.names)}
    return ome


def create_zarr(path: Path, spec: ImageSpec) -> Any:
    """Create an OME-Zarr of zeros, with one level.

    Parameters
    ----------
    path : Path
        The new folder.
    spec : ImageSpec
        Shape, type and axes.

    Returns
    -------
    zarr.Array

    Raises
    ------
    OSError
        If it cannot be written.
    """
    import zarr

    planes = len(spec.shape) - 2
    group = zarr.open_group(
        path, mode="w", zarr_format=3, attributes={"ome": _ngff(path.stem, spec)}
    )
    return group.create_array(
        "0",
        shape=spec.shape,
        dtype=spec.dtype,
        chunks=(1,) * planes + tuple(min(n, CHUNK) for n in spec.shape[planes:]),
        dimension_names=spec.metadata.axes,
    )


def _ngff(name: str, spec: ImageSpec) -> dict[str, Any]:
    """Return the metadata of OME-Zarr 0.5, https://ngff.openmicroscopy.org/0.5/."""
    axes = [
        {"name": axis, "type": _TYPE.get(axis, "space")} | ({"unit": unit} if unit else {})
        for axis, unit in zip(spec.metadata.axes, spec.metadata.units, strict=True)
    ]
    scale = {"type": "scale", "scale": [s or 1.0 for s in spec.metadata.scale]}
    level = {"path": "0", "coordinateTransformations": [scale]}
    metadata: dict[str, Any] = {
        "version": "0.5",
        "multiscales": [{"name": name, "axes": axes, "datasets": [level]}],
    }
    if spec.names:
        window = {"start": 0, "end": 1, "min": 0, "max": 1}
        metadata["omero"] = {
            "channels": [{"label": n, "color": "FFFFFF", "window": window} for n in spec.names]
        }
    return metadata


TIFF = (".tif", ".tiff")
"""Suffixes of files that are written as OME-TIFF."""

ZARR = (".zarr",)
"""Suffixes of folders that are written as OME-Zarr."""

IMAGE_SUFFIXES = TIFF + ZARR

_RANK = {"t": 0, "c": 1}
"""Order of time and channels in a file; the spatial axes follow."""


class OutputArray:
    """An array on disk that is assigned to; its axes are in the order of the result.

    Parameters
    ----------
    array : array-like
        The array in the file.
    order : tuple of int
        For each axis of the array the axis of the result.
    path : Path
        Path for error messages.
    """

    def __init__(self, array: Any, order: tuple[int, ...], path: Path) -> None:
        self.shape = tuple(array.shape[order.index(a)] for a in range(len(order)))
        self.dtype = np.dtype(array.dtype)
        self._array = array
        self._order = order
        self._path = path

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write pixels; if the axes are reordered, `key` has an integer or slice for each."""
        if self._order != tuple(range(len(self._order))):
            sliced = [a for a, part in enumerate(key) if isinstance(part, slice)]
            value = np.transpose(value, [sliced.index(a) for a in self._order if a in sliced])
            key = tuple(key[a] for a in self._order)
        with _writing(self._path):
            self._array[key] = value

    def close(self) -> None:
        """Write what is buffered, and close the file."""
        with _writing(self._path):
            if isinstance(self._array, np.memmap):
                self._array.flush()
        del self._array


def check_output(path: Path, suffixes: Sequence[str], inputs: Sequence[Path] = ()) -> None:
    """Check that a result can be written, before it is computed.

    Parameters
    ----------
    path : Path
        Path of the result.
    suffixes : sequence of str
        Accepted suffixes; empty if any is accepted.
    inputs : sequence of Path
        Paths that must not be overwritten.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise InputError(
            "The name of the output has no known suffix",
            got=path.name,
            expected=" or ".join(suffixes),
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError("There is no such folder", got=str(folder), todo="Create it first")
    if not os.access(folder, os.W_OK):
        raise InputError("The folder cannot be written to", got=str(folder), todo="Choose another")
    if path.exists() and path.is_dir() != (path.suffix.lower() in ZARR):
        raise InputError("There is something else at the path of the output", got=str(path))
    for source in (file for given in inputs for file in channel_files(given)):
        if path.resolve() in (source.resolve(), *source.resolve().parents):
            raise InputError(
                "The output would overwrite an input", got=str(path), todo="Choose another name"
            )


@contextmanager
def new_image(path: Path, spec: ImageSpec) -> Iterator[OutputArray]:
    """Context manager that writes an image; if the block fails, nothing is left of it.

    Parameters
    ----------
    path : Path
        An OME-TIFF (``.tif``, ``.tiff``) or OME-Zarr 0.5 (``.zarr``); an existing one is replaced.
    spec : ImageSpec
        Shape, type and axes. In the file time is first and channels second, as both formats
        require.

    Yields
    ------
    OutputArray
        Pixels are assigned to it; the others are 0.

    Raises
    ------
    InputError
        If it cannot be written, or has more axes than the formats support.
    """
    check_output(path, IMAGE_SUFFIXES)
    metadata = with_axis_names(spec.metadata)
    order = tuple(sorted(range(len(metadata.axes)), key=lambda a: _RANK.get(metadata.axes[a], 2)))
    shape = tuple(spec.shape[a] for a in order)
    ordered = ImageSpec(shape, spec.dtype, metadata.take(order), spec.names)
    create = create_tiff if path.suffix.lower() in TIFF else create_zarr
    with _writing(path):
        temporary = Path(tempfile.mkdtemp(dir=path.absolute().parent, prefix=f".{path.name}."))
    try:
        with _writing(path):
            target = OutputArray(create(temporary / path.name, ordered), order, path)
        yield target
        target.close()
        with _writing(path):
            _swap(temporary / path.name, path, temporary.with_name(f"{temporary.name}-old"))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_image(
    path: Path,
    array: NDArray[Any],
    axes: tuple[str, ...],
    scale: tuple[float, ...],
    units: tuple[str, ...],
) -> None:
    """Write an array.

    Parameters
    ----------
    path : Path
        As for :func:`new_image`.
    array : ndarray
        The pixels.
    axes, scale, units : tuple
        As in `AxesMetadata`, but units may be any of their names.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    metadata = AxesMetadata(axes, scale, tuple(map(known_unit, units)))
    with new_image(path, ImageSpec(array.shape, array.dtype, metadata)) as target:
        target[...] = array


def with_axis_names(metadata: AxesMetadata) -> AxesMetadata:
    """Give a name to each axis that has none; the last ones become y and x.

    Raises
    ------
    InputError
        If there are more axes than names.
    """
    free = [name for name in ("x", "y", "z", "t", "c") if name not in metadata.axes]
    axes: list[str] = []
    for name in reversed(metadata.axes):
        if name in axes or not name:
            if not free:
                raise InputError(
                    "An image file has at most five axes",
                    got=f"{len(metadata.axes)}",
                    todo="Predict parts of the image separately",
                )
            name = free.pop(0)
        axes.append(name)
    return AxesMetadata(tuple(reversed(axes)), metadata.scale, metadata.units)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn errors of the file system into an InputError with the reason."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} cannot be written",
            got=error.strerror or str(error),
            todo="Choose another path",
        ) from error


def _swap(new: Path, path: Path, aside: Path) -> None:
    """Replace `path` by `new`; an existing folder is moved to `aside` and then removed."""
    if not path.is_dir():
        new.replace(path)
        return
    path.rename(aside)
    try:
        new.rename(path)
    except OSError:
        aside.rename(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically, replacing an existing one.

    Parameters
    ----------
    path : Path
        The file.
    content : bytes
        Its content.

    Raises
    ------
    OSError
        If it cannot be written; then nothing is left of it.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only the owner can read; the usual permissions are restored.
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
