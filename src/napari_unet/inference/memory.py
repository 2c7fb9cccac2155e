"""How large a tile may be."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import psutil
import torch

from napari_unet.network.architecture import Architecture
from napari_unet.network.config import FEATURES, HIDDEN, UNetConfig

MAX_BYTES = 2 << 30
"""More memory than this brings no speed on a CPU, and makes the tiles appear late."""

SHARE = 0.25
"""Part of the free memory that a prediction takes."""


def bytes_per_voxel(config: Architecture) -> float:
    """Estimate the memory that a prediction needs per input voxel, in bytes.

    The most that is alive at once: at some level the input and the output of a convolution, and
    the outputs of the levels above that wait for their concatenation.
    """
    assert isinstance(config, UNetConfig)
    volume, waiting = float(config.block_volume), 0.0
    most = (
        config.in_channels + config.out_channels + max((*config.encoder, config.bottom)[0]) / volume
    )
    for level, block in enumerate((*config.encoder, config.bottom)):
        if level < config.depth:
            # The decoder's first convolution reads what comes from below and the skip.
            from_below = (*config.decoder, config.bottom)[config.depth - 2 - level][-1]
            merged = (block[-1] + from_below, *config.decoder[config.depth - 1 - level])
        else:
            merged = ()
        for chain in (block, merged):
            widest = max((a + b for a, b in pairwise(chain)), default=sum(chain))
            most = max(most, waiting + widest / volume)
        waiting += block[-1] / volume
        volume *= prod(config.poolings[level]) if level < config.depth else 1
    features = FEATURES * len(config.filters) * config.in_channels
    most = max(most, config.in_channels + config.out_channels + features + max(features, HIDDEN))
    # Work space of the convolutions, and what the allocator keeps.
    return 4 * 2 * most


def max_tile_voxels(config: Architecture, device: torch.device) -> int:
    """Return how many voxels a tile's input may have on that device, given what is free now."""
    if device.type == "cuda":
        free = int(torch.cuda.mem_get_info(device)[0] * 2 * SHARE)
    else:
        free = min(int(psutil.virtual_memory().available * SHARE), MAX_BYTES)
    return max(1, int(free / bytes_per_voxel(config)))
