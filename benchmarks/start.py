"""How long it takes from *Train* to the first preview.

In a viewer with the panel, for a grey and an RGB image of 512 x 512 pixels with 120 strokes all
over it, and for the volume that ships as a sample. Each in a process of its own: cold is the
first training, begun as soon as the panel is open, while the process that trains still starts;
warm is the next one in the same panel.

Beside the seconds by the clock stands the processor time of the training process until then:
where the computer is busy with other things, that is what counts. With ``--busy N``, N processes
that compute all the time are beside it.

It needs a screen: under Linux without one, ``xvfb-run -a python benchmarks/start.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import psutil
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

SIDE = 512
STROKES = 120
LENGTH = (5, 20)  # pixels: shortest and longest stroke; they are 3 pixels wide
SETTLE = 5.0  # seconds from the end of a training to the next: its result is shown meanwhile
PATIENCE = 120.0  # seconds until a training must have shown something
TARGETS = {"cold": 6.0, "warm": 3.0}  # seconds to the first preview, on two quiet cores
KINDS = ("grey", "rgb", "volume")
MOMENTS = ("Started", "Stepped", "Previewed")

Image = NDArray[np.uint8]


def make_image(kind: str) -> tuple[Image, Image]:
    """Return an image and its strokes.

    Parameters
    ----------
    kind : {"grey", "rgb", "volume"}
        Grey: (y, x). RGB: (y, x, 3). Volume: (z, y, x), the sample.
    """
    if kind == "volume":
        from napari_unet.samples import volume3d

        sample = volume3d.build()
        return sample.image, sample.strokes.astype(np.uint8)
    rng = np.random.default_rng(0)
    bright = gaussian_filter(rng.standard_normal((SIDE, SIDE)), 6) > 0
    noise = 20 * rng.standard_normal((SIDE, SIDE))
    image = np.where(bright, 188, 68) + noise
    strokes = np.zeros((SIDE, SIDE), np.uint8)
    for _ in range(STROKES):
        y, x = rng.integers(10, SIDE - 30, 2)
        part = slice(y, y + 3), slice(x, x + rng.integers(*LENGTH))
        strokes[part] = 1 + bright[part]
    if kind == "rgb":
        image = np.stack([image, image / 2, 255 - image], -1)
    return image.clip(0, 255).astype(np.uint8), strokes


def measure(kind: str) -> list[dict[str, list[float]]]:
    """Train twice in a viewer; return seconds and processor seconds until each moment."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_unet.widgets.panel import open_panel

    image, strokes = make_image(kind)
    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    viewer.add_image(image, name="image", rgb=kind == "rgb")
    host = open_panel(viewer, "train")
    viewer.window.add_dock_widget(host, name="U-Net", area="right")
    assert host.panel is not None
    page = host.panel.train
    page.form.new.click()
    layer = page.form.labels.layer()
    painted = np.nonzero(strokes)
    layer.data_setitem(painted, strokes[painted])
    page.form.budget.setValue({"open_ended": True})
    heard: dict[str, list[float]] = {}
    began = 0.0
    cpu = _cpu_of_children()

    def hear(event: object) -> None:
        name = type(event).__name__
        if name in MOMENTS and name not in heard:
            heard[name] = [time.monotonic() - began, _cpu_of_children() - cpu]

    def spend(seconds: float, *, until: Callable[[], bool] = lambda: False) -> None:
        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)

    page.runner.happened.connect(hear)
    found = []
    for _ in range(2):
        heard.clear()
        began, cpu = time.monotonic(), _cpu_of_children()
        page.footer.train.click()
        spend(PATIENCE, until=lambda: "Previewed" in heard)
        found.append(dict(heard))
        page.footer.stop.click()
        spend(PATIENCE, until=lambda: not page.runner.running)
        spend(SETTLE)
    viewer.close()
    return found


def _cpu_of_children() -> float:
    """Return the seconds of processor time of this process's children."""
    seconds = 0.0
    for child in psutil.Process().children(recursive=True):
        times = child.cpu_times()
        seconds += times.user + times.system
    return seconds


@contextmanager
def busy(number: int) -> Iterator[None]:
    """Keep so many cores busy with other processes."""
    with ExitStack() as stack:
        for _ in range(number):
            hog = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(hog.kill)
        yield


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--busy", type=int, default=0, help="processes that compute beside it")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.one:
        print(json.dumps(measure(chosen.one)))
        return
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        print("skipped: there is no screen; put xvfb-run -a before it")
        return
    print("s after Train (processor s of the training): begun, first step, first preview")
    for kind in chosen.kinds:
        with busy(chosen.busy):
            call = [sys.executable, __file__, "--one", kind]
            done = subprocess.run(call, check=True, capture_output=True, text=True)
        for state, moments in zip(TARGETS, json.loads(done.stdout.splitlines()[-1]), strict=True):
            print(f"  {kind:7s}{state:5s}" + _row(moments, TARGETS[state]), flush=True)
    print(f"{os.cpu_count()} cores; load over the last minute {psutil.getloadavg()[0]:.1f}")


def _row(moments: dict[str, list[float]], target: float) -> str:
    """Return one line of the table."""
    times = [moments.get(name, [float("nan")] * 2) for name in MOMENTS]
    return "".join(f"{s:7.2f} ({c:5.2f})" for s, c in times) + f"   target {target:.0f}"


if __name__ == "__main__":
    main()
