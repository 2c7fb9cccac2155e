"""However a process ends, or never begins: nothing of it is left over."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from napari_unet.control import Control
from napari_unet.errors import TrainingError
from napari_unet.workers import process as worker
from napari_unet.workers.process import SubprocessWorker
from tests.workers.worker_jobs import Deaf, Say, gone


@contextmanager
def nothing_left():
    """See that no process, thread or open file of what is done here outlives it."""
    me, threads = psutil.Process(), set(threading.enumerate())
    children, files = {c.pid for c in me.children()}, open_files()
    yield
    assert {c.pid for c in me.children()} <= children
    assert set(threading.enumerate()) <= threads
    assert open_files() <= files


def open_files():
    """What this process has open, by number; empty where the system does not tell."""
    found = {}
    for path in Path("/proc/self/fd").glob("*"):
        with suppress(FileNotFoundError):  # that of the folder itself
            found[path.name] = str(path.readlink())
    return found.items()


def test_closed_nothing_of_it_is_left_not_even_for_a_moment():
    with nothing_left():
        apart = SubprocessWorker()
        apart.warm_up()
        (pid,) = apart.run(Say(), Control())
        apart.close()
        assert not psutil.pid_exists(pid)  # else it is a zombie at least
        (again,) = apart.run(Say(), Control())
        assert again != pid
        apart.close()
        apart.close()


def test_closed_before_the_process_is_there_nothing_waits_for_it():
    with nothing_left():
        apart = SubprocessWorker()
        apart.warm_up()
        apart.close()


def test_closed_while_it_works_the_work_ends_and_nothing_is_left():
    with nothing_left():
        apart = SubprocessWorker()
        events = apart.run(Deaf(), Control())
        pid = next(events)
        apart.close()
        assert not psutil.pid_exists(pid)
        with pytest.raises(TrainingError, match="ended unexpectedly"):
            next(events)


def test_what_is_forgotten_ends_by_itself():
    with nothing_left():
        apart = SubprocessWorker()
        apart.warm_up()
        del apart
        gc.collect()
    with nothing_left():
        events = SubprocessWorker().run(Deaf(), Control())
        next(events)
        del events
        gc.collect()


def test_where_no_process_starts_nothing_is_left(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with nothing_left():
        apart = SubprocessWorker()
        with pytest.raises(OSError, match="no more processes"):
            apart.warm_up()
        with pytest.raises(OSError, match="no more processes"):
            next(apart.run(Say(), Control()))
        gc.collect()


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "input(); raise SystemExit(3)"])
def test_one_that_dies_before_it_reports_is_told_of(monkeypatch, code):
    monkeypatch.setattr(worker, "SERVER_CODE", code)
    with nothing_left():
        apart = SubprocessWorker()
        for _ in range(3):
            apart.warm_up()
            with pytest.raises(TrainingError, match="exit code 3"):
                list(apart.run(Say(), Control()))
        apart.close()


def test_nothing_is_left_of_a_program_that_ends_without_closing():
    code = (
        "import psutil; from napari_unet.workers.process import SubprocessWorker\n"
        "from napari_unet.control import Control; from tests.workers.worker_jobs import Deaf\n"
        "apart = SubprocessWorker(); apart.warm_up()\n"
        "events = apart.run(Deaf(), Control()); next(events)\n"
        "apart.warm_up(); print(*(c.pid for c in psutil.Process().children()))"
    )
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "ResourceWarning" not in done.stderr
    children = [int(pid) for pid in done.stdout.split()]
    assert len(children) == 2
    assert all(map(gone, children))
