"""Going on with a training that was interrupted, as if nothing had happened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, cast

from napari_unet.api import OPTIONS
from napari_unet.control import Control
from napari_unet.errors import InputError
from napari_unet.model import TrainedModel
from napari_unet.tasks.image_learner import ImageLearner
from napari_unet.tasks.image_options import ImageOptions
from napari_unet.tasks.images import ImageTask, image_learner
from napari_unet.tasks.painted import as_pairs, count_all, digest_of, open_pairs
from napari_unet.tasks.segment import SegmentLearner
from napari_unet.tasks.segment_options import SegmentOptions
from napari_unet.training.checkpoint import load_checkpoint
from napari_unet.training.events import TrainingEvent, Warned
from napari_unet.training.options import TrainingOptions
from napari_unet.training.trainer import train_network

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
"""What may be set anew: it changes when and where the training goes on, not how it learns."""


def resume(
    checkpoint: str | os.PathLike[str],
    image: object,
    labels: object = None,
    *,
    control: Control | None = None,
    **changes: Any,
) -> Iterator[TrainingEvent]:
    """Go on with a training that was interrupted; yield what happens, event by event.

    With the same images and labels, and as many threads, the weights are bit for bit those of a
    training that was not interrupted, on a CPU. (Where seconds are its budget, how many steps
    they hold is another matter.)

    Parameters
    ----------
    checkpoint : path
        What the option `checkpoint` of `napari_unet.train` wrote.
    image, labels
        As in `napari_unet.train`: what it learned from.
    control : Control, optional
        Stops or pauses from another thread.
    **changes
        What shall differ: the budget (`seconds`, `steps`: in all, with those before), `device`,
        `threads`, `checkpoint`, or how it is tested and kept.

    Yields
    ------
    TrainingEvent
        As `napari_unet.train`.

    Raises
    ------
    ModelFileError
        Where the file is no checkpoint.
    InputError
        Where images or labels do not fit it, or something else is to be changed.
    """
    found = load_checkpoint(checkpoint)
    fixed = sorted(set(changes) - set(CHANGEABLE))
    if fixed:
        raise InputError(
            "A training goes on with the settings that it began with",
            got=", ".join(fixed),
            expected=f"changes of {', '.join(CHANGEABLE)}",
            todo="Start a new training from the checkpoint instead (start)",
        )
    options = OPTIONS[found.model.task].parse({**found.options, **changes})
    learner = _learner(found.model, image, labels, options)
    yield from map(Warned, _differences(learner, found.model))
    yield from train_network(learner, options, control or Control(), found)


def _learner(
    model: TrainedModel, image: object, labels: object, options: TrainingOptions
) -> SegmentLearner | ImageLearner:
    ndim = model.config.ndim
    if isinstance(options, ImageOptions):
        return image_learner(cast(ImageTask, model.task), image, labels, ndim, options, model)
    assert isinstance(options, SegmentOptions)
    if labels is None:
        raise InputError("There is nothing to learn from", expected="labels painted on the image")
    painted = open_pairs(*as_pairs(image, labels), ndim, options)
    known = {info.value for info in model.classes}
    new = sorted(set(count_all(painted)) - known)
    if new:
        raise InputError(
            "There are classes that the training did not know",
            got=f"labels {', '.join(map(str, new))}",
            expected=", ".join(map(str, sorted(known))),
            todo="Start a new training from the checkpoint instead (start)",
        )
    return SegmentLearner(painted, ndim, options, model)


def _differences(learner: SegmentLearner | ImageLearner, model: TrainedModel) -> Iterator[str]:
    """Say what is not as it was, so that the weights will not be those they would have been."""
    if learner.measured != model.normalisation:
        yield "The images are not those that the training began with: it goes on with these."
    strokes = model.training.get("strokes")
    if isinstance(learner, SegmentLearner) and strokes != digest_of(learner.painted):
        yield "The strokes are not those that the training began with: it goes on with these."
