"""Opening images and their annotations, and the classes that follow."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

import numpy as np

from napari_unet.control import Control
from napari_unet.data.annotations import MERGED, AnnotationStore, Block
from napari_unet.data.image import ImageView, PartOfSource
from napari_unet.data.sampling import AnnotatedImage
from napari_unet.data.source import open_source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import AxisLayout, is_time
from napari_unet.geometry.region import Region
from napari_unet.model import ClassInfo, TrainedModel
from napari_unet.tasks.plan import ImageShape, TrainingPlan, plan_training
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.training.events import Resolved, Warned

MANY_CLASSES = 50
"""More classes than this are rarely meant: the labels are the numbers of objects, then."""

CHECKED_PIXELS = 2**24
"""Greatest number of pixels read to see whether what is annotated lies on finite values."""

POLL_SECONDS = 0.1
"""Interval at which annotations are counted until there are enough to begin."""


def as_pairs(image: object, labels: object) -> tuple[Sequence[object], Sequence[object]]:
    """Return images and labels as sequences of the same length.

    Parameters
    ----------
    image : array-like, path, or list of these
        One image or several.
    labels : array-like, path, AnnotationStore, or list of these
        Where it is a list or a tuple, it holds the labels of several images; any other sequence,
        such as a viewer's pyramid, belongs to one image.

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
            todo="Give one image for each array of labels; of a pyramid of labels give the "
            "largest level",
        )
    return image, labels


def open_all_annotated(
    images: Sequence[object], labels: Sequence[object], ndim: int, options: SegmentOptions
) -> list[AnnotatedImage]:
    """Open several images and their labels; nothing need be annotated yet.

    Parameters
    ----------
    images : sequence of array-like or path
        The images.
    labels : sequence of array-like, path or AnnotationStore
        Labels of each image.
    ndim : int
        Spatial dimensions of the network.
    options : SegmentOptions
        What is set. Names of axes are those of the first image, and of others with as many axes.

    Raises
    ------
    InputError
        Where shapes, channels or dimensions differ; it names the pair.
    """
    annotated: list[AnnotatedImage] = []
    for number, (image, mask) in enumerate(zip(images, labels, strict=True), start=1):
        try:
            annotated.append(_open(image, mask, ndim, options, first=number == 1))
        except InputError as error:
            if len(images) == 1:
                raise
            raise InputError(f"Pair {number}: {error}") from error
    channels = [one.view.channels for one in annotated]
    for number, count in enumerate(channels, start=1):
        if count != channels[0]:
            raise InputError(
                f"Pair {number} has another number of channels than pair 1",
                got=f"{count} in pair {number}",
                expected=f"{channels[0]} as in pair 1",
                todo="Leave it out, or set the channel axis",
            )
    return annotated


def check_classes(
    annotated: Sequence[AnnotatedImage], options: SegmentOptions, known: Iterable[int] = ()
) -> None:
    """Check that there are at least two classes.

    Parameters
    ----------
    annotated : sequence of AnnotatedImage
        Images and their annotations.
    options : SegmentOptions
        What is set; it decides what the message advises.
    known : iterable of int
        Label values of the classes that the network knows already.

    Raises
    ------
    InputError
        Where nothing is annotated, or only one class is.
    """
    counts = count_all(annotated)
    if not counts:
        raise InputError(
            "Nothing is painted", todo="Paint a few strokes of at least two classes, then train"
        )
    if len({*counts, *known}) < 2:
        zero = ", or let 0 mean background" if options.zero == "unpainted" else ""
        raise InputError(
            "Only one class is painted",
            got=f"label {next(iter(counts))}",
            todo=f"Paint at least one stroke of another class{zero}",
        )


def count_all(annotated: Iterable[AnnotatedImage]) -> dict[int, int]:
    """Return the number of annotated pixels per label value, of all images, sorted by value."""
    total: dict[int, int] = {}
    for one in annotated:
        for value, count in one.store.values().items():
            total[value] = total.get(value, 0) + count
    return dict(sorted(total.items()))


def count_not_finite(annotated: Iterable[AnnotatedImage]) -> dict[int, int]:
    """Return the number of annotated pixels that are NaN or infinite, per label value.

    Only the blocks with annotations are read, and nothing of images of integers. Where more than
    `CHECKED_PIXELS` pixels would be read, the last blocks are left out.

    Parameters
    ----------
    annotated : iterable of AnnotatedImage
        The images and their annotations; 0 is not counted, even where it is a class.
    """
    total: dict[int, int] = {}
    left = CHECKED_PIXELS
    for one in annotated:
        if one.view.source.dtype.kind not in "fc":
            continue
        now, loops = one.store.snapshot(), len(one.view.loop_shape)
        for index, block in sorted(now.blocks.items()):
            box = now.region(index)
            left -= box.size * one.view.channels
            if left < 0:
                return total
            raw = one.view.read_raw(index[:loops], Region(box.start[loops:], box.stop[loops:]))
            lost = ~np.isfinite(raw).all(axis=0).reshape(box.shape)
            for value, count in Block(block.labels[lost]).counts.items():
                total[value] = total.get(value, 0) + count
    return total


def digest_of(annotated: Sequence[AnnotatedImage]) -> str:
    """Return the sha256 of all annotations: for one image that of its store."""
    digests = [one.store.digest() for one in annotated]
    return digests[0] if len(digests) == 1 else sha256(" ".join(digests).encode()).hexdigest()


def _open(
    image: object, labels: object, ndim: int, options: SegmentOptions, *, first: bool = True
) -> AnnotatedImage:
    """Open an image and its labels, whatever is annotated."""
    source = open_source(image)
    mask = labels if isinstance(labels, AnnotationStore) else open_source(labels)
    cropped = first and options.region is not None
    is_part = cropped and isinstance(mask, AnnotationStore | PartOfSource)
    paired = None if is_part else mask.shape
    shape = ImageShape.of(source.shape, ndim, options, paired, first=first)
    layout, window = shape.layout, shape.window(options) if cropped else None
    inner = shape.cropped(options).shape if is_part else source.shape
    check_labels_shape(inner, layout, mask.shape, options.axes or ())
    if window is not None and not is_part and not isinstance(mask, AnnotationStore):
        mask = PartOfSource(mask, window)
    if not isinstance(mask, AnnotationStore):
        mask = AnnotationStore.from_labels(
            mask,
            layout.labels,
            zero_is_class=options.zero == "background",
            merge=options.merge_labels,
        )
    return AnnotatedImage(ImageView(source, layout, border=options.border, window=window), mask)


def check_labels_shape(
    shape: Sequence[int], layout: AxisLayout, labels: Sequence[int], names: Sequence[str] = ()
) -> None:
    """Check that labels have the shape of their image without its channels.

    Parameters
    ----------
    shape : sequence of int
        Shape of the image.
    layout : AxisLayout
        Roles of its axes.
    labels : sequence of int
        Shape of the labels.
    names : sequence of str
        Names of the image's axes; empty where unknown.

    Raises
    ------
    InputError
        Where they differ; it says so where only the time axis is missing.
    """
    kept = [axis for axis in range(len(shape)) if axis != layout.channel]
    expected = tuple(shape[axis] for axis in kept)
    if tuple(labels) == expected:
        return
    known = names if len(names) >= len(kept) else ("",) * len(shape)
    frame = tuple(shape[a] for a in kept if a >= len(known) or not is_time(known[a]))
    if tuple(labels) == frame:
        raise InputError(
            "The image has a time axis, but its labels have none",
            got=f"image {tuple(shape)}, labels {tuple(labels)}",
            expected=f"labels of shape {expected}",
            todo="Paint on a new strokes layer, which has all frames, or train on a single frame",
        )
    raise InputError(
        "Image and labels differ in shape",
        got=f"image {tuple(shape)}, labels {tuple(labels)}",
        expected=f"labels of shape {expected}",
        todo="Paint on a Labels layer made for this image",
    )


def usual_name(value: int, *, merged: bool = False) -> str:
    """Return the name of a class that nobody has named.

    Parameters
    ----------
    value : int
        Its label value.
    merged : bool
        Whether all labels above 0 are one class.

    Examples
    --------
    >>> usual_name(0), usual_name(2), usual_name(1, merged=True)
    ('background', 'class 2', 'object')
    """
    if value == 0:
        return "background"
    return "object" if merged and value == MERGED else f"class {value}"


def class_infos(
    values: Sequence[int], options: SegmentOptions, start: TrainedModel | None
) -> tuple[ClassInfo, ...]:
    """Return names and colours of classes: those of the model to start from, else of the options.

    Parameters
    ----------
    values : sequence of int
        Label values of the classes.
    options : SegmentOptions
        What is set.
    start : TrainedModel or None
        The model that a training goes on from.
    """
    known = {info.value: info for info in start.classes} if start else {}
    infos = []
    for value in values:
        name = options.class_names.get(value) or usual_name(value, merged=options.merge_labels)
        infos.append(known.get(value) or ClassInfo(value, name, options.class_colors.get(value)))
    return tuple(infos)


def class_values(known: Iterable[int], annotated: Iterable[int]) -> tuple[int, ...]:
    """Return the label values of all classes.

    Parameters
    ----------
    known : iterable of int
        Those of the model that is started from; they come first, in its order.
    annotated : iterable of int
        Those that are annotated; new ones follow in ascending order.

    Examples
    --------
    >>> class_values([3, 1], [1, 2, 4])
    (3, 1, 2, 4)
    """
    return tuple(dict.fromkeys([*known, *sorted(annotated)]))


def plan_segmentation(
    annotated: Sequence[AnnotatedImage],
    options: SegmentOptions,
    start: TrainedModel | None = None,
) -> TrainingPlan:
    """Plan a segmentation with the classes that are annotated now.

    Parameters
    ----------
    annotated : sequence of AnnotatedImage
        Images and their annotations.
    options : SegmentOptions
        What is set.
    start : TrainedModel, optional
        The model that the training goes on from.

    Raises
    ------
    InputError
        Where network, model, images and options do not fit together.
    """
    known = [info.value for info in start.classes] if start else []
    values = class_values(known, count_all(annotated))
    return plan_training(
        "segment",
        [ImageShape.of_view(one.view) for one in annotated],
        options,
        output_channels=len(values),
        class_values=values,
        start=start,
    )


WAITING_FOR_ONE = "Waiting: paint at least one stroke. The training then starts."
"""What is said where one stroke is enough, and nothing is painted."""


def wait_for_annotations(
    annotated: Sequence[AnnotatedImage], control: Control, known: Iterable[int] = ()
) -> Iterator[Warned | Resolved]:
    """Wait until at least two classes are annotated, or the training is stopped.

    Where 0 means background, one stroke of anything else is enough; where the network knows
    classes already, one stroke of any class.

    Parameters
    ----------
    annotated : sequence of AnnotatedImage
        Images and their annotations.
    control : Control
        Stops the waiting.
    known : iterable of int
        Label values of the classes that the network knows already.

    Yields
    ------
    Warned or Resolved
        Where there is something to wait for: what to do, and that it was done.
    """
    known = set(known)

    def enough() -> bool:
        counts = count_all(annotated)
        return bool(counts) and len({*counts, *known}) >= 2

    one = known or any(pair.store.zero_is_class for pair in annotated)
    said = ""
    while not enough() and not control.stopped:
        message = WAITING_FOR_ONE if one else _missing_labels(annotated)
        if message != said:
            yield from _replaced(said, message)
            said = message
        time.sleep(POLL_SECONDS)
    yield from _replaced(said, "")


def _replaced(before: str, now: str) -> Iterator[Warned | Resolved]:
    """Take back what was said before, if anything, and say something else, if anything."""
    if before:
        yield Resolved(before)
    if now:
        yield Warned(now)


def _missing_labels(annotated: Sequence[AnnotatedImage]) -> str:
    """Return what has to be painted before a training without background can start."""
    if not count_all(annotated):
        return (
            "Waiting: paint at least one stroke of each of two labels (press M for the next label)."
        )
    return (
        "Waiting: paint at least one stroke of a second label (press M). Is this a finished mask? "
        "Set label 0 to background."
    )
