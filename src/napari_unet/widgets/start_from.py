"""Where a training starts: a fresh network, or a model that was trained before."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QWidget

from napari_unet.errors import InputError
from napari_unet.model import SUFFIX, TrainedModel
from napari_unet.widgets.editors import guard_wheel
from napari_unet.widgets.session import NamedModel, Session, read_model
from napari_unet.widgets.worker import EventRunner

FRESH, FILE = "A fresh network", "A model file …"


class StartChooser(QComboBox):
    """Chooses a fresh network, one of the session's models, or one from a file.

    Parameters
    ----------
    session : Session
        Whose models are offered; one that is opened here joins them.
    task : str
        What the models must have been trained for.

    Attributes
    ----------
    valueChanged : Signal()
        Something else is chosen.
    failed : Signal(object)
        A file could not be opened; a `NapariUnetError`.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming
    failed = Signal(object)

    def __init__(
        self, session: Session, task: str = "segment", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._task = session, task
        self._chosen: NamedModel | None = None
        self._loader = EventRunner(self)
        self._loader.happened.connect(self._loaded)
        self._loader.failed.connect(self.failed)
        self.setMinimumContentsLength(8)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        guard_wheel(self)
        self._fill()
        session.modelAdded.connect(self._fill)
        self.currentIndexChanged.connect(self._picked)

    def value(self) -> TrainedModel | None:
        """Return the model to start from; None is a fresh network."""
        return None if self._chosen is None else self._chosen.model

    def setValue(self, value: NamedModel | None) -> None:  # noqa: N802 - Qt's name
        """Choose one of the session's models, or None."""
        self._chosen = value
        self._fill()
        self.valueChanged.emit()

    def open_file(self, path: str) -> None:
        """Read a model's file, in a thread, and choose it."""
        if not self._loader.running:
            self._loader.start_call(partial(read_model, path))

    def _fill(self, _: object = None) -> None:
        """Offer what there is; a new model is offered, and the choice stays."""
        models = self._models()
        with QSignalBlocker(self):
            self.clear()
            self.addItems([FRESH, *(named.name for named in models), FILE])
            self.setCurrentIndex(models.index(self._chosen) + 1 if self._chosen else 0)

    def _models(self) -> list[NamedModel]:
        return [named for named in self._session.models if named.model.task == self._task]

    def _picked(self, index: int) -> None:
        models = self._models()
        if index <= len(models):
            self._chosen = models[index - 1] if index > 0 else None
            self.valueChanged.emit()
            return
        self._fill()  # until the file is read, what was chosen before
        path, _ = QFileDialog.getOpenFileName(self, "Start from a model", "", f"*{SUFFIX}")
        if path:
            self.open_file(path)

    def _loaded(self, found: tuple[str, TrainedModel]) -> None:
        name, model = found
        if model.task != self._task:
            self.failed.emit(
                InputError(
                    f"{name} cannot be started from here",
                    got=f"a model of task {model.task}",
                    expected=f"one of task {self._task}",
                    todo="Choose that task above, or another model",
                )
            )
            return
        self.setValue(self._session.add(name, model))
