"""Showing results in napari, from a program that has no GUI of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from napari_unet.errors import InputError

# In a process of its own: only the widgets may know napari.
_SCRIPT = """
import sys
import napari, tifffile
from napari_unet.samples.layers import layer_data
folder, *names = sys.argv[1:]
for name in names:
    viewer = napari.Viewer(title=name)
    for data, arguments, kind in layer_data(name):
        layer = viewer.add_layer(napari.layers.Layer.create(data, arguments, kind))
    labels = tifffile.imread(f"{folder}/{name}-labels.tif")
    viewer.add_labels(labels, name="prediction", scale=layer.scale, units=layer.units)
napari.run()
"""


def check_viewer() -> None:
    """See that napari is there.

    Raises
    ------
    InputError
        Where it is not installed.
    """
    if find_spec("napari") is None:
        raise InputError("napari is not installed", todo="pip install 'napari-unet-live[all]'")


def show_in_napari(folder: Path, names: Sequence[str]) -> None:
    """Open the demo's results, a window for each sample, and wait until they are closed."""
    command = [sys.executable, "-c", _SCRIPT, str(folder), *names]
    subprocess.run(command, check=True)  # noqa: S603 - the script above, run by this Python
