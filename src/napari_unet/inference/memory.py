"""How large a tile may be."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import psutil
import torch

from napari_unet.errors import OutOfMemoryError
from napari_unet.geometry.unet_shape import AxisGeometry
from napari_unet.network.architecture import Architecture, shape_table
from napari_unet.network.cost import held_bytes

MAX_BYTES = 2 << 30
"""More memory than this brings no speed on a CPU, and makes the tiles appear late."""

VAST = 1 << 16
"""Side of an output beside which what valid convolutions cut off counts for nothing."""

SHARE = 0.25
"""Part of the free memory that a prediction takes."""


SHARE_AT_ONCE = 0.7
"""Part of the free memory that an image in one piece may take, where there is no other way."""


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
    free = _free_bytes(device)
    usable = free * 2 * SHARE if device.type == "cuda" else min(free * SHARE, MAX_BYTES)
    return max(1, int(usable / bytes_per_voxel(config)))


def memory_problem(config: Architecture, device: torch.device) -> str:
    """Say so where not even the smallest tile fits into what memory is free now; else nothing.

    Padded networks with a very large receptive field have very large smallest tiles.
    """
    smallest = tuple(axis.smallest_input for axis in config.geometry)
    need, free = held_bytes(shape_table(config, smallest)), _free_bytes(device)
    if need <= free:
        return ""
    size = " x ".join(map(str, smallest))
    return (
        f"this network's smallest tile is {size} voxels, for all that it sees, and takes about "
        f"{need / 1e9:.0f} GB; {free / 1e9:.0f} GB are free"
    )


def check_memory(config: Architecture, device: torch.device) -> None:
    """Check that at least the smallest tile fits into memory.

    Raises
    ------
    OutOfMemoryError
        Where it does not.
    """
    if problem := memory_problem(config, device):
        raise OutOfMemoryError(
            "Memory does not suffice for a prediction",
            got=problem,
            todo="Use a computer with more memory, or a network that sees less",
        )


def tiling_geometry(
    config: Architecture, device: torch.device, image: Sequence[int]
) -> tuple[AxisGeometry, ...]:
    """Return what tiles of an image are planned by: the network's geometry, if its tiles fit.

    Where not even the smallest tile of a padded network does, but the whole image in one piece,
    it is seen in one piece, with the network's own padding at the border, as such networks were
    published.

    Parameters
    ----------
    config : Architecture
        The network.
    device : torch.device
        Whose memory counts.
    image : sequence of int
        Its spatial shape, in voxels.

    Raises
    ------
    OutOfMemoryError
        Where neither fits.
    """
    if memory_problem(config, device) and config.padded:
        whole = [g.input_for(n) for g, n in zip(config.passing, image, strict=True)]
        if held_bytes(shape_table(config, whole)) <= SHARE_AT_ONCE * _free_bytes(device):
            return config.passing
    check_memory(config, device)
    return config.geometry


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
