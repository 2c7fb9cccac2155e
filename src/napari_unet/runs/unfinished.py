"""Trainings that were interrupted, such as by the end of their viewer, and can be gone on with."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from napari_unet.errors import NapariUnetError
from napari_unet.runs.folder import CHECKPOINT, FACTS, MODEL
from napari_unet.runs.state import INTERRUPTED, RUNNING
from napari_unet.training.checkpoint import Checkpoint, load_checkpoint

SAME_PROCESS = 2.0
"""Seconds that two records of the start of one process may differ by."""


@dataclass(frozen=True, eq=False)
class UnfinishedRun:
    """A run that has a checkpoint, has not ended, and whose process is gone.

    Parameters
    ----------
    folder : Path
        Its folder.
    checkpoint : Checkpoint
        The training at its last checkpoint.
    began : datetime
        When it began.
    layers : tuple of tuple of str
        The names of the images, each with that of what belonged to it, if anything.
    """

    folder: Path
    checkpoint: Checkpoint
    began: datetime
    layers: tuple[tuple[str, ...], ...]

    @property
    def path(self) -> Path:
        """The file of the checkpoint."""
        return self.folder / CHECKPOINT

    @property
    def step(self) -> int:
        """Steps that were taken up to the checkpoint."""
        return int(self.checkpoint.state["step"])

    def dismiss(self) -> None:
        """Make the checkpoint the model of the run, which is not gone on with."""
        with suppress(OSError):
            self.path.replace(self.folder / MODEL)


def find_unfinished(folder: Path) -> UnfinishedRun | None:
    """Return the newest training that was interrupted, None where there is none.

    Parameters
    ----------
    folder : Path
        The folder of all runs; it need not exist.
    """
    # The names of the folders sort by time.
    for path in sorted(folder.glob(f"*/{CHECKPOINT}"), reverse=True):
        found = _read(path.parent)
        if found is not None:
            return found
    return None


def _read(folder: Path) -> UnfinishedRun | None:
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        if facts["status"] not in (RUNNING, INTERRUPTED):
            return None
        if facts["status"] == RUNNING and _runs(facts["process"]):
            return None
        layers = tuple(tuple(map(str, names)) for names in facts["layers"])
        began = datetime.fromisoformat(facts["began"])
        return UnfinishedRun(folder, load_checkpoint(folder / CHECKPOINT), began, layers)
    except (OSError, ValueError, KeyError, TypeError, NapariUnetError):
        return None  # a folder that is damaged, or of another version, is nothing to go on with


def _runs(process: Any) -> bool:
    """Tell whether the process that trains still exists, and is not another one of the same id."""
    number, started = int(process[0]), float(process[1])
    if number == os.getpid():
        return False  # it trained here, and that has ended
    try:
        return abs(psutil.Process(number).create_time() - started) < SAME_PROCESS
    except psutil.Error:
        return False
