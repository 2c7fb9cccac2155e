"""How large a tile may be."""

from __future__ import annotations

from math import prod

import psutil
import torch

from napari_unet.network.architecture import Architecture
from napari_unet.network.fits import held_bytes
from napari_unet.network.table import shape_table

MAX_BYTES = 2 << 30
"""More memory than this brings no speed on a CPU, and makes the tiles appear late."""

VAST = 1 << 16
"""Side of an output beside which what valid convolutions cut off counts for nothing."""

SHARE = 0.25
"""Part of the free memory that a prediction takes."""


def bytes_per_voxel(config: Architecture) -> float:
    """Estimate the memory that a prediction needs per input voxel, in bytes.

    The most that is alive at once: the input and the output of a layer, and the outputs of
    earlier ones that wait for a later one. Per voxel this is most for large tiles, of which
    valid convolutions cut little off.
    """
    shape = config.input_for((VAST,) * config.ndim)
    return held_bytes(shape_table(config, shape)) / prod(shape)


def max_tile_voxels(config: Architecture, device: torch.device) -> int:
    """Return how many voxels a tile's input may have on that device, given what is free now."""
    if device.type == "cuda":
        free = int(torch.cuda.mem_get_info(device)[0] * 2 * SHARE)
    else:
        free = min(int(psutil.virtual_memory().available * SHARE), MAX_BYTES)
    return max(1, int(free / bytes_per_voxel(config)))
