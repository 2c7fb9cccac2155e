"""The options of each task, by name, and how keywords become options. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from napari_unet.errors import InputError
from napari_unet.tasks.images.options import DenoiseOptions, InpaintOptions, RestoreOptions
from napari_unet.tasks.network_options import NetworkOptions
from napari_unet.tasks.segmentation.options import SegmentOptions

Task = Literal["segment", "denoise", "restore", "inpaint"]
"""What can be learned."""

OPTIONS: dict[str, type[NetworkOptions]] = {
    "segment": SegmentOptions,
    "denoise": DenoiseOptions,
    "restore": RestoreOptions,
    "inpaint": InpaintOptions,
}
"""What can be set, by task."""

DEFAULT_SECONDS = 60.0
"""Length of a training in seconds that has neither a budget nor is open-ended."""

CONTINUED_RATE = 1 / 2
"""Learning rate of a training that goes on from a model, relative to that of a fresh one."""


def options_of(task: str) -> type[NetworkOptions]:
    """Return the class of a task's options.

    Raises
    ------
    InputError
        Where there is no such task.
    """
    if task not in OPTIONS:
        known = ", ".join(f'"{name}"' for name in OPTIONS)
        raise InputError("There is no such task", got=repr(task), expected=known)
    return OPTIONS[task]


def default_learning_rate(options: type[NetworkOptions], *, continued: bool) -> float:
    """Return the learning rate where none is given.

    Parameters
    ----------
    options : type of NetworkOptions
        A task's options.
    continued : bool
        Whether the training goes on from a model.
    """
    fresh: float = options.model_fields["learning_rate"].default
    return CONTINUED_RATE * fresh if continued else fresh


def parse_options(
    task: str, given: Mapping[str, Any], *, continued: bool = False
) -> NetworkOptions:
    """Return the options that keywords stand for, with the defaults of what is not given.

    Parameters
    ----------
    task : str
        What is learned.
    given : mapping
        Fields of the task's options. Without `seconds` and `steps`, a training that is not
        open-ended takes `DEFAULT_SECONDS`.
    continued : bool
        Whether the training goes on from a model: then the default learning rate is lower.

    Raises
    ------
    InputError
        Where there is no such task, or naming the first option that is unknown or out of its
        range.
    """
    kind, usual = options_of(task), {}
    if given.get("seconds") is None and given.get("steps") is None and not given.get("open_ended"):
        usual["seconds"] = DEFAULT_SECONDS
    if "learning_rate" not in given:
        usual["learning_rate"] = default_learning_rate(kind, continued=continued)
    return kind.parse({**given, **usual})
