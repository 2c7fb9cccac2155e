"""Stop, pause and resume, across threads."""

from __future__ import annotations

import threading
import time

from napari_unet.control import Control


def test_without_a_pause_nobody_waits():
    control = Control()
    assert (control.stopped, control.paused, control.wait()) == (False, False, 0.0)


def test_a_pause_lasts_until_it_is_ended_and_is_measured():
    control, waited, begun = Control(), [], threading.Event()

    def wait():
        begun.set()
        waited.append(control.wait())

    control.pause()
    assert control.paused
    thread = threading.Thread(target=wait)
    began = time.monotonic()
    thread.start()
    assert begun.wait(60)
    time.sleep(0.5)
    assert thread.is_alive()
    control.resume()
    thread.join(60)
    assert 0.1 < waited[0] <= time.monotonic() - began
    assert not control.paused


def test_a_stop_ends_a_pause_for_good():
    control = Control()
    control.pause()
    control.stop()
    assert (control.stopped, control.paused) == (True, False)
    control.pause()
    assert not control.paused
    assert control.wait() < 1


def test_a_stop_amid_a_pause_is_not_waited_upon(monkeypatch):
    """The stop comes after `pause` has looked whether there was one."""
    control = Control()
    clear = control._go.clear

    def stop_first():
        control.stop()
        clear()

    monkeypatch.setattr(control._go, "clear", stop_first)
    control.pause()
    assert control.stopped
    assert not control.paused
