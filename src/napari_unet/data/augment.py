"""Random changes of training patches, a whole batch at a time, in torch."""

from __future__ import annotations

from collections.abc import Sequence
from math import atan2, ceil, cos, hypot, radians, sin

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_unet.data.augment_options import AugmentOptions, Change, largest_margin
from napari_unet.errors import InputError


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


__all__ = ["AugmentOptions", "Augmenter"]

Shape = tuple[int, ...]

#: Distance of the points that elastic deformations move, in voxels of the finest axis.
ELASTIC_STEP = 32
#: z is coarse, and rotations stay in the plane, from this ratio of the voxel sizes on.
ANISOTROPIC = 1.5


class Augmenter:
    """Flip, rotate, scale, shift, deform, and change contrast, brightness, sharpness and noise.

    All of the geometry is one coordinate map and one resampling. It is built in physical units:
    with S = diag(spacing), a rotation R maps voxels by ``S^-1 R S``, so nothing is sheared where
    voxels are no cubes.

    Parameters
    ----------
    options : AugmentOptions
    ndim : int
        Spatial dimensions, 2 or 3.
    spacing : tuple of float
        Size of a voxel per axis, in any unit.
    seed : int
        The same seed and the same `step` give the same changes (on the same kind of device).

    Attributes
    ----------
    step : int
        Number of batches so far; set it to go on where an earlier run stopped.

    Raises
    ------
    InputError
        Where `spacing` is not `ndim` positive numbers.
    """

    def __init__(
        self, options: AugmentOptions, ndim: int, spacing: tuple[float, ...], seed: int = 0
    ) -> None:
        if len(spacing) != ndim or not all(s > 0 for s in spacing):
            raise InputError(
                "These are no voxel sizes", got=spacing, expected=f"{ndim} positive numbers"
            )
        self.options = options.made()
        self.ndim = ndim
        self.spacing = spacing
        self.seed = seed
        self.step = 0
        self._in_plane = ndim == 2 or spacing[0] > ANISOTROPIC * min(spacing[1:])
        # Lengths given in voxels are meant along the finest axis.
        self._voxels = [min(spacing) / s for s in spacing]

    def margin(self, shape: Sequence[int]) -> Shape:
        """Return how many more voxels to read per axis, both sides together (an even number).

        With them, rotations and scaling need no mirrored pixels, up to a bound of 25 %.

        Parameters
        ----------
        shape : sequence of int
            Shape of what the network is to see, in voxels.
        """
        half = [n * s / 2 for n, s in zip(shape, self.spacing, strict=True)]
        return tuple(self._axis_margin(axis, shape[axis], half) for axis in range(self.ndim))

    def read_shape(self, in_shape: Sequence[int]) -> Shape:
        """Return the shape to read so that `in_shape` is left: `in_shape` plus the margin."""
        return tuple(n + m for n, m in zip(in_shape, self.margin(in_shape), strict=True))

    @torch.no_grad()
    def __call__(
        self, image: Tensor, labels: Tensor, in_shape: Shape, out_shape: Shape
    ) -> tuple[Tensor, Tensor]:
        """Change a batch at random and cut out its centre.

        Parameters
        ----------
        image : Tensor of float32, shape (batch, channels, *read)
            Normalised.
        labels : Tensor of int64, shape (batch, *read)
            Class indices, -1 where a voxel does not count.
        in_shape, out_shape : tuple of int
            What the network sees and what it puts out, in voxels; ``read >= in >= out``.

        Returns
        -------
        image : Tensor of float32, shape (batch, channels, *in_shape)
        labels : Tensor of int64, shape (batch, *out_shape)
            -1 also where the voxel came from outside of what was read.
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
        reach = (half[axis] * cos(angle) + across * sin(angle)) / self.spacing[axis]
        reach = reach * (1 + o.scale) + (o.elastic + o.jitter) * self._voxels[axis]
        wanted = 2 * ceil(reach - size / 2 - 1e-6)
        return min(wanted, largest_margin(size))

    def _grid(self, image: Tensor, in_shape: Shape, generator: torch.Generator) -> Tensor:
        """Return where to sample, shape (batch, *in_shape, ndim), as grid_sample wants it."""
        batch, read, column = len(image), image.shape[2:], (-1, *(1,) * self.ndim)
        # In units of grid_sample: -1 and 1 are the centres of the first and last voxel.
        unit = torch.tensor([2 / max(n - 1, 1) for n in read], device=image.device)
        matrix = self._matrices(batch, generator) * unit[:, None]
        where = torch.zeros(batch, self.ndim, *in_shape, device=image.device)
        if self.options.elastic:
            where = self._elastic(batch, in_shape, unit, generator)
        if self.options.jitter:
            where = where + self._jitter(batch, unit, generator).view(batch, -1, *column[1:])
        for a in range(self.ndim):
            along = where[:, -1 - a]  # grid_sample wants x first
            along += _odd(read[a], in_shape[a]) * unit[a]
            for b, n in enumerate(in_shape):
                along += matrix[:, a, b].view(column) * _ticks(n, b, self.ndim, unit)
        return where.movedim(1, -1)

    def _matrices(self, batch: int, generator: torch.Generator) -> Tensor:
        """Return what maps voxels of the output to voxels of the input, (batch, ndim, ndim)."""
        o, ndim, device = self.options, self.ndim, generator.device
        angle = self._signed("rotate_degrees", batch, generator) * radians(o.rotate_degrees)
        turn = _rotations(angle, generator, ndim, self._in_plane)
        spacing = torch.tensor(self.spacing, dtype=torch.float32, device=device)
        matrix = turn * spacing / spacing[:, None]
        zoom = (1 + o.scale) ** self._signed("scale", batch, generator)
        matrix = matrix * zoom.view(-1, 1, 1)
        if o.flip:
            sign = torch.randint(0, 2, (batch, 1, ndim), generator=generator, device=device)
            matrix = matrix * (1 - 2 * sign * self._chosen("flip", batch, generator).view(-1, 1, 1))
        return matrix

    def _jitter(self, batch: int, unit: Tensor, generator: torch.Generator) -> Tensor:
        """Return random shifts as grid_sample wants them, (batch, ndim), x first."""
        drawn = torch.rand(batch, self.ndim, generator=generator, device=unit.device)
        moved = (2 * drawn - 1) * self._chosen("jitter", batch, generator).view(-1, 1)
        largest = self.options.jitter * unit * unit.new_tensor(self._voxels)
        return moved * largest.flip(0)

    def _elastic(
        self, batch: int, in_shape: Shape, unit: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return smooth random displacements as grid_sample wants them, (batch, ndim, *in_shape).

        Cubic B-splines between points on a coarse grid, as in the free-form deformations of
        Rueckert et al. 1999, doi:10.1109/42.796284.
        """
        steps = [ELASTIC_STEP * v for v in self._voxels]
        splines = [_splines(n, h, unit) for n, h in zip(in_shape, steps, strict=True)]
        shape = (batch, self.ndim, *(w.shape[1] for w in splines))
        moved = 2 * torch.rand(shape, generator=generator, device=unit.device) - 1
        largest = self.options.elastic * unit * unit.new_tensor(self._voxels)
        moved = moved * largest.flip(0).view(-1, *(1,) * self.ndim)
        moved = moved * self._chosen("elastic", batch, generator).view(-1, *(1,) * (self.ndim + 1))
        for weights in splines:
            # The first spatial axis is interpolated and goes last, so each gets its turn.
            moved = torch.tensordot(moved, weights, dims=([2], [1]))
        return moved

    def _change_pixels(self, image: Tensor, generator: torch.Generator) -> Tensor:
        o, batch, column = self.options, len(image), (-1, *(1,) * (self.ndim + 1))
        if o.intensity:
            contrast = (1 + o.intensity) ** self._signed("intensity", batch, generator)
            image = image * contrast.view(column)
        if o.brightness:
            more = self._signed("brightness", batch, generator) * o.brightness
            image = image + more.view(column)
        if o.gamma:
            much = self._signed("gamma", batch, generator)
            bent = bend(image, (1 + o.gamma) ** much)
            image = torch.where(much.view(column) == 0, image, bent)
        if o.blur:
            image = self._blur(image, self._signed("blur", batch, generator).abs() * o.blur)
        if o.noise:
            sd = (self._signed("noise", batch, generator).abs() * o.noise).view(column)
            noise = torch.empty_like(image).normal_(generator=generator)
            image = torch.addcmul(image, noise, sd)
        return image

    def _blur(self, image: Tensor, sigma: Tensor) -> Tensor:
        """Blur each picture of the batch with its own Gaussian, axis by axis."""
        for axis, voxels in enumerate(self._voxels):
            radius = min(ceil(2 * self.options.blur * voxels), image.shape[axis + 2] - 1)
            image = blur_axis(image, sigma * voxels, axis + 2, radius)
        return image

    def _signed(self, change: Change, batch: int, generator: torch.Generator) -> Tensor:
        """Return how much of a change each picture gets, from -1 to 1; 0 where it gets none."""
        drawn = 2 * torch.rand(batch, generator=generator, device=generator.device) - 1
        return drawn * self._chosen(change, batch, generator)

    def _chosen(self, change: Change, batch: int, generator: torch.Generator) -> Tensor:
        """Return 1 for each picture that gets a change, 0 for the others.

        Nothing is drawn where all get it: then each seed gives what it gave before there were
        chances.
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
    # Shifted by one, the zeros that grid_sample puts outside become -1.
    shifted = (labels + 1).to(grid.dtype).unsqueeze(1)
    found = F.grid_sample(shifted, inner, "nearest", "zeros", align_corners=True)
    return image, found.squeeze(1).long() - 1


def _rotations(angle: Tensor, generator: torch.Generator, ndim: int, in_plane: bool) -> Tensor:
    """Return rotation matrices (batch, ndim, ndim) by these angles, in radians.

    In 3D they turn about z or else about a random axis (Rodrigues' formula).
    """
    c, s = torch.cos(angle), torch.sin(angle)
    if ndim == 2:
        return torch.stack([c, -s, s, c], dim=-1).view(-1, 2, 2)
    axis = torch.zeros(len(angle), 3, device=angle.device)
    axis[:, 0] = 1
    if not in_plane:
        axis = F.normalize(axis.normal_(generator=generator), dim=1)
    z, y, x = axis.unbind(1)
    zero = torch.zeros_like(z)
    cross = torch.stack([zero, -x, y, x, zero, -z, -y, z, zero], dim=-1).view(-1, 3, 3)
    c, s = c.view(-1, 1, 1), s.view(-1, 1, 1)
    outer = axis[:, :, None] * axis[:, None, :]
    return c * torch.eye(3, device=angle.device) + s * cross + (1 - c) * outer


def _splines(size: int, step: float, like: Tensor) -> Tensor:
    """Return the weights of cubic B-splines with knots every `step` voxels, (size, points)."""
    points = ceil((size - 1) / step) + 3
    place = torch.arange(size, device=like.device) / step + 1
    d = (place[:, None] - torch.arange(points, device=like.device)).abs()
    return torch.where(d < 1, 2 / 3 - d**2 + d**3 / 2, (2 - d).clamp(min=0) ** 3 / 6)


def _ticks(size: int, axis: int, ndim: int, like: Tensor) -> Tensor:
    """Return the voxels of an axis counted from its centre, ready to broadcast."""
    ticks = torch.arange(size, device=like.device, dtype=torch.float32) - (size - 1) / 2
    return ticks.view(*(-1 if a == axis else 1 for a in range(ndim)))


def _odd(read: int, size: int) -> float:
    """Return how far the centre of the cut lies from the centre of what was read."""
    return (read - size) // 2 + (size - 1) / 2 - (read - 1) / 2


def _centre(x: Tensor, shape: Shape) -> Tensor:
    first = x.ndim - len(shape)
    for axis, n in enumerate(shape, start=first):
        x = x.narrow(axis, (x.shape[axis] - n) // 2, n)
    return x
