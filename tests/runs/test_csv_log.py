"""The table of a training: readable at any moment, and never in place of somebody's file."""

from __future__ import annotations

import csv
import gc

import pytest

from napari_unet.runs.csv_log import COLUMNS, CsvLog, last_step, logged
from napari_unet.training.events import ClassesGrew, Warned
from tests.runs.states import EVIL, judged, started, steps, whole


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_row_is_on_the_disk_at_once(tmp_path):
    log = CsvLog(tmp_path / "log.csv")
    log.feed(started())
    for number, event in enumerate(steps(3), start=1):
        log.feed(event)
        assert [row["step"] for row in read(log.path)] == [str(k + 1) for k in range(number)]
    log.close()


def test_what_was_told_is_read_back_whatever_the_classes_are_called(tmp_path):
    list(logged(whole(), tmp_path / "log.csv"))
    rows = read(tmp_path / "log.csv")
    assert [float(row["loss"]) for row in rows[:3]] == pytest.approx([1, 1 / 2, 1 / 3], 1e-5)
    last = rows[-1]
    assert (last["step"], last["seconds"], last["loss"]) == ("3", "0.750", "")
    assert (last["held_out_loss"], last["metric"], last["mean_score"]) == ("0.25", "IoU", "")
    assert (last["score: cell"], last[f"score: {EVIL}"]) == ("0.5", "")
    assert float(last["accuracy"]) == 0.75


def test_a_class_that_comes_late_gets_a_column_and_nothing_is_lost(tmp_path):
    names = ("cell", "µm, “x”", "late")
    grew = ClassesGrew(names, (1, 2, 3), (1, 2, 9))
    events = [started(names[:2]), *steps(2), judged(2), grew, *list(steps(3))[2:]]
    list(logged(events, tmp_path / "log.csv"))
    rows = read(tmp_path / "log.csv")
    assert list(rows[0]) == [*COLUMNS, *(f"score: {name}" for name in names)]
    assert [row["step"] for row in rows] == ["1", "2", "2", "3"]
    assert rows[2]["score: cell"] == "0.5"


def test_classes_of_one_name_have_columns_of_their_own(tmp_path):
    list(logged([started(("a", "a")), judged()], tmp_path / "log.csv"))
    (row,) = read(tmp_path / "log.csv")
    assert (row["score: a (label 1)"], row["score: a (label 2)"]) == ("0.5", "")


def test_events_pass_by_unchanged_and_an_older_log_is_replaced(tmp_path):
    events = whole()
    for _ in range(2):
        assert list(logged(events, tmp_path / "log.csv")) == events
    assert len(read(tmp_path / "log.csv")) == 4


def test_a_file_that_is_no_log_stays_as_it_is(tmp_path):
    mine = tmp_path / "model.csv"
    mine.write_text("cell,size\n1,20\n")
    events = whole()
    said = list(logged(events, mine))
    assert mine.read_text() == "cell,size\n1,20\n"
    assert [event for event in said if event not in events] == [
        Warned(f"No log is written to {mine}: there is another file of that name.")
    ]


def test_a_disk_that_refuses_is_said_once_and_ends_no_training(tmp_path):
    events = whole()
    said = [event for event in logged(events, tmp_path / "no" / "log.csv") if event not in events]
    assert len(said) == 1
    assert "No such file" in said[0].message


def test_a_disk_that_is_full_later_is_said_once_and_the_file_let_go_of(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    events, said = whole(), []
    for event in logged(events, tmp_path / "log.csv"):
        monkeypatch.setattr(CsvLog, "_write", full)  # the head of the table is written by now
        if event not in events:
            said.append(event.message)
    assert said == [f"No log is written to {tmp_path / 'log.csv'}: No space left on device."]
    gc.collect()  # a file that is still open is a warning, and that an error


def test_the_last_step_is_read_from_a_log_that_was_cut_off(tmp_path):
    path = tmp_path / "log.csv"
    assert last_step(path) is None
    list(logged([started(), *steps(900)], path))
    assert last_step(path) == (900, 225.0)
    whole_text = path.read_bytes()
    path.write_bytes(whole_text[: whole_text.rindex(b"900,")] + b"90")
    assert last_step(path) == (899, 224.75)
    list(logged([started()], path))
    assert last_step(path) is None
