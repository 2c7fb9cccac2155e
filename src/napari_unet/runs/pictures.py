"""Arrays as pictures that a page can show."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.control import Previewed, PreviewedImage, Viewport
from napari_unet.data.image import ImageView
from napari_unet.geometry.region import Region
from napari_unet.inference.request import Request, find_view
from napari_unet.model import ClassInfo, TrainedModel
from napari_unet.runs.state import Sources
from napari_unet.tasks.provenance import UNKNOWN, Origin

RGB = NDArray[np.uint8]
"""A picture, axes (y, x, channel)."""

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167),
    (213, 94, 0), (0, 114, 178), (240, 228, 66), (128, 128, 128),
)  # fmt: skip
"""Of classes that have no colour; Okabe and Ito's, which all eyes tell apart."""

LARGEST = 640
"""Largest side of a picture in a report, in pixels."""


def colours_of(classes: Sequence[ClassInfo]) -> dict[int, Colour]:
    """Return the colour of each class by its label: its own, or one of the palette.

    Examples
    --------
    >>> colours_of((ClassInfo(1), ClassInfo(4, color=(1.0, 0.5, 0.0, 1.0))))
    {1: (86, 180, 233), 4: (255, 128, 0)}
    """
    return {c.value: _own(c) or PALETTE[k % len(PALETTE)] for k, c in enumerate(classes)}


def image_rgb(image: NDArray[Any], like: NDArray[Any] | None = None) -> RGB:
    """Return an image for people: the middle plane, grey, or in colour where it has 3 channels.

    Parameters
    ----------
    image : ndarray, shape (channel, *spatial)
        In any units; what is darker or brighter than nearly all of it is cut off.
    like : ndarray, optional
        An image of the same units, which is as bright as this one shall be; itself by default.
    """
    plane = flat(image, 1)[: 3 if len(image) in (3, 4) else 1]
    pixels = np.nan_to_num(plane.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    shown = pixels if like is None else like[np.isfinite(like)]
    low, high = np.percentile(shown, (0.5, 99.5)) if shown.size else (0.0, 1.0)
    scaled = np.clip((pixels - low) / ((high - low) or 1.0), 0, 1)
    grey = np.moveaxis(scaled, 0, -1) * 255
    return np.broadcast_to(grey, (*grey.shape[:2], 3)).astype(np.uint8)


def labels_rgb(labels: NDArray[Any], colours: Mapping[int, Colour], base: RGB | None = None) -> RGB:
    """Return the middle plane of labels in the colours of their classes.

    Parameters
    ----------
    labels : ndarray, shape (*spatial)
        Label values; what has no colour is black, or as in `base`.
    colours : mapping of int to colour
        By label.
    base : ndarray, optional
        A picture that shines through.
    """
    plane = flat(labels)
    mixed = np.zeros((*plane.shape, 3)) if base is None else base.astype(np.float64)
    opacity = 1.0 if base is None else 0.5
    for value, colour in colours.items():
        mixed[plane == value] += opacity * (np.array(colour) - mixed[plane == value])
    return mixed.round().astype(np.uint8)


def preview_rgb(event: Previewed | PreviewedImage, colours: Mapping[int, Colour]) -> RGB:
    """Return a preview as a picture; `colours` as in `labels_rgb`."""
    if isinstance(event, PreviewedImage):
        return image_rgb(event.image)
    return labels_rgb(event.labels, colours)


def flat(array: NDArray[Any], first: int = 0) -> NDArray[Any]:
    """Return the middle plane of a volume whose spatial axes begin at axis `first`."""
    if array.ndim - first < 3:
        return array
    middle: NDArray[Any] = np.take(array, array.shape[first] // 2, axis=first)
    return middle


def png(picture: RGB) -> bytes:
    """Return a picture as a PNG file, made smaller where it is large."""
    from PIL import Image

    drawn = Image.fromarray(np.ascontiguousarray(picture))
    drawn.thumbnail((LARGEST, LARGEST))
    content = BytesIO()
    drawn.save(content, "PNG", optimize=True)
    return content.getvalue()


def data_url(picture: RGB) -> str:
    """Return a picture as the source of an ``img`` that needs no file."""
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode("ascii")


def hex_of(colour: Colour) -> str:
    """Return a colour as pages name it.

    Examples
    --------
    >>> hex_of((255, 128, 0))
    '#ff8000'
    """
    return "#" + "".join(f"{part:02x}" for part in colour)


def _own(info: ClassInfo) -> Colour | None:
    if info.color is None:
        return None
    red, green, blue = (round(255 * min(1.0, max(0.0, part))) for part in info.color[:3])
    return red, green, blue


MOST, SIDE, DEPTH = 3, 384, 1
"""How many images are shown, and the largest part of each in pixels: in the plane, and planes."""

READING = ("device", "threads", "channel_axis", "axes", "rgb")
"""Options of a training that say how an image is read, as a prediction has them too."""


class SamplePictures:
    """Shows the middle of some images beside what a model makes of it.

    Parameters
    ----------
    images : sequence of array-like or path
        The images; the first few are shown.
    masks : sequence
        What is missing of each, for models that fill in; None: nothing is told.
    options : mapping
        Those of the training, of which `READING` is used.
    """

    def __init__(
        self,
        images: Sequence[object],
        masks: Sequence[object | None] = (),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.images, self.masks = images[:MOST], masks
        self.request = Request(**{k: v for k, v in (options or {}).items() if k in READING})

    def __call__(self, model: TrainedModel) -> Iterator[tuple[str, RGB]]:
        """Predict; yield captions and pictures."""
        # Brings torch, which the viewer's process never needs to list runs.
        from napari_unet.inference.preview import preview_events

        for number, image in enumerate(self.images):
            name = f"image {number + 1}" if len(self.images) > 1 else "image"
            view = find_view(model, image, self.request)
            place = middle(view)
            pixels = view.read(place.index, place.region)[view.centre_channels]
            shown = image_rgb(pixels)
            yield name, shown
            mask = self.masks[number] if model.input_spec.mask and self.masks else None
            (preview,) = preview_events(model, image, self.request, place, mask)
            if isinstance(preview, PreviewedImage):
                # What is restored may be another kind of image, as bright as it likes.
                result = image_rgb(preview.image, None if model.task == "restore" else pixels)
            else:
                result = labels_rgb(preview.labels, colours_of(model.classes), shown)
            yield f"{name}, result", result


def middle(view: ImageView) -> Viewport:
    """Return the middle of an image, of its middle plane."""
    shape = view.spatial_shape
    sizes = [min(n, SIDE if len(shape) - a <= 2 else DEPTH) for a, n in enumerate(shape)]
    start = tuple((n - size) // 2 for n, size in zip(shape, sizes, strict=True))
    region = Region.of(start, sizes)
    return Viewport(tuple(n // 2 for n in view.loop_shape), region)


def as_lists(task: str, image: object, other: object) -> tuple[Sequence[object], Sequence[object]]:
    """Return images, and what goes with them, one by one, as `napari_unet.train` takes them.

    Examples
    --------
    >>> as_lists("segment", "a.tif", "b.tif"), as_lists("denoise", ["a.tif", "b.tif"], None)
    ((['a.tif'], ['b.tif']), (['a.tif', 'b.tif'], [None, None]))
    """
    several = isinstance(other if task == "segment" else image, list | tuple)
    images = list(image) if several and isinstance(image, list | tuple) else [image]
    others = list(other) if several and isinstance(other, list | tuple) else [other] * len(images)
    return images, others


def sources_of(task: str, images: Sequence[object], others: Sequence[object]) -> Sources:
    """Return where the pixels came from: the files, or what they are."""
    names = [origin.name for origin in UNKNOWN.get(task, ())]
    return [
        tuple(_origin(n, given) for n, given in zip(names, pair, strict=False) if given is not None)
        for pair in zip(images, others, strict=False)
    ]


def _origin(name: str, given: object) -> Origin:
    if isinstance(given, str | os.PathLike):
        return Origin(Path(given).name, os.fspath(given))
    return Origin(name)
