"""The same network, faster: for prediction only."""

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
    """Return a copy that computes the same faster, on `device` (default: the CPU).

    Batch norm in evaluation mode is an affine map per channel, which the convolution before it
    takes over. On a CPU, convolution and ReLU become one operation, and a transposed convolution
    whose kernel is its stride becomes a matrix product and a shuffle. The result agrees with the
    original's to rounding.
    """
    device = device or torch.device("cpu")
    fast = placed(copy.deepcopy(network).eval().requires_grad_(False), device, network.config.ndim)
    # Private operators of torch: used for what they were tested with, here and now, and only then.
    fuse = device.type == "cpu" and next(fast.parameters()).dtype == torch.float32 and _works()
    for block in fast.modules():
        if isinstance(block, ConvBlock):
            _fold(block.layers)
            if fuse:
                _fuse(block)
        if isinstance(block, FilterPath):
            _shorten(block, fuse)
    if device.type == "cpu":
        _replace_upsamplings(fast)
    return fast


def _replace_upsamplings(network: nn.Module) -> None:
    """Compute transposed convolutions without overlap as matrix products."""
    for parent in list(network.modules()):
        for name, up in list(parent.named_children()):
            if isinstance(up, TransposedConv) and up.kernel_size == up.stride and up.groups == 1:
                setattr(parent, name, MatrixUpsampling(up))


def _shorten(path: FilterPath, fuse: bool) -> None:
    """Fold the filters' norm into the convolution behind it, and that into its ReLU."""
    norm, conv, head = path.norm, path.mix, path.head
    assert isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d)
    assert isinstance(conv, Conv)
    assert isinstance(head, Conv)
    assert conv.bias is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    matrix = conv.weight.flatten(1)  # a kernel of 1: (out, in)
    conv.bias += matrix @ (norm.bias - norm.running_mean * scale)
    conv.weight *= scale.reshape(-1, *(1,) * (conv.weight.ndim - 2))
    path.norm = nn.Identity()
    if fuse:
        path.mix, path.activation = FusedConv(conv), nn.Identity()
        path.head = FusedConv(head, "none")


def _fold(layers: nn.Sequential) -> None:
    """Fold each norm into the convolution before it, and drop it."""
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
    """Make one operation of each convolution and the ReLU behind it."""
    kept: list[nn.Module] = []
    for layer in [*block.layers, *([] if block.shortcut else [block.last_activation])]:
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
    """A convolution by oneDNN whatever its size, and its ReLU in the same pass over the memory."""

    def __init__(self, conv: Conv, then: Literal["relu", "none"] = "relu") -> None:
        super().__init__()
        self.conv, self.then = conv, then

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, *spatial) as the convolution and what follows it do."""
        c = self.conv
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, c.weight, c.bias, c.padding, c.stride, c.dilation, c.groups, self.then, [], ""
        )
        return out


class MatrixUpsampling(nn.Module):
    """A transposed convolution whose kernel is its stride: a matrix product and a shuffle."""

    def __init__(self, up: TransposedConv) -> None:
        super().__init__()
        self.factor = tuple(int(f) for f in up.stride)
        # (in, out, *factor) -> (out * factors, in), the order that `depth_to_space` undoes.
        self.matrix = nn.Parameter(up.weight.flatten(1).T.contiguous(), requires_grad=False)
        volume = self.matrix.shape[0] // up.out_channels
        bias = up.weight.new_zeros(up.out_channels) if up.bias is None else up.bias
        self.bias = nn.Parameter(bias.repeat_interleave(volume), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, *spatial) to `factor` times the size."""
        rows = torch.addmm(self.bias, x.movedim(1, -1).reshape(-1, x.shape[1]), self.matrix.T)
        y = rows.reshape(x.shape[0], *x.shape[2:], -1).movedim(-1, 1)
        return depth_to_space(y, self.factor).contiguous(
            memory_format=best_memory_format(len(self.factor))
        )


@cache
def _works() -> bool:
    """Tell, from small examples, whether this torch has the fused operation and it is right."""
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
    """Bring a batch (B, C, *spatial) to where and how the network wants it."""
    return x.to(device, memory_format=best_memory_format(x.ndim - 2))
