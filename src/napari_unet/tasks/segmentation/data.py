"""Images and what is painted on them: brought together and checked."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from napari_unet.control import Control
from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.image import ImageView
from napari_unet.data.source import open_source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import AxisLayout
from napari_unet.model import ClassInfo, TrainedModel
from napari_unet.tasks.plan import ImageShape, TrainingPlan, plan_training
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
            painted.append(_open(image, mask, ndim, options, first=number == 1))
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
    image: object, labels: object, ndim: int, options: SegmentOptions, *, first: bool = True
) -> AnnotatedImage:
    """Bring an image and its labels together, whatever is painted."""
    source = open_source(image)
    mask = labels if isinstance(labels, AnnotationStore) else open_source(labels)
    layout = ImageShape.of(source.shape, ndim, options, mask.shape, first=first).layout
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
        usual = "background" if value == 0 else f"class {value}"
        name = options.class_names.get(value, usual)
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
