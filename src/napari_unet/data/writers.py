"""Writing results: OME-TIFF and OME-Zarr that appear whole or not at all.

Nothing is kept in memory: what is assigned goes to disk at once, into a hidden folder beside the
target, which takes the target's place when all is done.
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
from napari_unet.errors import InputError

CHUNK = 512
"""Side of the square chunks of a zarr array: whole planes are looked at, and written, in pieces."""

_TYPE = {"t": "time", "c": "channel"}


@dataclass(frozen=True, slots=True)
class ImageSpec:
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
    grid: AxesMetadata
    names: tuple[str, ...] = ()


def create_tiff(path: Path, picture: ImageSpec) -> Any:
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


def _ome(picture: ImageSpec) -> dict[str, Any]:
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


def create_zarr(path: Path, picture: ImageSpec) -> Any:
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


def _ngff(name: str, picture: ImageSpec) -> dict[str, Any]:
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


TIFF, ZARR = (".tif", ".tiff"), (".zarr",)
PICTURES = TIFF + ZARR
_RANK = {"t": 0, "c": 1}


class OutputArray:
    """An array on disk that is assigned to, with the axes in the order of the result.

    Parameters
    ----------
    array : array-like
        Where the pixels go.
    order : tuple of int
        The result's axis that each of the array's axes holds.
    path : Path
        For messages.
    """

    def __init__(self, array: Any, order: tuple[int, ...], path: Path) -> None:
        self.shape = tuple(array.shape[order.index(a)] for a in range(len(order)))
        self.dtype = np.dtype(array.dtype)
        self._array, self._order, self._path = array, order, path

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write; where axes change places, `key` has an integer or a slice for each."""
        if self._order != tuple(range(len(self._order))):
            sliced = [a for a, part in enumerate(key) if isinstance(part, slice)]
            value = np.transpose(value, [sliced.index(a) for a in self._order if a in sliced])
            key = tuple(key[a] for a in self._order)
        with _writing(self._path):
            self._array[key] = value

    def close(self) -> None:
        """Write what is still held back, and let go of the file."""
        with _writing(self._path):
            if isinstance(self._array, np.memmap):
                self._array.flush()
        del self._array


def check_output(path: Path, suffixes: Sequence[str], inputs: Sequence[Path] = ()) -> None:
    """See, before any work is done, that a result can be written.

    Parameters
    ----------
    path : Path
        Where the result shall go.
    suffixes : sequence of str
        Endings that tell the kind of file; empty if any will do.
    inputs : sequence of Path
        What must not be overwritten.

    Raises
    ------
    InputError
        Where it cannot.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise InputError(
            "The ending of the output's name tells no format",
            got=path.name,
            expected=" or ".join(suffixes),
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError("There is no such folder", got=str(folder), todo="Make it first")
    if not os.access(folder, os.W_OK):
        raise InputError("The folder cannot be written to", got=str(folder), todo="Choose another")
    if path.exists() and path.is_dir() != (path.suffix.lower() in ZARR):
        raise InputError("The output's name is taken by something else", got=str(path))
    for source in inputs:
        if path.resolve() in (source.resolve(), *source.resolve().parents):
            raise InputError(
                "The output would overwrite what is read", got=str(path), todo="Choose another name"
            )


@contextmanager
def new_image(path: Path, picture: ImageSpec) -> Iterator[OutputArray]:
    """Write a picture; it takes its place when the block ends well, and else leaves no trace.

    Parameters
    ----------
    path : Path
        An OME-TIFF (``.tif``, ``.tiff``) or an OME-Zarr 0.5 (``.zarr``); an old one is replaced.
    picture : Picture
        What it is like. In the file time comes first and channels next, as both formats want it.

    Yields
    ------
    Target
        To assign the pixels to; zeros where nothing is assigned.

    Raises
    ------
    InputError
        Where it cannot be written, or has more axes than the formats know.
    """
    check_output(path, PICTURES)
    grid = complete(picture.grid)
    order = tuple(sorted(range(len(grid.axes)), key=lambda a: _RANK.get(grid.axes[a], 2)))
    shape = tuple(picture.shape[a] for a in order)
    plan = ImageSpec(shape, picture.dtype, grid.take(order), picture.names)
    create = create_tiff if path.suffix.lower() in TIFF else create_zarr
    with _writing(path):
        attic = Path(tempfile.mkdtemp(dir=path.absolute().parent, prefix=f".{path.name}."))
    try:
        with _writing(path):
            target = OutputArray(create(attic / path.name, plan), order, path)
        yield target
        target.close()
        with _writing(path):
            _swap(attic / path.name, path, attic.with_name(f"{attic.name}-old"))
    finally:
        shutil.rmtree(attic, ignore_errors=True)


def write_image(
    path: Path,
    array: NDArray[Any],
    axes: tuple[str, ...],
    scale: tuple[float, ...],
    units: tuple[str, ...],
) -> None:
    """Write an array that is in memory; axes as in `AxesMetadata`, errors as in `new_image`."""
    grid = AxesMetadata(axes, scale, tuple(map(known_unit, units)))
    with new_image(path, ImageSpec(array.shape, array.dtype, grid)) as target:
        target[...] = array


def complete(grid: AxesMetadata) -> AxesMetadata:
    """Give a name to each axis that has none: the last are y and x.

    Raises
    ------
    InputError
        Where there are more axes than names.
    """
    free = [name for name in ("x", "y", "z", "t", "c") if name not in grid.axes]
    axes: list[str] = []
    for name in reversed(grid.axes):
        if name in axes or not name:
            if not free:
                raise InputError(
                    "A picture file has five axes at the most",
                    got=f"{len(grid.axes)}",
                    todo="Predict the parts one by one",
                )
            name = free.pop(0)
        axes.append(name)
    return AxesMetadata(tuple(reversed(axes)), grid.scale, grid.units)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say what happened where the disk refuses."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} cannot be written",
            got=error.strerror or str(error),
            todo="Choose another place",
        ) from error


def _swap(new: Path, path: Path, aside: Path) -> None:
    """Put `new` in the place of `path`; a folder that is there is moved aside, then removed."""
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


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is never seen half written; an older one is replaced in one step.

    Raises
    ------
    OSError
        Where it cannot be written; then nothing is left of it.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files for the owner alone; this one shall have the rights of any other.
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
