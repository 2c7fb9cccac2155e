"""What is kept of each training, and the way to it."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import Qt, QUrl, Signal
from qtpy.QtGui import QDesktopServices, QResizeEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_unet.errors import InputError, NapariUnetError
from napari_unet.runs.folder import REPORT
from napari_unet.runs.tensorboard import PACKAGE, TensorBoard, open_tensorboard
from napari_unet.widgets import preferences
from napari_unet.widgets.parts import Notice
from napari_unet.widgets.preferences import Preference
from napari_unet.widgets.runs_dialog import RunsDialog
from napari_unet.widgets.session import Session
from napari_unet.widgets.worker import EventRunner

KEEP, FOLDER = Preference("runs/keep"), Preference("runs/folder")
BOARD = Preference("runs/tensorboard")

TIPS = {
    "keep": "Write log, settings, model and a report of every training into a folder of its own.",
    "board": "Also write what TensorBoard shows: losses, scores and previews.",
    "no board": 'TensorBoard is not installed. Run: pip install "napari-unet-live[tensorboard]"',
    "choose": "Keep the trainings in another folder.",
    "report": "Show the report of the newest training in the browser.",
    "folder": "Show the folder of all trainings.",
    "compare": "List all trainings: how they were set, and what came of them.",
    "tensorboard": "Start TensorBoard on this folder, and show it in the browser.",
}


class RunsBox(QWidget):
    """Says whether and where trainings are kept, and opens what is kept.

    Parameters
    ----------
    viewer : ViewerModel
        Whose theme the table of trainings wears.
    session : Session
        Where a model goes that is taken from there.

    Attributes
    ----------
    failed : Signal(object)
        Something the user asked for cannot be; a `NapariUnetError`.
    """

    failed = Signal(object)

    def __init__(
        self, viewer: ViewerModel, session: Session, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer, self._session = viewer, session
        self._boards = _Boards()
        self.dialog: RunsDialog | None = None
        self.keep = QCheckBox("Keep every training in a folder")
        self.board = QCheckBox("TensorBoard files")
        self.place, self.choose = PathLabel(), QPushButton("…")
        self.choose.setFixedWidth(34)
        self.choose.setAccessibleName("Choose the folder of the trainings")
        self.report, self.open = QPushButton("Open report"), QPushButton("Open folder")
        self.compare, self.tensorboard = QPushButton("Compare …"), QPushButton("TensorBoard")
        self.notice = Notice()
        self._starter = EventRunner(self)
        self._arrange()
        self._load()
        self._connect()
        self.refresh()

    @property
    def folder(self) -> Path:
        """Where the folders of the trainings are; it need not exist yet."""
        return self.place.path

    def options(self) -> dict[str, Any]:
        """Return what `napari_unet.train` is to be told; nothing where nothing is kept."""
        if not self.keep.isChecked():
            return {}
        board = self.board.isEnabled() and self.board.isChecked()
        return {"runs": str(self.folder), **({"tensorboard": True} if board else {})}

    def refresh(self) -> None:
        """Take in that there may be another training, or that the folder has changed."""
        there = self.folder.is_dir()
        self.report.setEnabled(newest_report(self.folder) is not None)
        for button in (self.open, self.compare):
            button.setEnabled(there)
        self.tensorboard.setEnabled(there and _has_tensorboard() and not self._starter.running)

    def let_go(self) -> None:
        """End what was started, and close what was opened."""
        self._starter.abandon()
        self._boards.close()
        if self.dialog is not None:
            self.dialog.close()

    def _arrange(self) -> None:
        named = (
            (self.keep, "keep"), (self.board, "board"), (self.choose, "choose"),
            (self.report, "report"), (self.open, "folder"), (self.compare, "compare"),
            (self.tensorboard, "tensorboard"),
        )  # fmt: skip
        for part, name in named:
            part.setToolTip(TIPS[name])
        place, buttons, layout = QHBoxLayout(), QGridLayout(), QVBoxLayout(self)
        place.addWidget(self.place, 1)
        place.addWidget(self.choose)
        for number, button in enumerate((self.report, self.open, self.compare, self.tensorboard)):
            buttons.addWidget(button, number // 2, number % 2)
        layout.setContentsMargins(0, 0, 0, 4)
        layout.setSpacing(5)
        layout.addWidget(self.keep)
        layout.addLayout(place)
        layout.addWidget(self.board)
        layout.addLayout(buttons)
        layout.addWidget(self.notice)

    def _load(self) -> None:
        """Show what is remembered."""
        self.keep.setChecked(KEEP.is_on(True))
        self.board.setChecked(BOARD.is_on(False))
        if not _has_tensorboard():
            for part in (self.board, self.tensorboard):
                part.setEnabled(False)
                part.setToolTip(TIPS["no board"])
        text = FOLDER.text()
        self.place.set_path(Path(text) if text else preferences.default_folder())

    def _connect(self) -> None:
        self.keep.toggled.connect(KEEP.remember)
        self.board.toggled.connect(BOARD.remember)
        self.choose.clicked.connect(self._choose_clicked)
        self.report.clicked.connect(self._report_clicked)
        self.open.clicked.connect(lambda: show(self.folder))
        self.compare.clicked.connect(self._compare_clicked)
        self.tensorboard.clicked.connect(self._board_clicked)
        self._starter.happened.connect(self._board_started)
        self._starter.failed.connect(self._board_failed)
        self._starter.ended.connect(self.refresh)
        # Who closes the window need not think of it.
        self.destroyed.connect(self._boards.close)

    def _choose_clicked(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Keep trainings in", str(self.folder))
        if path:
            FOLDER.remember(path)
            self.place.set_path(Path(path))
            self.refresh()

    def _report_clicked(self) -> None:
        report = newest_report(self.folder)
        if report is None:
            self.refresh()
            self.failed.emit(InputError("There is no report any more", got=str(self.folder)))
        else:
            show(report)

    def _compare_clicked(self) -> None:
        if self.dialog is not None:
            self.dialog.close()
        self.dialog = RunsDialog(self.folder, self._session, self._viewer.theme, self)
        self.dialog.finished.connect(self._forget_dialog)
        self.dialog.show()

    def _forget_dialog(self) -> None:
        self.dialog = None  # it deletes itself

    def _board_clicked(self) -> None:
        self.notice.say("Starting TensorBoard …")
        self.tensorboard.setEnabled(False)
        self._starter.start_call(partial(self._boards.open, self.folder))

    def _board_started(self, url: str) -> None:
        self.notice.say(f"TensorBoard: {url}")
        QDesktopServices.openUrl(QUrl(url))

    def _board_failed(self, error: NapariUnetError) -> None:
        self.notice.say("")
        self.failed.emit(error)


class PathLabel(QLabel):
    """Shows the end of a path where there is no room for all of it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.path = Path()
        self.setProperty("unet", "faint")
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def set_path(self, path: Path) -> None:
        """Show another path."""
        self.path = path
        self.setToolTip(str(path))
        self._elide()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Show as much as there is room for."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        left = Qt.TextElideMode.ElideLeft
        self.setText(self.fontMetrics().elidedText(str(self.path), left, self.width()))


class _Boards:
    """At most one TensorBoard; it ends with whoever asked for it, even while it starts."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._board: TensorBoard | None = None
        self._folder = Path()
        self._over = False

    def open(self, folder: Path) -> str:
        """Return where TensorBoard shows a folder; called in a thread, for it takes seconds."""
        with self._lock:
            board, known = self._board, self._folder
        if board is not None and known == folder and board.process.poll() is None:
            return board.url
        new = open_tensorboard(folder)
        with self._lock:
            before, self._board, self._folder = self._board, new, folder
            over = self._over
        for old in (before, new if over else None):
            if old is not None:
                old.close()
        return new.url

    def close(self, *_: object) -> None:
        """End it."""
        with self._lock:
            board, self._board, self._over = self._board, None, True
        if board is not None:
            board.close()


def newest_report(folder: Path) -> Path | None:
    """Return the report of the newest training that has one; their names sort by time."""
    try:
        found = sorted((path for path in folder.iterdir()), reverse=True)
    except OSError:
        return None
    return next((path / REPORT for path in found if (path / REPORT).is_file()), None)


def show(path: Path) -> None:
    """Show a file or a folder with the program that the system has for it."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))


def _has_tensorboard() -> bool:
    return find_spec(PACKAGE) is not None
