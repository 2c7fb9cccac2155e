"""Reading of recorded runs, to list and compare them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any

from napari_unet.display import TOO_FEW
from napari_unet.errors import InputError
from napari_unet.runs.csv_log import last_step
from napari_unet.runs.folder import CONFIG, FACTS, LOG
from napari_unet.runs.state import RUNNING

DAMAGED = "damaged"
"""Status of a run whose files cannot be read."""

_NO_SETTINGS = ("painted", "sources", "classes", "network")
"""Entries of ``config.json`` that are not listed as settings; the network is in short form."""


@dataclass(frozen=True)
class RunSummary:
    """Summary of a run; what is not known is None or empty.

    `status` is "finished", "finished early: …", "stopped", "failed: …", "unfinished" (it is going
    on, or its process was ended), "left before its end" or "damaged". `seconds` is the time of
    training without pauses. `settings` are the options by name, such as ``augment.flip``.
    """

    name: str
    folder: Path
    started: datetime | None = None
    task: str = ""
    status: str = DAMAGED
    steps: int | None = None
    seconds: float | None = None
    network: str = ""
    parameters: int | None = None
    held_out_loss: float | None = None
    metric: str = ""
    mean_score: float | None = None
    scores: dict[str, float | None] = field(default_factory=dict)
    seed: int | None = None
    strokes: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def score(self) -> float | str | None:
        """The mean score, or that too little is held out to tell; None without a validation."""
        return TOO_FEW if self.scores and self.mean_score is None else self.mean_score


def list_runs(folder: Path | str) -> list[RunSummary]:
    """Read the runs of a folder, the oldest first.

    Folders that are not runs are left out; a run with unreadable files is listed as damaged.

    Parameters
    ----------
    folder : path
        The folder of runs, see `runs` of `napari_unet.train`.

    Raises
    ------
    InputError
        If there is no such folder.
    """
    folder = Path(folder)
    try:
        found = [path for path in folder.iterdir() if path.is_dir()]
    except OSError as error:
        raise InputError(
            "This is not a folder of runs", got=f"{folder}: {error.strerror or error}"
        ) from error
    return sorted((_summary(path) for path in found if _is_run(path)), key=_when)


def differing(runs: Sequence[RunSummary]) -> dict[str, list[Any]]:
    """Return the settings that differ between runs: a value per run, None where it is missing."""
    names = sorted({name for run in runs for name in run.settings})
    values = {name: [run.settings.get(name) for run in runs] for name in names}
    return {name: each for name, each in values.items() if any(v != each[0] for v in each)}


def _when(run: RunSummary) -> tuple[str, str]:
    """Return the sort key of a run: its start, or its name, which begins with the start."""
    began = "" if run.started is None else f"{run.started:%Y-%m-%dT%H-%M-%S-%f}"
    return began or run.name, run.name


def _is_run(path: Path) -> bool:
    return (path / FACTS).is_file() or (path / CONFIG).is_file()


def _summary(path: Path) -> RunSummary:
    facts = _read(path / FACTS)
    config = _read(path / CONFIG)
    settings = dict(_flattened({k: v for k, v in config.items() if k not in _NO_SETTINGS}))
    if not facts:
        return RunSummary(path.name, path, settings=settings)
    network = _text(facts.get("network"))
    parameters = _integer(facts.get("parameters"))
    if network:
        known = "" if parameters is None else f", {parameters:,} parameters"
        settings["network"] = network + known
    status = _text(facts.get("status")) or DAMAGED
    steps = facts.get("steps")
    seconds = facts.get("seconds")
    if status == RUNNING:
        steps, seconds = last_step(path / LOG) or (steps, seconds)
    return RunSummary(
        path.name, path,
        started=_time(facts.get("began")),
        task=_text(facts.get("task")),
        status=status,
        steps=_integer(steps),
        seconds=_number(seconds),
        network=network,
        parameters=parameters,
        held_out_loss=_number(facts.get("held_out_loss")),
        metric=_text(facts.get("metric")),
        mean_score=_number(facts.get("mean_score")),
        scores=_scores(facts.get("scores")),
        seed=_integer(facts.get("seed")),
        strokes=_text(facts.get("strokes")) or None,
        settings=settings,
    )  # fmt: skip


def _read(path: Path) -> dict[str, Any]:
    """Read a JSON object; return an empty one if the file is missing or not valid.

    NaN and infinities, which Python's parser accepts, become None, because NaN differs from
    itself.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text, parse_constant=lambda _: None)
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _flattened(facts: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each nested value with its path as name, without a leading ``options.``."""
    for key, value in facts.items():
        name = key if above in ("", "options") else f"{above}.{key}"
        if isinstance(value, Mapping):
            yield from _flattened(value, name)
        else:
            yield name, value


def _scores(found: Any) -> dict[str, float | None]:
    return {k: _number(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _text(found: Any) -> str:
    return found if isinstance(found, str) else ""


def _number(found: Any) -> float | None:
    """Return a finite number as float; None for anything else."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        number = float(found)
    except OverflowError:
        return None
    return number if isfinite(number) else None


def _integer(found: Any) -> int | None:
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _time(found: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(found)
    except (TypeError, ValueError):
        return None
