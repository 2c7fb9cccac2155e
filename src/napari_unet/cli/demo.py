"""The command `demo`, which can show its results in napari."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from napari_unet.cli import describe
from napari_unet.cli.commands import app
from napari_unet.cli.output import OUT, follow, say
from napari_unet.errors import InputError

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
"""Program that shows the results; in a process of its own, as only the widgets import napari."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results; created if necessary.")] = Path(
        "demo-output"
    ),
    seconds: Annotated[float, typer.Option(min=1, help="Length of each training.")] = 40,
    view: Annotated[bool, typer.Option("--view", help="Show the results in napari.")] = False,
) -> None:
    """Train on both sample images, predict, and compare with the truth.

    Writes the images, the strokes, the results (OME-TIFF and OME-Zarr), the models and a figure.
    """
    from napari_unet.demo import run_demo

    if view:
        check_viewer()
    results = run_demo(out, seconds, follow=follow)
    OUT.print(describe.scores(results))
    say(f"Everything is in {out.absolute()}; look at figure.png first.", "green")
    if view:
        show_in_napari(out, [result.name for result in results])


def check_viewer() -> None:
    """Check that napari is installed.

    Raises
    ------
    InputError
        If it is not.
    """
    if find_spec("napari") is None:
        raise InputError("napari is not installed", todo="pip install 'napari-unet-live[all]'")


def show_in_napari(folder: Path, names: Sequence[str]) -> None:
    """Show the results in napari, a window for each sample, until they are closed.

    Parameters
    ----------
    folder : Path
        Folder of the results.
    names : sequence of str
        Names of the samples.
    """
    command = [sys.executable, "-c", _SCRIPT, str(folder), *names]
    subprocess.run(command, check=True)  # noqa: S603 - the script above, run by this Python
