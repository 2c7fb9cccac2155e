"""The plugin's reader for napari: a model file that is opened there is chosen in the panel."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_unet.bioimageio.archive import DOCUMENTS
from napari_unet.model import HEADER, SUFFIX
from napari_unet.workers.jobs import PACKAGE

NO_LAYER: list[Any] = [(None,)]
"""The value that a reader of napari returns if it has opened something that is no layer."""

LONGEST = 2**20
"""Bytes of a package's description that are read to recognise it."""


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[Any]] | None:
    """Return the function that opens a file; None where it is no model, for other readers to try.

    Only the head of the file is read.

    Parameters
    ----------
    path : str or sequence of str
        One file; several files as one stack are never a model.
    """
    known = isinstance(path, str) and is_model(Path(path))
    return open_model if known else None


def open_model(path: str | Sequence[str]) -> list[Any]:
    """Open a model on the Predict page of the current viewer, and add no layer.

    Parameters
    ----------
    path : str or sequence of str
        One file or several.

    Raises
    ------
    InputError
        Where there is no viewer.
    """
    import napari

    from napari_unet.errors import InputError
    from napari_unet.widgets.panel import PLUGIN, find_panel

    viewer = napari.current_viewer()
    if viewer is None:
        raise InputError(
            "There is no viewer to open a model in",
            todo="Start napari, or use napari_unet.load_model",
        )
    panel = find_panel(viewer)
    if panel is None:
        viewer.window.add_plugin_dock_widget(PLUGIN, "Predict")
        panel = find_panel(viewer)
    assert panel is not None
    panel.show_page("predict")
    for one in [path] if isinstance(path, str) else path:
        panel.predict.open_file(one)
    return NO_LAYER


def is_model(path: Path) -> bool:
    """Tell whether a file is a model in this project's format, or a BioImage.IO model package."""
    try:
        if path.suffix.lower() == SUFFIX:
            return _is_ours(path)
        return path.suffix.lower() == PACKAGE and _is_package(path)
    except (
        OSError,
        ValueError,
        RuntimeError,
        zipfile.BadZipFile,
    ):  # Runtime: a password
        return False


def _is_ours(path: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return HEADER in (file.metadata() or {})
    except SafetensorError:
        return False


def _is_package(path: Path) -> bool:
    with zipfile.ZipFile(path) as package:
        found = [name for name in package.namelist() if name.endswith(DOCUMENTS)]
        if not found:
            return False
        with package.open(found[0]) as file:
            text = file.read(LONGEST).decode("utf-8", "replace")
    return re.search(r"^type:\s*['\"]?model\b", text, re.MULTILINE) is not None
