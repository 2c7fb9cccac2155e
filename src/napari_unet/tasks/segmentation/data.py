"""Images and what is painted on them: brought together and checked."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from napari_unet.control import Control
from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.image import ImageView
from napari_unet.data.source import Source, open_source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import AxisLayout, find_layout
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.training.events import Warned

POLL = 0.1
"""Seconds between two looks at whether enough is painted to begin."""


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and what is painted on it, ready to be drawn from."""

    view: ImageView
    store: AnnotationStore

    @property
    def layout(self) -> AxisLayout:
        """Roles of the image's axes."""
        return self.view.layout

    @property
    def counts(self) -> dict[int, int]:
        """Number of painted pixels per label value, as it is now."""
        return self.store.values()


def as_pairs(image: object, labels: object) -> tuple[Sequence[object], Sequence[object]]:
    """Return the images and the labels one by one.

    Where `labels` is a list or a tuple, it holds those of several images; any other sequence,
    such as a viewer's pyramid, is one thing.

    Raises
    ------
    InputError
        Where there are not as many images as labels.
    """
    if not isinstance(labels, list | tuple):
        return [image], [labels]
    if not isinstance(image, list | tuple) or len(image) != len(labels) or not labels:
        images = f"{len(image)} images" if isinstance(image, list | tuple) else "one image"
        raise InputError(
            "A list of labels needs a list of as many images",
            got=f"{images}, {len(labels)} labels",
            todo="Give one image for each; of a pyramid of labels give the largest level",
        )
    return image, labels


def open_annotated(
    image: object, labels: object, ndim: int, options: SegmentOptions
) -> AnnotatedImage:
    """Bring an image and its labels together.

    Raises
    ------
    InputError
        Where the shapes differ; and, unless the labels are a store that can still be painted
        on, where nothing is painted, or only one class is.
    """
    painted = _open(image, labels, ndim, options)
    if not isinstance(labels, AnnotationStore):
        check_classes([painted], options)
    return painted


def open_all_annotated(
    images: Sequence[object], labels: Sequence[object], ndim: int, options: SegmentOptions
) -> list[AnnotatedImage]:
    """Bring several images and their labels together; there may be nothing painted yet.

    The names of axes in `options` are those of the first image, and of others with as many axes.

    Raises
    ------
    InputError
        Where shapes, channels or dimensions differ; it names the pair.
    """
    painted: list[AnnotatedImage] = []
    for number, (image, mask) in enumerate(zip(images, labels, strict=True), start=1):
        try:
            painted.append(_open(image, mask, ndim, options, fits_names=number == 1))
        except InputError as error:
            if len(images) == 1:
                raise
            raise InputError(f"Pair {number}: {error}") from error
    channels = [p.view.channels for p in painted]
    for number, count in enumerate(channels, start=1):
        if count != channels[0]:
            raise InputError(
                f"Pair {number} has another number of channels than pair 1",
                got=f"{count} in pair {number}",
                expected=f"{channels[0]} as in pair 1",
                todo="Leave it out, or set the channel axis",
            )
    return painted


def check_classes(
    painted: Sequence[AnnotatedImage], options: SegmentOptions, known: Iterable[int] = ()
) -> None:
    """Check that there are two classes to tell apart.

    Parameters
    ----------
    painted : sequence of Painted
        What there is to learn from.
    options : SegmentOptions
        For the words.
    known : iterable of int
        Classes that the network knows already.

    Raises
    ------
    InputError
        Where nothing is painted, or only one class is.
    """
    counts = count_all(painted)
    if not counts:
        raise InputError(
            "Nothing is painted", todo="Paint a few strokes of at least two classes, then train"
        )
    if len({*counts, *known}) < 2:
        raise InputError(
            "Only one class is painted",
            got=f"label {next(iter(counts))}",
            todo="Paint at least one stroke of another class"
            + (", or let 0 mean background" if options.zero == "unpainted" else ""),
        )


def count_all(painted: Iterable[AnnotatedImage]) -> dict[int, int]:
    """Return the number of painted pixels per label value, of all images, sorted by value."""
    total: dict[int, int] = {}
    for pair in painted:
        for value, count in pair.counts.items():
            total[value] = total.get(value, 0) + count
    return dict(sorted(total.items()))


def digest_of(painted: Sequence[AnnotatedImage]) -> str:
    """Return the sha256 of all that is painted: for one image that of its store."""
    digests = [pair.store.digest() for pair in painted]
    return digests[0] if len(digests) == 1 else sha256(" ".join(digests).encode()).hexdigest()


def _open(
    image: object, labels: object, ndim: int, options: SegmentOptions, *, fits_names: bool = True
) -> AnnotatedImage:
    """Bring an image and its labels together, whatever is painted."""
    source = open_source(image)
    mask = labels if isinstance(labels, AnnotationStore) else open_source(labels)
    names = options.axes
    if not fits_names and names is not None and len(names) != len(source.shape):
        names = None
    layout = find_layout(
        source.shape,
        ndim,
        channel_axis=options.channel_axis,
        names=names,
        labels_shape=mask.shape,
        rgb=options.rgb,
    )
    expected = tuple(n for a, n in enumerate(source.shape) if a != layout.channel)
    if mask.shape != expected:
        raise InputError(
            "Image and labels differ in shape",
            got=f"image {source.shape}, labels {mask.shape}",
            expected=f"labels of shape {expected}",
            todo="Paint on a Labels layer made for this image",
        )
    if not isinstance(mask, AnnotationStore):
        background = options.zero == "background"
        mask = AnnotationStore.from_labels(mask, layout.labels, zero_is_class=background)
    return AnnotatedImage(ImageView(source, layout, border=options.border), mask)


def choose_ndim(labels: object, options: SegmentOptions) -> Literal[2, 3]:
    """Choose the given network's, or 3D where 3 of at least 8 planes are painted, or else 2D.

    Of a list of labels one decides for 3D, if none of them is a single plane.
    """
    if options.network is not None:
        return options.network.ndim
    each = labels if isinstance(labels, list | tuple) else [labels]
    flat = any(len(_shape(one)) < 3 for one in each)
    return 3 if not flat and any(_is_volume(one, options) for one in each) else 2


def _shape(labels: object) -> tuple[int, ...]:
    return labels.shape if isinstance(labels, AnnotationStore) else open_source(labels).shape


def _is_volume(labels: object, options: SegmentOptions) -> bool:
    """Tell whether labels ask for a 3D network."""
    if isinstance(labels, AnnotationStore):
        return labels.spatial_ndim == 3
    source: Source = open_source(labels)
    if source.shape[-3] < 8:
        return False
    store = AnnotationStore.from_labels(source, find_layout(source.shape, 2, channel_axis=None))
    planes = {index[-3] for index in store.snapshot().blocks}
    return options.zero == "background" or len(planes) >= 3


def wait_for_paint(
    painted: Sequence[AnnotatedImage], control: Control, known: Iterable[int] = ()
) -> Iterator[Warned]:
    """Wait until there are two classes to tell apart, or somebody stops it; say so meanwhile.

    Where 0 means background, one stroke of anything else is enough; where the network knows
    classes already, one stroke of any class.
    """
    known = set(known)

    def enough() -> bool:
        counts = count_all(painted)
        return bool(counts) and len({*counts, *known}) >= 2

    if not enough():
        one = known or any(pair.store.zero_is_class for pair in painted)
        what = "Paint a stroke" if one else "Paint a stroke of each of two classes"
        yield Warned(f"{what}: the training then begins by itself.")
    while not enough() and not control.stopped:
        time.sleep(POLL)
