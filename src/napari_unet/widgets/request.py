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
from napari_unet.process.jobs import TrainJob
from napari_unet.process.wire import Readable
from napari_unet.process.worker import Worker
from napari_unet.tasks.segment_options import SegmentOptions
from napari_unet.training.events import TrainingEvent
from napari_unet.widgets.layers import Picture

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

    picture: Picture
    labels: Any
    classes: tuple[int, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    opened: Callable[[Sequence[AnnotationStore]], None] = lambda _: None
    more: tuple[tuple[Picture, Any], ...] = ()

    def reporting(self, opened: Callable[[Sequence[AnnotationStore]], None]) -> TrainRequest:
        """Return the same, with somebody to be told of the stores."""
        return replace(self, opened=opened)

    @property
    def pairs(self) -> list[tuple[Picture, Any]]:
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
        from napari_unet.tasks.painted import open_pairs

        options, labels = self._parsed(), [self.labels, *(labels for _, labels in self.more)]
        ndim = self._ndim(options)
        stores = [pair.store for pair in open_pairs(self.images, labels, ndim, options)]
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
        from napari_unet.tasks.architecture import choose_config

        options = self._parsed()
        channel = self.picture.channel(options.channel_axis, tuple(self.labels.shape))
        channels = 1 if channel is None else int(self.picture.data.shape[channel])
        ndim = self._ndim(options)
        return choose_config(
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
            from napari_unet.tasks.painted import choose_ndim

            wanted = choose_ndim([self.labels, *(labels for _, labels in self.more)], options)
        return wanted
