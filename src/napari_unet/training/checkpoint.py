"""The whole state of a training, in a file: to go on as if nothing had happened.

The file is a model like any other, the averaged weights as they are at that moment, and may be
predicted with. Besides, it holds what a model does not need: the weights as they are, the
optimiser's memory, the state of random numbers, schedule and tests, and all that was set.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_unet.errors import ModelFileError
from napari_unet.model import TrainedModel, Weights, read_model_file, weights_of, write_model_file
from napari_unet.training.best_model import Best, BestWeights
from napari_unet.training.events import Validated
from napari_unet.training.optimiser import ExponentialMovingAverage

if TYPE_CHECKING:
    from napari_unet.training.trainer import Trainer

VERSION = 1


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A training at some moment.

    Parameters
    ----------
    model : TrainedModel
        What it would have given had it ended then.
    options : dict
        All that was set, as plain JSON.
    state : dict
        Counters, schedule, tests and random numbers, as plain JSON.
    arrays : mapping of str to ndarray
        Weights, averaged weights, the best weights, and the optimiser's memory, by
        ``part/name``.
    """

    model: TrainedModel
    options: dict[str, Any]
    state: dict[str, Any]
    arrays: Weights = field(default_factory=dict)

    def part(self, name: str) -> dict[str, NDArray[Any]]:
        """Return the arrays of a part, by their names in it."""
        start = f"{name}/"
        return {k.removeprefix(start): v for k, v in self.arrays.items() if k.startswith(start)}


def save_checkpoint(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> Path:
    """Write a checkpoint; an older one of that name is replaced in one step.

    Raises
    ------
    ModelFileError
        Where the file cannot be written.
    """
    told = {"version": VERSION, "options": checkpoint.options, "state": checkpoint.state}
    return write_model_file(path, checkpoint.model, checkpoint.arrays, told)


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    ModelFileError
        Where there is none, or it is a model without what a training needs to go on, or newer
        than we know.
    """
    model, arrays, told = read_model_file(path)
    name = Path(path).name
    if told is None:
        raise ModelFileError(
            f"{name} is a model, but does not hold what a training needs to go on just so",
            expected="a checkpoint",
            todo="Start a new training from it instead (start)",
        )
    if not isinstance(told, dict) or told.get("version") != VERSION:
        raise ModelFileError(
            f"{name} was written by another version of napari-unet", expected=f"format {VERSION}"
        )
    try:
        return Checkpoint(model, told["options"], told["state"], arrays)
    except KeyError as error:
        raise ModelFileError(f"The checkpoint {name} is damaged", got=f"no {error}") from error


def capture(loop: Trainer, model: TrainedModel) -> Checkpoint:
    """Return the state of a training loop, with the model that it would give now."""
    best = loop.judge.best
    arrays: dict[str, NDArray[Any]] = {}
    for part, weights in {
        "network": weights_of(loop.network),
        "average": weights_of(loop.average.network),
        "best": weights_of(best.network) if best else {},
        "optimiser": _optimiser_arrays(loop.optimiser),
    }.items():
        arrays |= {f"{part}/{name}": array for name, array in weights.items()}
    state = {
        "step": loop.step,
        "elapsed": loop.budget.elapsed,
        "batch_size": loop.batch_size,
        "updates": loop.average.updates,
        "schedule": loop.schedule.state(),
        "last": loop.last and asdict(loop.last),
        "judge": {"least": _finite(loop.judge.least), "waited": loop.judge.waited},
        "best": best and {"result": asdict(best.result), "elapsed": best.elapsed},
        "learner": loop.learner.state(),
    }
    return Checkpoint(model, loop.options.model_dump(mode="json"), state, arrays)


def restore(loop: Trainer, checkpoint: Checkpoint) -> None:
    """Bring a fresh loop, whose learner has the checkpoint's network, to its state.

    Raises
    ------
    ModelFileError
        Where the parts of the checkpoint do not belong together.
    """
    state = checkpoint.state
    try:
        _load(loop.network, checkpoint.part("network"))
        _load(loop.average.network, checkpoint.part("average"))
        _restore_optimiser(loop.optimiser, checkpoint.part("optimiser"))
        loop.step, loop.batch_size = state["step"], state["batch_size"]
        loop.spent = state["elapsed"]
        loop.average.updates = state["updates"]
        loop.schedule.restore(state["schedule"])
        loop.last = state["last"] and _validated(state["last"])
        _restore_judge(loop.judge, loop.average, checkpoint)
        loop.learner.restore(state["learner"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip() if str(error) else type(error).__name__
        raise ModelFileError("The checkpoint is damaged", got=reason) from error


def _restore_judge(
    judge: BestWeights, average: ExponentialMovingAverage, checkpoint: Checkpoint
) -> None:
    state, best = checkpoint.state["judge"], checkpoint.state["best"]
    judge.least = inf if state["least"] is None else state["least"]
    judge.waited = state["waited"]
    if best is not None:
        network = ExponentialMovingAverage(average.network, 0).network
        _load(network, checkpoint.part("best"))
        judge.best = Best(network, _validated(best["result"]), best["elapsed"])


def _load(network: nn.Module, weights: Mapping[str, NDArray[Any]]) -> None:
    network.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})


def _optimiser_arrays(optimiser: torch.optim.Optimizer) -> dict[str, NDArray[Any]]:
    """Return what an optimiser remembers of each parameter, by ``number/name``."""
    remembered = optimiser.state_dict()["state"]
    return {
        f"{number}/{name}": value.detach().cpu().numpy().copy()
        for number, entries in remembered.items()
        for name, value in entries.items()
        if isinstance(value, torch.Tensor)
    }


def _restore_optimiser(
    optimiser: torch.optim.Optimizer, arrays: Mapping[str, NDArray[Any]]
) -> None:
    state: dict[int, dict[str, Any]] = {}
    for key, array in arrays.items():
        number, name = key.split("/")
        state.setdefault(int(number), {})[name] = torch.tensor(np.asarray(array))
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _validated(values: dict[str, Any]) -> Validated:
    return Validated(**{name: _as_tuples(value) for name, value in values.items()})


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list | tuple) else value


def _finite(value: float) -> float | None:
    return None if value == inf else value
