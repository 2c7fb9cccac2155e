"""Checkpoints: files that hold the whole state of a training, to go on as if uninterrupted.

A checkpoint is a model file, with the averaged weights of that moment, and predicts like any
other. Beside them it holds what a model does not need: the weights that are trained, the state of
optimiser, random numbers, learning-rate schedule and validation, and all options.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from napari_unet.errors import ModelFileError
from napari_unet.model import TrainedModel, Weights, read_model_file, write_model_file
from napari_unet.training.events import Validated

VERSION = 1
"""Format of what a checkpoint holds beside the model."""


@dataclass(frozen=True, eq=False)
class BestState:
    """The best weights so far.

    Parameters
    ----------
    weights : mapping of str to ndarray
        Averaged weights, not yet calibrated.
    result : Validated
        Their validation.
    elapsed : float
        Seconds of training, without pauses, after which they were validated.
    """

    weights: Weights
    result: Validated
    elapsed: float


@dataclass(frozen=True, eq=False)
class TrainerState:
    """All that a training needs to go on as if it had not been interrupted.

    Parameters
    ----------
    network : mapping of str to ndarray
        The weights that are trained.
    average : mapping of str to ndarray
        Their exponential moving average.
    optimiser : mapping of str to ndarray
        The optimiser's arrays, by ``number of the parameter/name``.
    step : int
        Steps that were taken.
    elapsed : float
        Seconds of training, without pauses.
    batch_size : int
        Patches per step; less than set where memory ran out.
    average_updates : int
        Steps that the average has seen.
    schedule : list
        State of the learning-rate schedule (`Schedule.state`).
    last_validation : Validated or None
        The latest validation.
    least_loss : float
        The least validation loss; infinite where nothing was validated.
    without_gain : int
        Validations in a row without an improvement.
    best : BestState or None
        The best weights so far.
    task : dict
        State of the task, random numbers among it, as plain JSON (`TrainingTask.state`).
    """

    network: Weights
    average: Weights
    optimiser: Weights
    step: int
    elapsed: float
    batch_size: int
    average_updates: int
    schedule: list[float | None]
    last_validation: Validated | None
    least_loss: float
    without_gain: int
    best: BestState | None
    task: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A training at some moment, as it is stored.

    Parameters
    ----------
    model : TrainedModel
        The model that the training would have given, had it ended then.
    options : dict
        All options, as plain JSON.
    state : dict
        Counters, schedule, validation and random numbers, as plain JSON.
    arrays : mapping of str to ndarray
        Weights, averaged weights, the best weights, and the optimiser's arrays, by
        ``part/name``.
    """

    model: TrainedModel
    options: dict[str, Any]
    state: dict[str, Any]
    arrays: Weights = field(default_factory=dict)

    @classmethod
    def of(cls, model: TrainedModel, options: dict[str, Any], state: TrainerState) -> Checkpoint:
        """Build a checkpoint from the state of a trainer.

        Parameters
        ----------
        model : TrainedModel
            The model that the training would give now.
        options : dict
            All options, as plain JSON.
        state : TrainerState
            The state of the trainer.
        """
        best = state.best
        parts = {
            "network": state.network,
            "average": state.average,
            "best": best.weights if best else {},
            "optimiser": state.optimiser,
        }
        stored = {
            "step": state.step,
            "elapsed": state.elapsed,
            "batch_size": state.batch_size,
            "updates": state.average_updates,
            "schedule": state.schedule,
            "last": state.last_validation and asdict(state.last_validation),
            "judge": {
                "least": None if state.least_loss == inf else state.least_loss,
                "waited": state.without_gain,
            },
            "best": best and {"result": asdict(best.result), "elapsed": best.elapsed},
            "learner": state.task,
        }
        arrays = {
            f"{part}/{name}": array
            for part, weights in parts.items()
            for name, array in weights.items()
        }
        return cls(model, options, stored, arrays)

    def trainer_state(self) -> TrainerState:
        """Return the state that the trainer had.

        Raises
        ------
        ModelFileError
            Where something is missing or of the wrong type.
        """
        with damage_reported():
            state = self.state
            best, record = state["best"], state["judge"]
            return TrainerState(
                network=self._part("network"),
                average=self._part("average"),
                optimiser=self._part("optimiser"),
                step=state["step"],
                elapsed=state["elapsed"],
                batch_size=state["batch_size"],
                average_updates=state["updates"],
                schedule=state["schedule"],
                last_validation=state["last"] and _validated(state["last"]),
                least_loss=inf if record["least"] is None else record["least"],
                without_gain=record["waited"],
                best=best
                and BestState(self._part("best"), _validated(best["result"]), best["elapsed"]),
                task=state["learner"],
            )

    def _part(self, name: str) -> Weights:
        start = f"{name}/"
        return {k.removeprefix(start): v for k, v in self.arrays.items() if k.startswith(start)}


def save_checkpoint(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> Path:
    """Write a checkpoint; an older one of that name is replaced in one step.

    Parameters
    ----------
    checkpoint : Checkpoint
        What to write.
    path : path
        The file; ``.safetensors`` is added where it has another ending.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    ModelFileError
        Where the file cannot be written.
    """
    stored = {"version": VERSION, "options": checkpoint.options, "state": checkpoint.state}
    return write_model_file(path, checkpoint.model, checkpoint.arrays, stored)


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    ModelFileError
        Where there is no such file, it is a model without the state of a training, or of a newer
        format than we know.
    """
    model, arrays, stored = read_model_file(path)
    name = Path(path).name
    if stored is None:
        raise ModelFileError(
            f"{name} is a model without the state that is needed to resume its training",
            expected="a checkpoint",
            todo="Start a new training from it instead (start)",
        )
    if not isinstance(stored, dict) or stored.get("version") != VERSION:
        raise ModelFileError(
            f"{name} was written by another version of napari-unet", expected=f"format {VERSION}"
        )
    try:
        return Checkpoint(model, stored["options"], stored["state"], arrays)
    except KeyError as error:
        raise ModelFileError(f"The checkpoint {name} is damaged", got=f"no {error}") from error


@contextmanager
def damage_reported() -> Iterator[None]:
    """Turn errors of what does not fit together into one that says that the file is damaged.

    Raises
    ------
    ModelFileError
        In place of other errors.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip() if str(error) else type(error).__name__
        raise ModelFileError("The checkpoint is damaged", got=reason) from error


def _validated(values: dict[str, Any]) -> Validated:
    return Validated(**{name: _as_tuples(value) for name, value in values.items()})


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list | tuple) else value
