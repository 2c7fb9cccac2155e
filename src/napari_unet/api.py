"""napari-unet in five lines of Python, without a viewer."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np

from napari_unet.control import Control
from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.source import ChannelStack, channel_files, open_source
from napari_unet.errors import InputError, UnlikeTrainingWarning
from napari_unet.inference.predictor import predict_events
from napari_unet.inference.request import (
    Output,
    PredictionFinished,
    Request,
    find_view,
    region_of,
)
from napari_unet.model import TrainedModel, load_model
from napari_unet.runs.folder import record
from napari_unet.runs.pictures import SamplePictures, as_lists, sources_of
from napari_unet.runs.state import Sources
from napari_unet.tasks.images.open import ImageTaskName, open_image_task
from napari_unet.tasks.images.options import ImageOptions
from napari_unet.tasks.images.task import ImageTask
from napari_unet.tasks.network_choice import check_start
from napari_unet.tasks.network_options import NetworkOptions
from napari_unet.tasks.options import Task, parse_options
from napari_unet.tasks.plan import choose_ndim
from napari_unet.tasks.segmentation.data import (
    as_pairs,
    check_classes,
    count_all,
    digest_of,
    open_all_annotated,
    wait_for_annotations,
)
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.tasks.segmentation.pretraining import pretrain, remaining_options
from napari_unet.tasks.segmentation.task import SegmentationTask
from napari_unet.training.checkpoint import Checkpoint, load_checkpoint
from napari_unet.training.events import Finished, Preparing, TrainingEvent, Warned
from napari_unet.training.trainer import train_network


def train(
    image: object,
    labels: object = None,
    *,
    task: Task = "segment",
    ndim: Literal[2, 3] | None = None,
    seconds: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    start: TrainedModel | str | os.PathLike[str] | None = None,
    control: Control | None = None,
    runs: str | os.PathLike[str] | None = None,
    tensorboard: bool = False,
    **options: Any,
) -> Iterator[TrainingEvent]:
    """Train a U-Net and yield its events.

    Parameters
    ----------
    image : array-like or path
        numpy, dask or zarr array, or a path to a TIFF or OME-Zarr. Any looped axes first, then
        (y, x) or (z, y, x); a channel axis anywhere. Or a list of such images, with the same
        channels but of any size, to be trained on together. Channels that are arrays or files of
        their own become one image as `napari_unet.ChannelStack`, or as paths joined by "+".
    labels : array-like or path
        Painted labels: integers, of the image's shape without the channel axis. 0 means "not
        painted", unless ``zero="background"``. An `AnnotationStore` may be painted on while the
        training runs, which begins when it holds two classes. With several images a list (or
        tuple) of as many labels; a list of labels always means several images, never a pyramid.

        For "restore" the target images, for "inpaint" masks that are not 0 where
        pixels are missing, of the image's shape without the channel axis; nothing for "denoise".
    task : {"segment", "denoise", "restore", "inpaint"}
        What to learn: to segment, from strokes; to denoise, from noisy images alone; to turn one
        kind of image into another, from pairs; to fill in missing pixels.
    ndim : {2, 3}, optional
        Spatial dimensions of the network. By default 3 where at least 3 of at least 8 planes are
        painted, otherwise 2, which is slice by slice; 2 for the other tasks. A configuration given
        as `network`, or a model to start from, decides.
    seconds, steps : number, optional
        The budget, whichever is used up first; 60 seconds if neither is given and the training is
        not open-ended.
    seed : int
        Seed of all random numbers. The same seed and number of steps give the same weights (on a
        CPU, with the same number of threads).
    start : TrainedModel or path, optional
        A model to continue from. Network, normalisation and known classes are the model's; `size`,
        `network`, `fast`, `padding` and `normalise` are ignored then. New classes are added; those
        that are not painted now are kept, but the network may forget them. The default of
        `learning_rate` is half that of a fresh training.
    control : Control, optional
        Stops or pauses the training from another thread.
    runs : path, optional
        Folder in which a new folder with log, settings, model and report of this training is
        created, see `napari_unet.runs.folder`.
    tensorboard : bool
        Also write files for TensorBoard into that folder.
    **options
        Any field of `napari_unet.SegmentOptions`, or of `DenoiseOptions`, `RestoreOptions` or
        `InpaintOptions`.

    Yields
    ------
    TrainingEvent
        `Started`, then many `Stepped`, some `Validated` and `Warned`, and `Finished` last, which
        holds the model.

    Raises
    ------
    InputError
        If image, labels or options cannot be used; the message says what to do.

    Examples
    --------
    >>> import numpy as np, napari_unet
    >>> image = np.random.default_rng(0).normal(size=(96, 96)); image[:, 48:] += 3
    >>> labels = np.zeros((96, 96), np.uint8); labels[20:70, 10:20] = 1; labels[20:70, 70:80] = 2
    >>> events = napari_unet.train(image, labels, steps=3, size="small", batch_size=2)
    >>> names = [type(event).__name__ for event in events]
    >>> [name for name in names if name not in ("Preparing", "Validated", "Warned")]
    ['Started', 'Stepped', 'Stepped', 'Stepped', 'Finished']
    """
    model = start if start is None or isinstance(start, TrainedModel) else load_model(start)
    given = {"seconds": seconds, "steps": steps, "seed": seed, **options}
    given |= _channel_options(image, given)
    parsed = parse_options(task, given, continued=model is not None)
    if tensorboard and runs is None:
        raise InputError("TensorBoard's files need a folder", todo="Give `runs`, a folder, as well")
    yield from train_task(
        task,
        image,
        labels,
        parsed,
        ndim=ndim,
        start=model,
        control=control,
        runs=runs,
        tensorboard=tensorboard,
    )


def _channel_options(image: object, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that follow from channels that are images of their own."""
    first = image[0] if isinstance(image, list | tuple) and image else image
    if not isinstance(first, ChannelStack | str | os.PathLike):
        return {}
    if not isinstance(first, ChannelStack) and len(channel_files(first)) < 2:
        return {}
    stack = open_source(first)
    assert isinstance(stack, ChannelStack)
    return {"channel_axis": -1, "channel_names": given.get("channel_names") or stack.names}


def train_task(
    task: Task,
    image: object,
    labels: object,
    options: NetworkOptions,
    *,
    ndim: Literal[2, 3] | None = None,
    start: TrainedModel | None = None,
    control: Control | None = None,
    runs: str | os.PathLike[str] | None = None,
    tensorboard: bool = False,
    sources: Sources = (),
) -> Iterator[TrainingEvent]:
    """Train as `train` does, with options that are parsed already.

    Parameters
    ----------
    task, image, labels, ndim, start, control, runs, tensorboard
        As in `train`, but `start` is a model, not a path.
    options : NetworkOptions
        All options of the task, as they are to be used.
    sources : sequence, optional
        Origins of the training data, for the record; by default those of files.

    Yields
    ------
    TrainingEvent
        As `train`.

    Raises
    ------
    InputError
        If image, labels and options cannot be used together.
    """
    if ndim not in (None, 2, 3):
        raise InputError("A network has 2 or 3 spatial dimensions", got=repr(ndim))
    control = control or Control()
    if isinstance(options, SegmentOptions):
        events = _train_segmentation(image, labels, ndim, options, start, control)
    else:
        assert isinstance(options, ImageOptions)
        events = _train_images(task, image, labels, ndim, options, start, control)
    if runs is not None:
        kept = _Record(Path(runs), control, tensorboard, sources)
        events = _recorded(events, kept, image, labels, task, options)
    yield from events


@dataclass(frozen=True)
class _Record:
    """Where and how a training is recorded; see `napari_unet.runs.folder.record`."""

    runs: Path
    control: Control
    tensorboard: bool = False
    sources: Sources = ()
    resumed: Path | None = None


def _recorded(
    events: Iterator[TrainingEvent],
    kept: _Record,
    image: object,
    labels: object,
    task: Task,
    options: NetworkOptions,
) -> Iterator[TrainingEvent]:
    images, others = as_lists(task, image, labels)
    return record(
        events,
        kept.runs,
        task=task,
        options=options.model_dump(mode="json", exclude={"network"}),
        sources=kept.sources or sources_of(task, images, others),
        samples=SamplePictures(images, others, dict(options)),
        tensorboard=kept.tensorboard,
        control=kept.control,
        resumed=kept.resumed,
    )


def _train_images(
    task: Task,
    image: object,
    other: object,
    ndim: Literal[2, 3] | None,
    options: ImageOptions,
    start: TrainedModel | None,
    control: Control,
) -> Iterator[TrainingEvent]:
    yield Preparing("Measuring the image and its noise")
    training_task = open_image_task(cast(ImageTaskName, task), image, other, ndim, options, start)
    yield from train_network(training_task, options, control)


def _train_segmentation(
    image: object,
    labels: object,
    ndim: Literal[2, 3] | None,
    options: SegmentOptions,
    start: TrainedModel | None,
    control: Control,
) -> Iterator[TrainingEvent]:
    if labels is None:
        raise InputError("There are no labels to train on", expected="labels painted on the image")
    images, masks = as_pairs(image, labels)
    shapes = [open_source(one).shape for one in images]
    dimensions = choose_ndim(options, ndim, start, masks, shapes)
    if start is not None:
        check_start(start, "segment", dimensions)
        if options.network is not None:
            raise InputError(
                "A training that starts from a model uses the network of that model",
                got="another network as well",
                todo="Give only one of `network` and `start`",
            )
    known = [info.value for info in start.classes] if start else []
    painted = open_all_annotated(images, masks, dimensions, options)
    if any(isinstance(mask, AnnotationStore) for mask in masks):
        yield from wait_for_annotations(painted, control, known)
        if control.stopped:
            return
    else:
        check_classes(painted, options, known)
    yield Preparing("Measuring the image")
    training_task = SegmentationTask.of(painted, options, start)
    if options.image_first and start is None:
        yield from pretrain(training_task, options, control)
        options = remaining_options(options)
    yield from train_network(training_task, options, control)


def fit(
    image: object,
    labels: object = None,
    *,
    task: Task = "segment",
    ndim: Literal[2, 3] | None = None,
    seconds: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    start: TrainedModel | str | os.PathLike[str] | None = None,
    runs: str | os.PathLike[str] | None = None,
    tensorboard: bool = False,
    **options: Any,
) -> TrainedModel:
    """Train a U-Net and return the model.

    Parameters and errors are those of `napari_unet.train`.

    Examples
    --------
    >>> import numpy as np, napari_unet
    >>> image = np.random.default_rng(0).normal(size=(96, 96)); image[:, 48:] += 3
    >>> labels = np.zeros((96, 96), np.uint8); labels[20:70, 10:20] = 1; labels[20:70, 70:80] = 2
    >>> model = napari_unet.fit(image, labels, steps=40, size="small", batch_size=2)
    >>> result = napari_unet.predict(model, image)
    >>> bool((result[:, :40] == 1).mean() > 0.9 and (result[:, 56:] == 2).mean() > 0.9)
    True
    """
    if options.get("open_ended"):
        raise InputError(
            "fit needs a training that ends",
            todo="Give seconds or steps, or iterate over train and stop it with its control",
        )
    events = train(
        image,
        labels,
        task=task,
        ndim=ndim,
        seconds=seconds,
        steps=steps,
        seed=seed,
        start=start,
        runs=runs,
        tensorboard=tensorboard,
        **options,
    )
    return next(event.model for event in events if isinstance(event, Finished))


def predict(
    model: TrainedModel,
    image: object,
    *,
    mask: object | None = None,
    output: Output = "auto",
    tile: Sequence[int] | None = None,
    region: Sequence[slice] | Sequence[int] | None = None,
    **request: Any,
) -> np.ndarray[Any, Any]:
    """Predict a whole image.

    Parameters
    ----------
    model : TrainedModel
        From `fit` or `load_model`.
    image : array-like or path
        As in `train`, with the channels that the model knows.
    mask : array-like or path, optional
        For a model that fills in: not 0 where pixels are missing, as in `train`. Pixels that are
        not finite count as missing in any case.
    output : {"auto", "labels", "probabilities", "image"}
        Label values, one channel of probabilities per class, or an image in intensity units.
        Auto: labels or an image, whichever the model gives.
    tile : sequence of int, optional
        Largest input per spatial axis in voxels; chosen from the free memory when None. The
        result does not depend on it.
    region : sequence of slice or int, optional
        What to predict, such as ``np.s_[5:10, :, 100:200]``: a slice without a step for each axis
        but that of channels; or, as the option of a training, first voxel and one past the last of
        each. In it the result is that of the whole image; elsewhere labels and probabilities are
        0, and an image is as it was.
    **request
        Any other field of `napari_unet.inference.request.Request`.

    Returns
    -------
    ndarray
        Labels of the image's shape without the channel axis, or float32 probabilities with the
        classes as an axis before that; or an image of the input's shape, in its intensity units,
        of a floating-point type, in which nothing is clipped.

    Warns
    -----
    UnlikeTrainingWarning
        Where the image is unlike those that the model learned from, or shows nothing.

    Raises
    ------
    InputError
        Where image and model do not fit together.

    Examples
    --------
    See `fit`.
    """
    known = get_args(Output)
    if output not in known:
        expected = " or ".join(f'"{name}"' for name in known)
        raise InputError("There is no such output", got=repr(output), expected=expected)
    wanted = Request(output=output, tile=None if tile is None else tuple(tile), **request)
    if region is not None:
        view = find_view(model, image, wanted)
        wanted = replace(wanted, region=_bounds(region, region_of(view, wanted).shape))
    events = predict_events(model, image, wanted, mask=mask)
    finished = next(event for event in events if isinstance(event, PredictionFinished))
    for message in finished.warnings:
        warnings.warn(message, UnlikeTrainingWarning, stacklevel=2)
    result = finished.result
    assert isinstance(result, np.ndarray)
    return result


def _bounds(region: Sequence[slice] | Sequence[int], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return slices as first voxel and one past the last, axis by axis."""
    if not any(isinstance(part, slice) for part in region):
        return tuple(cast(Sequence[int], region))
    region = cast(Sequence[slice], region)
    if len(region) != len(shape) or any(part.step not in (None, 1) for part in region):
        raise InputError(
            "A region needs one slice, without a step, for each axis except the channel axis",
            got=repr(tuple(region)),
            expected=f"{len(shape)} slices of an image of shape {shape}",
        )
    return tuple(
        n for part, size in zip(region, shape, strict=True) for n in part.indices(size)[:2]
    )


CHANGEABLE = (
    "seconds",
    "steps",
    "open_ended",
    "device",
    "threads",
    "make_way",
    "checkpoint",
    "checkpoint_seconds",
    "test_every",
    "stop_after",
    "keep",
    "keep_history",
)
"""Options that `resume` may change: they say when and where to train, not how."""


def resume(
    source: str | os.PathLike[str],
    /,
    image: object,
    labels: object = None,
    *,
    control: Control | None = None,
    runs: str | os.PathLike[str] | None = None,
    tensorboard: bool = False,
    sources: Sources = (),
    **changes: Any,
) -> Iterator[TrainingEvent]:
    """Continue an interrupted training and yield its events.

    With the same images and labels, and as many threads, the weights are bit for bit those of a
    training that was not interrupted, on a CPU. (If the budget is in seconds, the number of steps
    may differ.)

    Parameters
    ----------
    source : path
        The checkpoint, as written by the option `checkpoint` of `napari_unet.train`. To be given
        by position: a `checkpoint` among the changes is the file to write from now on.
    image, labels
        As in `napari_unet.train`: what the training began with.
    control : Control, optional
        Stops or pauses the training from another thread.
    runs, tensorboard
        As in `napari_unet.train`. The checkpoint is moved into the new folder, where the next ones
        replace it; when the training ends it is removed.
    sources : sequence, optional
        Origins of the training data, for the record; by default those of files.
    **changes
        Options that change, of those in `napari_unet.api.CHANGEABLE`: the budget (`seconds` and
        `steps` count from the beginning of the training), `device`, `threads`, the `checkpoint`
        to write from now on, and how often it is validated and which weights are kept.

    Yields
    ------
    TrainingEvent
        As `napari_unet.train`.

    Raises
    ------
    ModelFileError
        If the file is no checkpoint.
    InputError
        If images or labels do not fit it, or another option is to be changed.
    """
    found = load_checkpoint(source)
    fixed = sorted(set(changes) - set(CHANGEABLE))
    if fixed:
        raise InputError(
            "A resumed training keeps its settings",
            got=", ".join(fixed),
            expected=f"changes of {', '.join(CHANGEABLE)}",
            todo="Start a new training from the checkpoint instead (start)",
        )
    options = parse_options(found.model.task, {**found.options, **changes})
    control = control or Control()
    events = _resumed(found, image, labels, options, control)
    if runs is not None:
        kept = _Record(Path(runs), control, tensorboard, sources, Path(source))
        events = _recorded(events, kept, image, labels, cast(Task, found.model.task), options)
    yield from events


def _resumed(
    found: Checkpoint, image: object, labels: object, options: NetworkOptions, control: Control
) -> Iterator[TrainingEvent]:
    training_task = _restored_task(found.model, image, labels, options)
    yield from map(Warned, _differences(training_task, found.model))
    yield from train_network(training_task, options, control, found)


def _restored_task(
    model: TrainedModel, image: object, labels: object, options: NetworkOptions
) -> SegmentationTask | ImageTask:
    ndim = model.config.ndim
    if isinstance(options, ImageOptions):
        return open_image_task(cast(ImageTaskName, model.task), image, labels, ndim, options, model)
    assert isinstance(options, SegmentOptions)
    if labels is None:
        raise InputError("There are no labels to train on", expected="labels painted on the image")
    painted = open_all_annotated(*as_pairs(image, labels), ndim, options)
    known = {info.value for info in model.classes}
    new = sorted(set(count_all(painted)) - known)
    if new:
        raise InputError(
            "The labels have classes that this training does not know",
            got=f"labels {', '.join(map(str, new))}",
            expected=", ".join(map(str, sorted(known))),
            todo="Start a new training from the checkpoint instead (start)",
        )
    return SegmentationTask.of(painted, options, model)


def _differences(training_task: SegmentationTask | ImageTask, model: TrainedModel) -> Iterator[str]:
    """Yield what differs from the interrupted training, so that the weights will differ, too."""
    if training_task.measured != model.normalisation:
        yield (
            "These are not the images that the training began with. It continues with these images."
        )
    strokes = model.training.get("strokes")
    if not isinstance(training_task, SegmentationTask):
        return
    if strokes != digest_of(training_task.annotated):
        yield (
            "These are not the strokes that the training began with. It continues with "
            "these strokes."
        )
