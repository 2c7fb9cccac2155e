"""A person at work: a window, a mouse, keys and buttons, and a training in a process of its own."""

from __future__ import annotations

import threading

import numpy as np
import psutil
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QFileDialog

import napari_unet
from napari_unet.control import Previewed
from napari_unet.geometry.region import Region
from napari_unet.widgets import models as session
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.panel import find_panel
from napari_unet.workers.process import SubprocessWorker
from tests.widgets.conftest import PATIENCE
from tests.widgets.test_panel import gone

SHAPE, PLANE = (6, 96, 96), 2
SCALE, TRANSLATE = (2.0, 0.5, 0.5), (10.0, 3.0, 4.0)
ODD = (slice(34, 62), slice(34, 62))
"""Rows and columns where the picture is neither dark nor bright."""

LEFT, NO_KEY = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
SHIFT, CTRL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


def picture():
    """Return a noisy stack, dark on the left and bright on the right, with a block between."""
    image = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    image[..., SHAPE[2] // 2 :] += 12
    image[(..., *ODD)] = 6 + np.random.default_rng(1).normal(size=(SHAPE[0], 28, 28))
    return image


class Person:
    """Sees the window, and has a mouse and a keyboard."""

    def __init__(self, viewer, qtbot):
        self.viewer, self.qtbot = viewer, qtbot
        self.canvas = viewer.window._qt_viewer.canvas.native  # no public way to it
        self.painted = np.zeros(SHAPE, int)
        self.previews = []

    def open_panel(self):
        self.viewer.window.add_plugin_dock_widget("napari-unet-live", "Train")
        self.panel = find_panel(self.viewer)
        self.page = self.panel.train
        self.page.runner.happened.connect(self._hear)

    def wait(self, condition, timeout=PATIENCE):
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=timeout)

    def click(self, button):
        assert button.isVisible()
        assert button.isEnabled()
        self.qtbot.mouseClick(button, LEFT)

    def press(self, key, modifier=NO_KEY):
        self.qtbot.keyClick(self.canvas, key, modifier)

    def where(self, row, column):
        """Return the middle of a pixel of the plane, on the canvas."""
        camera = self.viewer.scene.camera
        world = np.array([row, column]) * SCALE[1:] + TRANSLATE[1:]
        y, x = (world - camera.center[-2:]) * camera.zoom
        return QPoint(round(x + self.canvas.width() / 2), round(y + self.canvas.height() / 2))

    def drag(self, points):
        """Draw a line through some pixels, the button held down."""
        places = [self.where(*point) for point in points]
        self.qtbot.mousePress(self.canvas, LEFT, pos=places[0])
        for place in places[1:]:
            # QTest's own move tells of no button that is held down.
            local, world = QPointF(place), QPointF(self.canvas.mapToGlobal(place))
            move = QMouseEvent(QEvent.Type.MouseMove, local, world, LEFT, LEFT, NO_KEY)
            QApplication.sendEvent(self.canvas, move)
            self.qtbot.wait(10)  # napari looks at no more than one move in 5 ms
        self.qtbot.mouseRelease(self.canvas, LEFT, pos=places[-1])

    def paint(self, label, points):
        """Paint a stroke; return where in the plane it went."""
        strokes = self.strokes
        self.viewer.layers.selection.active = strokes
        strokes.mode, strokes.selected_label = "paint", label
        before = strokes.data.copy()
        self.drag(points)
        changed = strokes.data != before
        assert (strokes.data[changed] == label).all()
        self.painted[changed] = label
        return changed[PLANE]

    def _hear(self, event):
        if isinstance(event, Previewed):
            self.previews.append(event)

    @property
    def strokes(self):
        return self.page.form.labels.layer()

    def seen(self):
        """Return what the preview says of the plane."""
        return self.page.live.preview.layer.data[PLANE]

    def mostly(self, label, where):
        """Tell whether the preview says this of most of a part of the plane."""
        return (self.seen()[where] == label).mean() > 0.8


@pytest.fixture
def person(viewer, qtbot, monkeypatch):
    """Somebody before a window with a picture and the panel, which trains in another process."""
    monkeypatch.setattr(session, "new_worker", SubprocessWorker)
    viewer.window.show()
    viewer.add_image(
        picture(),
        name="picture",
        scale=SCALE,
        translate=TRANSLATE,
        units=("um", "um", "um"),
        axis_labels=("z", "y", "x"),
    )
    viewer.dims.set_current_step(0, PLANE)
    person = Person(viewer, qtbot)
    before = our_children(), set(threading.enumerate())
    person.open_panel()
    yield person
    if not gone(person.page):
        viewer.close()
    person.wait(lambda: gone(person.page))
    person.wait(lambda: our_children() <= before[0])
    qtbot.waitUntil(lambda: others(before[1]) == [])


def test_a_day_at_work(person, tmp_path, monkeypatch, notes):
    viewer, page = person.viewer, person.page
    form, footer, history = page.form, page.footer, page.progress.history
    # Two strokes, and the network learns until it is told to stop.
    person.wait(lambda: form.new.isVisible())
    person.click(form.new)
    person.strokes.brush_size = 5
    dark = person.paint(1, [(12, 8), (40, 10), (84, 10)])
    assert dark[12, 8] and dark[40, 10] and dark[84, 10]  # noqa: PT018
    assert not dark[:, 20:].any()
    bright = person.paint(2, [(10, 80), (50, 88), (86, 84)])
    form.net_size.setValue("small")
    form.ndim.setValue(2)
    form.advanced.form.editors["batch_size"].setValue(2)
    form.budget.setValue({"open_ended": True})
    person.press(Qt.Key.Key_T, SHIFT)
    assert page.runner.running
    assert len(our_children()) >= 1
    person.wait(lambda: page.live.preview.layer is not None)
    person.wait(lambda: person.mostly(1, dark) and person.mostly(2, bright))

    # The block in the middle is taken for one of them. It is the other one: told in three strokes.
    first = np.bincount(person.seen()[ODD].ravel()).argmax()
    label = int(3 - first)
    block = np.zeros(SHAPE[1:], bool)
    block[ODD] = True
    person.paint(label, [(38, 38), (38, 58), (46, 58), (46, 38), (56, 38), (56, 58)])
    person.wait(lambda: person.mostly(label, block))

    # Taken back it is gone from what is learned from as well; and then it is there again.
    store = page.training.annotations.each[0]._store
    assert np.array_equal(person.strokes.data, person.painted)
    person.press(Qt.Key.Key_Z, CTRL)
    assert not person.strokes.data[PLANE][block].any()
    person.wait(lambda: not store.read(Region.whole(SHAPE))[PLANE][block].any())
    person.press(Qt.Key.Key_Z, CTRL | SHIFT)
    person.wait(lambda: np.array_equal(store.read(Region.whole(SHAPE)), person.painted))

    # A key leads to where it is unsure, and nothing but the view changes.
    person.press(Qt.Key.Key_N, SHIFT)
    person.wait(lambda: "paint here" in viewer.layers or page.notice.text())
    assert np.array_equal(person.strokes.data, person.painted)

    # Back in time, and on from there.
    person.wait(lambda: len(history.history.items) >= 2)
    page._scroll.show_part(history)
    assert history.isVisible()
    person.qtbot.keyClick(history.slider, Qt.Key.Key_Left)
    moment = history.selected
    assert moment is not None
    person.click(history.keep)
    (kept,) = person.panel.session.models
    assert kept.model.digest == moment.model.digest
    person.click(history.branch)
    person.wait(lambda: page.training.request.start is not None)
    assert page.training.request.start.digest == moment.model.digest
    person.wait(lambda: page.runner.running and page.training.started is not None)
    viewer.dims.set_current_step(0, PLANE)
    viewer.reset_view()
    person.previews.clear()
    truth = np.where(np.arange(SHAPE[2]) < SHAPE[2] // 2, 1, 2) * np.ones(SHAPE, int)
    truth[(..., *ODD)] = label
    person.wait(lambda: person.previews and (person.seen() == truth[PLANE]).mean() > 0.85)
    person.press(Qt.Key.Key_T, SHIFT)
    person.wait(lambda: not page.runner.running)
    assert "stopped" in footer.summary.text()

    # All of it, and a file.
    person.click(footer.predict)
    person.wait(lambda: not person.panel.predict.runner.running)
    result, image = viewer.layers["picture – prediction"], viewer.layers["picture"]
    assert result.data.shape == SHAPE
    for name in ("scale", "translate", "units", "axis_labels"):
        assert tuple(getattr(result, name)) == tuple(getattr(image, name)), name
    assert (result.data == truth).mean() > 0.8
    assert RESULT in result.metadata
    person.panel.show_page("train")
    path = tmp_path / "mine.safetensors"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    person.click(footer.save)
    person.wait(lambda: notes != [])
    assert notes == [("info", f"Saved {path}")]
    assert np.array_equal(
        napari_unet.predict(napari_unet.load_model(path), image.data), result.data
    )

    # The window is closed while it learns again.
    assert np.array_equal(person.strokes.data, person.painted)
    person.click(footer.train)
    person.wait(lambda: page.progress.plot.training.size > 5)
    viewer.close()


def others(threads):
    """Return the names of the threads that run beside these."""
    return [thread.name for thread in threading.enumerate() if thread not in threads]


def our_children():
    """Return the processes that this one has started, but for the screen."""
    children = psutil.Process().children(recursive=True)
    return {child.pid for child in children if child.name() != "Xvfb"}
