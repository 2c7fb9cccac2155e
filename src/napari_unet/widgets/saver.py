"""Saves models, each as the one file that a prediction needs."""

from __future__ import annotations

from pathlib import Path

from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_unet.model import SUFFIX, TrainedModel
from napari_unet.widgets.worker import EventRunner


class ModelSaver(QObject):
    """Asks where to, and writes in a thread.

    Attributes
    ----------
    said : Signal(str)
        A file was written.
    failed : Signal(object)
        It could not be; a `NapariUnetError`.
    """

    said = Signal(str)
    failed = Signal(object)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._parent = parent
        self._runner = EventRunner(self)
        self._runner.happened.connect(self._saved)
        self._runner.failed.connect(self.failed)

    @property
    def running(self) -> bool:
        """Whether a file is being written."""
        return self._runner.running

    def save(self, name: str, model: TrainedModel) -> None:
        """Ask where to put a model, and put it there."""
        proposed, kinds = f"{name}{SUFFIX}", f"Models (*{SUFFIX})"
        path, _ = QFileDialog.getSaveFileName(self._parent, "Save model", proposed, kinds)
        if path and not self._runner.running:
            self._runner.start_call(lambda: model.save(path))

    def _saved(self, path: Path) -> None:
        show_info(f"Saved {path}")
        self.said.emit(f"Saved {path.name}")
