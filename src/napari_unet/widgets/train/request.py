"""A training as the panel requests it: plain values that another thread may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from napari_unet.control import Control
from napari_unet.data.annotations import AnnotationStore
from napari_unet.errors import InputError
from napari_unet.geometry.axes import AxisLayout
from napari_unet.model import TrainedModel
from napari_unet.tasks.network_options import NetworkOptions
from napari_unet.tasks.options import Task
from napari_unet.tasks.plan import ImageShape, TrainingPlan, choose_ndim, plan_training
from napari_unet.tasks.provenance import Origin
from napari_unet.tasks.segmentation.data import check_labels_shape, count_all, open_all_annotated
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.training.events import Preparing, TrainingEvent
from napari_unet.widgets.layers.layer_data import LayerData
from napari_unet.widgets.layers.region_of_interest import RegionOfInterest
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
    most_classes : int, optional
        More classes than this are refused: the user has to say that they are meant.
    runs : str, optional
        Folder in which the training is recorded.
    tensorboard : bool
        Whether TensorBoard's files are written there, too.
    sources : tuple
        Origins of the layers, for the record.
    resume : str, optional
        The checkpoint of an interrupted training to go on with.
    interest : RegionOfInterest, optional
        The part of the first image that is learned from, whose box is also among the options.
    """

    task: Task
    pairs: tuple[tuple[LayerData, Any], ...]
    options: NetworkOptions
    ndim: Literal[2, 3] | None = None
    start: TrainedModel | None = None
    classes: tuple[int, ...] = ()
    most_classes: int | None = None
    runs: str | None = None
    tensorboard: bool = False
    sources: tuple[tuple[Origin, ...], ...] = ()
    resume: str | None = None
    interest: RegionOfInterest | None = None

    @property
    def image(self) -> LayerData:
        """The first image."""
        return self.pairs[0][0]

    @property
    def is_segmentation(self) -> bool:
        """Whether it is trained on labels, which may change while the training runs."""
        return self.task == "segment"

    def mask(self, pair: int) -> Any:
        """Return the mask of an image's missing pixels, or None; `pair` is the image's index."""
        return self.pairs[pair][1] if self.task == "inpaint" else None

    def layout(self, pair: int, ndim: int) -> AxisLayout:
        """Return the roles of an image's axes.

        Parameters
        ----------
        pair : int
            Index of the image.
        ndim : {2, 3}
            Spatial dimensions of the network.
        """
        return self._shapes(ndim)[pair].layout

    def plan(self) -> TrainingPlan:
        """Return what would be trained; to be called in a thread, for it may read large labels.

        How many planes are read together may still be decided by what the image is like.

        Raises
        ------
        InputError
            Where options, model and images do not fit together.
        """
        shapes = self._shapes(self._choose_ndim())
        if self.is_segmentation:
            for shape, (image, labels) in zip(shapes, self.pairs, strict=True):
                check_labels_shape(shape.shape, shape.layout, labels.shape, image.axes)
        channels = shapes[0].channels
        if self.is_segmentation:
            channels = max(2, len(self.classes))
        elif self.task == "restore":
            channels = shapes[0].target(self.pairs[0][1].shape).channels
        shapes[0] = shapes[0].cropped(self.options)
        return plan_training(
            self.task, shapes, self.options, output_channels=channels, start=self.start
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
        images = tuple(Readable(image.data, image.name) for image, _ in self.pairs)
        others, ndim = self._others()
        self._shapes(ndim or choose_ndim(self.options, None, self.start))
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
            self.sources,
            self.resume,
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
        yield Preparing("Reading what is painted" if self.is_segmentation else "Reading the images")
        job = self.job()
        others = job.labels if isinstance(job.labels, tuple) else (job.labels,)
        if self.is_segmentation:
            opened([store for store in others if isinstance(store, AnnotationStore)])
        yield Preparing("Starting the computation")
        yield from worker.run(job, control)

    def _others(self) -> tuple[tuple[Any, ...], Literal[2, 3] | None]:
        """Return what goes with each image, as a worker takes it, and the dimensions."""
        others = [other for _, other in self.pairs]
        if isinstance(self.options, SegmentOptions):
            ndim = self._choose_ndim()
            images = [image.data for image, _ in self.pairs]
            opened = open_all_annotated(images, self._labels(), ndim, self.options)
            check_class_number(len(count_all(opened)), self.most_classes)
            return tuple(annotated.store for annotated in opened), ndim
        return tuple(None if other is None else Readable(other) for other in others), self.ndim

    def _labels(self) -> list[Any]:
        """Return the labels of each image; of the first those in the region of interest alone."""
        labels = [other for _, other in self.pairs]
        if self.interest is not None:
            labels[0] = self.interest.part_of(labels[0]) or labels[0]
        return labels

    def _choose_ndim(self) -> Literal[2, 3]:
        labels = self._labels() if self.is_segmentation else []
        shapes = [tuple(image.data.shape) for image, _ in self.pairs]
        return choose_ndim(self.options, self.ndim, self.start, labels, shapes)

    def _shapes(self, ndim: int) -> list[ImageShape]:
        """Return the shape and axes of each image for a network of so many dimensions."""
        shapes = []
        for number, (image, other) in enumerate(self.pairs):
            paired = None if other is None else tuple(other.shape)
            size = image.data.shape
            shapes.append(ImageShape.of(size, ndim, self.options, paired, first=number == 0))
            check_loops_first(image.name, shapes[-1].layout)
        return shapes


def check_class_number(values: int, most: int | None) -> None:
    """Check that labels do not become unexpectedly many classes.

    Parameters
    ----------
    values : int
        The number of classes.
    most : int, optional
        The number up to which nothing is asked.

    Raises
    ------
    InputError
        Where there are more.
    """
    if most is not None and values > most:
        raise InputError(
            f"The labels would become {values} classes",
            expected=f"at most {most}, unless you confirm it",
            todo="Choose under “Strokes” whether each label is an object or a class",
        )


def check_loops_first(name: str, layout: AxisLayout) -> None:
    """Check that the looped axes of an image come before its spatial ones, as in a viewer.

    Parameters
    ----------
    name : str
        Name of the image.
    layout : AxisLayout
        Roles of its axes.

    Raises
    ------
    InputError
        Where time comes after a spatial axis.
    """
    if layout.loops and layout.loops[-1] > layout.spatial[0]:
        raise InputError(
            f"In “{name}” the time axis comes after the spatial ones",
            todo="Reorder the axes of the layer so that time comes first",
        )
