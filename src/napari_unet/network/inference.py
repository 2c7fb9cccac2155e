"""Networks optimised for prediction: folded norms, fused operations."""

from __future__ import annotations

import copy
from functools import cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_unet.network.blocks import (
    ConvBlock,
    Network,
    best_memory_format,
    depth_to_space,
    placed,
)
from napari_unet.network.filters import FilterPath

Conv = nn.Conv2d | nn.Conv3d

TransposedConv = nn.ConvTranspose2d | nn.ConvTranspose3d


def for_inference(network: Network, device: torch.device | None = None) -> Network:
    """Return a copy of a network that computes the same faster.

    Batch norm in evaluation mode is an affine map per channel, which is folded into the
    convolution before it. On a CPU, convolution and ReLU become one operation, and a transposed
    convolution whose kernel equals its stride becomes a matrix product and a permutation. Results
    agree with those of the original up to rounding.

    Parameters
    ----------
    network : Network
        The original, which is left as it is.
    device : torch.device, optional
        Where the copy shall run; the CPU when None.
    """
    device = device or torch.device("cpu")
    fast = placed(copy.deepcopy(network).eval().requires_grad_(False), device, network.config.ndim)
    # The fused operation is private to torch: it is used only where its self-test passes.
    single = next(fast.parameters()).dtype == torch.float32
    fuse = device.type == "cpu" and single and _fused_conv_works()
    for block in fast.modules():
        if isinstance(block, ConvBlock):
            _fold(block.layers)
            if fuse:
                _fuse(block)
        if isinstance(block, FilterPath):
            _fold_filters(block, fuse)
    if device.type == "cpu":
        _replace_upsamplings(fast)
    return fast


def _replace_upsamplings(network: nn.Module) -> None:
    """Compute transposed convolutions without overlap as matrix products."""
    for parent in list(network.modules()):
        for name, up in list(parent.named_children()):
            if isinstance(up, TransposedConv) and up.kernel_size == up.stride and up.groups == 1:
                setattr(parent, name, MatrixUpsampling(up))


def _fold_filters(path: FilterPath, fuse: bool) -> None:
    """Fold the norm of the filters into the next convolution, and fuse that with its ReLU."""
    norm = path.norm
    conv = path.mix
    head = path.head
    assert isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d)
    assert isinstance(conv, Conv)
    assert isinstance(head, Conv)
    assert conv.bias is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    matrix = conv.weight.flatten(1)  # (out, in), because the kernel is 1
    conv.bias += matrix @ (norm.bias - norm.running_mean * scale)
    conv.weight *= scale.reshape(-1, *(1,) * (conv.weight.ndim - 2))
    path.norm = nn.Identity()
    if fuse:
        path.mix = FusedConv(conv)
        path.activation = nn.Identity()
        path.head = FusedConv(head, "none")


def _fold(layers: nn.Sequential) -> None:
    """Fold each norm into the convolution before it."""
    kept: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
            conv = kept.pop()
            assert isinstance(conv, Conv)
            kept.append(fuse_conv_bn_eval(conv, layer))
        else:
            kept.append(layer)
    _replace(layers, kept)


def _fuse(block: ConvBlock) -> None:
    """Fuse each convolution with the ReLU after it."""
    layers = list(block.layers)
    if block.shortcut is None:
        layers.append(block.last_activation)
    kept: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.ReLU) and kept and isinstance(kept[-1], Conv):
            kept[-1] = FusedConv(kept[-1])
        else:
            kept.append(layer)
    _replace(block.layers, kept)
    if block.shortcut is None:
        block.last_activation = nn.Identity()


def _replace(layers: nn.Sequential, kept: list[nn.Module]) -> None:
    del layers[:]
    layers.extend(kept)


class FusedConv(nn.Module):
    """A convolution by oneDNN of any size, with its ReLU in the same pass over the memory.

    Parameters
    ----------
    conv : Conv2d or Conv3d
        The convolution, whose weights are used.
    activation : {"relu", "none"}
        What follows it.
    """

    def __init__(self, conv: Conv, activation: Literal["relu", "none"] = "relu") -> None:
        super().__init__()
        self.conv = conv
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Apply convolution and activation to (batch, channel, *spatial)."""
        c = self.conv
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, c.weight, c.bias, c.padding, c.stride, c.dilation, c.groups, self.activation, [], ""
        )
        return out


class MatrixUpsampling(nn.Module):
    """A transposed convolution whose kernel equals its stride, as a matrix product.

    Parameters
    ----------
    up : ConvTranspose2d or ConvTranspose3d
        The transposed convolution, whose weights are copied.
    """

    def __init__(self, up: TransposedConv) -> None:
        super().__init__()
        self.factor = tuple(int(f) for f in up.stride)
        # (in, out, *factor) -> (out * prod(factor), in): `depth_to_space` expects this order.
        self.matrix = nn.Parameter(up.weight.flatten(1).T.contiguous(), requires_grad=False)
        volume = self.matrix.shape[0] // up.out_channels
        bias = up.weight.new_zeros(up.out_channels) if up.bias is None else up.bias
        self.bias = nn.Parameter(bias.repeat_interleave(volume), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channel, *spatial) to `factor` times the size."""
        voxels = x.movedim(1, -1).reshape(-1, x.shape[1])
        y = torch.addmm(self.bias, voxels, self.matrix.T)
        y = y.reshape(x.shape[0], *x.shape[2:], -1).movedim(-1, 1)
        return depth_to_space(y, self.factor).contiguous(
            memory_format=best_memory_format(len(self.factor))
        )


@cache
def _fused_conv_works() -> bool:
    """Tell from small examples whether this torch has the fused operation, computed correctly."""
    for conv in (nn.Conv2d(3, 4, 3), nn.Conv3d(3, 4, 3)):
        x = torch.linspace(-1, 1, 3 * 6**3).reshape(1, 3, *(6,) * 3)
        x = x[..., 0] if isinstance(conv, nn.Conv2d) else x
        with torch.inference_mode():
            try:
                same = torch.allclose(FusedConv(conv)(x), conv(x).relu(), atol=1e-5)
                same &= torch.allclose(FusedConv(conv, "none")(x), conv(x), atol=1e-5)
            except (RuntimeError, AttributeError):
                return False
        if not same:
            return False
    return True


def as_input(x: Tensor, device: torch.device) -> Tensor:
    """Return a batch on a device, in the memory format that is fastest there.

    Parameters
    ----------
    x : Tensor
        (batch, channel, *spatial).
    device : torch.device
        The device of the network.
    """
    return x.to(device, memory_format=best_memory_format(x.ndim - 2))
