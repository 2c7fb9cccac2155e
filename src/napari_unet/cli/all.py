"""All commands together."""

from __future__ import annotations

from napari_unet.cli import models, runs, training  # noqa: F401 - they add their commands
from napari_unet.cli.commands import app as app
