"""The models of a session: kept, chosen, described, read from files and written to files."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from html import escape
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, finalize

from napari.components import ViewerModel
from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_unet.display import count, duration, hex_colour, rgb8, score_text
from napari_unet.errors import InputError
from napari_unet.model import SUFFIX, ClassInfo, TrainedModel, load_model
from napari_unet.training.metrics import mean
from napari_unet.widgets.layers.layer_data import class_colour
from napari_unet.widgets.qt.event_thread import EventRunner
from napari_unet.widgets.qt.style import guard_wheel
from napari_unet.widgets.qt.text import humanise
from napari_unet.workers.jobs import PACKAGE, ExportJob, ImportJob
from napari_unet.workers.process import SubprocessWorker, Worker


class ModelSaver(QObject):
    """Saves a model to a file that the user chooses, in a thread.

    Parameters
    ----------
    parent : QWidget
        The Qt parent, and that of the file dialog.

    Attributes
    ----------
    failed : Signal(object)
        The `NapariUnetError` if it could not be written.
    """

    failed = Signal(object)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._parent = parent
        self._runner = EventRunner(self)
        self._runner.happened.connect(lambda path: show_info(f"Saved {path}"))
        self._runner.failed.connect(self.failed)

    @property
    def running(self) -> bool:
        """Whether a file is being written."""
        return self._runner.running

    def save(self, name: str, model: TrainedModel) -> None:
        """Ask for a file, and save a model there.

        Parameters
        ----------
        name : str
            The name of the file that is proposed, without suffix.
        model : TrainedModel
            What to save.
        """
        proposed, kinds = f"{name}{SUFFIX}", f"Models (*{SUFFIX})"
        path, _ = QFileDialog.getSaveFileName(self._parent, "Save model", proposed, kinds)
        if path and not self._runner.running:
            self._runner.start_call(lambda: model.save(path))


new_worker: Callable[[], Worker] = SubprocessWorker
"""Makes the worker of a session; tests put `InProcessWorker` in its place."""


@dataclass(frozen=True, eq=False)
class NamedModel:
    """A model of a session.

    Parameters
    ----------
    name : str
        Its name in the panel.
    model : TrainedModel
        The model.
    """

    name: str
    model: TrainedModel


def read_model(path: str) -> tuple[str, TrainedModel]:
    """Return the name of a file without suffix, and the model in it; called in a thread."""
    model = load_model(path)
    model.digest  # noqa: B018 - computed once and kept, here rather than in the GUI's thread
    return Path(path).stem, model


class Session(QObject):
    """The models and the worker of a viewer, kept for as long as the viewer exists.

    Attributes
    ----------
    models : list of NamedModel
        In the order in which they were added.
    worker : Worker
        Trains and predicts, in a process of its own.
    modelAdded : Signal(object)
        The `NamedModel` that was added.
    """

    modelAdded = Signal(object)  # noqa: N815 - Qt's way of naming

    def __init__(self) -> None:
        super().__init__()
        self.models: list[NamedModel] = []
        self.worker: Worker = new_worker()
        finalize(self, self.worker.close)

    @classmethod
    def of(cls, viewer: ViewerModel) -> Session:
        """Return the session of a viewer, which outlives its panel."""
        return _sessions.setdefault(viewer, cls())

    def add(self, name: str, model: TrainedModel, trained: datetime | None = None) -> NamedModel:
        """Add a model, unless one with the same architecture and weights is there already.

        Parameters
        ----------
        name : str
            The image or the file; time and score are appended, and a number where that is taken.
        model : TrainedModel
            The model.
        trained : datetime, optional
            When it was trained.

        Returns
        -------
        NamedModel
            The added one, or the one that was there.
        """
        for known in self.models:
            if known.model.digest == model.digest:
                return known
        clock = "" if trained is None else f"{trained.astimezone():%H:%M}"
        full = " · ".join(filter(None, (name, clock, score_of(model))))
        added = NamedModel(self._free_name(full), model)
        self.models.append(added)
        self.modelAdded.emit(added)
        return added

    def _free_name(self, wanted: str) -> str:
        """Return a name that no model has: the wanted one, or with a number."""
        names = {known.name for known in self.models}
        numbers = (f"{wanted} ({number})" for number in itertools.count(2))
        return next(name for name in itertools.chain([wanted], numbers) if name not in names)


_sessions: WeakKeyDictionary[ViewerModel, Session] = WeakKeyDictionary()


EXPORT_TIP = (
    "Write a package for Fiji, ilastik, QuPath and other programs that read BioImage.IO "
    "models. The centre of the chosen image becomes its example."
)
"""Tooltip of the button that exports a model."""


class ModelFiles(QWidget):
    """Two buttons: one opens models and packages, the other one exports a package.

    Parameters
    ----------
    session : Session
        Opened models are added to it.
    export_job : callable
        Returns the export of the chosen model to a path; None where no model is chosen.
    parent : QWidget, optional
        The Qt parent.

    Attributes
    ----------
    opened : Signal(object)
        The `NamedModel` that was read from a file.
    said : Signal(str)
        A sentence on what is being done; empty once nothing is.
    failed : Signal(object)
        The `NapariUnetError` if a file cannot be read or written.
    """

    opened = Signal(object)
    said = Signal(str)
    failed = Signal(object)

    def __init__(
        self,
        session: Session,
        export_job: Callable[[str], ExportJob | None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._export_job = session, export_job
        self._waiting: list[str] = []
        self._exportable = False
        self._loader, self._writer = EventRunner(self), EventRunner(self)
        self.open, self.export = QPushButton("Open model file …"), QPushButton("Export …")
        self.open.setToolTip("Open a saved model, or a BioImage.IO package.")
        self.export.setToolTip(EXPORT_TIP)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.open, 3)
        layout.addWidget(self.export, 2)
        self.open.clicked.connect(self._open_clicked)
        self.export.clicked.connect(self._export_clicked)
        self._loader.happened.connect(self._loaded)
        self._loader.failed.connect(self.failed)
        self._loader.ended.connect(self._read_next)
        self._writer.happened.connect(lambda path: show_info(f"Exported {path}"))
        self._writer.failed.connect(self.failed)
        self._writer.ended.connect(self._end_writing)
        self._show_state()

    def open_file(self, path: str) -> None:
        """Read a model file or a package, in a thread; several are read one after the other."""
        self._waiting.append(path)
        if not self._loader.running:
            self._read_next()

    @property
    def running(self) -> bool:
        """Whether a file is being read or written."""
        return self._loader.running or self._writer.running

    def set_exportable(self, exportable: bool) -> None:
        """Set whether there is a model to export."""
        self._exportable = exportable
        self._show_state()

    def release(self) -> None:
        """Stop reading and writing."""
        self._waiting.clear()
        self._loader.abandon()
        self._writer.abandon()

    def _show_state(self) -> None:
        self.export.setEnabled(self._exportable and not self._writer.running)

    def _read_next(self) -> None:
        if not self._waiting:
            self.said.emit("")
            return
        path = self._waiting.pop(0)
        if path.lower().endswith(PACKAGE):
            self.said.emit(f"Reading {Path(path).name} …")
            self._loader.start(partial(self._session.worker.run, ImportJob(path)))
        else:
            self._loader.start_call(partial(read_model, path))

    def _loaded(self, found: tuple[str, TrainedModel]) -> None:
        self.opened.emit(self._session.add(*found))

    def _open_clicked(self) -> None:
        kinds = f"Models (*{SUFFIX} *{PACKAGE})"
        path, _ = QFileDialog.getOpenFileName(self, "Open model", "", kinds)
        if path:
            self.open_file(path)

    def _export_clicked(self) -> None:
        kinds = f"BioImage.IO packages (*{PACKAGE})"
        path, _ = QFileDialog.getSaveFileName(self, "Export model", f"model{PACKAGE}", kinds)
        job = self._export_job(path) if path else None
        if job is not None and not self._writer.running:
            self.said.emit(f"Exporting {Path(path).name} …")
            self._writer.start(partial(self._session.worker.run, job))
            self._show_state()

    def _end_writing(self) -> None:
        self.said.emit("")
        self._show_state()


class ModelChooser(QComboBox):
    """Chooses one of the session's models; one that is added becomes the choice.

    Parameters
    ----------
    session : Session
        Whose models are offered.
    parent : QWidget, optional
        The Qt parent.

    Attributes
    ----------
    valueChanged : Signal()
        Another model is chosen.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setPlaceholderText("Train one, or open a file")
        self.setMinimumContentsLength(8)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        guard_wheel(self)
        for named in session.models:
            self._add(named)
        session.modelAdded.connect(self._add)
        self.currentIndexChanged.connect(lambda _: self.valueChanged.emit())

    def value(self) -> NamedModel | None:
        """Return the chosen model."""
        index = self.currentIndex()
        return self._session.models[index] if index >= 0 else None

    def setValue(self, value: NamedModel) -> None:  # noqa: N802 - Qt's name
        """Choose a model of the session."""
        self.setCurrentIndex(self._session.models.index(value))

    def _add(self, named: NamedModel) -> None:
        self.addItem(named.name)
        self.setItemData(self.count() - 1, _id_tip(named), Qt.ItemDataRole.ToolTipRole)
        self.setCurrentIndex(self.count() - 1)


def describe_model(model: TrainedModel) -> str:
    """Return task, classes, training and ID of a model, as rich text."""
    config = model.config
    classes = "&nbsp; ".join(map(_class_text, model.classes))
    lines = {
        "Task": f"{humanise(model.task)}, {config.ndim}D, {_channels(model)}",
        "Classes": classes,
        "Trained": _training(model.training),
        "Method": escape(str(model.training.get("why", "")).removeprefix("Method: ")),
        "Model ID": f"<code>{model.digest[:8]}</code>",
    }
    return "<br>".join(f"<b>{name}</b> {text}" for name, text in lines.items() if text)


def _channels(model: TrainedModel) -> str:
    """Return the number of input channels, and of output channels if that is another one."""
    inputs, planes = model.image_channels, model.input_spec.context_planes
    outputs = inputs if model.target is None else model.config.out_channels
    parts = [count(inputs, "channel") + (f" in, {outputs} out" if outputs != inputs else "")]
    if planes > 1:
        parts.append(f"{count(planes, 'plane')} together")
    return ", ".join(parts)


def _class_text(info: ClassInfo) -> str:
    name = escape(str(info)).replace(" ", "&nbsp;")
    return f'<span style="color:{hex_colour(rgb8(class_colour(info)))}">■</span>&nbsp;{name}'


def _training(facts: dict[str, Any]) -> str:
    parts = []
    if "steps" in facts:
        parts.append(count(int(facts["steps"]), "step"))
    if "seconds" in facts:
        parts.append(duration(float(facts["seconds"])))
    validation = facts.get("validation", {})
    if "IoU" in validation:
        parts.append(f"IoU {score_text(mean(validation['IoU']))}")
    elif "PSNR" in validation:
        parts.append(f"PSNR {validation['PSNR']:.1f} dB")
    elif "loss" in validation:
        parts.append(f"held-out loss {validation['loss']:.3g}")
    return ", ".join(parts)


def score_of(model: TrainedModel) -> str:
    """Return how good a model was on what was held out: ``IoU 0.83``; empty where unknown."""
    validation = model.training.get("validation") or {}
    overlap = mean(validation.get("IoU", ()))
    if overlap is not None:
        return f"IoU {overlap:.2f}"
    return f"PSNR {validation['PSNR']:.1f} dB" if "PSNR" in validation else ""


def _id_tip(named: NamedModel) -> str:
    return f"{named.name}\nModel ID {named.model.digest[:8]}"


FRESH = "scratch"
"""The entry for a training that starts from no model."""

FILE = "A model file …"
"""The entry that asks for a file."""


class StartChooser(QComboBox):
    """Chooses scratch, one of the session's models, or one from a file.

    Parameters
    ----------
    session : Session
        Whose models are offered; one that is opened here is added to it.
    task : str
        The task of the models that are offered.
    parent : QWidget, optional
        The Qt parent.

    Attributes
    ----------
    valueChanged : Signal()
        Something else is chosen.
    failed : Signal(object)
        The `NapariUnetError` if a file cannot be opened.
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
        """Return the model to start from, None for scratch."""
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
        """Fill in the entries; the choice stays."""
        models = self._models()
        with QSignalBlocker(self):
            self.clear()
            self.addItems([FRESH, *(named.name for named in models), FILE])
            for row, named in enumerate(models, start=1):
                self.setItemData(row, _id_tip(named), Qt.ItemDataRole.ToolTipRole)
            self.setCurrentIndex(models.index(self._chosen) + 1 if self._chosen else 0)

    def _models(self) -> list[NamedModel]:
        return [named for named in self._session.models if named.model.task == self._task]

    def _picked(self, index: int) -> None:
        models = self._models()
        if index <= len(models):
            self._chosen = models[index - 1] if index > 0 else None
            self.valueChanged.emit()
            return
        self._fill()  # shows the choice of before until the file is read
        path, _ = QFileDialog.getOpenFileName(self, "Start from a model", "", f"*{SUFFIX}")
        if path:
            self.open_file(path)

    def _loaded(self, found: tuple[str, TrainedModel]) -> None:
        name, model = found
        if model.task != self._task:
            self.failed.emit(
                InputError(
                    f"This training cannot start from {name}",
                    got=f"a model of task {model.task}",
                    expected=f"one of task {self._task}",
                    todo="Choose that task above, or another model",
                )
            )
            return
        self.setValue(self._session.add(name, model))
