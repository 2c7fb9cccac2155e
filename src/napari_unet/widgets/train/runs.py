"""Where trainings are recorded, and the dialogs that open the records."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from importlib.util import find_spec
from math import inf
from pathlib import Path
from threading import Lock
from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import QSettings, QSignalBlocker, QStandardPaths, Qt, QUrl, Signal
from qtpy.QtGui import QDesktopServices, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QDialog,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_unet.errors import InputError, NapariUnetError
from napari_unet.model import TrainedModel
from napari_unet.runs.folder import MODEL, REPORT
from napari_unet.runs.listing import RunSummary, differing, list_runs
from napari_unet.runs.tensorboard import PACKAGE, TensorBoard, open_tensorboard
from napari_unet.tasks.provenance import SOURCES
from napari_unet.widgets.models import Session, read_model
from napari_unet.widgets.qt.event_thread import EventRunner
from napari_unet.widgets.qt.style import Notice, Palette, style_sheet
from napari_unet.widgets.qt.text import humanise

NAME = "napari-unet-live"
"""Name of the folder and of the file of preferences."""


def default_folder() -> Path:
    """Return the folder of runs if the user chose none, in the user's folder for data."""
    place = QStandardPaths.StandardLocation.GenericDataLocation
    return Path(QStandardPaths.writableLocation(place), NAME, "runs")


def store() -> QSettings:
    """Return the store of preferences."""
    return QSettings(NAME, "panel")


class Preference:
    """One value that is remembered as text, once it was set.

    Parameters
    ----------
    key : str
        Such as ``"runs/folder"``.
    """

    def __init__(self, key: str) -> None:
        self.key = key

    def text(self) -> str | None:
        """Return the value, None if it was never set."""
        found: Any = store().value(self.key)
        return None if found is None else str(found)

    def is_on(self, default: bool) -> bool:
        """Return the value as yes or no."""
        text = self.text()
        return default if text is None else text == "yes"

    def remember(self, value: str | bool) -> None:
        """Set the value."""
        text = ("yes" if value else "no") if isinstance(value, bool) else value
        store().setValue(self.key, text)


SIZE = (1020, 420)
"""Width and height of the dialog, in pixels."""

LONGEST = 40
"""Characters of a setting that are shown; the tooltip has all of it."""

COLUMNS = (
    "When", "Task", "Status", "Steps", "Seconds", "Network", "Held-out loss", "Mean score", "Seed",
)  # fmt: skip
"""Columns of the table, unless it shows only what differs."""


class RunsDialog(QDialog):
    """A table of recorded trainings; a double click opens a report. It does not block the viewer.

    Parameters
    ----------
    folder : Path
        Where their folders are.
    session : Session
        Where models go that are loaded from here.
    theme : str
        The viewer's theme.
    """

    def __init__(
        self, folder: Path, session: Session, theme: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Trainings")
        self._session = session
        self.runs: list[RunSummary] = []
        self.table = QTableWidget()
        self.differs = QCheckBox("Only differences")
        self.differs.setToolTip("Show only the settings that differ between the trainings.")
        self.use = QPushButton("Use this model")
        self.use.setToolTip("Add the model of the selected training to those of this viewer.")
        self.report = QPushButton("Open report")
        self.report.setToolTip("Show the report of the selected training (or double-click it).")
        self.notice = Notice()
        self._reader = EventRunner(self)
        self._loader = EventRunner(self)
        self._arrange(folder)
        self._dress(Palette.of(theme))
        self._connect()
        self._show_chosen()
        self._reader.start_call(partial(list_runs, folder))

    @property
    def chosen(self) -> RunSummary | None:
        """The training whose row is selected."""
        return self._run_in(self.table.currentRow())

    def _run_in(self, row: int) -> RunSummary | None:
        item = self.table.item(row, 0)
        number = None if item is None else item.data(Qt.ItemDataRole.UserRole + 1)
        return None if number is None else self.runs[number]

    def _arrange(self, folder: Path) -> None:
        table, header = self.table, self.table.horizontalHeader()
        rows = table.verticalHeader()
        assert rows is not None
        assert header is not None
        rows.hide()
        rows.setDefaultSectionSize(26)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        table.setShowGrid(False)
        table.setAccessibleName("Trainings")
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        place = QLabel(str(folder))
        place.setProperty("unet", "faint")
        place.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        below, layout = QHBoxLayout(), QVBoxLayout(self)
        below.addWidget(self.differs)
        below.addStretch()
        below.addWidget(self.report)
        below.addWidget(self.use)
        layout.setContentsMargins(14, 12, 14, 12)
        layout.setSpacing(8)
        for part in (place, table, self.notice):
            layout.addWidget(part)
        layout.addLayout(below)
        self.resize(*SIZE)

    def _dress(self, p: Palette) -> None:
        self.setStyleSheet(
            style_sheet(p) + f"QDialog {{ background: {p.background}; }}"
            f"QLabel, QCheckBox {{ color: {p.text}; }}"
            f"QTableWidget::item:selected {{ background: {p.accent}; color: {p.on_accent}; }}"
        )

    def _connect(self) -> None:
        self._reader.happened.connect(self._listed)
        self._reader.failed.connect(self._say_error)
        self._loader.happened.connect(self._loaded)
        self._loader.failed.connect(self._say_error)
        self._loader.ended.connect(self._show_chosen)
        self.differs.toggled.connect(self._fill)
        self.table.itemSelectionChanged.connect(self._selected)
        self.table.itemDoubleClicked.connect(lambda _: self._open_report())
        self.report.clicked.connect(self._open_report)
        self.use.clicked.connect(self._use_clicked)

    def _listed(self, runs: list[RunSummary]) -> None:
        self.runs = runs
        self._fill()
        if not runs:
            self.notice.say("No training is recorded here yet.")

    def _fill(self) -> None:
        """Show all trainings, the newest first."""
        heads, rows = self._cells()
        table, chosen = self.table, self.chosen
        with QSignalBlocker(table):
            table.setSortingEnabled(False)
            table.setColumnCount(len(heads))
            table.setHorizontalHeaderLabels(heads)
            table.setRowCount(len(rows))
            for number, row in enumerate(rows):
                for column, value in enumerate(row):
                    item = Cell(value)
                    item.setData(Qt.ItemDataRole.UserRole + 1, number)
                    table.setItem(number, column, item)
            table.setSortingEnabled(True)
            table.sortByColumn(0, Qt.SortOrder.DescendingOrder)
            table.resizeColumnsToContents()
            self._choose(chosen)
        self._show_chosen()

    def _choose(self, run: RunSummary | None) -> None:
        rows = [r for r in range(self.table.rowCount()) if self._run_in(r) is run]
        self.table.clearSelection()
        self.table.setCurrentCell(rows[0] if rows else -1, 0)

    def _cells(self) -> tuple[list[str], list[list[Any]]]:
        if not self.differs.isChecked():
            return list(COLUMNS), [_row(run) for run in self.runs]
        settings = differing(self.runs)
        heads = ["When", *(humanise(name.replace(".", ": ")) for name in settings)]
        columns = [list(map(_when, self.runs)), *settings.values()]
        return heads, [list(row) for row in zip(*columns, strict=True)]

    def _selected(self) -> None:
        """Show what can be done with another training; what was said of the last one is over."""
        self.notice.say("")
        self._show_chosen()

    def _show_chosen(self) -> None:
        run = self.chosen
        self.report.setEnabled(run is not None and (run.folder / REPORT).is_file())
        there = run is not None and (run.folder / MODEL).is_file()
        self.use.setEnabled(there and not self._loader.running)

    def _open_report(self) -> None:
        run = self.chosen
        if run is None:
            return
        if (run.folder / REPORT).is_file():
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(run.folder / REPORT)))
        else:
            self.notice.say(f"{run.name} has no report, because it was interrupted.", "warning")

    def _use_clicked(self) -> None:
        run = self.chosen
        if run is not None and not self._loader.running:
            self.use.setEnabled(False)
            self._loader.start_call(partial(_model_of, run))

    def _loaded(self, found: tuple[str, TrainedModel, datetime | None]) -> None:
        named = self._session.add(*found)
        self.notice.say(
            f"Loaded as {named.name}. Choose it on the Predict page, or under “Start from”."
        )

    def _say_error(self, error: NapariUnetError) -> None:
        self.notice.say(str(error), "error")


class Cell(QTableWidgetItem):
    """A table item that sorts numbers as numbers, and missing values last."""

    def __init__(self, value: Any) -> None:
        text = shown(value)
        super().__init__(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")
        self.value = value
        if len(text) > LONGEST:
            self.setToolTip(text)
        if isinstance(value, int | float) and not isinstance(value, bool):
            self.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        """Return whether this comes before another item."""
        return isinstance(other, Cell) and self._rank() < other._rank()

    def _rank(self) -> tuple[float, str]:
        number = isinstance(self.value, int | float)
        if self.value is None:
            return inf, ""
        if isinstance(self.value, datetime):  # to the microsecond, of which it shows no more
            return self.value.timestamp(), ""
        return (float(self.value), "") if number else (-inf, shown(self.value))


def shown(value: Any) -> str:
    """Return a value as text for the table."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):  # on the clock of this computer
        return f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _row(run: RunSummary) -> list[Any]:
    return [
        _when(run), run.task, run.status, run.steps, run.seconds, run.network, run.held_out_loss,
        run.score, run.seed,
    ]  # fmt: skip


def _when(run: RunSummary) -> datetime | str:
    """Return when a training began, or its folder where that is not known."""
    return run.started or run.name


def _model_of(run: RunSummary) -> tuple[str, TrainedModel, datetime | None]:
    """Return the image, the model and the time of a training; to be called in a thread."""
    _, model = read_model(str(run.folder / MODEL))
    sources = model.training.get(SOURCES) or ()
    name = sources[0][0]["name"] if sources else run.name
    return name, model, run.started


KEEP = Preference("runs/keep")
"""Whether trainings are recorded."""

FOLDER = Preference("runs/folder")
"""Where they are recorded."""

BOARD = Preference("runs/tensorboard")
"""Whether files for TensorBoard are written, too."""

TIPS = {
    "keep": "Save the model, settings, log and a report of every training in its own folder.",
    "board": "Also write files for TensorBoard: losses, scores and previews.",
    "no board": 'TensorBoard is not installed. Run: pip install "napari-unet-live[tensorboard]"',
    "choose": "Choose another folder for the trainings.",
    "report": "Show the report of the newest training in the browser.",
    "folder": "Show the folder of all trainings.",
    "compare": "Show a table of all trainings with their settings and scores.",
    "tensorboard": "Start TensorBoard for this folder, and show it in the browser.",
}
"""Tooltips by part."""


class RunsBox(QWidget):
    """Sets whether and where trainings are recorded, and opens reports, folder and TensorBoard.

    Parameters
    ----------
    viewer : ViewerModel
        Its theme is that of the table of trainings.
    session : Session
        Where models go that are loaded from that table.

    Attributes
    ----------
    failed : Signal(object)
        What the user asked for is not possible; a `NapariUnetError`.
    """

    failed = Signal(object)

    def __init__(
        self, viewer: ViewerModel, session: Session, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self._boards = _Boards()
        self.dialog: RunsDialog | None = None
        self.keep = QCheckBox("Keep every training in a folder")
        self.board = QCheckBox("TensorBoard files")
        self.place = PathLabel()
        self.choose = QPushButton("…")
        self.choose.setFixedWidth(34)
        self.choose.setAccessibleName("Choose the folder of the trainings")
        self.report = QPushButton("Open report")
        self.open = QPushButton("Open folder")
        self.compare = QPushButton("Compare …")
        self.tensorboard = QPushButton("TensorBoard")
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
        """Return the fields of `TrainRequest` that are set here; none where nothing is recorded."""
        if not self.keep.isChecked():
            return {}
        board = self.board.isEnabled() and self.board.isChecked()
        return {"runs": str(self.folder), **({"tensorboard": True} if board else {})}

    def refresh(self) -> None:
        """Enable the buttons that have something to open."""
        there = self.folder.is_dir()
        self.report.setEnabled(newest_report(self.folder) is not None)
        for button in (self.open, self.compare):
            button.setEnabled(there)
        self.tensorboard.setEnabled(there and _has_tensorboard() and not self._starter.running)

    def release(self) -> None:
        """End TensorBoard, and close the table of trainings."""
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
        layout = QVBoxLayout(self)
        place, buttons = QHBoxLayout(), QGridLayout()
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
        """Set the editors to the preferences."""
        self.keep.setChecked(KEEP.is_on(True))
        self.board.setChecked(BOARD.is_on(False))
        if not _has_tensorboard():
            for part in (self.board, self.tensorboard):
                part.setEnabled(False)
                part.setToolTip(TIPS["no board"])
        text = FOLDER.text()
        self.place.set_path(Path(text) if text else default_folder())

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
        # However the window is closed.
        self.destroyed.connect(self._boards.close)

    def _choose_clicked(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Keep trainings in", str(self.folder))
        if path:
            FOLDER.remember(path)
            self.place.set_path(Path(path))
            self.notice.say("")  # it is of a TensorBoard of the folder before
            self.refresh()

    def _report_clicked(self) -> None:
        report = newest_report(self.folder)
        if report is None:
            self.refresh()
            self.failed.emit(InputError("The report does not exist any more", got=str(self.folder)))
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
    """Shows a path, or its end where there is no room for all of it."""

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
        """Shorten the path to the new width."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        left = Qt.TextElideMode.ElideLeft
        self.setText(self.fontMetrics().elidedText(str(self.path), left, self.width()))


class _Boards:
    """Holds at most one TensorBoard, and ends it on `close`, even while it starts."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._board: TensorBoard | None = None
        self._folder = Path()
        self._over = False

    def open(self, folder: Path) -> str:
        """Start TensorBoard for a folder, and return its address; to be called in a thread."""
        with self._lock:
            board, known = self._board, self._folder
        if board is not None and known == folder and board.process.poll() is None:
            return board.url
        new = open_tensorboard(folder)
        with self._lock:
            before, over = self._board, self._over
            self._board = new
            self._folder = folder
        for old in (before, new if over else None):
            if old is not None:
                old.close()
        return new.url

    def close(self, *_: object) -> None:
        """End TensorBoard."""
        with self._lock:
            board, self._board = self._board, None
            self._over = True
        if board is not None:
            board.close()


def newest_report(folder: Path) -> Path | None:
    """Return the newest report; the names of the folders sort by time."""
    try:
        found = sorted((path for path in folder.iterdir()), reverse=True)
    except OSError:
        return None
    return next((path / REPORT for path in found if (path / REPORT).is_file()), None)


def show(path: Path) -> None:
    """Open a file or a folder with the program that the system uses for it."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))


def _has_tensorboard() -> bool:
    return find_spec(PACKAGE) is not None
