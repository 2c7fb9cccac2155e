"""Rendering of images, labels and predictions as RGB pictures."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.control import Previewed, PreviewedImage, Viewport
from napari_unet.data.image import ImageView
from napari_unet.data.source import ChannelStack, channel_files
from napari_unet.display import PALETTE, RGB8, rgb8
from napari_unet.geometry.region import Region
from napari_unet.inference.request import Request, find_view
from napari_unet.model import ClassInfo, TrainedModel
from napari_unet.runs.state import Sources
from napari_unet.tasks.provenance import UNKNOWN, Origin

RGB = NDArray[np.uint8]
"""A picture: a rendered plane, axes (y, x, channel)."""

BACKGROUND: RGB8 = (128, 128, 128)
"""The colour of label 0, where that is a class."""

MAX_SIDE = 640
"""Largest side of a picture in a report, in pixels."""


def class_colours(classes: Sequence[ClassInfo]) -> dict[int, RGB8]:
    """Return the colour of each class by its label value: its own, or one of `PALETTE`.

    Label 0, the background, is grey.

    Examples
    --------
    >>> class_colours((ClassInfo(1), ClassInfo(4, color=(1.0, 0.5, 0.0, 1.0))))
    {1: (86, 180, 233), 4: (255, 128, 0)}
    """
    return {
        info.value: BACKGROUND if info.value == 0 else rgb8(info.color) if info.color else chosen
        for info, chosen in zip(classes, cycle(PALETTE), strict=False)
    }


def image_rgb(image: NDArray[Any], like: NDArray[Any] | None = None) -> RGB:
    """Render the middle plane of an image: in colour if it has 3 or 4 channels, else grey.

    Parameters
    ----------
    image : ndarray, shape (channel, *spatial)
        Any range of values; the darkest and the brightest 0.5 % are clipped.
    like : ndarray, optional
        An image that sets the range of values, `image` by default.

    Returns
    -------
    picture : ndarray of uint8, shape (y, x, 3)
    """
    plane = middle_plane(image, 1)[: 3 if len(image) in (3, 4) else 1]
    pixels = np.nan_to_num(plane.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    shown = pixels if like is None else like[np.isfinite(like)]
    low, high = np.percentile(shown, (0.5, 99.5)) if shown.size else (0.0, 1.0)
    scaled = np.clip((pixels - low) / ((high - low) or 1.0), 0, 1)
    grey = np.moveaxis(scaled, 0, -1) * 255
    return np.broadcast_to(grey, (*grey.shape[:2], 3)).astype(np.uint8)


def labels_rgb(labels: NDArray[Any], colours: Mapping[int, RGB8], base: RGB | None = None) -> RGB:
    """Render the middle plane of labels in the colours of their classes.

    Parameters
    ----------
    labels : ndarray, shape (*spatial)
        Label values; those without a colour are black, or as in `base`.
    colours : mapping of int to colour
        By label value.
    base : ndarray, optional
        A picture, on which the labels lie half transparent; label 0 is clear.

    Returns
    -------
    picture : ndarray of uint8, shape (y, x, 3)
    """
    plane = middle_plane(labels)
    mixed = np.zeros((*plane.shape, 3)) if base is None else base.astype(np.float64)
    opacity = 1.0 if base is None else 0.5
    for value, colour in colours.items():
        if value == 0 and base is not None:
            continue
        mixed[plane == value] += opacity * (np.array(colour) - mixed[plane == value])
    return mixed.round().astype(np.uint8)


def preview_rgb(event: Previewed | PreviewedImage, colours: Mapping[int, RGB8]) -> RGB:
    """Render a preview; `colours` as in `labels_rgb`."""
    if isinstance(event, PreviewedImage):
        return image_rgb(event.image)
    return labels_rgb(event.labels, colours)


def middle_plane(array: NDArray[Any], first: int = 0) -> NDArray[Any]:
    """Return the middle plane of an image.

    Parameters
    ----------
    array : ndarray, shape (..., *spatial)
        With 2 or 3 spatial axes.
    first : int
        The first spatial axis.
    """
    if array.ndim - first < 3:
        return array
    plane: NDArray[Any] = np.take(array, array.shape[first] // 2, axis=first)
    return plane


def png(picture: RGB) -> bytes:
    """Return a picture as the content of a PNG file, reduced to `MAX_SIDE`."""
    from PIL import Image

    drawn = Image.fromarray(np.ascontiguousarray(picture))
    drawn.thumbnail((MAX_SIDE, MAX_SIDE))
    content = BytesIO()
    drawn.save(content, "PNG", optimize=True)
    return content.getvalue()


def data_url(picture: RGB) -> str:
    """Return a picture as a data URL, for the source of an ``img`` element."""
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode("ascii")


MAX_SAMPLES = 3
"""Greatest number of images that are rendered."""

SAMPLE_SIDE = 384
"""Largest side of the rendered part of an image, in pixels."""

READING = ("device", "threads", "channel_axis", "axes", "rgb")
"""Options of a training that are also options of a prediction."""


class SamplePictures:
    """Renders the middle of images, and what a model predicts there.

    Parameters
    ----------
    images : sequence of array-like or path
        The images; the first `MAX_SAMPLES` are rendered.
    masks : sequence
        Mask of missing pixels of each image, for models that fill in; None without a mask.
    options : mapping
        Options of the training, of which `READING` are used.
    """

    def __init__(
        self,
        images: Sequence[object],
        masks: Sequence[object | None] = (),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.images = images[:MAX_SAMPLES]
        self.masks = masks
        self.request = Request(**{k: v for k, v in (options or {}).items() if k in READING})

    def __call__(self, model: TrainedModel) -> Iterator[tuple[str, RGB]]:
        """Predict; yield captions and pictures."""
        # Imports torch, which the viewer's process does not need to list runs.
        from napari_unet.inference.preview import preview_events

        for number, image in enumerate(self.images):
            name = f"image {number + 1}" if len(self.images) > 1 else "image"
            view = find_view(model, image, self.request)
            viewport = middle_viewport(view)
            pixels = view.read(viewport.index, viewport.region)[view.centre_channels]
            shown = image_rgb(pixels)
            yield name, shown
            mask = self.masks[number] if model.input_spec.mask and self.masks else None
            (preview,) = preview_events(model, image, self.request, viewport, mask)
            if isinstance(preview, PreviewedImage):
                # A restored image may be of another kind, with another range of grey values.
                result = image_rgb(preview.image, None if model.task == "restore" else pixels)
            else:
                result = labels_rgb(preview.labels, class_colours(model.classes), shown)
            yield f"{name}, result", result


def middle_viewport(view: ImageView) -> Viewport:
    """Return the middle of the middle plane of an image, at most `SAMPLE_SIDE` wide and high."""
    shape = view.spatial_shape
    sizes = [min(n, SAMPLE_SIDE if len(shape) - a <= 2 else 1) for a, n in enumerate(shape)]
    start = tuple((n - size) // 2 for n, size in zip(shape, sizes, strict=True))
    region = Region.of(start, sizes)
    return Viewport(tuple(n // 2 for n in view.loop_shape), region)


def as_lists(task: str, image: object, other: object) -> tuple[Sequence[object], Sequence[object]]:
    """Return lists of images and of their labels, targets or masks.

    Parameters
    ----------
    task : str
        Name of the task.
    image, other : object
        Arguments of `napari_unet.train`: one image or a list, and what belongs to it.

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
    """Return the origins of the training data: file paths, or generic names for arrays.

    Parameters
    ----------
    task : str
        Name of the task.
    images, others : sequence
        From :func:`as_lists`.
    """
    names = [origin.name for origin in UNKNOWN.get(task, ())]
    return [
        tuple(_origin(n, given) for n, given in zip(names, data, strict=False) if given is not None)
        for data in zip(images, others, strict=False)
    ]


def _origin(name: str, given: object) -> Origin:
    if isinstance(given, str | os.PathLike):
        files = channel_files(given)
        return Origin.of_channels([Origin(file.name, os.fspath(file)) for file in files])
    if isinstance(given, ChannelStack) and given.names:
        return Origin.of_channels(list(map(Origin, given.names)))
    return Origin(name)
