"""Changes of pixels where they are, a whole batch at a time, in torch."""

from __future__ import annotations

import torch
from torch import Tensor


def bend(image: Tensor, exponent: Tensor) -> Tensor:
    """Return a batch with its brightness bent: a gamma on each picture's own range.

    With pixels normalised there is no black and no white to go by, and some are negative. So
    the darkest and the brightest pixel of a picture, over all of its channels, stay what they
    are, and what lies between is raised to the power on a range from 0 to 1.

    Parameters
    ----------
    image : Tensor of float32, shape (batch, channels, *spatial)
    exponent : Tensor, shape (batch,)
        Positive; 1 changes nothing, less is brighter.
    """
    column = (-1, *(1,) * (image.ndim - 1))
    flat = image.flatten(1)
    low, high = flat.amin(1).view(column), flat.amax(1).view(column)
    span = high - low
    part = (image - low) / span.clamp(min=torch.finfo(image.dtype).tiny)
    return low + span * part.clamp(0, 1) ** exponent.view(column)


def blur_axis(image: Tensor, sigma: Tensor, axis: int, radius: int) -> Tensor:
    """Return a batch blurred along one axis, mirrored at its ends.

    Parameters
    ----------
    image : Tensor of float32, shape (batch, channels, *spatial)
    sigma : Tensor, shape (batch,)
        Standard deviation of each picture's Gaussian, in voxels; 0 leaves it as it is.
    axis : int
        Which of the image's axes.
    radius : int
        Where the Gaussian is cut off, in voxels; less than the axis is long.
    """
    if radius < 1:
        return image
    distance = torch.arange(radius + 1, device=image.device)
    weight = torch.exp(-0.5 * (distance / sigma.clamp(min=1e-3).view(-1, 1)) ** 2)
    weight = weight / (2 * weight.sum(1, keepdim=True) - 1)
    size, column = image.shape[axis], (-1, *(1,) * (image.ndim - 1))
    # Padding by hand: torch has no reflection of one axis of five.
    wide = torch.cat(
        [
            image.narrow(axis, 1, radius).flip(axis),
            image,
            image.narrow(axis, size - 1 - radius, radius).flip(axis),
        ],
        dim=axis,
    )
    out = image * weight[:, 0].view(column)
    for d in range(1, radius + 1):
        both = wide.narrow(axis, radius - d, size) + wide.narrow(axis, radius + d, size)
        out = torch.addcmul(out, both, weight[:, d].view(column))
    return out
