"""What the GUI's thread does while a training runs and somebody paints, counted without a clock.

Wall time says more of the machine than of the code. Here the work is counted, and what cannot be
counted is measured as CPU time of the GUI's thread alone, which no other program adds to.
"""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from napari_unet.control import Previewed, Viewport
from napari_unet.data.annotations import AnnotationStore
from napari_unet.geometry.region import Region
from napari_unet.training.events import Stepped, Validated
from napari_unet.widgets.train.plots import LossPlot
from tests.widgets.train.test_page import fake_training, started

EVENTS = 400
"""Steps that the training reports; every tenth comes with a preview and a validation."""

DABS = 20
"""Dabs of the brush meanwhile."""

CPU_PER_EVENT = 0.005
"""Seconds of CPU time of the GUI's thread per event, dabs and drawing included: ten times what
it takes."""

TABLE = ((60, 20), (10, 90))


class Ledger:
    """Counts the calls of methods, by the thread that made them."""

    def __init__(self, monkeypatch):
        self._monkeypatch = monkeypatch
        self.on_gui: dict[str, int] = {}
        self.elsewhere: dict[str, int] = {}

    def watch(self, owner, name):
        real = getattr(owner, name)

        def counted(*args, **kwargs):
            main = threading.current_thread() is threading.main_thread()
            book = self.on_gui if main else self.elsewhere
            book[name] = book.get(name, 0) + 1
            return real(*args, **kwargs)

        self._monkeypatch.setattr(owner, name, counted)


@pytest.fixture
def ledger(monkeypatch):
    ledger = Ledger(monkeypatch)
    ledger.watch(AnnotationStore, "write")
    ledger.watch(LossPlot, "repaint_now")
    return ledger


def events(painting):
    """A training that reports as fast as it can, but waits for the painter."""
    view = Viewport((), Region((0, 0), (64, 64)))
    labels, unsure = np.ones((64, 64), np.uint8), np.full((64, 64), 0.5, np.float32)

    def run(control):
        yield started()
        for step in range(1, EVENTS + 1):
            yield Stepped(step, 1.0 / step, 1e-3, step / 10, None, None)
            if step % 10 == 0:
                yield Previewed(step, view, labels, unsure)
                yield Validated(step, 1.0, "IoU", (0.6, 0.7), 180, TABLE)
        painting.wait(60)

    return run


def test_the_gui_stays_free_while_a_training_runs(painted, monkeypatch, ledger):
    page, done = painted.panel.train, threading.Event()
    strokes = painted.viewer.layers["strokes"]
    fake_training(monkeypatch, events(done))
    before = time.thread_time()
    painted.click(page.footer.train)
    for dab in range(DABS):
        strokes.paint((2 + 3 * dab, 30), 1)
        painted.qtbot.wait(10)
    painted.wait(lambda: page.progress.plot.training.size == EVENTS)
    painted.wait(lambda: ledger.elsewhere.get("write", 0) >= 1)
    spent = time.thread_time() - before
    done.set()
    painted.idle()
    assert ledger.on_gui.get("write", 0) == 0  # strokes are compared and copied in a thread
    assert ledger.on_gui["repaint_now"] <= EVENTS / 10  # not once per step
    assert spent / EVENTS < CPU_PER_EVENT
