"""Make the animation of the README: somebody paints, and a network learns meanwhile.

Run by ``nox -s screenshots``; needs a display (a virtual one will do). The strokes are those of
the sample, painted one after the other with real events of the mouse.
"""

from __future__ import annotations

import numpy as np
from napari import Viewer
from numpy.typing import NDArray
from PIL import Image
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from screenshots import IMAGES, SIZE, wait
from skimage.measure import label

from napari_unet.widgets.panel import find_panel

SAMPLE = "cells2d"
EVERY_MS = 400
"""Between two frames."""

FRAME_MS = 110
"""How long a frame is shown: about four times as fast as it was."""

WIDTH = 960
COLORS = 96
"""Size of the animation in pixels, and colours per frame: it has to stay small."""


class Camera:
    """Takes a frame now and then, for as long as it runs."""

    def __init__(self, viewer: Viewer) -> None:
        self._window = viewer.window._qt_window
        self.frames: list[Image.Image] = []
        self.timer = QTimer()
        self.timer.setInterval(EVERY_MS)
        self.timer.timeout.connect(self._shoot)

    def _shoot(self) -> None:
        screen = self._window.screen().grabWindow(self._window.winId()).toImage()
        screen = screen.convertToFormat(screen.Format.Format_RGB888)
        bits = screen.constBits()
        bits.setsize(screen.sizeInBytes())
        rows = np.frombuffer(bits, np.uint8).reshape(screen.height(), screen.bytesPerLine())
        pixels = rows[:, : 3 * screen.width()].reshape(screen.height(), screen.width(), 3)
        frame = Image.fromarray(pixels.copy())
        height = round(WIDTH * frame.height / frame.width)
        self.frames.append(frame.resize((WIDTH, height), Image.Resampling.LANCZOS))

    def save(self, name: str) -> None:
        """Write all frames, in the colours of the one in the middle and of the last."""
        middle, last = self.frames[len(self.frames) // 2], self.frames[-1]
        both = Image.new("RGB", (WIDTH, 2 * last.height))
        both.paste(middle, (0, 0))
        both.paste(last, (0, last.height))
        palette = both.quantize(COLORS)
        frames = [f.quantize(palette=palette, dither=Image.Dither.NONE) for f in self.frames]
        path = IMAGES / f"{name}.gif"
        times = [FRAME_MS] * (len(frames) - 1) + [2500]
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=times, loop=0)


def strokes_of(labels: NDArray[np.integer]) -> list[tuple[int, NDArray[np.float64]]]:
    """Return label and path (points y, x) of each stroke, the classes taking turns."""
    found: dict[int, list[NDArray[np.float64]]] = {}
    for value in np.unique(labels[labels > 0]).tolist():
        parts = label(labels == value)
        for number in range(1, int(parts.max()) + 1):
            points = np.argwhere(parts == number).astype(float)
            axis = np.linalg.svd(points - points.mean(0), full_matrices=False)[2][0]
            order = np.argsort((points - points.mean(0)) @ axis)
            groups = np.array_split(points[order], max(3, len(points) // 30))
            found.setdefault(value, []).append(np.array([g.mean(0) for g in groups]))
    longest = max(map(len, found.values()))
    return [(v, paths[i]) for i in range(longest) for v, paths in found.items() if i < len(paths)]


def drag(viewer: Viewer, path: NDArray[np.float64]) -> None:
    """Paint along a path, as a hand would."""
    canvas, camera = viewer.window._qt_viewer.canvas.native, viewer.scene.camera
    middle = np.array([canvas.height(), canvas.width()]) / 2
    places = (path - np.array(camera.center)[-2:]) * camera.zoom + middle
    points = [QPoint(round(x), round(y)) for y, x in places]
    left = Qt.MouseButton.LeftButton
    QTest.mouseMove(canvas, points[0])
    QTest.mousePress(canvas, left, Qt.KeyboardModifier.NoModifier, points[0])
    for point in points[1:]:
        QTest.mouseMove(canvas, point)
        wait(0.04)
    QTest.mouseRelease(canvas, left, Qt.KeyboardModifier.NoModifier, points[-1])


def main() -> None:
    """Paint, train, look where it is unsure, predict."""
    viewer = Viewer()
    viewer.theme = "dark"
    viewer.window._qt_window.setGeometry(0, 0, *SIZE)
    viewer.open_sample("napari-unet-live", SAMPLE)
    strokes = strokes_of(np.asarray(viewer.layers["strokes"].data))
    viewer.layers.remove("strokes")
    viewer.window.add_plugin_dock_widget("napari-unet-live", "Train")
    panel = find_panel(viewer)
    assert panel is not None
    page = panel.train
    page.form.new.click()
    layer = page.form.labels.layer()
    wait(5)  # the process that trains gets ready
    viewer.reset_view()
    layer.brush_size = 12
    camera = Camera(viewer)
    camera.timer.start()
    page.footer.train.click()
    first, rest = strokes[:6], strokes[6:]
    for value, path in first:
        layer.selected_label = value
        drag(viewer, path)
        wait(0.3)
    wait(60, lambda: page.live.preview.layer is not None)
    wait(3)
    for value, path in rest:
        viewer.layers.selection.active = layer
        layer.selected_label = value
        drag(viewer, path)
        wait(0.8)
    wait(4)
    page.live.bar.unsure.setChecked(True)
    wait(4)
    page.live.bar.unsure.setChecked(False)
    page.footer.stop.click()
    wait(60, lambda: not page.runner.running)
    page.footer.predict.click()
    wait(120, lambda: not panel.predict.runner.running)
    wait(1.5)
    camera.timer.stop()
    camera.save("live")
    viewer.close()
    wait(0.5)


if __name__ == "__main__":
    main()
