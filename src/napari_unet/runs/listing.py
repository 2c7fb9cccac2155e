"""The runs of a folder, read back: to compare them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any

from napari_unet.errors import InputError
from napari_unet.runs.csv_log import last_step
from napari_unet.runs.folder import CONFIG, FACTS, LOG
from napari_unet.runs.state import RUNNING

DAMAGED = "damaged"

_UNTOLD = ("painted", "sources", "classes", "network")
"""What is no setting, or told in a few words instead."""


@dataclass(frozen=True)
class RunSummary:
    """One run in short; what is not known is None or empty.

    `status` is "finished", "finished early: …", "stopped", "failed: …", "unfinished" (it goes on,
    or was cut off), "left before its end" or "damaged"; `seconds` is without pauses, `settings`
    what was set, with a name per value such as ``augment.flip``.
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


def list_runs(folder: Path | str) -> list[RunSummary]:
    """Read the runs of a folder, the oldest first.

    What is no run is left out; a run whose files cannot be read is listed as damaged.

    Parameters
    ----------
    folder : path
        Where `napari_unet.train` was told to keep runs.

    Raises
    ------
    InputError
        Where there is no such folder.
    """
    folder = Path(folder)
    try:
        found = [path for path in folder.iterdir() if path.is_dir()]
    except OSError as error:
        raise InputError(
            "This is no folder of runs", got=f"{folder}: {error.strerror or error}"
        ) from error
    return sorted((_summary(path) for path in found if _is_run(path)), key=_when)


def differing(runs: Sequence[RunSummary]) -> dict[str, list[Any]]:
    """Return the settings that are not the same in all runs: a value per run, None for none."""
    names = sorted({name for run in runs for name in run.settings})
    values = {name: [run.settings.get(name) for run in runs] for name in names}
    return {name: each for name, each in values.items() if any(v != each[0] for v in each)}


def _when(run: RunSummary) -> tuple[str, str]:
    """Return what runs are sorted by: names tell the second, and what was written the rest."""
    began = "" if run.started is None else f"{run.started:%Y-%m-%dT%H-%M-%S-%f}"
    return began or run.name, run.name


def _is_run(path: Path) -> bool:
    return (path / FACTS).is_file() or (path / CONFIG).is_file()


def _summary(path: Path) -> RunSummary:
    facts = _read(path / FACTS)
    config = _read(path / CONFIG)
    settings = dict(_flat({k: v for k, v in config.items() if k not in _UNTOLD}))
    if not facts:
        return RunSummary(path.name, path, settings=settings)
    network, parameters = _text(facts.get("network")), _whole(facts.get("parameters"))
    if network:
        known = "" if parameters is None else f", {parameters:,} parameters"
        settings["network"] = network + known
    status = _text(facts.get("status")) or DAMAGED
    steps, seconds = facts.get("steps"), facts.get("seconds")
    if status == RUNNING:
        steps, seconds = last_step(path / LOG) or (steps, seconds)
    return RunSummary(
        path.name, path,
        started=_time(facts.get("began")),
        task=_text(facts.get("task")),
        status=status,
        steps=_whole(steps),
        seconds=_number(seconds),
        network=network,
        parameters=parameters,
        held_out_loss=_number(facts.get("held_out_loss")),
        metric=_text(facts.get("metric")),
        mean_score=_number(facts.get("mean_score")),
        scores=_scores(facts.get("scores")),
        seed=_whole(facts.get("seed")),
        strokes=_text(facts.get("strokes")) or None,
        settings=settings,
    )  # fmt: skip


def _read(path: Path) -> dict[str, Any]:
    """Read a JSON object; an empty one where that is not to be had.

    NaN and infinities, which JSON does not know and Python reads, become None: NaN would differ
    from itself.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text, parse_constant=lambda _: None)
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _flat(facts: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Name each value by the way to it; options need no ``options.`` before them."""
    for key, value in facts.items():
        name = key if above in ("", "options") else f"{above}.{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, name)
        else:
            yield name, value


def _scores(found: Any) -> dict[str, float | None]:
    return {k: _number(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _text(found: Any) -> str:
    return found if isinstance(found, str) else ""


def _number(found: Any) -> float | None:
    """Return a finite number; None where it is none, or too large for one."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        number = float(found)
    except OverflowError:
        return None
    return number if isfinite(number) else None


def _whole(found: Any) -> int | None:
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _time(found: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(found)
    except (TypeError, ValueError):
        return None
