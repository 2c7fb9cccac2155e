"""Is the viewer as fluid, and the training as fast, while both run? On a volume of 2 GB.

The volume is a memory-mapped, sparse file: only the planes that are shown and painted hold
anything. With the panel open, two things are measured, first idle and then during a training
without an end that previews the plane in view:

- the heartbeat: the gaps between the calls of a timer of 1 ms, while a user hovers and pans;
- painting: how long each mouse move takes, redrawing included, while a user drags a brush of
  30 pixels.

The speed is that of the training's own clock, in turns without a viewer (a process of its own,
same data and previews) and with it. Three such speeds are told: while nobody touches the
viewer, which is the one that counts, while somebody hovers and pans, and while somebody paints.

It needs a screen: under Linux without one, ``xvfb-run -a python benchmarks/smoothness.py``. There
every pixel is drawn by the processor too, and Qt holds Python's lock while it puts the window
together: whatever repaints anything in it, a busy bar for instance, keeps the training waiting.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

SHAPE = (256, 2048, 4096)  # z, y, x; of uint8: 2 GiB
PLANE = SHAPE[0] // 2
SHOWN = (PLANE - 1, PLANE, PLANE + 1)
BRUSH = 30
VIEW = ((700, 1348), (1664, 2432))  # y, x: what the viewer shows, about; painted, previewed
SETTLE = 5.0  # seconds until the panel has counted what was painted
PATIENCE = 300.0  # seconds until a training must have begun to preview
VOLUME, STROKES = "volume.dat", "strokes.npy"

Plane = NDArray[np.uint8]


def make_volume(folder: Path) -> tuple[Any, Plane]:
    """Write the volume and strokes of two classes on its middle plane.

    Parameters
    ----------
    folder : Path
        Where the files go.

    Returns
    -------
    volume : memmap of uint8, shape `SHAPE`
    strokes : ndarray of uint8, shape (y, x)
        1 on dark, 2 on bright structures, 0 elsewhere.
    """
    volume = np.memmap(folder / VOLUME, np.uint8, "w+", shape=SHAPE)
    rng = np.random.default_rng(0)
    for z in SHOWN:
        blobs = gaussian_filter(rng.standard_normal(SHAPE[1:], np.float32), 8)
        grey = 128 + 60 * np.sign(blobs) + 20 * rng.standard_normal(SHAPE[1:], np.float32)
        volume[z] = grey.clip(0, 255)
    volume.flush()
    bright = gaussian_filter(volume[PLANE].astype(np.float32), 2) > 128
    rows = np.arange(SHAPE[1])[:, None] % 64 < 4
    (y0, y1), (x0, x1) = VIEW
    strokes = np.zeros(SHAPE[1:], np.uint8)
    part = slice(y0, y1), slice(x0, x1)
    strokes[part] = np.where(rows, 1 + bright, 0)[part]
    np.save(folder / STROKES, strokes)
    return volume, strokes


@dataclass
class Speed:
    """Steps per second by the training's own clock, from what it told."""

    clock: list[tuple[int, float]] = field(default_factory=list)
    previews: int = 0

    def hear(self, event: object) -> None:
        """Take an event."""
        name = type(event).__name__  # the viewer's process shall not import torch for this
        if name == "Stepped":
            self.clock.append((event.step, event.elapsed))  # type: ignore[attr-defined]
        self.previews += name == "Previewed"

    @property
    def mark(self) -> int:
        """The latest step that was heard of, to count from."""
        return len(self.clock) - 1

    def since(self, mark: int) -> tuple[int, float]:
        """Return steps and seconds since a mark."""
        (first, began), (last, ended) = self.clock[mark], self.clock[-1]
        return last - first, ended - began


def train_alone(folder: Path, seconds: float) -> None:
    """Train without a viewer; print steps and seconds since the first preview."""
    import napari_unet
    from napari_unet.control import Control, Viewport
    from napari_unet.data.annotations import AnnotationStore
    from napari_unet.geometry.region import Region

    volume = np.memmap(folder / VOLUME, np.uint8, "r", shape=SHAPE)
    store = AnnotationStore(SHAPE, 2)
    store.write(Region((PLANE, 0, 0), (PLANE + 1, *SHAPE[1:])), np.load(folder / STROKES)[None])
    control, speed, mark = Control(), Speed(), None
    (y0, y1), (x0, x1) = VIEW
    control.look(Viewport((PLANE,), Region((y0, x0), (y1, x1))))
    events = napari_unet.train(
        volume, store, ndim=2, open_ended=True, make_way=True, keep_history=True, control=control
    )
    for event in events:
        speed.hear(event)
        if mark is None and speed.previews:
            mark = speed.mark
        if mark is not None and speed.since(mark)[1] >= seconds:
            break
    print(json.dumps(speed.since(mark or 0)))


def run_alone(folder: Path, seconds: float) -> tuple[int, float]:
    """Do that in a process of its own; the viewer stands still meanwhile."""
    call = [sys.executable, __file__, "--alone", str(folder)]
    call += ["--seconds", str(seconds)]
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    steps, took = json.loads(done.stdout.splitlines()[-1])
    return steps, took


class Room:
    """A viewer with the volume, the strokes and the panel, and what a user does there."""

    def __init__(self, volume: Any, strokes: Plane) -> None:
        import napari
        from qtpy.QtCore import QEventLoop, Qt, QTimer
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication

        from napari_unet.widgets.panel import open_panel

        self._qt, self._timer_class, self._loop_class = Qt, QTimer, QEventLoop
        self._mouse: Any = QTest
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1280, 800)
        self.viewer.add_image(volume, name="volume", contrast_limits=(0, 255))
        host = open_panel(self.viewer, "train")
        self.viewer.window.add_dock_widget(host, name="U-Net", area="right")
        assert host.panel is not None
        self.page = host.panel.train
        self.page.form.new.click()
        self.layer = self.page.form.labels.layer()
        rows, columns = np.nonzero(strokes)
        at = np.full(len(rows), PLANE), rows, columns
        self.layer.data_setitem(at, strokes[rows, columns])
        self.layer.brush_size, self.layer.mode = BRUSH, "paint"
        self.viewer.dims.set_current_step(0, PLANE)
        self.camera = self.viewer.scene.camera
        self.camera.zoom = 1
        self.canvas = self.viewer.window._qt_viewer.canvas.native  # no public way to it
        self.speed = Speed()
        self.page.runner.happened.connect(lambda event: self.speed.hear(event))
        QApplication.processEvents()

    def spend(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> None:
        """Let Qt's event loop run for so long, or until something is so."""
        loop, poll = self._loop_class(), self._timer_class()
        self._timer_class.singleShot(int(1000 * seconds), loop.quit)
        poll.timeout.connect(lambda: loop.quit() if until() else None)
        poll.start(100)
        loop.exec()
        poll.stop()

    def every(self, milliseconds: int, action: Callable[[], None], seconds: float) -> None:
        """Do something again and again for so long."""
        timer = self._timer_class()
        timer.setTimerType(self._qt.TimerType.PreciseTimer)
        timer.timeout.connect(action)
        timer.start(milliseconds)
        self.spend(seconds)
        timer.stop()

    def heartbeat(self, seconds: float, user: Callable[[int], None] | None) -> NDArray[np.float64]:
        """Return the gaps between events in ms, while a user does something every 50 ms."""
        beats: list[float] = []
        heart, hand = self._timer_class(), self._timer_class()
        heart.setTimerType(self._qt.TimerType.PreciseTimer)
        heart.timeout.connect(lambda: beats.append(time.perf_counter()))
        turns = iter(range(1 << 30))
        if user is not None:
            hand.timeout.connect(lambda: user(next(turns)))
            hand.start(50)
        heart.start(1)
        self.spend(seconds)
        heart.stop()
        hand.stop()
        return np.diff(beats) * 1000

    def hover(self, turn: int) -> None:
        """Move the mouse a little, and now and then the picture."""
        self._mouse.mouseMove(self.canvas, self._point(turn / 20))
        if turn % 4 == 0:
            z, y, x = self.camera.center
            self.camera.center = z, y, x + (2 if turn % 8 else -2)

    def drag(self, seconds: float) -> NDArray[np.float64]:
        """Paint; return how long each move took in ms, redrawing included."""
        took: list[float] = []
        turns = iter(range(1, 1 << 30))
        left = self._qt.MouseButton.LeftButton, self._qt.KeyboardModifier.NoModifier
        self.viewer.layers.selection.active = self.layer
        # What has that label already is not painted again, and would cost nothing.
        self.layer.selected_label = 3 - self.layer.selected_label
        self._mouse.mousePress(self.canvas, *left, self._point(0))

        def move() -> None:
            began = time.perf_counter()
            self._mouse.mouseMove(self.canvas, self._point(next(turns) / 60))
            took.append((time.perf_counter() - began) * 1000)

        self.every(20, move, seconds)
        self._mouse.mouseRelease(self.canvas, *left, self._point(next(turns) / 60))
        return np.array(took)

    def train(self) -> int:
        """Start a training without an end; return the mark of its first preview."""
        self.speed = Speed()
        self.page.form.budget.setValue({"open_ended": True})
        self.page.footer.train.click()
        runner = self.page.runner
        self.spend(PATIENCE, until=lambda: self.speed.previews > 0 or not runner.running)
        if not self.speed.previews:
            raise SystemExit(f"the training showed nothing in {PATIENCE:.0f} s, or failed")
        return self.speed.mark

    def stop(self) -> None:
        """Stop the training and wait for its end."""
        self.page.footer.stop.click()
        self.spend(PATIENCE, until=lambda: not self.page.runner.running)

    def close(self) -> None:
        """Close the viewer."""
        self.viewer.close()
        self.spend(0.2)

    def _point(self, t: float) -> Any:
        """Return a point of a path that crosses the canvas without end."""
        from qtpy.QtCore import QPoint

        w, h = self.canvas.width(), self.canvas.height()
        return QPoint(int(w * (0.5 + 0.4 * np.sin(2 * t))), int(h * (0.5 + 0.4 * np.sin(3 * t))))


@dataclass
class Found:
    """What was measured, by the kind of moment: times in ms, and (steps, seconds)."""

    gaps: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    moves: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    speeds: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def add(self, kind: dict[str, list[Any]], name: str, value: Any) -> None:
        """Keep one measurement."""
        kind.setdefault(name, []).append(value)


def measure(room: Room, folder: Path, seconds: float, rounds: int) -> Found:
    """Measure idle once, and then in turns without and with the viewer."""
    found = Found()
    room.drag(1.0)  # what is slow only the first time
    room.spend(SETTLE)
    found.add(found.gaps, "idle, still", room.heartbeat(seconds, None))
    found.add(found.gaps, "idle", room.heartbeat(seconds, room.hover))
    found.add(found.moves, "idle", room.drag(seconds))
    for _ in range(rounds):
        found.add(found.speeds, "no viewer", run_alone(folder, seconds))
        mark = room.train()
        room.spend(seconds)
        found.add(found.speeds, "viewer", room.speed.since(mark))
        found.add(found.gaps, "train, still", room.heartbeat(seconds, None))
        mark = room.speed.mark
        found.add(found.gaps, "training", room.heartbeat(seconds, room.hover))
        found.add(found.speeds, "hovering", room.speed.since(mark))
        mark = room.speed.mark
        found.add(found.moves, "training", room.drag(seconds))
        found.add(found.speeds, "painting", room.speed.since(mark))
        room.stop()
    found.add(found.moves, "idle again", room.drag(seconds))
    room.spend(SETTLE)
    found.add(found.gaps, "idle again", room.heartbeat(seconds, room.hover))
    return found


def _load() -> str:
    """Say how busy the computer is: with other programs running, the figures mean little."""
    return f"load over the last minute {psutil.getloadavg()[0]:.1f}"


def _three(times: NDArray[np.float64], percentiles: Sequence[float]) -> list[float]:
    return [float(np.percentile(times, p)) for p in percentiles]


def show(found: Found) -> None:
    """Print the table, with the targets beside it."""
    print("heartbeat, ms        p50      p99      max")
    gaps = {
        name: _three(np.concatenate(parts), (50, 99, 100)) for name, parts in found.gaps.items()
    }
    for name, values in gaps.items():
        print(f"  {name:13s}" + "".join(f"{v:9.1f}" for v in values))
    p99, longest = gaps["training"][1], gaps["training"][2]
    print(
        f"  p99 over idle {p99 - gaps['idle'][1]:+.1f} ms (target +5), longest {longest:.0f} (50)"
    )
    print("painting, ms        mean      p95      max")
    means = {}
    for name, parts in found.moves.items():
        times = np.concatenate(parts)
        means[name] = float(times.mean())
        values = [means[name], *_three(times, (95, 100))]
        print(f"  {name:13s}" + "".join(f"{v:9.1f}" for v in values))
    print(f"  mean over idle x {means['training'] / means['idle']:.2f} (target 1.20)")
    print("speed, steps/s     mean     each")
    speeds = {}
    for name, runs in found.speeds.items():
        speeds[name] = sum(n for n, _ in runs) / sum(s for _, s in runs)
        each = "  ".join(f"{n / s if s else 0:.2f}" for n, s in runs)
        print(f"  {name:13s}{speeds[name]:9.2f}     {each}")
    for name in ("viewer", "hovering", "painting"):
        target = " (target 0.90)" if name == "viewer" else ""
        print(f"  {name} against no viewer x {speeds[name] / speeds['no viewer']:.2f}{target}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.alone:
        train_alone(chosen.alone, chosen.seconds)
        return
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        print("skipped: there is no screen; put xvfb-run -a before it")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        room = Room(*make_volume(folder))
        print(f"{os.cpu_count()} cores; {_load()}", flush=True)
        found = measure(room, folder, chosen.seconds, chosen.rounds)
        room.close()
    print(f"at the end: {_load()}")
    show(found)


if __name__ == "__main__":
    main()
