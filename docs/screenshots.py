"""Make the pictures of README and docs: drives the real panel on the samples that ship.

Run by ``nox -s screenshots``; needs a display (a virtual one will do).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Neither are the user's settings read, nor runs kept among the user's own.
os.environ["XDG_DATA_HOME"] = os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp()
os.environ["NAPARI_CONFIG"] = str(Path(os.environ["XDG_CONFIG_HOME"]) / "settings.yaml")

import napari
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtWidgets import QApplication

from napari_unet.widgets.panel import find_panel

IMAGES = Path(__file__).parent / "images"
SIZE = (1280, 800)


def wait(seconds: float, until: Callable[[], bool] = lambda: False) -> None:
    """Let the viewer live for some seconds, or until something is so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        QApplication.processEvents()
        time.sleep(0.01)


def picture(viewer: napari.Viewer, name: str) -> None:
    """Write a picture of the whole window."""
    wait(0.5)
    window = viewer.window._qt_window
    # Of the screen and not of the widget: that would draw menus that are not open as well.
    window.screen().grabWindow(window.winId()).save(str(IMAGES / f"{name}.png"))


def show(sample: str, theme: str, seconds: float) -> None:
    """Open a sample, train, predict; take a picture of each."""
    viewer = napari.Viewer()
    viewer.theme = theme
    viewer.window._qt_window.setGeometry(0, 0, *SIZE)
    viewer.open_sample("napari-unet-live", sample)
    viewer.window.add_plugin_dock_widget("napari-unet-live", "Train")
    panel = find_panel(viewer)
    assert panel is not None
    wait(1)
    viewer.reset_view()
    picture(viewer, f"{sample}-1-painted")
    panel.train.form.budget.setValue({"seconds": seconds})
    panel.train.footer.train.click()
    wait(120, lambda: panel.train.training.started is not None)
    wait(seconds * 0.7)
    picture(viewer, f"{sample}-2-training")
    wait(10 * seconds, lambda: not panel.train.runner.running)
    panel.train.footer.predict.click()
    wait(300, lambda: not panel.predict.runner.running)
    picture(viewer, f"{sample}-3-predicted")
    if viewer.dims.ndim == 3:
        for layer in viewer.layers:
            layer.visible = "prediction" in layer.name
            if layer.visible:  # the class that is everywhere would hide the others
                layer.colormap = DirectLabelColormap(
                    color_dict={**layer.colormap.color_dict, 3: "transparent"}
                )
        viewer.dims.ndisplay = 3
        viewer.scene.camera.angles = (0, -30, 60)
        picture(viewer, f"{sample}-4-volume")
    viewer.close()
    wait(0.5)


def main() -> None:
    """Make them all, or with arguments: sample, theme, seconds."""
    IMAGES.mkdir(exist_ok=True)
    arguments = sys.argv[1:]
    if arguments:
        show(arguments[0], arguments[1], float(arguments[2]))
        return
    show("cells2d", "light", 40)
    show("volume3d", "dark", 60)


if __name__ == "__main__":
    main()
