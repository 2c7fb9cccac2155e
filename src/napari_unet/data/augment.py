"""Augmentation: random changes of training patches, for a whole batch at a time, in torch."""

from __future__ import annotations

from collections.abc import Sequence
from math import atan2, ceil, cos, hypot, radians, sin

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_unet.data.augment_options import AugmentOptions, Change, largest_margin
from napari_unet.errors import InputError


def adjust_gamma(image: Tensor, exponent: Tensor) -> Tensor:
    """Apply a gamma curve to each image of a batch, on the range of its own values.

    Normalised pixels have no fixed black and white, and can be negative. So each image is scaled
    to 0 to 1 by its least and greatest value over all channels, raised to the exponent, and
    scaled back.

    Parameters
    ----------
    image : Tensor of float32, shape (batch, channels, *spatial)
        Normalised.
    exponent : Tensor, shape (batch,)
        Positive; 1 changes nothing, less makes it brighter.

    Returns
    -------
    Tensor, the same shape
    """
    column = (-1, *(1,) * (image.ndim - 1))
    flat = image.flatten(1)
    low = flat.amin(1).view(column)
    span = flat.amax(1).view(column) - low
    scaled = (image - low) / span.clamp(min=torch.finfo(image.dtype).tiny)
    return low + span * scaled.clamp(0, 1) ** exponent.view(column)


def blur_axis(image: Tensor, sigma: Tensor, axis: int, radius: int) -> Tensor:
    """Blur a batch along one axis with Gaussians, mirrored at the borders.

    Parameters
    ----------
    image : Tensor of float32, shape (batch, channels, *spatial)
        Normalised.
    sigma : Tensor, shape (batch,)
        Standard deviation of each image's Gaussian, in voxels; 0 leaves it as it is.
    axis : int
        Axis of the tensor.
    radius : int
        Radius of the kernel, in voxels; less than the size of the axis.

    Returns
    -------
    Tensor, the same shape
    """
    if radius < 1:
        return image
    distance = torch.arange(radius + 1, device=image.device)
    weight = torch.exp(-0.5 * (distance / sigma.clamp(min=1e-3).view(-1, 1)) ** 2)
    weight = weight / (2 * weight.sum(1, keepdim=True) - 1)
    size = image.shape[axis]
    column = (-1, *(1,) * (image.ndim - 1))
    # torch cannot pad a single axis of five by reflection.
    padded = torch.cat(
        [
            image.narrow(axis, 1, radius).flip(axis),
            image,
            image.narrow(axis, size - 1 - radius, radius).flip(axis),
        ],
        dim=axis,
    )
    out = image * weight[:, 0].view(column)
    for d in range(1, radius + 1):
        both = padded.narrow(axis, radius - d, size) + padded.narrow(axis, radius + d, size)
        out = torch.addcmul(out, both, weight[:, d].view(column))
    return out


__all__ = ["AugmentOptions", "Augmenter"]

Shape = tuple[int, ...]

ELASTIC_STEP = 32
"""Distance of the control points of elastic deformations, in voxels of the finest axis."""

ANISOTROPIC = 1.5
"""Ratio of the voxel sizes along z and in the plane above which rotations stay in the plane."""


class Augmenter:
    """Random flips, rotations, scaling, shifts, deformations, and changes of grey values.

    All geometric changes are one coordinate map, and so one resampling. They are in physical
    units: with S = diag(spacing), a rotation R maps voxels by ``S^-1 R S``, so that nothing is
    sheared if voxels are not cubes.

    Parameters
    ----------
    options : AugmentOptions
        Range and probability of each change.
    ndim : int
        Number of spatial dimensions, 2 or 3.
    spacing : tuple of float
        Size of a voxel per axis, in any unit.
    seed : int
        The same seed and `step` give the same changes on the same kind of device.

    Attributes
    ----------
    step : int
        Number of batches so far; it is set to continue an earlier training.

    Raises
    ------
    InputError
        If `spacing` is not `ndim` positive numbers.
    """

    def __init__(
        self, options: AugmentOptions, ndim: int, spacing: tuple[float, ...], seed: int = 0
    ) -> None:
        if len(spacing) != ndim or not all(s > 0 for s in spacing):
            raise InputError(
                "These are not voxel sizes", got=spacing, expected=f"{ndim} positive numbers"
            )
        self.options = options.effective()
        self.ndim = ndim
        self.spacing = spacing
        self.seed = seed
        self.step = 0
        self._in_plane = ndim == 2 or spacing[0] > ANISOTROPIC * min(spacing[1:])
        # Lengths in the options are in voxels of the finest axis.
        self._voxels = [min(spacing) / s for s in spacing]

    def margin(self, shape: Sequence[int]) -> Shape:
        """Return how many more voxels to read per axis, on both sides together (an even number).

        With them, rotations and scaling need no mirrored pixels, up to a limit of 25 %.

        Parameters
        ----------
        shape : sequence of int
            Shape of the network's input, in voxels.
        """
        half = [n * s / 2 for n, s in zip(shape, self.spacing, strict=True)]
        return tuple(self._axis_margin(axis, shape[axis], half) for axis in range(self.ndim))

    def read_shape(self, in_shape: Sequence[int]) -> Shape:
        """Return the shape to read for inputs of `in_shape`: `in_shape` plus the margin."""
        return tuple(n + m for n, m in zip(in_shape, self.margin(in_shape), strict=True))

    @torch.no_grad()
    def __call__(
        self, image: Tensor, labels: Tensor, in_shape: Shape, out_shape: Shape
    ) -> tuple[Tensor, Tensor]:
        """Change a batch at random and crop its centre.

        Parameters
        ----------
        image : Tensor of float32, shape (batch, channels, *read)
            Normalised.
        labels : Tensor of int64, shape (batch, *read)
            Class indices, -1 for ignored voxels.
        in_shape, out_shape : tuple of int
            Spatial shapes of the network's input and output, in voxels; ``read >= in >= out``.

        Returns
        -------
        image : Tensor of float32, shape (batch, channels, *in_shape)
        labels : Tensor of int64, shape (batch, *out_shape)
            Also -1 where a voxel lies outside the patch that was read.
        """
        generator = torch.Generator(image.device)
        generator.manual_seed((self.seed * 0x9E3779B97F4A7C15 + self.step) % 2**63)
        self.step += 1
        o = self.options
        if o.flip or o.rotate_degrees or o.scale or o.jitter or o.elastic:
            grid = self._grid(image, in_shape, generator)
            image, labels = _resample(image, labels, grid, out_shape)
        else:
            image = _centre(image, in_shape)
            labels = _centre(_centre(labels, in_shape), out_shape)
        return self._change_pixels(image, generator), labels

    def _axis_margin(self, axis: int, size: int, half: list[float]) -> int:
        o = self.options
        plane = range(self.ndim - 2, self.ndim) if self._in_plane else range(self.ndim)
        across = hypot(*(half[b] for b in plane if b != axis)) if axis in plane else 0.0
        angle = min(radians(o.rotate_degrees), atan2(across, half[axis]))
        extent = (half[axis] * cos(angle) + across * sin(angle)) / self.spacing[axis]
        extent = extent * (1 + o.scale) + (o.elastic + o.jitter) * self._voxels[axis]
        wanted = 2 * ceil(extent - size / 2 - 1e-6)
        return min(wanted, largest_margin(size))

    def _grid(self, image: Tensor, in_shape: Shape, generator: torch.Generator) -> Tensor:
        """Return the sampling positions for `grid_sample`, shape (batch, *in_shape, ndim)."""
        batch = len(image)
        read = image.shape[2:]
        column = (-1, *(1,) * self.ndim)
        # In units of grid_sample: -1 and 1 are the centres of the first and last voxel.
        unit = torch.tensor([2 / max(n - 1, 1) for n in read], device=image.device)
        matrix = self._matrices(batch, generator) * unit[:, None]
        position = torch.zeros(batch, self.ndim, *in_shape, device=image.device)
        if self.options.elastic:
            position = self._elastic(batch, in_shape, unit, generator)
        if self.options.jitter:
            position = position + self._jitter(batch, unit, generator).view(batch, -1, *column[1:])
        for a in range(self.ndim):
            along = position[:, -1 - a]  # the order of grid_sample is x, y, z
            along += _centre_offset(read[a], in_shape[a]) * unit[a]
            for b, n in enumerate(in_shape):
                along += matrix[:, a, b].view(column) * _centred_positions(n, b, self.ndim, unit)
        return position.movedim(1, -1)

    def _matrices(self, batch: int, generator: torch.Generator) -> Tensor:
        """Return matrices from output voxels to input voxels, shape (batch, ndim, ndim)."""
        o = self.options
        ndim = self.ndim
        device = generator.device
        angle = self._signed("rotate_degrees", batch, generator) * radians(o.rotate_degrees)
        rotation = _rotations(angle, generator, ndim, self._in_plane)
        spacing = torch.tensor(self.spacing, dtype=torch.float32, device=device)
        matrix = rotation * spacing / spacing[:, None]
        zoom = (1 + o.scale) ** self._signed("scale", batch, generator)
        matrix = matrix * zoom.view(-1, 1, 1)
        if o.flip:
            sign = torch.randint(0, 2, (batch, 1, ndim), generator=generator, device=device)
            matrix = matrix * (1 - 2 * sign * self._chosen("flip", batch, generator).view(-1, 1, 1))
        return matrix

    def _jitter(self, batch: int, unit: Tensor, generator: torch.Generator) -> Tensor:
        """Return random shifts in units of `grid_sample`, shape (batch, ndim), x first."""
        drawn = torch.rand(batch, self.ndim, generator=generator, device=unit.device)
        shift = (2 * drawn - 1) * self._chosen("jitter", batch, generator).view(-1, 1)
        largest = self.options.jitter * unit * unit.new_tensor(self._voxels)
        return shift * largest.flip(0)

    def _elastic(
        self, batch: int, in_shape: Shape, unit: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return smooth random displacements in units of `grid_sample`, (batch, ndim, *in_shape).

        They are cubic B-splines of control points on a coarse grid, the free-form deformations
        of Rueckert et al. 1999, doi:10.1109/42.796284.
        """
        steps = [ELASTIC_STEP * v for v in self._voxels]
        splines = [_splines(n, h, unit) for n, h in zip(in_shape, steps, strict=True)]
        shape = (batch, self.ndim, *(w.shape[1] for w in splines))
        moved = 2 * torch.rand(shape, generator=generator, device=unit.device) - 1
        largest = self.options.elastic * unit * unit.new_tensor(self._voxels)
        moved = moved * largest.flip(0).view(-1, *(1,) * self.ndim)
        moved = moved * self._chosen("elastic", batch, generator).view(-1, *(1,) * (self.ndim + 1))
        for weights in splines:
            # Each step interpolates the first spatial axis and moves it to the end.
            moved = torch.tensordot(moved, weights, dims=([2], [1]))
        return moved

    def _change_pixels(self, image: Tensor, generator: torch.Generator) -> Tensor:
        o = self.options
        batch = len(image)
        column = (-1, *(1,) * (self.ndim + 1))
        separate = self._separate(image, generator)
        if o.intensity:
            strength = self._signed_channels("intensity", image, separate, generator)
            image = image * (1 + o.intensity) ** strength
        if o.brightness:
            strength = self._signed_channels("brightness", image, separate, generator)
            image = image + strength * o.brightness
        if o.gamma:
            strength = self._signed("gamma", batch, generator)
            adjusted = adjust_gamma(image, (1 + o.gamma) ** strength)
            image = torch.where(strength.view(column) == 0, image, adjusted)
        if o.blur:
            image = self._blur(image, self._signed("blur", batch, generator).abs() * o.blur)
        if o.noise:
            sd = (self._signed("noise", batch, generator).abs() * o.noise).view(column)
            noise = torch.empty_like(image).normal_(generator=generator)
            image = torch.addcmul(image, noise, sd)
        return image

    def _blur(self, image: Tensor, sigma: Tensor) -> Tensor:
        """Blur each image of the batch with its own Gaussian, axis by axis."""
        for axis, voxels in enumerate(self._voxels):
            radius = min(ceil(2 * self.options.blur * voxels), image.shape[axis + 2] - 1)
            image = blur_axis(image, sigma * voxels, axis + 2, radius)
        return image

    def _signed(self, change: Change, batch: int, generator: torch.Generator) -> Tensor:
        """Return how much of a change each image gets, from -1 to 1; 0 where it gets none."""
        drawn = 2 * torch.rand(batch, generator=generator, device=generator.device) - 1
        return drawn * self._chosen(change, batch, generator)

    def _separate(self, image: Tensor, generator: torch.Generator) -> Tensor | None:
        """Return which images change contrast and brightness per channel, None for none of them.

        Nothing is drawn for images of one channel, nor where the option is off.
        """
        o = self.options
        batch, channels = image.shape[:2]
        if channels == 1 or not o.per_channel or not (o.intensity or o.brightness):
            return None
        return torch.rand(batch, generator=generator, device=image.device) < o.per_channel

    def _signed_channels(
        self, change: Change, image: Tensor, separate: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Return how much of a change each channel gets, from -1 to 1, to be broadcast.

        Parameters
        ----------
        change : str
            Name of the change.
        image : Tensor, shape (batch, channels, *spatial)
        separate : Tensor of bool, shape (batch,), optional
            Images whose channels change each on its own.
        generator : torch.Generator
        """
        batch, channels = image.shape[:2]
        strength = self._signed(change, batch, generator).view(-1, 1)
        if separate is not None:
            drawn = torch.rand(batch, channels, generator=generator, device=image.device)
            own = (2 * drawn - 1) * (strength != 0)
            strength = torch.where(separate.view(-1, 1), own, strength)
        return strength.view(*strength.shape, *(1,) * self.ndim)

    def _chosen(self, change: Change, batch: int, generator: torch.Generator) -> Tensor:
        """Return 1 for each image that is changed, 0 for the others, shape (batch,).

        Nothing is drawn if all are changed, so that seeds give the same as in versions without
        probabilities.
        """
        chance = self.options.chance.get(change, 1.0)
        if chance == 1:
            return torch.ones(batch, device=generator.device)
        drawn = torch.rand(batch, generator=generator, device=generator.device)
        return (drawn < chance).float()


def _resample(
    image: Tensor, labels: Tensor, grid: Tensor, out_shape: Shape
) -> tuple[Tensor, Tensor]:
    image = F.grid_sample(image, grid, "bilinear", "reflection", align_corners=True)
    inner = _centre(grid.movedim(-1, 1), out_shape).movedim(1, -1)
    # Labels are shifted by one, so that the zeros that grid_sample returns outside become -1.
    shifted = (labels + 1).to(grid.dtype).unsqueeze(1)
    found = F.grid_sample(shifted, inner, "nearest", "zeros", align_corners=True)
    return image, found.squeeze(1).long() - 1


def _rotations(angle: Tensor, generator: torch.Generator, ndim: int, in_plane: bool) -> Tensor:
    """Return rotation matrices, shape (batch, ndim, ndim), for angles in radians.

    In 3D they rotate about z, or about a random axis (Rodrigues' formula).
    """
    c = torch.cos(angle)
    s = torch.sin(angle)
    if ndim == 2:
        return torch.stack([c, -s, s, c], dim=-1).view(-1, 2, 2)
    axis = torch.zeros(len(angle), 3, device=angle.device)
    axis[:, 0] = 1
    if not in_plane:
        axis = F.normalize(axis.normal_(generator=generator), dim=1)
    z, y, x = axis.unbind(1)
    zero = torch.zeros_like(z)
    cross = torch.stack([zero, -x, y, x, zero, -z, -y, z, zero], dim=-1).view(-1, 3, 3)
    c = c.view(-1, 1, 1)
    s = s.view(-1, 1, 1)
    outer = axis[:, :, None] * axis[:, None, :]
    return c * torch.eye(3, device=angle.device) + s * cross + (1 - c) * outer


def _splines(size: int, step: float, like: Tensor) -> Tensor:
    """Return the weights of cubic B-splines with knots every `step` voxels, (size, points)."""
    points = ceil((size - 1) / step) + 3
    position = torch.arange(size, device=like.device) / step + 1
    d = (position[:, None] - torch.arange(points, device=like.device)).abs()
    return torch.where(d < 1, 2 / 3 - d**2 + d**3 / 2, (2 - d).clamp(min=0) ** 3 / 6)


def _centred_positions(size: int, axis: int, ndim: int, like: Tensor) -> Tensor:
    """Return the positions of voxels relative to the centre of an axis, to be broadcast."""
    positions = torch.arange(size, device=like.device, dtype=torch.float32) - (size - 1) / 2
    return positions.view(*(-1 if a == axis else 1 for a in range(ndim)))


def _centre_offset(read: int, size: int) -> float:
    """Return the distance of the centre of the crop from the centre of the patch, in voxels."""
    return (read - size) // 2 + (size - 1) / 2 - (read - 1) / 2


def _centre(x: Tensor, shape: Shape) -> Tensor:
    """Crop the last axes to a shape, around their centre."""
    first = x.ndim - len(shape)
    for axis, n in enumerate(shape, start=first):
        x = x.narrow(axis, (x.shape[axis] - n) // 2, n)
    return x
