"""A viewer with the panel, and something painted in it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.settings import get_settings
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QSettings
from qtpy.QtGui import QDesktopServices

from napari_unet.widgets import models as session
from napari_unet.widgets.panel import UNetPanel
from napari_unet.widgets.train import runs as preferences
from napari_unet.workers.process import InProcessWorker

SIDE = 64
PLACEMENT = ("scale", "translate", "rotate", "shear", "affine")
PATIENCE = 180_000  # ms; a test that passes never waits that long, but on a very busy machine


def two_classes(shape: tuple[int, ...] = (SIDE, SIDE)) -> tuple[np.ndarray, np.ndarray]:
    """Return a noisy picture with a dark and a bright half, and a stroke in each.

    A small end of each lies in another cell of the split, so that it may be held out.
    """
    rng = np.random.default_rng(0)
    image = rng.normal(size=shape).astype(np.float32)
    image[..., shape[-1] // 2 :] += 4
    strokes = np.zeros(shape, np.uint8)
    strokes[..., 24:56, 6:15] = 1
    strokes[..., 24:56, -15:-6] = 2
    return image, strokes


@dataclass
class Room:
    """A viewer, its panel, and what a user does with them."""

    viewer: object
    panel: object
    qtbot: object

    @property
    def form(self):
        return self.panel.train.form

    def open(self, image, strokes=None, **arguments):
        layer = self.viewer.add_image(image, name="picture", **arguments)
        placed = {k: arguments[k] for k in PLACEMENT if k in arguments}
        labels = None
        if strokes is not None:
            labels = self.viewer.add_labels(strokes, name="strokes", **placed)
        self.form.net_size.setValue("small")
        self.form.budget.setValue({"steps": 5})
        return layer, labels

    def click(self, button):
        from qtpy.QtCore import Qt

        assert button.isEnabled()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def counted(self, pixels):
        self.wait(lambda: self.form.strokes.painted.pixels == pixels)

    def train(self, steps=5):
        self.form.budget.setValue({"steps": steps})
        self.click(self.panel.train.footer.train)
        self.idle()

    def idle(self):
        pages = (self.panel.train, self.panel.predict)
        self.wait(lambda: not any(page.runner.running for page in pages))

    def wait(self, condition):
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE)


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """What the panel has done is done in this process, but where a test wants it otherwise."""
    monkeypatch.setattr(session, "new_worker", InProcessWorker)


@pytest.fixture
def qtbot(qtbot, monkeypatch):
    """pytest-qt's own, but with more patience than five seconds: a busy machine is no fault."""
    for name in ("waitUntil", "waitSignal"):
        monkeypatch.setattr(qtbot, name, partial(getattr(qtbot, name), timeout=PATIENCE))
    return qtbot


def at_rest(qtbot, count):
    """Wait until a number no longer changes, and return it."""
    seen = [None, count()]
    while seen[-1] != seen[-2]:
        qtbot.wait(100)
        seen.append(count())
        assert len(seen) < PATIENCE / 100
    return seen[-1]


@pytest.fixture(autouse=True)
def nothing_runs_on():
    """No thread of one test goes on in the next; a closing panel waits only shortly for its own."""
    yield
    for thread in threading.enumerate():
        if thread.name == "napari-unet":
            thread.join(PATIENCE / 1000)
            assert not thread.is_alive()


@pytest.fixture(autouse=True)
def own_folders(monkeypatch, tmp_path):
    """Nothing is written among the user's data, nor read from the user's preferences."""
    runs, written = tmp_path / "kept" / "runs", str(tmp_path / "preferences.ini")
    monkeypatch.setattr(preferences, "default_folder", lambda: runs)
    monkeypatch.setattr(
        preferences, "store", lambda: QSettings(written, QSettings.Format.IniFormat)
    )
    # Most tests are not about it, and a report takes its time.
    preferences.store().setValue("runs/keep", "no")
    return runs


@pytest.fixture(autouse=True)
def nothing_opens_outside(monkeypatch):
    """Neither browser nor file manager is started."""
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: True)


@pytest.fixture
def notes(monkeypatch):
    """The texts of the notifications that napari shows, which are not drawn."""
    texts = []

    def keep(note):
        texts.append((str(note.severity), note.message))

    monkeypatch.setattr(notification_manager, "dispatch", keep)
    return texts


@pytest.fixture
def viewer(make_napari_viewer, notes):
    """A viewer with a window; napari fails the test if a widget of ours outlives it."""
    get_settings().application.confirm_close_window = False
    return make_napari_viewer(strict_qt="raise")


@pytest.fixture
def room(qtbot, notes):
    """The panel of a viewer without a window, which is all that most tests need."""
    viewer = ViewerModel()
    panel = UNetPanel(viewer)
    panel.resize(350, 900)
    panel.show()
    yield Room(viewer, panel, qtbot)
    panel.release()
    panel.close()
    panel.deleteLater()


@pytest.fixture
def painted(room):
    """The same, with two classes painted on a picture, and counted."""
    room.open(*two_classes())
    room.counted({1: 288, 2: 288})
    return room
