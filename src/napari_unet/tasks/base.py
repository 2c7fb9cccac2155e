"""What the tasks have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from napari_unet._version import __version__
from napari_unet.tasks.network_options import NetworkOptions

_ELSEWHERE = {"network", "checkpoint", "checkpoint_seconds"}
"""Options that a model tells otherwise, or that are nobody's business: files of this computer."""


def options_metadata(options: NetworkOptions) -> dict[str, Any]:
    """Return seed, options that are not the usual ones, and versions, as plain JSON."""
    return {
        "seed": options.seed,
        "options": options.model_dump(mode="json", exclude_defaults=True, exclude=_ELSEWHERE),
        "versions": {
            "napari-unet-live": __version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
        },
    }


def preview_warning(problem: str) -> Iterator[str]:
    """Say why a training shows nothing meanwhile, and what its model will do on this computer."""
    if problem:
        yield (
            f"There is no preview: {problem}. It learns all the same; what fits into memory as a "
            "whole can be predicted in one piece."
        )
