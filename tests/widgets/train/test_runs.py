"""What is kept of trainings, as a user switches it on and off, opens it and compares it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from threading import Event

import numpy as np
import pytest
from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog

import napari_unet
from napari_unet.errors import InputError
from napari_unet.model import load_model
from napari_unet.runs.folder import FACTS, REPORT
from napari_unet.runs.listing import RunSummary
from napari_unet.runs.tensorboard import TensorBoard
from napari_unet.widgets import models as session
from napari_unet.widgets.train import runs as preferences
from napari_unet.widgets.train import runs as runs_box
from napari_unet.widgets.train.runs import COLUMNS, Cell, RunsDialog, shown
from napari_unet.workers.process import SubprocessWorker
from tests.widgets.conftest import two_classes


@pytest.fixture(autouse=True)
def nothing_set(own_folders):
    """Here it is as for somebody who never set anything."""
    preferences.store().remove("runs/keep")


@pytest.fixture
def box(painted):
    painted.panel.train.runs_section.button.click()
    return painted.panel.train.runs


@pytest.fixture
def shown_outside(monkeypatch):
    """What is handed to the browser or the file manager."""
    urls = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: urls.append(QUrl(url)) or True)
    return urls


def kept(folder):
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def test_every_training_is_kept_unless_the_user_says_no(painted, box, own_folders):
    assert box.keep.isChecked()
    assert box.folder == own_folders
    assert not any(b.isEnabled() for b in (box.report, box.open, box.compare, box.tensorboard))
    painted.train()
    (run,) = kept(own_folders)
    assert (run / "model.safetensors").is_file()
    assert json.loads((run / FACTS).read_text())["status"] == "finished"
    assert all(button.isEnabled() for button in (box.report, box.open, box.compare))
    box.keep.setChecked(False)
    painted.train()
    assert kept(own_folders) == [run]


def test_what_is_set_is_there_again_another_day(painted, box, tmp_path, monkeypatch):
    other = tmp_path / "other"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: str(other))
    painted.qtbot.mouseClick(box.choose, Qt.MouseButton.LeftButton)
    box.keep.setChecked(False)
    box.board.setChecked(True)
    again = runs_box.RunsBox(painted.viewer, painted.panel.session, painted.panel)
    assert again.folder == other
    assert not again.keep.isChecked()
    assert again.board.isChecked()
    assert again.options() == {}
    again.keep.setChecked(True)
    assert again.options() == {"runs": str(other), "tensorboard": True}
    again.release()


def test_choosing_no_folder_changes_nothing(painted, box, monkeypatch, own_folders):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: "")
    painted.qtbot.mouseClick(box.choose, Qt.MouseButton.LeftButton)
    assert box.folder == own_folders


def test_without_tensorboard_it_says_how_to_get_it(painted, monkeypatch):
    monkeypatch.setattr(runs_box, "find_spec", lambda name: None)
    box = runs_box.RunsBox(painted.viewer, painted.panel.session, painted.panel)
    box.board.setChecked(True)
    assert not box.board.isEnabled()
    assert not box.tensorboard.isEnabled()
    assert "pip install" in box.board.toolTip()
    assert "tensorboard" not in box.options()
    box.release()


def test_report_and_folder_are_opened(painted, box, own_folders, shown_outside):
    painted.train()
    painted.train()
    painted.click(box.report)
    painted.click(box.open)
    newest = kept(own_folders)[-1]
    assert [url.toLocalFile() for url in shown_outside] == [
        (newest / REPORT).as_posix(),
        own_folders.as_posix(),
    ]


def test_a_report_that_is_gone_is_said(painted, box, own_folders, shown_outside, notes):
    painted.train()
    (kept(own_folders)[0] / REPORT).unlink()
    painted.click(box.report)
    assert "does not exist any more" in notes[-1][1]
    assert shown_outside == []
    assert not box.report.isEnabled()


def test_a_folder_that_cannot_be_written_does_not_cost_the_model(painted, box, tmp_path):
    (tmp_path / "kept").write_text("a file where the folder should be")
    painted.train()
    page = painted.panel.train
    assert "no longer recorded" in page.notice.text()
    assert len(painted.panel.session.models) == 1


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    """Two trainings of unlike length, kept."""
    folder = tmp_path_factory.mktemp("past")
    for steps in (3, 11):
        napari_unet.fit(*two_classes(), steps=steps, size="small", threads=1, runs=folder)
    return folder


@pytest.fixture
def compared(painted, box, own_folders, past):
    """The table of them."""
    shutil.copytree(past, own_folders)
    box.refresh()
    painted.click(box.compare)
    dialog = box.dialog
    painted.wait(lambda: dialog.table.rowCount() == 2)
    return dialog


def column(dialog, name):
    heads = [dialog.table.horizontalHeaderItem(c).text() for c in range(dialog.table.columnCount())]
    where = heads.index(name)
    return [dialog.table.item(r, where).text() for r in range(dialog.table.rowCount())]


def test_trainings_are_compared_and_sorted_as_numbers(compared):
    heads = [compared.table.horizontalHeaderItem(c).text() for c in range(len(COLUMNS))]
    assert tuple(heads) == COLUMNS
    assert column(compared, "Steps") == ["11", "3"]  # the newest first
    assert column(compared, "Status") == ["finished", "finished"]
    assert column(compared, "Seed") == ["0", "0"]
    compared.table.sortByColumn(COLUMNS.index("Steps"), Qt.SortOrder.AscendingOrder)
    assert column(compared, "Steps") == ["3", "11"]
    compared.table.setCurrentCell(0, 0)
    shorter = compared.chosen
    assert shorter.steps == 3
    compared.differs.setChecked(True)
    assert column(compared, "Steps") == ["11", "3"]
    assert compared.chosen is shorter  # wherever it is now
    assert compared.table.columnCount() < len(COLUMNS)


def test_a_double_click_opens_the_report_of_that_row(compared, painted, own_folders, shown_outside):
    table = compared.table
    table.sortByColumn(COLUMNS.index("Steps"), Qt.SortOrder.AscendingOrder)
    table.setCurrentCell(0, 0)
    table.itemDoubleClicked.emit(table.item(0, 0))
    first = kept(own_folders)[0]
    assert [url.toLocalFile() for url in shown_outside] == [(first / REPORT).as_posix()]


def test_a_model_of_the_past_is_used(compared, painted, own_folders):
    assert not compared.use.isEnabled()
    another_day = session.Session()
    dialog = RunsDialog(own_folders, another_day, "light", painted.panel)
    painted.wait(lambda: dialog.table.rowCount() == 2)
    dialog.show()
    dialog.table.setCurrentCell(1, 0)
    painted.click(dialog.use)
    painted.wait(lambda: another_day.models)
    (named,) = another_day.models
    assert named.model.digest == load_model(kept(own_folders)[0] / "model.safetensors").digest
    assert named.name.startswith(kept(own_folders)[0].name)
    assert named.name in dialog.notice.text()
    dialog.close()


def test_the_table_closes_with_the_panel_and_can_be_opened_again(compared, painted, box):
    painted.click(box.compare)
    assert box.dialog is not compared
    second = box.dialog
    painted.wait(lambda: second.table.rowCount() == 2)
    second.close()
    painted.wait(lambda: box.dialog is None)


def test_a_folder_that_cannot_be_read_is_said_in_the_table(painted, box, own_folders):
    painted.train()
    own_folders.rename(own_folders.with_name("elsewhere"))
    painted.click(box.compare)
    painted.wait(lambda: "not a folder of runs" in box.dialog.notice.text())


def test_what_is_missing_comes_last_and_numbers_are_numbers():
    cells = [Cell(v) for v in (None, 11, 3.5, True, "word")]
    assert [c.text() for c in sorted(cells)] == ["word", "yes", "3.5", "11", "–"]
    assert shown([1, None, False]) == "1, –, no"
    assert RunSummary("x", None).seed is None
    long = Cell("a" * 100)
    assert len(long.text()) == 40
    assert long.toolTip() == "a" * 100


@pytest.fixture
def boards(monkeypatch):
    """Stands in for TensorBoard: a process that waits."""
    made = []

    def start(folder, wait=60):
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        made.append(TensorBoard("http://127.0.0.1:6006/", process))
        return made[-1]

    monkeypatch.setattr(runs_box, "open_tensorboard", start)
    yield made
    for board in made:
        board.close()
        board.process.stdin.close()


def test_tensorboard_is_started_once_and_ends_with_the_panel(painted, box, boards, shown_outside):
    painted.train()
    for _ in range(2):
        painted.click(box.tensorboard)
        assert not box.tensorboard.isEnabled()
        painted.wait(box.tensorboard.isEnabled)
    assert len(boards) == 1
    assert [url.toString() for url in shown_outside] == [boards[0].url] * 2
    assert boards[0].process.poll() is None
    box.release()
    assert boards[0].process.poll() is not None


def test_a_tensorboard_that_starts_while_the_panel_closes_ends_too(painted, box, monkeypatch):
    closed = Event()

    class Board:
        url = "http://127.0.0.1:1/"

        def close(self):
            closed.set()

    go = Event()
    monkeypatch.setattr(runs_box, "open_tensorboard", lambda folder: go.wait(20) and Board())
    painted.train()
    painted.click(box.tensorboard)
    box._boards.close()
    go.set()
    assert closed.wait(20)


def test_a_tensorboard_that_does_not_start_is_said(painted, box, monkeypatch, notes):
    def fail(folder):
        raise InputError("TensorBoard does not start")

    monkeypatch.setattr(runs_box, "open_tensorboard", fail)
    painted.train()
    painted.click(box.tensorboard)
    painted.wait(lambda: notes != [])
    assert "does not start" in notes[-1][1]
    painted.wait(box.tensorboard.isEnabled)


@pytest.fixture
def apart(monkeypatch):
    monkeypatch.setattr(session, "new_worker", SubprocessWorker)


def test_painted_layers_trained_in_another_process_leave_a_whole_run(apart, room, own_folders):
    image, strokes = two_classes()
    room.open(image, strokes)
    room.counted({1: 288, 2: 288})
    room.form.strokes.names = lambda: {1: "dark", 2: "bright"}
    room.panel.train.runs.board.setChecked(True)
    room.train(4)
    (run,) = kept(own_folders)
    config = json.loads((run / "config.json").read_text())
    assert config["classes"] == {"1": "dark", "2": "bright"}
    assert config["painted"] == {"dark": 288, "bright": 288}
    (named,) = room.panel.session.models
    assert config["strokes"] == named.model.training["strokes"]
    assert json.loads((run / FACTS).read_text())["fingerprint"] == named.model.digest
    assert (run / REPORT).read_text().count("data:image/png") >= 2
    assert [*run.glob("events.out.tfevents.*")]
    assert replace(named, name="x").model is named.model
    assert np.isfinite(json.loads((run / FACTS).read_text())["seconds"])
