"""The models of this viewer: what was trained here, and what was opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary, finalize

from napari.components import ViewerModel
from qtpy.QtCore import QObject, Signal

from napari_unet.model import TrainedModel, load_model
from napari_unet.process.worker import Apart, Worker

new_worker: Callable[[], Worker] = Apart
"""Makes what trains and predicts for a session; tests put `Here` in its place."""


@dataclass(frozen=True, eq=False)
class NamedModel:
    """A model, and what it is called here."""

    name: str
    model: TrainedModel


def read_model(path: str) -> tuple[str, TrainedModel]:
    """Return the name and the model in a file; to be called in a thread."""
    model = load_model(path)
    model.digest  # noqa: B018 - computed once, and not in the GUI's thread
    return Path(path).stem, model


class Session(QObject):
    """Keeps the models for as long as the viewer lives.

    Attributes
    ----------
    modelAdded : Signal(object)
        There is another `NamedModel`.
    """

    modelAdded = Signal(object)  # noqa: N815 - Qt's way of naming

    def __init__(self) -> None:
        super().__init__()
        self.models: list[NamedModel] = []
        self.worker: Worker = new_worker()
        finalize(self, self.worker.close)

    @classmethod
    def of(cls, viewer: ViewerModel) -> Session:
        """Return the session of a viewer: it outlives a panel that is closed and opened again."""
        return _sessions.setdefault(viewer, cls())

    def add(self, name: str, model: TrainedModel) -> NamedModel:
        """Keep a model; one with the same weights is kept once."""
        for known in self.models:
            if known.model.digest == model.digest:
                return known
        added = NamedModel(f"{name} · {model.digest[:8]}", model)
        self.models.append(added)
        self.modelAdded.emit(added)
        return added


_sessions: WeakKeyDictionary[ViewerModel, Session] = WeakKeyDictionary()
