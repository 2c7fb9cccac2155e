"""What every network of ours is, as a torch module."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from napari_unet.network.architecture import Architecture

BETA = 5.0
"""How sharply softplus bends."""


def read_out(x: Tensor, readout: str) -> Tensor:
    """Let the result through, or softplus of it, which is never negative."""
    return F.softplus(x, BETA) if readout == "softplus" else x


class Network(nn.Module):
    """A network that knows its configuration.

    Attributes
    ----------
    config : Architecture
        What it was built from.
    head : Module
        The last layer with weights: it has a bias, if the network has any, and `out_channels`
        channels (times the voxels of a block, where there is a stem), class by class.
    """

    config: Architecture
    head: nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, *spatial) to (batch, out_channels, *spatial).

        `x` is of a size that fits (`Architecture.passing`). With valid convolutions the result is
        smaller by the context, with padded ones of the same size.
        """
        raise NotImplementedError
