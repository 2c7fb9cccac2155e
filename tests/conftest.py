"""What all tests share: napari's fixtures, and that nothing of the user's home is touched."""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import pytest
from hypothesis import settings

_HOME = Path(tempfile.mkdtemp(prefix="napari-unet-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)

# Read once, when napari is first imported: its settings, and where it and others keep files.
os.environ["NAPARI_CONFIG"] = str(_HOME / "napari.yaml")
os.environ["XDG_CACHE_HOME"] = str(_HOME / "cache")

# Networks this small gain nothing from a second core, and where another program is on one of them,
# OpenMP's threads wait for each other, spinning: twenty times slower was measured.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# pyproject.toml keeps pytest from loading these two by itself, before any line of this file.
pytest_plugins = ["napari.utils._testsupport", "npe2._pytest_plugin"]

# Classes of napari and npe2 use what pydantic has deprecated, and say so as they are defined. Where
# every warning is an error this must pass here, once, and not by a filter that hides our own.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for module in ("napari.viewer", "napari._qt.qt_main_window", *pytest_plugins):
        importlib.import_module(module)

# A busy machine is no reason to fail a property.
settings.register_profile("napari-unet", deadline=None)
settings.load_profile("napari-unet")


@pytest.fixture(autouse=True, scope="session")
def workers_get_their_share():
    """Worker processes make way for no other program: on a busy machine they would hardly run."""
    from napari_unet.workers import process

    usual = "from napari_unet.workers.server import main; main()"
    assert usual in process.SERVER_CODE
    equal = "from napari_unet.workers import server; server.NICE = 0; server.main()"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "SERVER_CODE", process.SERVER_CODE.replace(usual, equal))
        yield
