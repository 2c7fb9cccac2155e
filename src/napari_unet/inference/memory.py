"""Memory that a prediction needs, and the tile size that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import psutil
import torch

from napari_unet.display import voxels
from napari_unet.errors import OutOfMemoryError
from napari_unet.geometry.unet_shape import AxisGeometry
from napari_unet.network.architecture import Architecture, shape_table
from napari_unet.network.cost import held_bytes

MAX_BYTES = 2 << 30
"""Greatest memory of a tile on a CPU; more is not faster, and tiles would appear later."""

LARGE_SIDE = 1 << 16
"""Side of an output, in voxels, for which the border of valid convolutions is negligible."""

SHARE = 0.25
"""Share of the free memory that a prediction uses."""


SHARE_IN_ONE_PIECE = 0.7
"""Share of the free memory that an image in one piece may use, if tiles do not fit."""


def bytes_per_voxel(config: Architecture) -> float:
    """Estimate the memory that a prediction needs per input voxel, in bytes.

    It is the peak: input and output of a layer, and the outputs of earlier layers that are still
    needed. Per voxel it is greatest for large tiles, which lose little to valid convolutions.
    """
    shape = config.input_for((LARGE_SIDE,) * config.ndim)
    return held_bytes(shape_table(config, shape)) / prod(shape)


def max_tile_voxels(config: Architecture, device: torch.device) -> int:
    """Return how many voxels the input of a tile may have.

    Parameters
    ----------
    config : Architecture
        The network.
    device : torch.device
        Device whose free memory is used.
    """
    free = _free_bytes(device)
    usable = free * 2 * SHARE if device.type == "cuda" else min(free * SHARE, MAX_BYTES)
    return max(1, int(usable / bytes_per_voxel(config)))


def memory_problem(config: Architecture, device: torch.device) -> str:
    """Return a sentence if not even the smallest tile fits into the free memory; else "".

    The smallest tiles of padded networks with a large receptive field are very large.

    Parameters
    ----------
    config : Architecture
        The network.
    device : torch.device
        Device whose free memory counts.
    """
    smallest = tuple(axis.smallest_input for axis in config.geometry)
    need = held_bytes(shape_table(config, smallest))
    free = _free_bytes(device)
    if need <= free:
        return ""
    size = f"{' x '.join(map(str, smallest))} {voxels(config.ndim)}"
    return (
        f"the smallest tile of this network has {size}, because of its receptive field, and "
        f"needs about {need / 1e9:.0f} GB; {free / 1e9:.0f} GB are free"
    )


def check_memory(config: Architecture, device: torch.device) -> None:
    """Check that at least the smallest tile fits into memory; parameters as `memory_problem`.

    Raises
    ------
    OutOfMemoryError
        If it does not.
    """
    if problem := memory_problem(config, device):
        raise OutOfMemoryError(
            "There is not enough memory for a prediction",
            got=problem,
            todo="Use a computer with more memory, or a network with a smaller receptive field",
        )


def tiling_geometry(
    config: Architecture, device: torch.device, image: Sequence[int]
) -> tuple[AxisGeometry, ...]:
    """Return the geometry by which tiles of an image are planned: usually that of the network.

    If not even the smallest tile of a padded network fits into memory, but the whole image in one
    piece does, it is predicted in one piece, with the padding of the network at its border, as
    in the publications of such networks.

    Parameters
    ----------
    config : Architecture
        The network.
    device : torch.device
        Device whose free memory counts.
    image : sequence of int
        Spatial shape of the image, in voxels.

    Returns
    -------
    tuple of AxisGeometry
        Per spatial axis.

    Raises
    ------
    OutOfMemoryError
        If neither fits.
    """
    if memory_problem(config, device) and config.padded:
        whole = [g.input_for(n) for g, n in zip(config.passing, image, strict=True)]
        if held_bytes(shape_table(config, whole)) <= SHARE_IN_ONE_PIECE * _free_bytes(device):
            return config.passing
    check_memory(config, device)
    return config.geometry


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
