"""Building blocks of networks, and the base class of all networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_unet.geometry.unet_shape import transposed_padding
from napari_unet.network.architecture import Architecture

# The layers are typed as callables: torch types sizes as pairs and triples, ours are of any length.
CONV: dict[int, Callable[..., nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
"""Convolutions, by the number of spatial dimensions."""

TRANSPOSED: dict[int, Callable[..., nn.ConvTranspose2d | nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
"""Transposed convolutions, by the number of spatial dimensions."""

BATCH_NORM: dict[int, Callable[..., nn.BatchNorm2d | nn.BatchNorm3d]] = {
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}
"""Batch norms, by the number of spatial dimensions."""

POOL: dict[str, dict[int, Callable[..., nn.Module]]] = {
    "max": {2: nn.MaxPool2d, 3: nn.MaxPool3d},
    "average": {2: nn.AvgPool2d, 3: nn.AvgPool3d},
}
"""Poolings, by `UNetConfig.down` and the number of spatial dimensions."""

ACTIVATION: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}
"""Nonlinearities, by `UNetConfig.activation`."""

SOFTPLUS_BETA = 5.0
"""Sharpness of the softplus readout; the larger, the closer to a ReLU."""

AnyModule = TypeVar("AnyModule", bound=nn.Module)
AnyConv = TypeVar("AnyConv", nn.Conv2d, nn.Conv3d, nn.Conv2d | nn.Conv3d)


def centre_crop(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the centre of a tensor.

    Parameters
    ----------
    x : Tensor
        (batch, channel, *spatial).
    shape : sequence of int
        Spatial shape of the result, in voxels; nowhere larger than that of `x`.
    """
    index = tuple(
        slice((have - want) // 2, (have - want) // 2 + want)
        for have, want in zip(x.shape[2:], shape, strict=True)
    )
    return x[(slice(None), slice(None), *index)]


def space_to_depth(x: Tensor, block: Sequence[int]) -> Tensor:
    """Move blocks of voxels into channels: (B, C, *spatial) -> (B, C * prod(block), *coarse).

    The generalisation of `torch.pixel_unshuffle` to any number of axes and any block.

    Parameters
    ----------
    x : Tensor
        (batch, channel, *spatial); each size is a multiple of the block's.
    block : sequence of int
        Size of a block per axis, in voxels.
    """
    batch, channels, *spatial = x.shape
    n = len(block)
    split = [s for size, f in zip(spatial, block, strict=True) for s in (size // f, f)]
    coarse = range(2, 2 + 2 * n, 2)
    fine = range(3, 3 + 2 * n, 2)
    x = x.reshape(batch, channels, *split).permute(0, 1, *fine, *coarse)
    return x.reshape(batch, -1, *(size // f for size, f in zip(spatial, block, strict=True)))


def depth_to_space(x: Tensor, block: Sequence[int]) -> Tensor:
    """Move channels back into blocks of voxels; the inverse of `space_to_depth`.

    Parameters
    ----------
    x : Tensor
        (batch, channel * prod(block), *coarse).
    block : sequence of int
        Size of a block per axis, in voxels.
    """
    batch, _, *spatial = x.shape
    n = len(block)
    x = x.reshape(batch, -1, *block, *spatial)
    order = [axis for i in range(n) for axis in (2 + n + i, 2 + i)]
    return x.permute(0, 1, *order).reshape(
        batch, x.shape[1], *(size * f for size, f in zip(spatial, block, strict=True))
    )


def he_normal(conv: AnyConv) -> AnyConv:
    """Return a convolution with He-normal weights and, where it has one, a bias of 0."""
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


class ConvBlock(nn.Module):
    """Convolutions, each with norm and nonlinearity; dropout after the last one.

    Parameters
    ----------
    ndim : int
        Spatial dimensions.
    in_channels : int
        Channels of the input.
    channels : sequence of int
        Channels of the output of each convolution.
    kernel : sequence of int
        Kernel size per axis, odd.
    padded : bool
        Whether the convolutions keep the size.
    norm, activation : str
        As in `UNetConfig`.
    dropout : float
        Rate.
    residual : bool
        Whether the (cropped, projected) input is added before the last nonlinearity.
    stride : int or sequence of int
        Stride of every convolution.
    biases : bool
        Whether convolutions without a norm have a bias.
    slope : float
        Slope of a leaky ReLU for negative inputs.
    """

    def __init__(
        self,
        ndim: int,
        in_channels: int,
        channels: Sequence[int],
        kernel: Sequence[int],
        *,
        padded: bool,
        norm: str,
        activation: str,
        dropout: float = 0.0,
        residual: bool = False,
        stride: int | Sequence[int] = 1,
        biases: bool = True,
        slope: float = 0.01,
    ) -> None:
        super().__init__()
        padding = tuple(k // 2 for k in kernel) if padded else (0,) * ndim
        bias = biases and norm == "none"
        layers: list[nn.Module] = []
        for a, b in pairwise([in_channels, *channels]):
            conv = CONV[ndim](a, b, tuple(kernel), stride, padding=padding, bias=bias)
            layers.append(he_normal(conv))
            if norm == "batch":
                layers.append(BATCH_NORM[ndim](b))
            leak = {"negative_slope": slope} if activation == "leaky_relu" else {}
            layers.append(ACTIVATION[activation](**leak))
        self.last_activation = layers.pop()
        self.layers = nn.Sequential(*layers)
        self.shortcut: nn.Module | None = None
        if residual:
            same = in_channels == channels[-1]
            self.shortcut = (
                nn.Identity() if same else CONV[ndim](in_channels, channels[-1], 1, bias=biases)
            )
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, *spatial) to (batch, channels[-1], *smaller or same)."""
        y: Tensor = self.layers(x)
        if self.shortcut is not None:
            y = y + centre_crop(self.shortcut(x), y.shape[2:])
        out: Tensor = self.dropout(self.last_activation(y))
        return out


class Interpolate(nn.Module):
    """Upsampling without weights, by nearest neighbours or linear interpolation.

    Parameters
    ----------
    factor : sequence of int
        Upsampling factor per axis.
    linear : bool
        Whether it interpolates linearly.
    valid : bool
        Whether linear interpolation cuts off the outermost voxels, which it would extrapolate.
    """

    def __init__(self, factor: Sequence[int], linear: bool, valid: bool) -> None:
        super().__init__()
        self.factor = tuple(factor)
        self.mode = {2: "bilinear", 3: "trilinear"}[len(factor)] if linear else "nearest"
        self.cut = tuple(f // 2 if linear and valid else 0 for f in factor)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channel, *spatial) to `factor` times the size, without the cut border."""
        shape = [n * f for n, f in zip(x.shape[2:], self.factor, strict=True)]
        up = F.interpolate(x, size=shape, mode=self.mode)
        if not any(self.cut):
            return up
        return centre_crop(up, [n - 2 * c for n, c in zip(shape, self.cut, strict=True)])


def up_convolution(
    ndim: int,
    channels: tuple[int, int],
    factor: Sequence[int],
    kernel: Sequence[int],
    **options: Any,
) -> nn.ConvTranspose2d | nn.ConvTranspose3d:
    """Return a transposed convolution whose output is `factor` times as large as its input.

    Parameters
    ----------
    ndim : int
        Spatial dimensions.
    channels : tuple of int
        Channels of the input and of the output.
    factor, kernel : sequence of int
        Upsampling factor and size of the kernel, per axis.
    **options
        Further options of the layer, such as ``bias=False``.
    """
    paddings, output_paddings = zip(*map(transposed_padding, kernel, factor), strict=True)
    return TRANSPOSED[ndim](
        *channels,
        tuple(kernel),
        tuple(factor),
        padding=paddings,
        output_padding=output_paddings,
        **options,
    )


def best_memory_format(ndim: int) -> torch.memory_format:
    """Return the memory format in which convolutions of `ndim` dimensions run fastest."""
    return torch.channels_last if ndim == 2 else torch.channels_last_3d


def placed(network: AnyModule, device: torch.device, ndim: int) -> AnyModule:
    """Return a network on a device, in the memory format that is fastest there.

    Parameters
    ----------
    network : Module
        The network, which is moved.
    device : torch.device
        The device.
    ndim : int
        Spatial dimensions.
    """
    # The types of torch lack `memory_format` for modules.
    moved: AnyModule = network.to(device, memory_format=best_memory_format(ndim))  # type: ignore[call-overload]
    return moved


def read_out(x: Tensor, readout: str) -> Tensor:
    """Apply the readout to the output of the last layer.

    Parameters
    ----------
    x : Tensor
        Of any shape.
    readout : {"linear", "softplus"}
        Nothing, or softplus, which is never negative.
    """
    return F.softplus(x, SOFTPLUS_BETA) if readout == "softplus" else x


class Network(nn.Module):
    """A network that is built from a configuration.

    Each subclass declares the configuration that it is built from, which registers it::

        class FCN(Network, config=FCNConfig):
            def __init__(self, config: FCNConfig) -> None: ...

    Attributes
    ----------
    config : Architecture
        The configuration.
    head : Module
        The last layer with weights. It has a bias if the network has any, and `out_channels`
        channels, class by class (times the voxels of a block, where there is a stem).
    """

    config: Architecture
    head: nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d

    def __init_subclass__(cls, *, config: type[Architecture], **options: Any) -> None:
        """Register the network of a configuration, see `build_network`."""
        super().__init_subclass__(**options)
        NETWORKS[config] = cls

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, *spatial) to (batch, out_channels, *spatial).

        `x` is of a size that `Architecture.passing` allows. With valid convolutions the result is
        smaller by the context, with padded ones of the same size.
        """
        raise NotImplementedError


NETWORKS: dict[type[Architecture], Callable[[Any], Network]] = {}
"""Constructors of the networks that were imported so far, by the class of their configuration."""
