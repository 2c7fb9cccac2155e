"""The bridge: nothing a thread does leaves the panel waiting."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import warnings

import pytest
from qtpy.compat import isalive
from qtpy.QtCore import QObject

from napari_unet.errors import InputError, NapariUnetError
from napari_unet.widgets.qt import event_thread as worker
from napari_unet.widgets.qt.event_thread import EventRunner, LatestOnly, UnexpectedError, as_ours
from tests.widgets.conftest import at_rest


@pytest.fixture
def owner(qapp):
    return QObject()


@pytest.fixture
def runner(owner):
    return EventRunner(owner)


@pytest.fixture
def heard(runner):
    """What the runner's signals said, and in which thread."""
    heard = []

    def note(kind):
        return lambda *what: heard.append((kind, *what, threading.get_ident()))

    runner.happened.connect(note("happened"))
    runner.failed.connect(note("failed"))
    runner.ended.connect(note("ended"))
    return heard


def wait_for_end(qtbot, heard):
    qtbot.waitUntil(lambda: any(h[0] == "ended" for h in heard))


def endless(control):
    number = 0
    while not control.stopped:
        control.wait()
        yield number
        number += 1
        time.sleep(0.001)
    yield "last"


def test_events_arrive_in_order_and_in_the_thread_of_the_gui(runner, heard, qtbot):
    made_in = []

    def events(control):
        made_in.append(threading.get_ident())
        yield from range(1000)

    runner.start(events)
    assert runner.running
    wait_for_end(qtbot, heard)
    here = threading.get_ident()
    assert heard == [*(("happened", n, here) for n in range(1000)), ("ended", here)]
    assert made_in != [here]
    assert not runner.running


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), ValueError("v"), KeyError("k")])
def test_whatever_is_raised_is_heard_of_and_then_it_ends(runner, heard, qtbot, error, caplog):
    def events(control):
        yield 1
        raise error

    runner.start(events)
    wait_for_end(qtbot, heard)
    assert [h[0] for h in heard] == ["happened", "failed", "ended"]
    shown = heard[1][1]
    assert isinstance(shown, UnexpectedError)
    assert not isinstance(shown, RuntimeError)
    assert shown.__cause__ is error
    assert type(error).__name__ in str(shown)
    assert "Traceback" in caplog.text
    assert not runner.running


def test_an_error_of_ours_is_shown_as_it_is_and_not_logged(runner, heard, qtbot, caplog):
    mine = InputError("Nothing is painted")

    def events(control):
        raise mine
        yield

    runner.start(events)
    wait_for_end(qtbot, heard)
    assert heard[0][1] is mine
    assert not caplog.text


def test_an_error_before_the_first_event_is_heard_of(runner, heard, qtbot):
    def no_generator(control):
        raise RuntimeError("at once")

    runner.start(no_generator)
    wait_for_end(qtbot, heard)
    assert [h[0] for h in heard] == ["failed", "ended"]


def test_stop_lets_the_last_events_through_and_finishes_in_the_thread(runner, heard, qtbot):
    finished_in = []

    def events(control):
        try:
            yield from endless(control)
        finally:
            finished_in.append(threading.get_ident())

    runner.start(events)
    qtbot.waitUntil(lambda: len(heard) > 5)
    assert not runner.stopping
    runner.stop()
    assert runner.stopping
    wait_for_end(qtbot, heard)
    assert heard[-2][:2] == ("happened", "last")
    assert len(finished_in) == 1
    assert finished_in != [threading.get_ident()]


def test_pause_and_resume(runner, heard, qtbot):
    runner.start(endless)
    qtbot.waitUntil(lambda: len(heard) > 5)
    runner.pause()
    assert runner.paused
    here = at_rest(qtbot, lambda: len(heard))
    runner.resume()
    assert not runner.paused
    qtbot.waitUntil(lambda: len(heard) > here)
    runner.stop()
    wait_for_end(qtbot, heard)


def test_stop_ends_a_pause(runner, heard, qtbot):
    runner.start(endless)
    runner.pause()
    runner.stop()
    wait_for_end(qtbot, heard)


def test_a_function_is_called_in_the_thread_and_gives_one_event(runner, heard, qtbot):
    runner.start_call(threading.get_ident)
    wait_for_end(qtbot, heard)
    assert [h[0] for h in heard] == ["happened", "ended"]
    assert heard[0][1] != threading.get_ident()


def test_only_one_thing_runs_at_a_time_and_another_can_follow(runner, heard, qtbot):
    runner.start(endless)
    with pytest.raises(NapariUnetError, match="running already"):
        runner.start(endless)
    runner.stop()
    wait_for_end(qtbot, heard)
    heard.clear()
    runner.start_call(lambda: 7)
    wait_for_end(qtbot, heard)
    assert heard[0][1] == 7


def test_what_has_ended_is_not_kept(runner, heard, qtbot):
    runner.start_call(lambda: 1)
    wait_for_end(qtbot, heard)
    assert runner._slot.run is None
    assert [t for t in threading.enumerate() if t.name == "napari-unet"] == []


def test_of_what_was_abandoned_at_its_very_end_nothing_more_is_heard(runner, heard, qtbot):
    runner.start_call(lambda: "old")
    runner._slot.run.join(5)  # all that it says is on its way
    runner.abandon()
    heard.clear()
    runner.start(endless)
    qtbot.waitUntil(lambda: len(heard) > 5)
    assert runner.running
    assert {h[0] for h in heard} == {"happened"}
    runner.stop()
    wait_for_end(qtbot, heard)
    assert heard[-2][:2] == ("happened", "last")
    assert "old" not in [h[1] for h in heard]


def test_abandon_stops_the_thread_and_nothing_more_is_heard(runner, heard, qtbot, monkeypatch):
    monkeypatch.setattr(worker, "GRACE", 60.0)
    runner.start(endless)
    qtbot.waitUntil(lambda: len(heard) > 5)
    runner.abandon()
    assert [t for t in threading.enumerate() if t.name == "napari-unet"] == []
    qtbot.wait(20)
    before = len(heard)
    qtbot.wait(50)
    assert len(heard) == before
    assert not runner.running


def test_the_thread_ends_when_its_owner_is_destroyed(owner, runner, heard, qtbot):
    runner.start(endless)
    qtbot.waitUntil(lambda: len(heard) > 5)
    run = runner._slot.run
    owner.deleteLater()
    qtbot.waitUntil(lambda: not run._thread.is_alive())


def test_what_happens_while_its_owner_is_being_destroyed_is_not_an_error(qtbot):
    owner = QObject()
    runner = EventRunner(owner)
    runner.destroyed.disconnect()  # the moment before it is told
    began, go = threading.Event(), threading.Event()

    def events(_):
        began.set()
        go.wait(5)
        yield

    runner.start(events)
    run = runner._slot.run
    assert began.wait(5)
    owner.deleteLater()
    qtbot.waitUntil(lambda: not isalive(runner))
    go.set()
    run.join(5)
    assert not run._thread.is_alive()  # an exception in it would fail this test


def test_a_thread_that_does_not_end_delays_the_closing_only_shortly(runner, qtbot, monkeypatch):
    monkeypatch.setattr(worker, "GRACE", 0.05)
    go = threading.Event()
    runner.start_call(go.wait)
    run = runner._slot.run
    began = time.monotonic()
    runner.abandon()
    assert time.monotonic() - began < 20  # it would wait for ever
    go.set()
    run.join(5)
    assert not run._thread.is_alive()


def test_the_thread_ends_when_the_program_does():
    code = """
import sys, time
from qtpy.QtCore import QCoreApplication
from napari_unet.widgets.qt.event_thread import EventRunner

def endless(control):
    while not control.stopped:
        yield
        time.sleep(0.01)
    print("ended by itself", flush=True)

app = QCoreApplication([])
runner = EventRunner(app)
runner.start(endless)
time.sleep(0.1)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended by itself\n", "")


def test_the_warnings_of_the_program_are_left_alone(runner, heard, qtbot):
    before = warnings.showwarning, list(warnings.filters)
    seen = []

    def events(control):
        seen.append((warnings.showwarning, list(warnings.filters)))
        yield

    runner.start(events)
    wait_for_end(qtbot, heard)
    assert seen == [before]
    assert (warnings.showwarning, list(warnings.filters)) == before


def test_an_error_without_words_is_named():
    assert "KeyError" in str(as_ours(KeyError()))


def test_of_requests_while_it_is_busy_the_latest_alone_is_answered(runner, qtbot):
    latest, go, wanted, answered = LatestOnly(runner), threading.Event(), [0], []

    def begin():
        number = wanted[0]
        runner.start_call(lambda: (go.wait(10), number)[1])

    latest.due.connect(begin)
    runner.happened.connect(answered.append)
    for number in range(1, 5):
        wanted[0] = number
        latest.request()
    go.set()
    qtbot.waitUntil(lambda: answered == [1, 4])
    qtbot.waitUntil(lambda: not runner.running)


def test_a_request_that_waits_can_be_cancelled(runner, heard, qtbot):
    latest, go, begun = LatestOnly(runner), threading.Event(), []
    latest.due.connect(lambda: begun.append(runner.start_call(lambda: go.wait(10))))
    latest.request()
    latest.request()
    latest.cancel()
    go.set()
    wait_for_end(qtbot, heard)
    assert (len(begun), runner.running) == (1, False)
