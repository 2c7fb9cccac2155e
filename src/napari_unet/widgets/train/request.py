"""What the panel asks of the core, as plain values that a thread may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from napari_unet.control import Control
from napari_unet.data.annotations import AnnotationStore
from napari_unet.geometry.axes import AxisLayout, find_layout
from napari_unet.model import TrainedModel
from napari_unet.network.architecture import Architecture
from napari_unet.tasks.images.options import (
    DenoiseOptions,
    ImageOptions,
    InpaintOptions,
    RestoreOptions,
)
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.training.events import TrainingEvent
from napari_unet.widgets.layers.layer_data import LayerData
from napari_unet.workers.jobs import TrainJob
from napari_unet.workers.messages import Readable
from napari_unet.workers.process import Worker

NO_OPTIONS = ("task", "ndim", "start", "runs", "tensorboard")
"""Arguments of `napari_unet.train` that are not among `SegmentOptions`."""


@dataclass(frozen=True, eq=False)
class TrainRequest:
    """A training.

    Parameters
    ----------
    picture : Picture
        The image.
    labels : array
        What is painted, of the image's shape without channels.
    classes : tuple of int
        Its label values, as far as they are counted, with 0 where that is a class, behind those
        of the model that is started from.
    options : dict
        All other arguments of `napari_unet.train`, such as the model to `start` from.
    opened : callable
        Told, in the thread, of the stores that the strokes are kept in: that of `labels` first,
        then those of `more`.
    more : tuple of (Picture, array)
        Further images, and what is painted on them.
    """

    picture: LayerData
    labels: Any
    classes: tuple[int, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    opened: Callable[[Sequence[AnnotationStore]], None] = lambda _: None
    more: tuple[tuple[LayerData, Any], ...] = ()

    def reporting(self, opened: Callable[[Sequence[AnnotationStore]], None]) -> TrainRequest:
        """Return the same, with somebody to be told of the stores."""
        return replace(self, opened=opened)

    @property
    def pairs(self) -> list[tuple[LayerData, Any]]:
        """All images, each with what is painted on it."""
        return [(self.picture, self.labels), *self.more]

    @property
    def images(self) -> list[Any]:
        """The pixels of all images."""
        return [picture.data for picture, _ in self.pairs]

    def layout(self, pair: int, ndim: int) -> AxisLayout:
        """Return the roles of an image's axes for a network of so many dimensions."""
        picture, labels = self.pairs[pair]
        return find_layout(
            picture.data.shape,
            ndim,
            channel_axis=self.options.get("channel_axis", "auto"),
            names=picture.axes,
            labels_shape=tuple(labels.shape),
            rgb=picture.rgb,
        )

    def open(self) -> tuple[list[AnnotationStore], dict[str, Any]]:
        """Return the stores of all that is painted, and what else `napari_unet.train` needs.

        To be called in a thread. Nothing need be painted yet.

        Raises
        ------
        InputError
            Where an image and what is painted on it, or two images, do not fit together.
        """
        from napari_unet.tasks.segmentation.data import open_all_annotated

        options, labels = self._parsed(), [self.labels, *(labels for _, labels in self.more)]
        ndim = self._ndim(options)
        stores = [pair.store for pair in open_all_annotated(self.images, labels, ndim, options)]
        return stores, {**self.options, "ndim": ndim}

    def events(self, worker: Worker, control: Control) -> Iterator[TrainingEvent]:
        """Have a worker train; to be iterated in a thread.

        It waits until enough is painted. Stopped while it waits it ends without `Finished`.
        """
        stores, options = self.open()
        self.opened(stores)
        images = tuple(map(Readable, self.images))
        one = len(stores) == 1
        image, strokes = (images[0], stores[0]) if one else (images, tuple(stores))
        yield from worker.run(TrainJob(image, strokes, options), control)

    def network(self) -> Architecture:
        """Return the network that would be trained; to be called in a thread.

        Raises
        ------
        InputError
            Where the options do not fit together.
        """
        from napari_unet.tasks.network_choice import choose_network

        options = self._parsed()
        channel = self.picture.channel(options.channel_axis, tuple(self.labels.shape))
        channels = 1 if channel is None else int(self.picture.data.shape[channel])
        ndim = self._ndim(options)
        return choose_network(
            options,
            ndim,
            (channels, max(2, len(self.classes))),
            options.spacing and options.spacing[-ndim:],
            self._start,
        )

    @property
    def _start(self) -> TrainedModel | None:
        return self.options.get("start")

    def _parsed(self) -> SegmentOptions:
        return SegmentOptions.parse({k: v for k, v in self.options.items() if k not in NO_OPTIONS})

    def _ndim(self, options: SegmentOptions) -> Literal[2, 3]:
        """Return the network's dimensions, as set, as of the model, or as is painted."""
        wanted: Literal[2, 3] | None = self.options.get("ndim")
        if wanted is None and self._start is not None:
            wanted = self._start.config.ndim
        if wanted is None:
            from napari_unet.tasks.segmentation.data import choose_ndim

            wanted = choose_ndim([self.labels, *(labels for _, labels in self.more)], options)
        return wanted


OPTIONS: dict[str, type[ImageOptions]] = {
    "denoise": DenoiseOptions,
    "restore": RestoreOptions,
    "inpaint": InpaintOptions,
}
"""By task; `napari_unet.tasks.images.open` says the same, but imports torch."""


@dataclass(frozen=True, eq=False)
class ImageRequest:
    """A training whose result is an image.

    Parameters
    ----------
    picture : Picture
        The image.
    other : array, optional
        What goes with it: to restore the good image, to fill in what is missing.
    options : dict
        All other arguments of `napari_unet.train`, with the task among them.
    more : tuple of (Picture, array or None)
        Further images, each with what goes with it.
    """

    picture: LayerData
    other: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    more: tuple[tuple[LayerData, Any], ...] = ()

    @property
    def task(self) -> str:
        """What is learned."""
        return str(self.options["task"])

    @property
    def pairs(self) -> list[tuple[LayerData, Any]]:
        """All images, each with what goes with it."""
        return [(self.picture, self.other), *self.more]

    def reporting(self, opened: Any) -> ImageRequest:  # noqa: ARG002 - nothing is painted
        """Return the same: there are no strokes to tell of."""
        return self

    def mask(self, pair: int) -> Any:
        """Return what tells which pixels of an image are missing, if anything does."""
        return self.pairs[pair][1] if self.task == "inpaint" else None

    def layout(self, pair: int, ndim: int) -> AxisLayout:
        """Return the roles of the image's axes for a network of so many dimensions."""
        picture, other = self.pairs[pair]
        return find_layout(
            picture.data.shape,
            ndim,
            channel_axis=self.options.get("channel_axis", "auto"),
            names=picture.axes,
            labels_shape=None if other is None else tuple(other.shape),
            rgb=picture.rgb,
        )

    def events(self, worker: Worker, control: Control) -> Iterator[TrainingEvent]:
        """Have a worker train; to be iterated in a thread."""
        images = [Readable(picture.data) for picture, _ in self.pairs]
        others = [None if other is None else Readable(other) for _, other in self.pairs]
        image, other = (tuple(images), tuple(others)) if self.more else (images[0], others[0])
        if self.task == "denoise":
            other = None
        yield from worker.run(TrainJob(image, other, self.options), control)

    def network(self) -> Architecture:
        """Return the network that would be trained; to be called in a thread.

        How many planes it sees together may still be decided by what the image is like.

        Raises
        ------
        InputError
            Where the options do not fit together.
        """
        from napari_unet.tasks.network_choice import choose_network

        given = {k: v for k, v in self.options.items() if k not in NO_OPTIONS}
        options = OPTIONS[self.task].parse(given)
        start, ndim = self.options.get("start"), self._ndim(options)
        layout = self.layout(0, ndim)
        channels = layout.channels(self.picture.data.shape)
        seen = channels * (options.planes or 1) * (2 if self.task == "inpaint" else 1)
        spacing = options.spacing and options.spacing[-ndim:]
        return choose_network(options, ndim, (seen, self._given(layout, ndim)), spacing, start)

    def _ndim(self, options: ImageOptions) -> Literal[2, 3]:
        start, network = self.options.get("start"), options.network
        wanted: Literal[2, 3] | None = self.options.get("ndim")
        return wanted or (start and start.config.ndim) or (network and network.ndim) or 2

    def _given(self, layout: AxisLayout, ndim: int) -> int:
        """Return the channels of the result."""
        shape = tuple(self.picture.data.shape)
        if self.task != "restore" or tuple(self.other.shape) == shape:
            return layout.channels(shape)
        plain = tuple(n for axis, n in enumerate(shape) if axis != layout.channel)
        other = tuple(self.other.shape)
        return find_layout(other, ndim, labels_shape=plain).channels(other)
