"""Pictures for a report: parts of the images beside what the model makes of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_unet.control import PreviewedImage, Viewport
from napari_unet.data.image import ImageView
from napari_unet.geometry.region import Region
from napari_unet.inference.request import Request, find_view
from napari_unet.inference.viewport import preview_events
from napari_unet.model import TrainedModel
from napari_unet.runs.pictures import RGB, colours_of, image_rgb, labels_rgb
from napari_unet.runs.story import Sources
from napari_unet.tasks.provenance import UNKNOWN, Origin

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
        for number, image in enumerate(self.images):
            name = f"image {number + 1}" if len(self.images) > 1 else "image"
            view = find_view(model, image, self.request)
            place = middle(view)
            pixels = view.read(place.index, place.region)[view.own]
            shown = image_rgb(pixels)
            yield name, shown
            mask = self.masks[number] if model.reading.mask and self.masks else None
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
    region = Region(start, tuple(a + n for a, n in zip(start, sizes, strict=True)))
    return Viewport(tuple(n // 2 for n in view.loop_shape), region)


def one_by_one(
    task: str, image: object, other: object
) -> tuple[Sequence[object], Sequence[object]]:
    """Return images, and what goes with them, one by one, as `napari_unet.train` takes them.

    Examples
    --------
    >>> one_by_one("segment", "a.tif", "b.tif"), one_by_one("denoise", ["a.tif", "b.tif"], None)
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
