"""Opening picture files without loading them."""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.errors import InputError

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".lsm", ".stk")


def open_file(path: Path) -> object:
    """Open a picture file as an array that is read on demand.

    Parameters
    ----------
    path : Path
        A TIFF (memory-mapped where its pixels are stored plainly, else read tile by tile; the
        first series, its largest level), an OME-Zarr or zarr folder (level 0), or a ``.npy``.

    Returns
    -------
    ndarray or zarr.Array

    Raises
    ------
    InputError
        Where the file is missing or of another kind.
    """
    if not path.exists():
        raise InputError("There is no such file", got=str(path), todo="Check its name")
    try:
        if path.suffix.lower() in TIFF_SUFFIXES:
            return _open_tiff(path)
        if path.suffix.lower() == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        if path.is_dir():
            import zarr

            return level0(zarr.open(path, mode="r"))
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{path.name} cannot be opened: {error}".rstrip("."), todo="Check that it is undamaged"
        ) from error
    raise InputError(
        "This kind of file cannot be opened", got=path.name, expected="a TIFF, an OME-Zarr, a .npy"
    )


def level0(node: Any) -> object:
    """Return the largest array of a zarr group (OME-Zarr of any version), or the array itself.

    Raises
    ------
    InputError
        Where the group holds no pyramid and not just one array.
    """
    if hasattr(node, "dtype"):
        return node
    attributes = dict(node.attrs)
    described = attributes.get("ome", attributes).get("multiscales")
    if described:
        found: object = node[described[0]["datasets"][0]["path"]]
        return found
    names = sorted(node)
    if len(names) == 1 or "0" in names:
        return level0(node["0" if "0" in names else names[0]])
    raise InputError(
        "This zarr group holds no single picture",
        got=f"members {', '.join(names[:8]) or 'none'}",
        todo="Give the path of one of its arrays",
    )


def _open_tiff(path: Path) -> object:
    import tifffile

    try:
        return tifffile.memmap(path, mode="r")
    except ValueError:  # compressed, tiled or otherwise not one plain piece
        pass
    with ExitStack() as open_:
        tiff = open_.enter_context(tifffile.TiffFile(path))
        try:
            import zarr
        except ImportError:
            return tiff.series[0].asarray(level=0)
        array: object = zarr.open(tiff.series[0].aszarr(level=0), mode="r")
        # It is read from as long as the array is there.
        weakref.finalize(array, open_.pop_all().close)
    return array
