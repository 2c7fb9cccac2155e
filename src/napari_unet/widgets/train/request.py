"""A training as the panel asks for it: plain values that a thread may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from napari_unet.control import Control
from napari_unet.data.annotations import AnnotationStore
from napari_unet.geometry.axes import AxisLayout, find_layout
from napari_unet.model import TrainedModel
from napari_unet.network.architecture import Architecture
from napari_unet.tasks.images.options import ImageOptions
from napari_unet.tasks.network_options import NetworkOptions
from napari_unet.tasks.options import Task
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.training.events import TrainingEvent
from napari_unet.widgets.layers.layer_data import LayerData
from napari_unet.workers.jobs import TrainJob
from napari_unet.workers.messages import Readable
from napari_unet.workers.process import Worker


@dataclass(frozen=True, eq=False)
class TrainRequest:
    """A training.

    Parameters
    ----------
    task : {"segment", "denoise", "restore", "inpaint"}
        What is learned.
    pairs : tuple of (LayerData, array or None)
        The images, each with what goes with it: labels, the good image, or a mask; None where
        nothing does.
    options : NetworkOptions
        All options of the task, as the form shows them.
    ndim : {2, 3}, optional
        Spatial dimensions of the network; by default as for `napari_unet.train`.
    start : TrainedModel, optional
        A model to go on from.
    classes : tuple of int
        The label values of a segmentation, as far as they are counted, with 0 where that is a
        class, behind those of the model that is started from.
    runs : str, optional
        Folder in which the training is recorded.
    tensorboard : bool
        Whether TensorBoard's files are written there, too.
    """

    task: Task
    pairs: tuple[tuple[LayerData, Any], ...]
    options: NetworkOptions
    ndim: Literal[2, 3] | None = None
    start: TrainedModel | None = None
    classes: tuple[int, ...] = ()
    runs: str | None = None
    tensorboard: bool = False

    @property
    def image(self) -> LayerData:
        """The first image."""
        return self.pairs[0][0]

    @property
    def is_segmentation(self) -> bool:
        """Whether classes are learned from labels that may change while the training runs."""
        return self.task == "segment"

    def mask(self, pair: int) -> Any:
        """Return what tells which pixels of an image are missing, if anything does."""
        return self.pairs[pair][1] if self.task == "inpaint" else None

    def layout(self, pair: int, ndim: int) -> AxisLayout:
        """Return the roles of an image's axes for a network of so many dimensions."""
        image, other = self.pairs[pair]
        return find_layout(
            image.data.shape,
            ndim,
            channel_axis=self.options.channel_axis,
            names=image.axes,
            labels_shape=None if other is None else tuple(other.shape),
            rgb=image.rgb,
        )

    def job(self) -> TrainJob:
        """Return the training as a worker takes it; to be called in a thread.

        Labels become annotation stores, which hold what is painted now. Nothing need be painted
        yet.

        Raises
        ------
        InputError
            Where an image and what is painted on it, or two images, do not fit together.
        """
        images = tuple(Readable(image.data) for image, _ in self.pairs)
        others, ndim = self._others()
        several = len(images) > 1
        return TrainJob(
            self.task,
            images if several else images[0],
            None if self.task == "denoise" else others if several else others[0],
            self.options,
            ndim,
            self.start,
            self.runs,
            self.tensorboard,
        )

    def events(
        self,
        worker: Worker,
        control: Control,
        opened: Callable[[Sequence[AnnotationStore]], None] = lambda _: None,
    ) -> Iterator[TrainingEvent]:
        """Have a worker train; to be iterated in a thread.

        A segmentation waits until enough is painted. Stopped while it waits it ends without
        `Finished`.

        Parameters
        ----------
        worker : Worker
            What trains.
        control : Control
            Stops or pauses it.
        opened : callable
            Called with the annotation stores of a segmentation, one per image: what is written
            into them is learned from at once.
        """
        job = self.job()
        others = job.labels if isinstance(job.labels, tuple) else (job.labels,)
        if self.is_segmentation:
            opened([store for store in others if isinstance(store, AnnotationStore)])
        yield from worker.run(job, control)

    def _others(self) -> tuple[tuple[Any, ...], Literal[2, 3] | None]:
        """Return what goes with each image, as a worker takes it, and the dimensions."""
        others = [other for _, other in self.pairs]
        if isinstance(self.options, SegmentOptions):
            from napari_unet.tasks.segmentation.data import open_all_annotated

            ndim = self._ndim()
            images = [image.data for image, _ in self.pairs]
            opened = open_all_annotated(images, others, ndim, self.options)
            return tuple(annotated.store for annotated in opened), ndim
        return tuple(None if other is None else Readable(other) for other in others), self.ndim

    def network(self) -> Architecture:
        """Return the network that would be trained; to be called in a thread.

        How many planes it sees together may still be decided by what the image is like.

        Raises
        ------
        InputError
            Where the options do not fit together.
        """
        from napari_unet.tasks.network_choice import choose_network

        ndim = self._ndim()
        spacing = self.options.spacing and self.options.spacing[-ndim:]
        return choose_network(self.options, ndim, self._channels(ndim), spacing, self.start)

    def _ndim(self) -> Literal[2, 3]:
        """Return the network's dimensions, as set, as of the model, or as is painted."""
        if self.ndim is not None:
            return self.ndim
        if self.start is not None:
            return self.start.config.ndim
        if isinstance(self.options, SegmentOptions):
            from napari_unet.tasks.segmentation.data import choose_ndim

            return choose_ndim([labels for _, labels in self.pairs], self.options)
        return 2 if self.options.network is None else self.options.network.ndim

    def _channels(self, ndim: int) -> tuple[int, int]:
        """Return the network's channels in and out."""
        if not isinstance(self.options, ImageOptions):
            image, labels = self.pairs[0]
            axis = image.channel(self.options.channel_axis, tuple(labels.shape))
            channels = 1 if axis is None else int(image.data.shape[axis])
            return channels, max(2, len(self.classes))
        layout = self.layout(0, ndim)
        channels = layout.channels(self.image.data.shape)
        masked = 2 if self.task == "inpaint" else 1
        return channels * (self.options.planes or 1) * masked, self._channels_out(layout, ndim)

    def _channels_out(self, layout: AxisLayout, ndim: int) -> int:
        """Return the channels of the image that is learned."""
        image, other = self.pairs[0]
        shape = tuple(image.data.shape)
        if self.task != "restore" or tuple(other.shape) == shape:
            return layout.channels(shape)
        plain = tuple(n for axis, n in enumerate(shape) if axis != layout.channel)
        target = tuple(other.shape)
        return find_layout(target, ndim, labels_shape=plain).channels(target)
