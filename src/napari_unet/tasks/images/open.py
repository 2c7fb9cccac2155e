"""Opening the images that an image task learns from, and building the task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from napari_unet.data.image import ImageView
from napari_unet.data.inputs import missing_view
from napari_unet.data.source import Source, open_source
from napari_unet.errors import InputError
from napari_unet.model import TrainedModel
from napari_unet.tasks.images.dataset import ImageDataset
from napari_unet.tasks.images.denoise import DenoiseDataset
from napari_unet.tasks.images.inpaint import InpaintDataset
from napari_unet.tasks.images.options import (
    DenoiseOptions,
    ImageOptions,
    InpaintOptions,
    RestoreOptions,
)
from napari_unet.tasks.images.restore import RestoreDataset
from napari_unet.tasks.images.task import ImageTask
from napari_unet.tasks.plan import (
    SPATIAL_AXES,
    ImageShape,
    TrainingPlan,
    choose_ndim,
    plan_training,
)

ImageTaskName = Literal["denoise", "restore", "inpaint"]

PAIRED_WITH = {
    "restore": "the clean image for each degraded one",
    "inpaint": "a mask that is not 0 where pixels are missing",
}
"""What goes with each image, by task; used in messages."""


def open_image_task(
    task: ImageTaskName,
    image: object,
    other: object,
    ndim: Literal[2, 3] | None,
    options: ImageOptions,
    start: TrainedModel | None = None,
) -> ImageTask:
    """Open images and what goes with them, and build the task.

    Parameters
    ----------
    task : {"denoise", "restore", "inpaint"}
        What is learned.
    image : array-like, path, or list of these
        The images; a list holds several of the same channels.
    other : array-like, path, list of these or None
        For "restore" the good images, for "inpaint" the masks (None, for all or for one: pixels
        that are not finite are missing); "denoise" needs none.
    ndim : {2, 3}, optional
        Spatial dimensions of the network; by default those of a network or model that is given,
        or else 2.
    options : ImageOptions
        Those of the task.
    start : TrainedModel, optional
        Where to go on from.

    Raises
    ------
    InputError
        Where images and options do not fit together.
    """
    if start is not None and options.planes is None:
        options = options.model_copy(update={"planes": start.input_spec.context_planes})
    images = [open_source(one) for one in _each(image)]
    others = _others(task, other, len(images))
    dimensions = choose_ndim(options, ndim, start)
    views = [
        _view(one, paired, dimensions, options, first=k == 0)
        for k, (one, paired) in enumerate(zip(images, others, strict=True))
    ]
    _check_channels([view.channels for view in views])
    dataset = _dataset(task, views, others, options, start)
    return ImageTask(dataset, plan_dataset(dataset, options, start), options, start)


def plan_dataset(
    dataset: ImageDataset, options: ImageOptions, start: TrainedModel | None = None
) -> TrainingPlan:
    """Plan the training of a network that learns from a dataset.

    Parameters
    ----------
    dataset : ImageDataset
        Opened images; denoising has measured how many planes are read together.
    options : ImageOptions
        Those of the task.
    start : TrainedModel, optional
        The model that the training goes on from.

    Raises
    ------
    InputError
        Where network, model, images and options do not fit together.
    """
    return plan_training(
        dataset.task,
        [ImageShape.of_view(view) for view in dataset.views],
        options,
        output_channels=len(dataset.target.offset),
        context_planes=dataset.input_spec.context_planes,
        start=start,
    )


def _dataset(
    task: ImageTaskName,
    views: Sequence[ImageView],
    others: Sequence[Source | None],
    options: ImageOptions,
    start: TrainedModel | None,
) -> ImageDataset:
    """Return the task's dataset; None for `residual` leaves the choice to it."""
    # An output that is never negative cannot be a residual.
    readouts = {getattr(given, "readout", "linear") for given in (options, options.network)}
    linear = readouts == {"linear"}
    residual = None if linear else False
    if start is not None:
        residual = bool(start.input_spec.residual)
    if isinstance(options, DenoiseOptions):
        return DenoiseDataset.of(views, options, residual)
    if isinstance(options, RestoreOptions):
        pairs = zip(views, others, strict=True)
        goals = [_goal(view, goal) for view, goal in pairs if goal is not None]
        _check_channels([goal.channels for goal in goals])
        return RestoreDataset.of(views, goals, options, residual)
    if isinstance(options, InpaintOptions):
        masks = [missing_view(view, mask) for view, mask in zip(views, others, strict=True)]
        return InpaintDataset.of(views, masks, options, linear if residual is None else residual)
    raise AssertionError(task)


def _each(image: object) -> list[object]:
    return list(image) if isinstance(image, list | tuple) else [image]


def _others(task: ImageTaskName, other: object, number: int) -> list[Source | None]:
    """Open what goes with the images, one for each."""
    if task == "denoise" and other is not None:
        raise InputError(
            "Denoising learns from the noisy images alone",
            got="a second image",
            todo='With clean or other noisy images of the same scene, choose task "restore"',
        )
    if other is None:
        if task == "restore":
            raise InputError("There is nothing to train on", expected=PAIRED_WITH[task])
        return [None] * number
    each = _each(other)
    if len(each) != number or (task == "restore" and any(one is None for one in each)):
        raise InputError(
            "Each image needs its target or mask",
            got=f"{number} images and {len(each)}",
            expected=PAIRED_WITH[task],
        )
    return [None if one is None else open_source(one) for one in each]


def _view(
    source: Source,
    paired: Source | None,
    ndim: Literal[2, 3],
    options: ImageOptions,
    *,
    first: bool,
) -> ImageView:
    paired_shape = None if paired is None else paired.shape
    shape = ImageShape.of(source.shape, ndim, options, paired_shape, first=first)
    axes = SPATIAL_AXES[-ndim:]
    wrap = tuple(axis in options.wrap for axis in axes) if options.wrap else ()
    if set(options.wrap) - set(axes):
        raise InputError(
            "Only spatial axes can be periodic",
            got=", ".join(options.wrap),
            expected=" or ".join(axes),
        )
    window = shape.window(options) if first else None
    return ImageView(source, shape.layout, periodic_axes=wrap, border=options.border, window=window)


def _goal(view: ImageView, goal: Source) -> ImageView:
    """Open a good image: like the degraded one, with channels of its own or none."""
    layout = ImageShape.of_view(view.whole).target(goal.shape).layout
    return replace(view, source=goal, layout=layout)


def _check_channels(channels: Sequence[int]) -> None:
    for number, count in enumerate(channels, start=1):
        if count != channels[0]:
            raise InputError(
                f"Image {number} has another number of channels than image 1",
                got=f"{count}",
                expected=f"{channels[0]}",
                todo="Leave it out, or set the channel axis",
            )
