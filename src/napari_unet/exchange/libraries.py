"""What exchange needs beyond our own dependencies; imported when it is used, not before."""

from __future__ import annotations

import os
from importlib import import_module

from napari_unet.errors import InputError

LIBRARIES = ("onnx", "onnxruntime", "bioimageio.spec.model.v0_5")


def need_libraries() -> None:
    """Check that packages can be written and read here.

    Raises
    ------
    InputError
        Where a library is missing; the message says how to install it.
    """
    # It logs to stderr whatever it reads; what matters comes to us as a description or an error.
    os.environ.setdefault("BIOIMAGEIO_LOG_LEVEL", "ERROR")
    for name in LIBRARIES:
        try:
            import_module(name)
        except ImportError as error:
            raise InputError(
                "BioImage.IO packages need libraries that are not installed",
                got=f"no {name.partition('.')[0]}",
                todo='Run: pip install "napari-unet-live[bioimageio]"',
            ) from error
