"""All commands together."""

from __future__ import annotations

from napari_unet.cli import images  # noqa: F401 - adds its commands
from napari_unet.cli.commands import app as app
