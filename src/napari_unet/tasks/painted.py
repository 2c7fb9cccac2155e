"""An image and what is painted on it: brought together and checked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from napari_unet.control import Control
from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.image import ImageView
from napari_unet.data.source import Source, open_source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import AxisLayout, find_layout
from napari_unet.tasks.segment_options import SegmentOptions
from napari_unet.training.events import Warned

POLL = 0.1
"""Seconds between two looks at whether enough is painted to begin."""


@dataclass(frozen=True)
class Painted:
    """An image and what is painted on it, checked and ready to be drawn from."""

    view: ImageView
    store: AnnotationStore
    layout: AxisLayout
    counts: dict[int, int]


def open_pair(image: object, labels: object, ndim: int, options: SegmentOptions) -> Painted:
    """Bring an image and its labels together.

    Raises
    ------
    InputError
        Where the shapes differ, nothing is painted, or only one class is.
    """
    source = open_source(image)
    if isinstance(labels, AnnotationStore):
        return _with_store(source, labels, ndim, options)
    mask = open_source(labels)
    layout = _layout(source, mask.shape, ndim, options)
    expected = tuple(n for a, n in enumerate(source.shape) if a != layout.channel)
    if mask.shape != expected:
        raise InputError(
            "Image and labels differ in shape",
            got=f"image {source.shape}, labels {mask.shape}",
            expected=f"labels of shape {expected}",
            todo="Paint on a Labels layer made for this image",
        )
    store = AnnotationStore.from_labels(
        mask, layout.labels, zero_is_class=options.zero == "background"
    )
    counts = store.values()
    if not counts:
        raise InputError(
            "Nothing is painted", todo="Paint a few strokes of at least two classes, then train"
        )
    if len(counts) < 2:
        raise InputError(
            "Only one class is painted",
            got=f"label {next(iter(counts))}",
            todo="Paint at least one stroke of another class"
            + (", or let 0 mean background" if options.zero == "unpainted" else ""),
        )
    return Painted(ImageView(source, layout), store, layout, counts)


def _layout(
    source: Source, labels: tuple[int, ...], ndim: int, options: SegmentOptions
) -> AxisLayout:
    """Find the roles of the image's axes; `labels` is the shape of what is painted."""
    return find_layout(
        source.shape,
        ndim,
        channel_axis=options.channel_axis,
        names=options.axes,
        labels_shape=labels,
        rgb=options.rgb,
    )


def _with_store(
    source: Source, store: AnnotationStore, ndim: int, options: SegmentOptions
) -> Painted:
    """Bring an image together with strokes that are still being painted."""
    layout = _layout(source, store.shape, ndim, options)
    return Painted(ImageView(source, layout), store, layout, store.values())


def choose_ndim(labels: object, options: SegmentOptions) -> Literal[2, 3]:
    """Choose the given network's, or 3D where 3 of at least 8 planes are painted, or else 2D."""
    if options.network is not None:
        return options.network.ndim
    if isinstance(labels, AnnotationStore):
        return 3 if labels.spatial_ndim == 3 else 2
    source = open_source(labels)
    if len(source.shape) < 3 or source.shape[-3] < 8:
        return 2
    store = AnnotationStore.from_labels(source, find_layout(source.shape, 2, channel_axis=None))
    planes = {index[-3] for index in store.snapshot().blocks}
    return 3 if options.zero == "background" or len(planes) >= 3 else 2


def wait_for_paint(store: AnnotationStore, control: Control) -> Iterator[Warned]:
    """Wait until two classes are painted, or somebody stops it; say so if it takes a while."""
    if len(store.values()) < 2:
        yield Warned("Paint a stroke of each of two classes: the training then begins by itself.")
    while len(store.values()) < 2 and not control.stopped:
        time.sleep(POLL)
