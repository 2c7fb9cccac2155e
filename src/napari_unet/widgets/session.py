"""The models of this viewer: what was trained here, and what was opened."""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtCore import QObject, Signal

from napari_unet.model import TrainedModel


@dataclass(frozen=True, eq=False)
class NamedModel:
    """A model, and what it is called here."""

    name: str
    model: TrainedModel


class Session(QObject):
    """Keeps the models for as long as the panel lives.

    Attributes
    ----------
    modelAdded : Signal(object)
        There is another `NamedModel`.
    """

    modelAdded = Signal(object)  # noqa: N815 - Qt's way of naming

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.models: list[NamedModel] = []

    def add(self, name: str, model: TrainedModel) -> NamedModel:
        """Keep a model; one with the same weights is kept once."""
        for known in self.models:
            if known.model.digest == model.digest:
                return known
        added = NamedModel(f"{name} · {model.digest[:8]}", model)
        self.models.append(added)
        self.modelAdded.emit(added)
        return added
