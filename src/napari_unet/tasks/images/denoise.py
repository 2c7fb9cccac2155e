"""Denoising: learn from noisy images alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.data.image import ImageView
from napari_unet.data.masking import choose_hidden, hide
from napari_unet.data.normalisation import Normalisation, fit_normalisation
from napari_unet.data.split import held_out
from napari_unet.geometry.region import Region
from napari_unet.model import InputSpec
from napari_unet.tasks.images.dataset import (
    ImageDataset,
    PatchLocation,
    TrainingExample,
    counted_voxels,
    in_image,
    middle,
)
from napari_unet.tasks.images.losses import image_loss
from napari_unet.tasks.images.noise_analysis import (
    NoiseChoice,
    choose_method,
    planes_without_values,
    reach,
    shows_something,
)
from napari_unet.tasks.images.options import DenoiseOptions
from napari_unet.tasks.images.residual import learns_residual, middle_plane

MAX_LISTED = 8
"""Number of planes that a warning names, at most."""


@dataclass(frozen=True, eq=False)
class DenoiseDataset(ImageDataset):
    """Noisy images, which are their own targets.

    Parameters
    ----------
    views : sequence of ImageView
        The images, as the network reads them.
    normalisation : Normalisation
        For all of a view's channels.
    target : Normalisation
        For the channels of one plane.
    choice : NoiseChoice
        The method.
    options : DenoiseOptions
        What is set.
    noise : tuple of float
        Variance per channel, for the Wiener filter of the result, see `InputSpec`; empty: none.
    residual : bool
        Whether the output is added to the mean of the planes that are read.
    """

    views: Sequence[ImageView]
    normalisation: Normalisation
    target: Normalisation
    choice: NoiseChoice
    options: DenoiseOptions
    noise: tuple[float, ...]
    residual: bool
    task: str = "denoise"
    has_truth = False

    @classmethod
    def of(
        cls, views: Sequence[ImageView], options: DenoiseOptions, residual: bool | None
    ) -> DenoiseDataset:
        """Analyse the noise of the image with the fewest planes, and choose a method.

        Parameters
        ----------
        views : sequence of ImageView
            The images, one plane at a time.
        options : DenoiseOptions
            What is set.
        residual : bool, optional
            Whether the output is added to the noisy planes; None: where that is better. With
            blind spots it never is, since the network does not see the pixel itself.

        Raises
        ------
        InputError
            Where the images do not allow what is set, or are constant.
        """
        choice = choose_method(min(views, key=lambda v: v.loop_shape[-1:]), options, options.seed)
        target = _fitted_target(choice, views, options)
        # A Wiener filter needs white noise, and a network that does not see the pixel itself.
        filters = choice.method == "blind_spot" and choice.white and options.own_share == "auto"
        variances = _noise_variances(choice, views, target) if filters and choice.noise else ()
        if residual is None:
            residual = _learns_residual(choice, views, target)
        return cls(
            [replace(view, context_planes=choice.planes) for view in views],
            target.repeat(choice.planes),
            target,
            choice,
            options,
            variances,
            residual and choice.method == "neighbours",
        )

    @property
    def input_spec(self) -> InputSpec:
        """How an image is read."""
        share = self.options.own_share
        view = self.views[0]
        return InputSpec(
            self.choice.planes,
            view.periodic_axes,
            blend=0.0 if share == "auto" else share,
            border=view.border,
            noise=self.noise,
            residual="mean" if self.residual else "",
        )

    def notes(self) -> Iterator[str]:
        """Yield which method was chosen, and why."""
        yield self.choice.why

    def warnings(self) -> Iterator[str]:
        """Yield what the user should know of the noise, and of planes that hold nothing."""
        yield from self.choice.caution
        for number, view in enumerate(self.views, start=1):
            if empty := planes_without_values(view):
                where = f" of image {number}" if len(self.views) > 1 else ""
                noun = "Planes" if len(empty) > 1 else "Plane"
                yield (
                    f"{noun} {_listed(empty)}{where} (counted from 0): no pixel is finite, all are "
                    "NaN or infinite. Nothing is learned from there, and the result there is a "
                    "guess."
                )

    def example(
        self, location: PatchLocation, random: np.random.Generator, validation: bool
    ) -> TrainingExample:
        """Return an example: the targets are hidden pixels, or those of a neighbouring plane.

        Parameters
        ----------
        location, random, validation
            As in `ImageDataset.example`.
        """
        if self.choice.method == "neighbours":
            return self._from_neighbour(location, random, validation)
        return self._from_surroundings(location, random, validation)

    def _from_surroundings(
        self, location: PatchLocation, random: np.random.Generator, validation: bool
    ) -> TrainingExample:
        view = self.views[location.image_index]
        output_shape = location.output_region.shape
        raw = view.read_raw(location.loop, location.input_region)
        inputs = self.normalisation.apply(raw)
        hidden = self._hidden(location, random, validation)
        centre = inputs[view.centre_channels]
        masked = inputs.copy()
        masked[view.centre_channels] = hide(
            centre, hidden, random, self.options.replacement, self._line
        )
        counts = middle(hidden, output_shape) & in_image(location, view.spatial_shape)
        finite = middle(np.isfinite(raw[view.centre_channels]), output_shape)
        weights = (counts & finite).astype(np.float32)
        return TrainingExample(masked, middle(centre, output_shape), weights)

    def _hidden(
        self, location: PatchLocation, random: np.random.Generator, validation: bool
    ) -> NDArray[np.bool_]:
        """Return which voxels of the input region are hidden, and so become targets."""
        region = location.input_region
        # A line, which is hidden as a whole, is held out where its first voxel is.
        first = region if self._line is None else _flattened(region, self._line)
        squares = held_out(location.loop, first, location.held_out, self.options.seed)
        held = np.broadcast_to(squares, region.shape)
        drawn = choose_hidden(region.shape, self.options.hidden, random, self._line)
        if not validation:
            return drawn & ~held
        # Of an image that is held out as a whole, only some pixels can be hidden at a time.
        return drawn if location.held_out == 1 else held

    @property
    def _line(self) -> int | None:
        """The spatial axis along which the noise is correlated, if it is."""
        ndim = len(self.views[0].spatial_shape)
        return {"lines_y": ndim - 2, "lines_x": ndim - 1}.get(self.choice.method)

    def _from_neighbour(
        self, location: PatchLocation, random: np.random.Generator, validation: bool
    ) -> TrainingExample:
        view = self.views[location.image_index]
        region = location.output_region
        inputs = self.normalisation.apply(view.read_raw(location.loop, location.input_region))
        # A plane that is read cannot be the target: the network would copy its noise.
        distance = reach(self.choice.planes)
        plane = location.loop[-1]
        neighbours = [
            p for p in (plane - distance, plane + distance) if 0 <= p < view.loop_shape[-1]
        ]
        neighbour = neighbours[int(random.integers(len(neighbours)))]
        raw = view.read_raw((*location.loop[:-1], neighbour), region)[view.centre_channels]
        # The same squares in all planes: the neighbour would show what is held out.
        counts = counted_voxels(location, (), view.spatial_shape, self.options.seed, validation)
        weights = (counts & np.isfinite(raw)).astype(np.float32)
        return TrainingExample(inputs, self.target.apply(raw), weights)

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return the mean squared error, which is least for the mean of all possible values.

        Parameters
        ----------
        outputs, targets, weights : Tensor
            As in `ImageDataset.loss`.
        """
        return image_loss({"l2": 1.0}, outputs, targets, weights)

    def facts(self) -> dict[str, Any]:
        """Return the method, the reason, and what was measured."""
        return {
            "method": self.choice.method,
            "why": self.choice.why,
            "measured": self.choice.measured,
        }


def _listed(indices: Sequence[str]) -> str:
    """Return the first indices of planes, each of several axes in brackets."""
    shown = [f"({index})" if "," in index else index for index in indices[:MAX_LISTED]]
    more = len(indices) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _flattened(region: Region, axis: int) -> Region:
    """Return a region's first voxels along an axis, wherever it begins."""
    start, stop = list(region.start), list(region.stop)
    start[axis], stop[axis] = 0, 1
    return Region(tuple(start), tuple(stop))


def _fitted_target(
    choice: NoiseChoice, views: Sequence[ImageView], options: DenoiseOptions
) -> Normalisation:
    """Return the normalisation of one plane, stabilised where the noise grows with brightness."""
    if choice.photon and choice.noise:
        noise = tuple((model.gain, model.offset_variance) for model in choice.noise)
        return fit_normalisation(views, "photon", noise=noise)[0]
    if options.normalise == "auto" or options.normalise == "photon":
        return fit_normalisation(views, "mean_sd")[0]
    return fit_normalisation(views, options.normalise)[0]


def _learns_residual(
    choice: NoiseChoice, views: Sequence[ImageView], target: Normalisation
) -> bool:
    """Tell whether planes are so near to their targets that the residual is learned."""
    if choice.method != "neighbours":
        return False
    away = -reach(choice.planes)
    half = choice.planes // 2
    for view in views:
        middle = _middle_offset(view, away, half)
        if middle is None:
            return False
        nearest_first = sorted(range(-half, half + 1), key=abs)
        planes = [middle_plane(view, middle + z) for z in nearest_first]
        first, *others = map(target.apply, filter(shows_something, planes))
        beside = target.apply(middle_plane(view, middle + away))
        noise = float(np.nanmean((first - beside) ** 2)) / 2
        if not learns_residual(np.mean([first, *others], 0), beside, noise):
            return False
    return True


def _middle_offset(view: ImageView, away: int, half: int) -> int | None:
    """Return the offset from the middle of the nearest plane that can be compared with another.

    Parameters
    ----------
    view : ImageView
        The image.
    away : int
        Offset of the other plane, before the first one; both must show something.
    half : int
        Number of planes behind the first one that are there, too.
    """
    size = view.loop_shape[-1]
    least, most = -away - size // 2, size - 1 - half - size // 2
    for offset in sorted(range(least, most + 1), key=abs):
        if all(shows_something(middle_plane(view, offset + z)) for z in (0, away)):
            return offset
    return None


def _noise_variances(
    choice: NoiseChoice, views: Sequence[ImageView], target: Normalisation
) -> tuple[float, ...]:
    """Return the variance of the noise per channel, in normalised units squared."""
    if target.noise:
        return tuple(1 / scale**2 for scale in target.scale)
    means = (target if target.kind == "mean_sd" else fit_normalisation(views, "mean_sd")[0]).offset
    return tuple(
        float(model.variance(mean)) / scale**2
        for model, mean, scale in zip(choice.noise, means, target.scale, strict=True)
    )
