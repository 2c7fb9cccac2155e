"""All trainings that were kept, side by side."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_unet.errors import NapariUnetError
from napari_unet.model import TrainedModel
from napari_unet.runs.folder import MODEL, REPORT
from napari_unet.runs.table import RunSummary, differing, list_runs
from napari_unet.widgets.parts import Notice, style_sheet
from napari_unet.widgets.session import Session, read_model
from napari_unet.widgets.theme import Palette
from napari_unet.widgets.words import humanise
from napari_unet.widgets.worker import EventRunner

SIZE = (1020, 420)
LONGEST = 40
"""Letters of a setting that are shown; all of it is in the tooltip."""

COLUMNS = (
    "When", "Task", "Status", "Steps", "Seconds", "Network", "Held-out loss", "Mean score", "Seed",
)  # fmt: skip


class RunsDialog(QDialog):
    """A table of trainings; a double click opens a report. It does not block the viewer.

    Parameters
    ----------
    folder : Path
        Where their folders are.
    session : Session
        Where a model goes that is chosen here.
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
        self.differs = QCheckBox("Only what differs")
        self.differs.setToolTip("Show the settings that are not the same in all trainings.")
        self.use, self.report = QPushButton("Use this model"), QPushButton("Open report")
        self.use.setToolTip("Put the model of the chosen training among those of this viewer.")
        self.report.setToolTip("Show what came of the chosen training (or double click it).")
        self.notice = Notice()
        self._reader, self._loader = EventRunner(self), EventRunner(self)
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
        self.table.itemSelectionChanged.connect(self._show_chosen)
        self.table.itemDoubleClicked.connect(lambda _: self._open_report())
        self.report.clicked.connect(self._open_report)
        self.use.clicked.connect(self._use_clicked)

    def _listed(self, runs: list[RunSummary]) -> None:
        self.runs = runs
        self._fill()
        if not runs:
            self.notice.say("Nothing was kept here yet.")

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
            self.notice.say(f"{run.name} has no report: it was cut off.", "warning")

    def _use_clicked(self) -> None:
        run = self.chosen
        if run is not None and not self._loader.running:
            self.use.setEnabled(False)
            self._loader.start_call(partial(_model_of, run))

    def _loaded(self, found: tuple[str, TrainedModel]) -> None:
        named = self._session.add(*found)
        self.notice.say(f"Loaded as {named.name}: choose it on the Predict page, or to start from.")

    def _say_error(self, error: NapariUnetError) -> None:
        self.notice.say(str(error), "error")


class Cell(QTableWidgetItem):
    """A value in a table: numbers are sorted as numbers, and what is missing comes last."""

    def __init__(self, value: Any) -> None:
        text = shown(value)
        super().__init__(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")
        self.value = value
        if len(text) > LONGEST:
            self.setToolTip(text)
        if isinstance(value, int | float) and not isinstance(value, bool):
            self.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        """Tell which comes first."""
        return isinstance(other, Cell) and self._rank() < other._rank()

    def _rank(self) -> tuple[float, str]:
        number = isinstance(self.value, int | float)
        if self.value is None:
            return inf, ""
        if isinstance(self.value, datetime):  # to the microsecond, of which it shows no more
            return self.value.timestamp(), ""
        return (float(self.value), "") if number else (-inf, shown(self.value))


def shown(value: Any) -> str:
    """Return a value as a table shows it."""
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
        run.mean_score, run.seed,
    ]  # fmt: skip


def _when(run: RunSummary) -> datetime | str:
    """Return when a training began; its folder where that is not known."""
    return run.started or run.name


def _model_of(run: RunSummary) -> tuple[str, TrainedModel]:
    """Return a training's model, called after it; to be called in a thread."""
    return run.name, read_model(str(run.folder / MODEL))[1]
