"""All commands together."""

from __future__ import annotations

from napari_unet.cli import (  # noqa: F401 - they add their commands
    evaluate,
    exchange,
    images,
    resume,
    runs,
    sizes,
)
from napari_unet.cli.commands import app as app
