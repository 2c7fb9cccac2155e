"""From a network's output to an image in intensity units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from torch import Tensor
from torch.nn import functional as F

from napari_unet.data.flips import Flip, apply_flip, flips_and_rotations, undo_flip
from napari_unet.data.image import ImageView
from napari_unet.data.inputs import known_pixels
from napari_unet.data.normalisation import Normalisation
from napari_unet.geometry.region import Region
from napari_unet.geometry.unet_shape import AxisGeometry
from napari_unet.model import InputSpec, TrainedModel
from napari_unet.network.blocks import centre_crop

SIDE = 8
"""Of the windows, in pixels; there is one at every pixel."""

AT_ONCE = 2**16
"""Windows at once, about, so that little memory is needed."""


def widened(geometry: Sequence[AxisGeometry], noise: Sequence[float]) -> tuple[AxisGeometry, ...]:
    """Return what tiles must read and write where the result is filtered; else the same.

    Parameters
    ----------
    geometry : sequence of AxisGeometry
        The network's, per spatial axis.
    noise : sequence of float
        See `InputSpec`; empty: it is not filtered.
    """
    if not noise:
        return tuple(geometry)
    return tuple(
        AxisGeometry(g.stride, g.grow, g.shrink + 2 * margin)
        for g, margin in zip(geometry, margins(geometry), strict=True)
    )


def margins(geometry: Sequence[AxisGeometry]) -> tuple[int, ...]:
    """Return how many voxels the filter takes from each side, per spatial axis.

    As many as a window reaches, and so that poolings fall on the same voxels in every tile.
    """
    planar = len(geometry) - 2
    return tuple(
        0 if axis < planar else -(-SIDE // g.stride) * g.stride for axis, g in enumerate(geometry)
    )


def filtered(outputs: Tensor, own: Tensor, noise: Sequence[float]) -> Tensor:
    """Filter an image, plane by plane.

    Parameters
    ----------
    outputs : Tensor
        (channel, *spatial): what the network says, normalised.
    own : Tensor
        Of the same shape: the noisy pixels.
    noise : sequence of float
        Variance of the noise per channel, in normalised units squared.

    Returns
    -------
    Tensor
        (channel, *spatial); less than a window from the border fewer windows take part.
    """
    pilot, noisy = (x.reshape(-1, 1, *x.shape[-2:]) for x in (outputs, own))
    basis, window = _basis().to(pilot), _hann().to(pilot)
    planes, (height, width) = len(pilot), pilot.shape[2:]
    variance = pilot.new_tensor(noise).repeat_interleave(planes // len(noise)).view(-1, 1, 1, 1)
    total, weights = torch.zeros_like(noisy), torch.zeros_like(noisy)
    last = height - SIDE + 1
    rows = max(1, AT_ONCE // (planes * width))
    for first in range(0, last, rows):
        part = slice(first, min(first + rows, last) + SIDE - 1)
        said, seen = (F.conv2d(x[:, :, part], basis) for x in (pilot, noisy))
        power = said.square_()
        gain = power / (power + variance)
        gain[:, 0] = 1  # the mean of a window is told well by so many pixels
        # Windows that let little noise through count more.
        weight = 1 / gain.square().sum(1, keepdim=True)
        total[:, :, part] += F.conv_transpose2d(gain * seen * weight, basis * window)
        weights[:, :, part] += F.conv_transpose2d(weight, window)
    return (total / weights).reshape(outputs.shape)


def _basis() -> Tensor:
    """Return the windows' cosines, (SIDE * SIDE, 1, SIDE, SIDE), the mean first."""
    rows = torch.from_numpy(dct(np.eye(SIDE), norm="ortho", axis=0))
    return torch.einsum("ai,bj->abij", rows, rows).reshape(SIDE * SIDE, 1, SIDE, SIDE)


def _hann() -> Tensor:
    """Return what a window's pixels weigh, highest in its middle: (1, 1, SIDE, SIDE)."""
    row = torch.hann_window(SIDE + 2, periodic=False, dtype=torch.float64)[1:-1]
    return torch.outer(row, row)[None, None]


def turns_of(model: TrainedModel) -> tuple[Flip, ...]:
    """Return the flips and turns that a model's tiles allow.

    y and x change places only where the network treats them alike.
    """
    ndim = model.config.ndim
    wrap = model.input_spec.periodic_axes[-2:] or (False, False)
    alike = model.config.is_alike(ndim - 2, ndim - 1)
    return flips_and_rotations(square=alike and wrap[0] == wrap[1])


def mean_over(ways: Sequence[Flip], inputs: Tensor, apply: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the mean of what a network gives for an input seen in several ways.

    Parameters
    ----------
    ways : sequence of Flip
        How the input is flipped and turned; the outputs are turned back.
    inputs : Tensor
        (channel, *spatial).
    apply : callable
        The network.
    """
    if len(ways) == 1:
        return undo_flip(apply(apply_flip(inputs, ways[0])), ways[0])
    return torch.stack([undo_flip(apply(apply_flip(inputs, way)), way) for way in ways]).mean(0)


def added(outputs: Tensor, inputs: Tensor, view: ImageView, input_spec: InputSpec) -> Tensor:
    """Return the sum of what a network says and what it was given, see `InputSpec.residual`.

    Parameters
    ----------
    outputs : Tensor
        (batch, channel, *spatial).
    inputs : Tensor
        (batch, channels of `view` and more, *spatial), at least as large; its middle counts.
    view : ImageView
        Says which of its channels are the picture's own.
    input_spec : InputSpec
        Says what it is added to.
    """
    inputs = centre_crop(inputs.to(outputs.device), outputs.shape[2:])
    if input_spec.residual == "image":
        return outputs + inputs[:, view.centre_channels]
    return outputs + torch.stack(inputs[:, : view.channels].chunk(view.context_planes, 1)).mean(0)


def with_pixels(
    outputs: Tensor,
    inputs: Tensor,
    view: ImageView,
    input_spec: InputSpec,
    geometry: Sequence[AxisGeometry],
) -> Tensor:
    """Return what a network says together with what the pixels themselves do.

    A network that learned with blind spots tells each pixel from its surroundings only; what the
    pixel itself says is worth a little more, the less the noise. One that restores or fills in may
    say what is to be added to the pixels.

    Parameters
    ----------
    outputs : Tensor
        (channel, *spatial).
    inputs : Tensor
        (channels of `view`, *spatial), at least as large; its middle counts. Normalised alike.
    view : ImageView
        Says which of its channels are the picture's own.
    input_spec : InputSpec
        Says how much of them goes into the result.
    geometry : sequence of AxisGeometry
        The network's; where the result is filtered, the margin is taken off.
    """
    if input_spec.residual:
        return added(outputs[None], inputs[None], view, input_spec)[0]
    if not (input_spec.blend or input_spec.noise):
        return outputs
    own = centre_crop(inputs[None, view.centre_channels].to(outputs), outputs.shape[1:])[0]
    if input_spec.blend:
        outputs = outputs.lerp(own, input_spec.blend)
    if not input_spec.noise:
        return outputs
    sizes = zip(outputs.shape[1:], margins(geometry), strict=True)
    inner = [size - 2 * margin for size, margin in sizes]
    outputs = filtered(outputs, own, input_spec.noise)
    return centre_crop(outputs[None], inner)[0]


def in_units(
    target: Normalisation,
    outputs: Tensor,
    view: ImageView,
    missing: ImageView | None,
    index: tuple[int, ...],
    region: Region,
) -> NDArray[Any]:
    """Return an image in intensity units; with a mask, known pixels are the image's own.

    Parameters
    ----------
    target : Normalisation
        Of what comes out.
    outputs : Tensor
        (channel, *region.shape), on the CPU.
    view : ImageView
        The image.
    missing : ImageView, optional
        Its mask.
    index, region
        Which part of it the outputs are about.

    Returns
    -------
    ndarray, shape (channel, *region.shape)
    """
    image = target.undo(outputs.float().numpy())
    if missing is None:
        return image
    raw = view.read_raw(index, region)
    known = known_pixels(raw, missing, index, region)
    return np.where(known[view.centre_channels], raw[view.centre_channels], image)
