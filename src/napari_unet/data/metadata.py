"""Axes of image files: names, pixel sizes and units, from the metadata of TIFF and OME-Zarr."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_unet.data.source import TIFF_SUFFIXES, channel_files
from napari_unet.geometry.axes import CHANNEL_NAMES, is_time, name_axes

UNITS: dict[str, tuple[str, ...]] = {
    "angstrom": ("Å", "a"),
    "nanometer": ("nm", "nanometre"),
    "micrometer": ("µm", "μm", "um", "micron", "microns", "micrometre"),
    "millimeter": ("mm", "millimetre"),
    "centimeter": ("cm", "centimetre"),
    "meter": ("m", "metre"),
    "millisecond": ("ms", "msec"),
    "second": ("s", "sec", "seconds"),
    "minute": ("min", "minutes"),
    "hour": ("h", "hr", "hours"),
    "day": ("d", "days"),
}
"""Names of units in OME-Zarr, each with its symbol in OME-TIFF and further aliases."""

_ALIASES = {alias.lower(): unit for unit, names in UNITS.items() for alias in (unit, *names)}


@dataclass(frozen=True, slots=True)
class AxesMetadata:
    """Names, pixel sizes and units of the axes of an image.

    Parameters
    ----------
    axes : tuple of str
        Names in the order of the array: "t", "c", "z", "y", "x" or "s" (samples of RGB); empty
        where unknown.
    scale : tuple of (float or None)
        Distance of pixels along each axis; None where unknown.
    units : tuple of str
        Unit of each axis, a key of `UNITS`; empty where unknown.
    """

    axes: tuple[str, ...]
    scale: tuple[float | None, ...]
    units: tuple[str, ...]

    @classmethod
    def unknown(cls, ndim: int) -> AxesMetadata:
        """Return axes of which nothing is known."""
        return cls(("",) * ndim, (None,) * ndim, ("",) * ndim)

    def take(self, order: Iterable[int]) -> AxesMetadata:
        """Return some of the axes, in this order."""
        order = tuple(order)
        return AxesMetadata(
            tuple(self.axes[a] for a in order),
            tuple(self.scale[a] for a in order),
            tuple(self.units[a] for a in order),
        )

    def without(self, axis: int | None) -> AxesMetadata:
        """Return the axes without one of them; None leaves out none."""
        return self.take(a for a in range(len(self.axes)) if a != axis)

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Pixel sizes of the spatial axes, (y, x) or (z, y, x); None if unknown.

        For a third axis that is not z, or has another unit, it is the size along x. Time counts
        as a third axis where there is no other.
        """
        spatial = [a for a, name in enumerate(self.axes) if name not in CHANNEL_NAMES]
        spatial = sorted(spatial, key=lambda a: not is_time(self.axes[a]))[-3:]
        in_plane = [s for s in (self.scale[a] for a in spatial[-2:]) if s is not None]
        if len(in_plane) < 2:
            return None
        first = spatial[0]
        last = spatial[-1]
        z = self.scale[first]
        comparable = self.axes[first] == "z" and self.units[first] == self.units[last]
        return ((z if z and comparable else in_plane[-1]), *in_plane)[-len(spatial) :]

    def with_last(self, name: str) -> AxesMetadata:
        """Return the axes with one more at the end."""
        return AxesMetadata((*self.axes, name), (*self.scale, None), (*self.units, ""))

    def with_first(self, name: str) -> AxesMetadata:
        """Return the axes with one more in front."""
        return AxesMetadata((name, *self.axes), (None, *self.scale), ("", *self.units))


def read_axes_metadata(path: Path, ndim: int) -> AxesMetadata:
    """Read the axes of an image file.

    Parameters
    ----------
    path : Path
        A TIFF (OME, ImageJ or plain) or an OME-Zarr; other files have no such metadata. Of
        channels in files of their own (see `napari_unet.data.source.channel_files`) the first.
    ndim : int
        Number of axes of the array in the file.

    Returns
    -------
    AxesMetadata
        Unknown axes if there is no metadata, or it is damaged or of another number of axes.
    """
    files = channel_files(path)
    if len(files) > 1:
        return read_axes_metadata(files[0], ndim - 1).with_last("c")
    try:
        found = _read_tiff(path) if path.suffix.lower() in TIFF_SUFFIXES else _read_zarr(path)
    except (KeyError, IndexError, TypeError, ValueError, SyntaxError, ZeroDivisionError):
        # Pixels stay readable if the metadata is damaged. (Invalid XML is a SyntaxError.)
        found = None
    if found is None or len(found.axes) != ndim:
        return AxesMetadata.unknown(ndim)
    return replace(found, axes=name_axes(found.axes, found.units))


def known_unit(name: str) -> str:
    """Return the name of a unit in OME-Zarr; empty if it has none."""
    return _ALIASES.get(name.strip().lower(), "")


def _read_tiff(path: Path) -> AxesMetadata:
    import tifffile

    with tifffile.TiffFile(path) as tif:
        axes = tuple(a if a in "tczyxs" else "" for a in tif.series[0].axes.lower())
        if tif.ome_metadata:
            sizes = _ome_sizes(tif.ome_metadata)
        elif tif.is_imagej:
            sizes = _imagej_sizes(tif)
        else:
            sizes = {}
    scale, units = zip(*(sizes.get(a, (None, "")) for a in axes), strict=True)
    return AxesMetadata(axes, scale, units)


def _ome_sizes(xml: str) -> dict[str, tuple[float | None, str]]:
    import tifffile

    image = tifffile.xml2dict(xml)["OME"]["Image"]
    pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
    return {
        a.lower(): (float(pixels[key]), known_unit(pixels.get(f"{key}Unit", default)))
        for a, key, default in (
            ("X", "PhysicalSizeX", "µm"),
            ("Y", "PhysicalSizeY", "µm"),
            ("Z", "PhysicalSizeZ", "µm"),
            ("T", "TimeIncrement", "s"),
        )
        if float(pixels.get(key, 0)) > 0
    }


def _imagej_sizes(tif: Any) -> dict[str, tuple[float | None, str]]:
    metadata = tif.imagej_metadata or {}
    tags = tif.pages[0].tags
    unit = known_unit(metadata.get("unit", ""))
    sizes: dict[str, tuple[float | None, str]] = {}
    for axis, tag in (("x", "XResolution"), ("y", "YResolution")):
        pixels, length = tags[tag].value if tag in tags else (1, 1)
        sizes[axis] = (length / pixels, unit)
    if metadata.get("spacing"):
        sizes["z"] = (float(metadata["spacing"]), unit)
    if metadata.get("finterval"):
        sizes["t"] = (float(metadata["finterval"]), known_unit(metadata.get("tunit", "s")))
    return sizes


def _read_zarr(path: Path) -> AxesMetadata | None:
    if not path.is_dir():
        return None
    import zarr

    attributes = dict(zarr.open(path, mode="r").attrs)
    metadata: Any = attributes.get("ome", attributes)
    if "multiscales" not in metadata:
        return None
    pyramid = metadata["multiscales"][0]
    axes = [a if isinstance(a, dict) else {"name": a} for a in pyramid["axes"]]
    level = pyramid["datasets"][0]
    scale = [1.0] * len(axes)
    for change in _scalings(level, pyramid):
        scale = [a * b for a, b in zip(scale, change, strict=True)]
    return AxesMetadata(
        tuple(_name_of(a) for a in axes),
        tuple(scale),
        tuple(known_unit(a.get("unit", "")) for a in axes),
    )


def _name_of(axis: dict[str, Any]) -> str:
    """Return the name of an axis in OME-Zarr, or "t" or "c" where its type says so."""
    name, kind = axis["name"].lower(), axis.get("type")
    if kind == "time":
        return name if is_time(name) else "t"
    return name if kind != "channel" or name in CHANNEL_NAMES else "c"


def _scalings(*parts: dict[str, Any]) -> Iterator[list[float]]:
    """Yield the scales in the coordinate transformations of parts of OME-Zarr metadata."""
    for part in parts:
        for change in part.get("coordinateTransformations", ()):
            if change["type"] == "scale":
                yield change["scale"]
