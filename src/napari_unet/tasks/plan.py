"""The plan of a training: everything that follows from shapes, axes and options alone.

A plan is made before the first pixel is read, by `plan_training`. The panel shows it, the tasks
are built from it, and a run keeps it. This module imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.image import ImageView
from napari_unet.data.source import Source, open_source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import (
    CHANNEL_NAMES,
    AxisLayout,
    find_layout,
    is_time,
    plain_name,
)
from napari_unet.geometry.region import Region
from napari_unet.model import TrainedModel
from napari_unet.network.architecture import Architecture
from napari_unet.tasks.images.options import ImageOptions
from napari_unet.tasks.network_choice import (
    check_start,
    choose_input_shape,
    choose_network,
    output_shape_of,
)
from napari_unet.tasks.network_options import NetworkOptions

SPATIAL_AXES = ("z", "y", "x")
"""Names of the spatial axes; a 2D network uses the last two."""

MASKED_TASKS = frozenset({"inpaint"})
"""Tasks whose networks read, beside each channel, which of its pixels are known."""

SEGMENTATION_BATCH_SIZE = {2: 8, 3: 4}
"""Patches per step of a segmentation, by spatial dimensions."""

IMAGE_BATCH_SIZE = {2: 8, 3: 2}
"""Patches per step where the result is an image, by spatial dimensions."""

FLAT_PLANES = 8
"""A stack of fewer planes than this is not worth a 3D network."""

ANNOTATED_PLANES = 3
"""Number of annotated planes from which on a stack gets a 3D network."""


@dataclass(frozen=True, slots=True)
class ImageShape:
    """What a plan needs to know of an image: the shape of its array, and the roles of its axes.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    layout : AxisLayout
        Roles of its axes.
    """

    shape: tuple[int, ...]
    layout: AxisLayout

    @classmethod
    def of(
        cls,
        shape: Sequence[int],
        ndim: int,
        options: NetworkOptions,
        paired_shape: Sequence[int] | None = None,
        *,
        first: bool = True,
    ) -> ImageShape:
        """Find the roles of an image's axes.

        Parameters
        ----------
        shape : sequence of int
            Shape of the image's array.
        ndim : int
            Spatial dimensions of the network.
        options : NetworkOptions
            Channel axis, names of the axes, and whether the last one holds colours.
        paired_shape : sequence of int, optional
            Shape of the labels, mask or target that goes with the image.
        first : bool
            Whether it is the first of several images: the names in `options` are those of the
            first, and of others with as many axes; of all others only that channels come last.

        Raises
        ------
        InputError
            Where the image has too few axes, or no such channel axis.
        """
        names = options.axes
        if names is not None and not first and len(names) != len(shape):
            channels_last = bool(names) and plain_name(names[-1]) in CHANNEL_NAMES
            names = (*("",) * (len(shape) - 1), names[-1]) if channels_last else None
        layout = find_layout(
            shape,
            ndim,
            channel_axis=options.channel_axis,
            names=names,
            labels_shape=paired_shape,
            rgb=options.rgb,
        )
        return cls(tuple(shape), layout)

    @classmethod
    def of_view(cls, view: ImageView) -> ImageShape:
        """Return that of an opened image, or of the window in it."""
        return cls(tuple(view.shape), view.layout)

    def window(self, options: NetworkOptions) -> Region | None:
        """Return the region of interest of the options, over all axes but that of channels.

        Raises
        ------
        InputError
            Where it does not lie in the image.
        """
        if options.region is None:
            return None
        kept = [n for axis, n in enumerate(self.shape) if axis != self.layout.channel]
        return Region.of_bounds(options.region, kept)

    def cropped(self, options: NetworkOptions) -> ImageShape:
        """Return the shape and axes of the region of interest of the options."""
        window = self.window(options)
        if window is None:
            return self
        sizes = list(window.shape)
        if self.layout.channel is not None:
            sizes.insert(self.layout.channel, self.shape[self.layout.channel])
        return ImageShape(tuple(sizes), self.layout)

    def target(self, shape: Sequence[int]) -> ImageShape:
        """Return the shape and axes of a target image that goes with this image.

        Parameters
        ----------
        shape : sequence of int
            Shape of the target's array: like the image, with channels of its own or none.

        Raises
        ------
        InputError
            Where the target has too few axes.
        """
        shape = tuple(shape)
        if shape == self.shape:
            return self
        plain = tuple(n for axis, n in enumerate(self.shape) if axis != self.layout.channel)
        ndim = len(self.layout.spatial)
        return ImageShape(shape, find_layout(shape, ndim, labels_shape=plain))

    def to_dict(self) -> dict[str, Any]:
        """Return shape and axes as plain JSON."""
        return {
            "shape": list(self.shape),
            "loops": list(self.layout.loops),
            "channel": self.layout.channel,
            "spatial": list(self.layout.spatial),
        }

    @property
    def channels(self) -> int:
        """Number of channels of one plane."""
        return self.layout.channels(self.shape)

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Sizes of the spatial axes, in voxels."""
        return self.layout.spatial_shape(self.shape)


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What will be trained, and on patches of which shape.

    Parameters
    ----------
    task : str
        "segment", "denoise", "restore" or "inpaint".
    images : tuple of ImageShape
        The images that are learned from, in order.
    network : Architecture
        Configuration of the network.
    spacing : tuple of float
        Distance between voxels per spatial axis.
    class_values : tuple of int
        Label values of the classes, in the order of the network's outputs; empty where the result
        is an image.
    context_planes : int
        Neighbouring planes that a 2D network reads as channels to predict the middle one; 1 where
        it reads that one alone.
    mask_channel : bool
        Whether the network reads, beside each channel, which of its pixels are known.
    input_shape, output_shape : tuple of int
        Spatial shapes of the network's input and output in training, in voxels.
    batch_size : int
        Patches per step.
    """

    task: str
    images: tuple[ImageShape, ...]
    network: Architecture
    spacing: tuple[float, ...]
    class_values: tuple[int, ...]
    context_planes: int
    mask_channel: bool
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    batch_size: int

    @property
    def ndim(self) -> Literal[2, 3]:
        """Spatial dimensions of the network."""
        return self.network.ndim

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the spatial axes, in order."""
        return SPATIAL_AXES[-self.ndim :]

    @property
    def channels(self) -> int:
        """Number of channels of one plane of the images."""
        return self.images[0].channels

    @property
    def layouts(self) -> tuple[AxisLayout, ...]:
        """Roles of the images' axes, in order."""
        return tuple(image.layout for image in self.images)

    def with_classes(self, values: Sequence[int]) -> TrainingPlan:
        """Return the same plan for a network with other classes, given by their label values."""
        network = self.network.model_copy(update={"out_channels": len(values)})
        return replace(self, network=network, class_values=tuple(values))

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain JSON."""
        return {
            "task": self.task,
            "ndim": self.ndim,
            "axes": list(self.axes),
            "images": [image.to_dict() for image in self.images],
            "channels": self.channels,
            "context_planes": self.context_planes,
            "mask_channel": self.mask_channel,
            "spacing": list(self.spacing),
            "class_values": list(self.class_values),
            "network": self.network.model_dump(mode="json"),
            "input_shape": list(self.input_shape),
            "output_shape": list(self.output_shape),
            "batch_size": self.batch_size,
        }


def plan_training(
    task: str,
    images: Sequence[ImageShape],
    options: NetworkOptions,
    *,
    output_channels: int,
    class_values: Sequence[int] = (),
    context_planes: int | None = None,
    start: TrainedModel | None = None,
) -> TrainingPlan:
    """Plan a training. No pixel is read.

    Parameters
    ----------
    task : str
        "segment", "denoise", "restore" or "inpaint".
    images : sequence of ImageShape
        Shapes and axes of all images; at least one. They have as many channels.
    options : NetworkOptions
        Those of the task.
    output_channels : int
        Number of classes, or of the result's channels.
    class_values : sequence of int
        Label values of the classes, as far as they are known.
    context_planes : int, optional
        Neighbouring planes that are read as channels; None: as set, as the model to start from
        does, or 1. (Denoising measures the image where it is not set.)
    start : TrainedModel, optional
        The model that the training goes on from.

    Raises
    ------
    InputError
        Where network, model, images and options do not fit together.
    """
    ndim = _dimensions(images[0])
    mask_channel = task in MASKED_TASKS
    planes = context_planes or choose_context_planes(options, start)
    each = 2 if mask_channel else 1
    channels = (images[0].channels * planes * each, output_channels)
    check_channel_names(options.channel_names, images[0].channels, start)
    if start is not None:
        check_start(start, task, ndim, channels)
    spacing = tuple(options.spacing or (1.0,) * ndim)[-ndim:]
    network = choose_network(options, ndim, channels, spacing, start)
    sizes = zip(*(image.spatial_shape for image in images), strict=True)
    largest = [max(along_axis) for along_axis in sizes]
    input_shape = choose_input_shape(task, network, largest, options.patch)
    batch_sizes = SEGMENTATION_BATCH_SIZE if task == "segment" else IMAGE_BATCH_SIZE
    return TrainingPlan(
        task=task,
        images=tuple(images),
        network=network,
        spacing=spacing,
        class_values=tuple(class_values),
        context_planes=planes,
        mask_channel=mask_channel,
        input_shape=input_shape,
        output_shape=output_shape_of(network, input_shape),
        batch_size=options.batch_size or batch_sizes[ndim],
    )


def check_channel_names(
    names: Sequence[str], channels: int, start: TrainedModel | None = None
) -> None:
    """Check that names of channels fit the image, and the model that the training goes on from.

    Parameters
    ----------
    names : sequence of str
        The names; empty where they are not known.
    channels : int
        Number of channels of the image.
    start : TrainedModel, optional
        The model.

    Raises
    ------
    InputError
        Where there are too few or too many, one comes twice, or they are those of the model in
        another order. (Other names are allowed: layers are renamed.)
    """
    if names and len(set(names)) != channels:
        raise InputError(
            "Every channel needs a name of its own",
            got=", ".join(names),
            expected=f"{channels} different names",
        )
    known = () if start is None else start.channel_names
    if set(names) == set(known) and tuple(names) != known:
        raise InputError(
            "The model to start from has the same channels in another order",
            got=", ".join(names),
            expected=", ".join(known),
            todo="Choose the channels in the order of the model",
        )


def choose_ndim(
    options: NetworkOptions,
    wanted: Literal[2, 3] | None = None,
    start: TrainedModel | None = None,
    labels: Sequence[object] = (),
    shapes: Sequence[Sequence[int]] = (),
) -> Literal[2, 3]:
    """Return the network's spatial dimensions.

    They are, in this order, those that are wanted, those of the model to start from, those of a
    network that is given; 3 where the labels fill a volume: at least 3 of at least 8 planes are
    annotated, and no image is a single plane; otherwise 2. Frames of a time axis are not planes.

    Parameters
    ----------
    options : NetworkOptions
        Those of the task.
    wanted : {2, 3}, optional
        What the user set.
    start : TrainedModel, optional
        The model that the training goes on from.
    labels : sequence of array-like, path or AnnotationStore
        Labels of a segmentation, one per image; without any, dimensions are 2.
    shapes : sequence of tuple of int, optional
        Shapes of the images, from which follows which of the named axes the labels have.
    """
    if wanted is not None:
        return wanted
    if start is not None:
        return start.config.ndim
    if options.network is not None:
        return options.network.ndim
    names = [_label_names(k, one, options, shapes) for k, one in enumerate(labels)]
    planes = [_space(one, of) for one, of in zip(labels, names, strict=True)]
    if any(len(axes) < 3 for axes in planes):
        return 2
    each = zip(labels, names, strict=True)
    return 3 if any(_fills_volume(one, of, options) for one, of in each) else 2


def choose_context_planes(options: NetworkOptions, start: TrainedModel | None = None) -> int:
    """Return how many planes are read together: as set, as the model does, or 1.

    Parameters
    ----------
    options : NetworkOptions
        Those of the task; a segmentation reads one plane.
    start : TrainedModel, optional
        The model that the training goes on from.
    """
    if not isinstance(options, ImageOptions):
        return 1
    return options.planes or (1 if start is None else start.input_spec.context_planes)


def _dimensions(image: ImageShape) -> Literal[2, 3]:
    return 3 if len(image.layout.spatial) == 3 else 2


def _shape(labels: object) -> tuple[int, ...]:
    return labels.shape if isinstance(labels, AnnotationStore) else open_source(labels).shape


def _label_names(
    number: int, labels: object, options: NetworkOptions, shapes: Sequence[Sequence[int]]
) -> tuple[str, ...]:
    """Return the names of the axes of an image's labels; empty where none of them is time."""
    shape, names = _shape(labels), options.axes or ()
    if isinstance(labels, AnnotationStore) or not any(map(is_time, names)):
        return ()
    image = shapes[number] if number < len(shapes) else shape
    if number > 0 and len(names) != len(image):
        return ()
    channel = ImageShape.of(image, 2, options, shape).layout.channel
    kept = tuple(name for axis, name in enumerate(names) if axis != channel)
    return kept if len(kept) == len(shape) else ()


def _space(labels: object, names: Sequence[str]) -> list[int]:
    """Return the axes of labels that are not time."""
    return [a for a in range(len(_shape(labels))) if not (names and is_time(names[a]))]


def _fills_volume(labels: object, names: Sequence[str], options: NetworkOptions) -> bool:
    """Tell whether labels ask for a 3D network."""
    if isinstance(labels, AnnotationStore):
        return labels.spatial_ndim == 3
    source: Source = open_source(labels)
    depth = _space(labels, names)[-3]
    if source.shape[depth] < FLAT_PLANES:
        return False
    if getattr(options, "zero", "unpainted") == "background":
        return True
    # No more is read than needed, for this is asked again after every stroke.
    planes = (_is_annotated(source, depth, index) for index in range(source.shape[depth]))
    return sum(islice(filter(None, planes), ANNOTATED_PLANES)) == ANNOTATED_PLANES


def _is_annotated(source: Source, axis: int, index: int) -> bool:
    """Tell whether labels are anything but 0 at an index along an axis."""
    start, stop = [0] * len(source.shape), list(source.shape)
    start[axis], stop[axis] = index, index + 1
    return bool(source.read(Region(tuple(start), tuple(stop))).any())
