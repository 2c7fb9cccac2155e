"""Models come from files and go into files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from napari.utils.notifications import show_info
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_unet.model import SUFFIX, TrainedModel
from napari_unet.widgets.exchange_jobs import PACKAGE, ExportJob, ImportJob
from napari_unet.widgets.session import Session, read_model
from napari_unet.widgets.worker import EventRunner

EXPORT_TIP = (
    "Write a package for Fiji, ilastik, QuPath and all programs that read BioImage.IO models. The "
    "middle of the chosen image becomes its example."
)


class ModelFiles(QWidget):
    """Two buttons: one opens models and packages, the other one writes a package.

    Parameters
    ----------
    session : Session
        Where opened models go.
    wanted : callable
        Returns what is to be written to a path; None where no model is chosen.

    Attributes
    ----------
    opened : Signal(object)
        A file was read; the `NamedModel`.
    said : Signal(str)
        What is done.
    failed : Signal(object)
        Something cannot be read or written; a `NapariUnetError`.
    """

    opened = Signal(object)
    said = Signal(str)
    failed = Signal(object)

    def __init__(
        self,
        session: Session,
        wanted: Callable[[str], ExportJob | None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._wanted = session, wanted
        self._waiting: list[str] = []
        self._exportable = False
        self._loader, self._writer = EventRunner(self), EventRunner(self)
        self.open, self.export = QPushButton("Open model file …"), QPushButton("Export …")
        self.open.setToolTip("Read a model that was saved before, or a BioImage.IO package.")
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
        self._writer.happened.connect(self._written)
        self._writer.failed.connect(self.failed)
        self._writer.ended.connect(self._show_state)
        self._show_state()

    def open_file(self, path: str) -> None:
        """Read a model's file or a package, elsewhere; several are read one after the other."""
        self._waiting.append(path)
        if not self._loader.running:
            self._read_next()

    def set_exportable(self, exportable: bool) -> None:
        """Say whether there is a model to be written."""
        self._exportable = exportable
        self._show_state()

    def let_go(self) -> None:
        """Read and write nothing more."""
        self._waiting.clear()
        self._loader.abandon()
        self._writer.abandon()

    def _show_state(self) -> None:
        self.export.setEnabled(self._exportable and not self._writer.running)

    def _read_next(self) -> None:
        if not self._waiting:
            return
        path = self._waiting.pop(0)
        if path.lower().endswith(PACKAGE):
            self.said.emit(f"Reading {Path(path).name} …")
            self._loader.start(partial(self._session.worker.run, ImportJob(path)))
        else:
            self._loader.start_call(partial(read_model, path))

    def _loaded(self, found: tuple[str, TrainedModel]) -> None:
        self.said.emit("")
        self.opened.emit(self._session.add(*found))

    def _open_clicked(self) -> None:
        kinds = f"Models (*{SUFFIX} *{PACKAGE})"
        path, _ = QFileDialog.getOpenFileName(self, "Open model", "", kinds)
        if path:
            self.open_file(path)

    def _export_clicked(self) -> None:
        kinds = f"BioImage.IO packages (*{PACKAGE})"
        path, _ = QFileDialog.getSaveFileName(self, "Export model", f"model{PACKAGE}", kinds)
        job = self._wanted(path) if path else None
        if job is not None and not self._writer.running:
            self.said.emit(f"Exporting {Path(path).name} …")
            self._writer.start(partial(self._session.worker.run, job))
            self._show_state()

    def _written(self, path: Path) -> None:
        show_info(f"Exported {path}")
        self.said.emit(f"Exported {path.name}")
