"""A model as one module of operations that ONNX and TorchScript have, for images of any size.

It contains all that follows the normalisation: the network, blending with the centre pixel (blind
spots), the residual, softmax over the classes or the conversion to intensities. The normalisation
itself is declared in the package, in terms of its format; except variance-stabilising ones, which
the format lacks, and which are in the module too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_unet.data.normalisation import Normalisation
from napari_unet.errors import InputError
from napari_unet.model import TrainedModel
from napari_unet.network.blocks import centre_crop
from napari_unet.network.build import load_network
from napari_unet.network.filters import FilterPath, ScaleFilters

CONVOLVE: dict[int, Callable[..., Tensor]] = {2: F.conv2d, 3: F.conv3d}
"""Convolutions, by the number of spatial dimensions."""


class PortableModel(nn.Module):
    """The module of a package: from the image to probabilities or intensities.

    Parameters
    ----------
    model : TrainedModel
        The model, which is left as it is.

    Raises
    ------
    InputError
        Where the format cannot describe how the model reads images.
    """

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        if model.input_spec.mask:
            raise InputError(
                "A model that fills in missing pixels cannot be exported",
                got="a network that also reads a mask, which packages cannot describe",
            )
        network = load_network(model.config, model.weights).requires_grad_(False)
        for module in list(network.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, FilterPath):
                    setattr(module, name, PortableFilters(child, model))
        self.network = network
        self.stabilise = Stabilise(model.normalisation) if model.normalisation.noise else None
        self.undo = Undo(model.target) if model.target else None
        spec = model.input_spec
        self.blend = spec.blend
        self.residual = spec.residual
        self.context_planes = spec.context_planes
        first = spec.context_planes // 2 * model.image_channels
        self.centre_channels = slice(first, first + model.image_channels)
        cut = [0 if model.config.padded else g.context for g in model.config.geometry]
        # Sides as `torch.nn.functional.pad` expects them, the last axis first.
        self.frame = [side for c in reversed(cut) for side in (c // 2, c - c // 2)]
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channel, *spatial) to (batch, class or channel, *spatial).

        `x` is normalised, or in grey values where noise is stabilised. The result has the same
        size. Valid convolutions leave out its border, half of the context on each side: there the
        result is replicated, and the package declares a halo, which runners crop. (The format also
        has smaller results, but bioimageio.core 0.11 cannot assemble their blocks.)
        """
        x = x if self.stabilise is None else self.stabilise(x)
        y: Tensor = self.network(x)
        if self.blend:
            pixels = centre_crop(x[:, self.centre_channels], y.shape[2:])
            y = y + self.blend * (pixels - y)
        if self.residual:
            base = x[:, self.centre_channels] if self.residual == "image" else self._mean(x)
            y = y + centre_crop(base, y.shape[2:])
        y = torch.softmax(y, 1) if self.undo is None else self.undo(y)
        return F.pad(y, self.frame, mode="replicate") if any(self.frame) else y

    def _mean(self, x: Tensor) -> Tensor:
        """Return the mean of the planes of the input."""
        return torch.stack(x.chunk(self.context_planes, 1)).mean(0)


class PortableFilters(nn.Module):
    """The same as `FilterPath`, with convolutions instead of products with band matrices.

    Parameters
    ----------
    path : FilterPath
        The path that is replaced; its layers are used.
    model : TrainedModel
        The model that it belongs to.
    """

    def __init__(self, path: FilterPath, model: TrainedModel) -> None:
        super().__init__()
        config = model.config
        self.scales = nn.ModuleList(
            PortableScale(s, config.ndim, config.in_channels, config.padded)
            for s in path.scales
            if isinstance(s, ScaleFilters)
        )
        self.rest = nn.Sequential(path.norm, path.mix, path.activation, path.head)

    def forward(self, image: Tensor, shape: Sequence[int]) -> Tensor:
        """Compute logits for the centre of an image, see `FilterPath.forward`."""
        out: Tensor = self.rest(torch.cat([scale(image, shape) for scale in self.scales], dim=1))
        return out


class PortableScale(nn.Module):
    """The features of `ScaleFilters`, each as one convolution per axis.

    Parameters
    ----------
    scale : ScaleFilters
        The filters that are replaced.
    ndim, channels : int
        Spatial axes and channels of the image.
    padded : bool
        Whether the image is continued beyond its border.
    """

    def __init__(self, scale: ScaleFilters, ndim: int, channels: int, padded: bool) -> None:
        super().__init__()
        self.ndim = ndim
        self.channels = channels
        self.sigma = scale.sigma
        self.radius = scale.radius
        self.sides = [r for r in reversed(scale.radius) for _ in range(2)] if padded else []
        for axis in scale.sigma:
            kernel = scale.get_buffer(f"kernel{axis}")
            size = [len(kernel) if axis == a else 1 for a in range(1, ndim + 1)]
            weight = kernel.reshape(1, 1, *size).repeat(channels, 1, *(1,) * ndim)
            self.register_buffer(f"kernel{axis}", weight)

    def forward(self, image: Tensor, shape: Sequence[int]) -> Tensor:
        """Compute the features for the centre of an image, see `ScaleFilters.forward`."""
        if self.sides:
            x = F.pad(image, self.sides, mode="replicate")
        else:
            x = centre_crop(image, [n + 2 * r for n, r in zip(shape, self.radius, strict=True)])
        return torch.stack(self._features(x), 2).flatten(1, 2)

    def _features(self, x: Tensor) -> list[Tensor]:
        """Combine derivatives as `ScaleFilters` does."""
        axes = list(self.sigma)
        n = len(axes)
        gradient = reduce(torch.add, [self._derivative(x, i).square() for i in axes])
        diagonal = [self._derivative(x, i, i) for i in axes]
        mean = reduce(torch.add, diagonal) / n
        spread = reduce(torch.add, [(second - mean).square() for second in diagonal])
        for i, j in combinations(axes, 2):
            spread = spread + 2 * self._derivative(x, i, j).square()
        deviation = (spread / n).sqrt()
        return [self._derivative(x), gradient.sqrt(), mean + deviation, mean - deviation]

    def _derivative(self, x: Tensor, *axes: int) -> Tensor:
        """Differentiate along up to two axes, then smooth; one voxel is cut off at each border.

        In this order little is lost to rounding: differences of an image that is smooth already are
        small compared with its values.
        """
        for axis, sigma in self.sigma.items():
            size = x.shape[axis + 1] - 2
            before, here, after = (x.narrow(axis + 1, start, size) for start in range(3))
            if axes.count(axis) == 2:
                x = (before + after - 2 * here) * sigma**2
            else:
                x = (after - before) * (sigma / 2) if axis in axes else here
        for axis in self.sigma:
            x = CONVOLVE[self.ndim](x, self.get_buffer(f"kernel{axis}"), groups=self.channels)
        return x


class Stabilise(nn.Module):
    """`Normalisation.apply` with a variance-stabilising transform per channel.

    Parameters
    ----------
    normalisation : Normalisation
        A normalisation with `noise`.
    """

    def __init__(self, normalisation: Normalisation) -> None:
        super().__init__()
        self.normalisation = normalisation

    def forward(self, x: Tensor) -> Tensor:
        """Map grey values (batch, channel, *spatial) to the network's input."""
        n = self.normalisation
        each = zip(n.noise, n.offset, n.scale, torch.split(x, 1, 1), strict=True)
        return torch.cat([(stable(g, v, c) - low) / scale for (g, v), low, scale, c in each], 1)


class Undo(nn.Module):
    """`Normalisation.undo`.

    Parameters
    ----------
    target : Normalisation
        The normalisation that is inverted.
    """

    def __init__(self, target: Normalisation) -> None:
        super().__init__()
        self.target = target

    def forward(self, y: Tensor) -> Tensor:
        """Map a network's output (batch, channel, *spatial) to grey values."""
        t = self.target
        parts = torch.split(y, 1, 1)
        values = [c * s + o for c, s, o in zip(parts, t.scale, t.offset, strict=True)]
        if t.noise:
            values = [signal(g, v, c) for (g, v), c in zip(t.noise, values, strict=True)]
        return torch.cat(values, 1)


def stable(gain: float, variance: float, x: Tensor) -> Tensor:
    """Apply `napari_unet.noise.variance_stabilising.Stabiliser.forward` to a tensor.

    Parameters
    ----------
    gain, variance : float
        Gain, and variance of the noise at signal 0.
    x : Tensor
        Grey values, of any shape.
    """
    inner = 0.375 * gain**2 + variance
    inside = (gain * x + inner).clamp(min=0.0)
    if inner <= 0:
        return 2 / gain * inside.sqrt()
    x = x.clamp(min=-inner / gain) if gain else x
    return 2 * x / (inside.sqrt() + math.sqrt(inner))


def signal(gain: float, variance: float, y: Tensor) -> Tensor:
    """Apply `napari_unet.noise.variance_stabilising.Stabiliser.inverse` to a tensor.

    Parameters
    ----------
    gain, variance : float
        Gain, and variance of the noise at signal 0.
    y : Tensor
        Stabilised values, of any shape.
    """
    inner = 0.375 * gain**2 + variance
    start = math.sqrt(max(inner, 0.0))
    root = math.sqrt(1.5)
    if not gain:
        return y * start
    y = y.clamp(min=max(root - 2 * start / gain, -2 * start / gain))
    below = min(inner, 0.0) / gain
    one_over = gain / (gain * y + 2 * start).clamp(min=gain * root)
    series = 0.25 + one_over * (0.25 * root + one_over * (-1.375 + one_over * 0.625 * root))
    return y * (gain * y / 4 + start) - below + gain * series
