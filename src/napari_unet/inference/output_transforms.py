"""From the output of a network to an image in grey values: flips, residuals, filter, units."""

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
"""Side of the windows of the filter, in pixels; there is one at every pixel."""

MAX_WINDOWS = 2**16
"""Approximate number of windows that are filtered at once, to limit the memory."""


def with_filter_margin(
    geometry: Sequence[AxisGeometry], noise: Sequence[float]
) -> tuple[AxisGeometry, ...]:
    """Return the geometry of tiles with the margin that the filter needs, if there is one.

    Parameters
    ----------
    geometry : sequence of AxisGeometry
        That of the network, per spatial axis.
    noise : sequence of float
        See `InputSpec`; empty if results are not filtered.

    Returns
    -------
    tuple of AxisGeometry
    """
    if not noise:
        return tuple(geometry)
    return tuple(
        AxisGeometry(g.stride, g.grow, g.shrink + 2 * margin)
        for g, margin in zip(geometry, filter_margins(geometry), strict=True)
    )


def filter_margins(geometry: Sequence[AxisGeometry]) -> tuple[int, ...]:
    """Return how many voxels the filter removes from each side, per spatial axis.

    It is the side of a window, rounded up to the stride of the network, so that poolings have
    the same positions in every tile.
    """
    planar = len(geometry) - 2
    return tuple(
        0 if axis < planar else -(-SIDE // g.stride) * g.stride for axis, g in enumerate(geometry)
    )


def wiener_filter(outputs: Tensor, own: Tensor, noise: Sequence[float]) -> Tensor:
    """Filter a noisy image, plane by plane, with the output of a network as estimate of the signal.

    It is a Wiener filter of the discrete cosine transform (DCT) in overlapping windows.

    Parameters
    ----------
    outputs : Tensor
        (channel, *spatial), the output of the network, normalised.
    own : Tensor
        Noisy pixels of the same shape and normalisation.
    noise : sequence of float
        Variance of the noise per channel, in squared normalised units.

    Returns
    -------
    Tensor
        (channel, *spatial); near the border fewer windows overlap.
    """
    pilot, noisy = (x.reshape(-1, 1, *x.shape[-2:]) for x in (outputs, own))
    basis = _dct_basis().to(pilot)
    window = _hann_window().to(pilot)
    planes = len(pilot)
    height, width = pilot.shape[2:]
    variance = pilot.new_tensor(noise).repeat_interleave(planes // len(noise)).view(-1, 1, 1, 1)
    total = torch.zeros_like(noisy)
    weights = torch.zeros_like(noisy)
    last = height - SIDE + 1
    rows = max(1, MAX_WINDOWS // (planes * width))
    for first in range(0, last, rows):
        part = slice(first, min(first + rows, last) + SIDE - 1)
        power = F.conv2d(pilot[:, :, part], basis).square_()
        coefficients = F.conv2d(noisy[:, :, part], basis)
        gain = power / (power + variance)
        gain[:, 0] = 1  # the mean of a window has little noise
        # Windows that pass little noise have more weight.
        weight = 1 / gain.square().sum(1, keepdim=True)
        total[:, :, part] += F.conv_transpose2d(gain * coefficients * weight, basis * window)
        weights[:, :, part] += F.conv_transpose2d(weight, window)
    return (total / weights).reshape(outputs.shape)


def _dct_basis() -> Tensor:
    """Return the basis of the DCT, shape (SIDE * SIDE, 1, SIDE, SIDE), the constant first."""
    rows = torch.from_numpy(dct(np.eye(SIDE), norm="ortho", axis=0))
    return torch.einsum("ai,bj->abij", rows, rows).reshape(SIDE * SIDE, 1, SIDE, SIDE)


def _hann_window() -> Tensor:
    """Return the weights of the pixels of a window, shape (1, 1, SIDE, SIDE)."""
    row = torch.hann_window(SIDE + 2, periodic=False, dtype=torch.float64)[1:-1]
    return torch.outer(row, row)[None, None]


def allowed_flips(model: TrainedModel) -> tuple[Flip, ...]:
    """Return the flips and rotations that a model allows.

    y and x are swapped only if the network treats them equally.
    """
    ndim = model.config.ndim
    periodic = model.input_spec.periodic_axes[-2:] or (False, False)
    alike = model.config.is_alike(ndim - 2, ndim - 1)
    return flips_and_rotations(square=alike and periodic[0] == periodic[1])


def mean_over_flips(
    flips: Sequence[Flip], inputs: Tensor, apply: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return the mean output of a network for flipped and rotated inputs (test-time augmentation).

    Parameters
    ----------
    flips : sequence of Flip
        Applied to the input, and undone in the output.
    inputs : Tensor
        (channel, *spatial).
    apply : callable
        The network: returns the output (channel, *spatial) of an input.

    Returns
    -------
    Tensor
        (channel, *spatial).
    """
    outputs = [undo_flip(apply(apply_flip(inputs, flip)), flip) for flip in flips]
    return outputs[0] if len(outputs) == 1 else torch.stack(outputs).mean(0)


def add_residual(outputs: Tensor, inputs: Tensor, view: ImageView, input_spec: InputSpec) -> Tensor:
    """Add the output of a network that learned a residual to its input.

    Parameters
    ----------
    outputs : Tensor
        (batch, channel, *spatial).
    inputs : Tensor
        (batch, channels of `view` and more, *spatial), at least as large; its centre is used.
    view : ImageView
        The image, which tells the channels of the plane itself.
    input_spec : InputSpec
        Its `residual` tells what the output is added to.

    Returns
    -------
    Tensor
        (batch, channel, *spatial).
    """
    inputs = centre_crop(inputs.to(outputs.device), outputs.shape[2:])
    if input_spec.residual == "image":
        return outputs + inputs[:, view.centre_channels]
    return outputs + torch.stack(inputs[:, : view.channels].chunk(view.context_planes, 1)).mean(0)


def combine_with_input(
    outputs: Tensor,
    inputs: Tensor,
    view: ImageView,
    input_spec: InputSpec,
    geometry: Sequence[AxisGeometry],
) -> Tensor:
    """Combine the output of a network with the pixels of its input, as the input spec requires.

    A network that learned with blind spots does not use the pixel itself, which is the better an
    estimate the less noise there is: so both are blended, or the pixels are filtered. The output
    of a network that learned a residual is added to the input.

    Parameters
    ----------
    outputs : Tensor
        (channel, *spatial).
    inputs : Tensor
        (channels of `view`, *spatial), at least as large, of the same normalisation; its centre
        is used.
    view : ImageView
        The image, which tells the channels of the plane itself.
    input_spec : InputSpec
        How they are combined.
    geometry : sequence of AxisGeometry
        That of the network.

    Returns
    -------
    Tensor
        (channel, *spatial), without the margin of the filter if it is filtered.
    """
    if input_spec.residual:
        return add_residual(outputs[None], inputs[None], view, input_spec)[0]
    if not (input_spec.blend or input_spec.noise):
        return outputs
    own = centre_crop(inputs[None, view.centre_channels].to(outputs), outputs.shape[1:])[0]
    if input_spec.blend:
        outputs = outputs.lerp(own, input_spec.blend)
    if not input_spec.noise:
        return outputs
    sizes = zip(outputs.shape[1:], filter_margins(geometry), strict=True)
    inner = [size - 2 * margin for size, margin in sizes]
    outputs = wiener_filter(outputs, own, input_spec.noise)
    return centre_crop(outputs[None], inner)[0]


def to_grey_values(
    target: Normalisation,
    outputs: Tensor,
    view: ImageView,
    missing: ImageView | None,
    index: tuple[int, ...],
    region: Region,
) -> NDArray[Any]:
    """Return an output in grey values; with a mask, known pixels are those of the image.

    Parameters
    ----------
    target : Normalisation
        That of the target.
    outputs : Tensor
        (channel, *region.shape), on the CPU.
    view : ImageView
        The image.
    missing : ImageView, optional
        Mask of missing pixels.
    index : tuple of int
        Index along the loop axes.
    region : Region
        Region of the outputs, over the spatial axes.

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
