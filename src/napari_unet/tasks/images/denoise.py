"""Denoise: learn from noisy images alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from napari_unet.data.image import ImageView
from napari_unet.data.masking import choose_hidden, hide
from napari_unet.data.normalisation import Normalisation, fit_normalisation
from napari_unet.data.split import held_out
from napari_unet.geometry.region import Region
from napari_unet.model import InputSpec
from napari_unet.tasks.images.dataset import PatchLocation, TrainingExample, inside, middle
from napari_unet.tasks.images.losses import image_loss
from napari_unet.tasks.images.noise_analysis import NoiseChoice, choose_method, reach
from napari_unet.tasks.images.options import DenoiseOptions
from napari_unet.tasks.images.residual import learns_residual, middle_plane

CELL = 8
"""Side of the squares that are held out where whole planes are the target."""


@dataclass(frozen=True, eq=False)
class DenoiseDataset:
    """Noisy images, each its own teacher.

    Parameters
    ----------
    views : sequence of ImageView
        The images, as the network reads them.
    normalisation : Normalisation
        For all of a view's channels.
    target : Normalisation
        For the channels of one plane.
    choice : NoiseChoice
        How.
    options : DenoiseOptions
        What is set.
    noise : tuple of float
        Its variance, where the result is filtered by it, see `InputSpec`; else empty.
    adds : bool
        Whether the network says what to add to the noisy image.
    """

    views: Sequence[ImageView]
    normalisation: Normalisation
    target: Normalisation
    choice: NoiseChoice
    options: DenoiseOptions
    noise: tuple[float, ...]
    adds: bool
    task: str = "denoise"

    @classmethod
    def of(
        cls, views: Sequence[ImageView], options: DenoiseOptions, adds: bool | None
    ) -> DenoiseDataset:
        """Measure one of some images, that with the fewest planes, and choose.

        Parameters
        ----------
        views : sequence of ImageView
            The images, one plane at a time.
        options : DenoiseOptions
            What is set.
        adds : bool, optional
            Whether the network says what to add to the noisy image; None: where that is better.
            One with blind spots never does, for it does not look at it.

        Raises
        ------
        InputError
            Where the images do not allow what is set, or are constant.
        """
        choice = choose_method(min(views, key=lambda v: v.loop_shape[-1:]), options, options.seed)
        kind = options.normalise if options.normalise != "auto" else "mean_sd"
        noise: tuple[tuple[float, float], ...] = ()
        if choice.photon and choice.noise:
            kind, noise = "photon", tuple((m.gain, m.offset_variance) for m in choice.noise)
        target, _ = fit_normalisation(
            views, "mean_sd" if kind == "photon" and not noise else kind, noise=noise
        )
        # Where blind spots never look at a pixel, and all that is known of its noise holds.
        filters = choice.method == "blind_spot" and choice.white and options.own_share == "auto"
        variances = _noise_variances(choice, views, target) if filters and choice.noise else ()
        together = [replace(view, context_planes=choice.planes) for view in views]
        if adds is None:
            adds = _is_better_added(choice, views, target)
        adds = adds and choice.method == "neighbours"
        source = target.repeat(choice.planes)
        return cls(together, source, target, choice, options, variances, adds)

    @property
    def input_spec(self) -> InputSpec:
        """How an image is read."""
        share, view = self.options.own_share, self.views[0]
        own = 0.0 if share == "auto" else share
        return InputSpec(
            self.choice.planes,
            view.periodic_axes,
            blend=own,
            border=view.border,
            noise=self.noise,
            residual="mean" if self.adds else "",
        )

    has_truth = False

    def notes(self) -> Iterator[str]:
        """Say what was chosen, and why."""
        yield self.choice.why

    def warnings(self) -> Iterator[str]:
        """Say what the user should know."""
        yield from self.choice.caution

    def missing(self, image: int) -> None:
        """Nothing is missing."""

    def example(
        self, place: PatchLocation, random: np.random.Generator, validation: bool
    ) -> TrainingExample:
        """Return an example."""
        if self.choice.method == "neighbours":
            return self._from_neighbour(place, random, validation)
        return self._from_surroundings(place, random, validation)

    def _from_surroundings(
        self, place: PatchLocation, random: np.random.Generator, validation: bool
    ) -> TrainingExample:
        view, o = self.views[place.image], self.options
        raw = view.read_raw(place.loop, place.read)
        inputs = self.normalisation.apply(raw)
        line = self._line
        # Of lines, which are hidden as a whole, those are held out that begin with such a voxel.
        heads = place.read if line is None else _flattened(place.read, line)
        judged = np.broadcast_to(held_out(place.loop, heads, place.held, o.seed), place.read.shape)
        chance = choose_hidden(place.read.shape, o.hidden, random, line)
        # Of an image that is held out as a whole, only some pixels can be hidden at a time.
        held = chance if place.held == 1 else judged
        hidden = held if validation else chance & ~judged
        own = inputs[view.centre_channels]
        targets = middle(own, place.core.shape)
        seen = inputs.copy()
        seen[view.centre_channels] = hide(own, hidden, random, o.replacement, line)
        counts = middle(hidden, place.core.shape) & inside(place, view.spatial_shape)
        finite = middle(np.isfinite(raw[view.centre_channels]), place.core.shape)
        return TrainingExample(seen, targets, (counts & finite).astype(np.float32))

    @property
    def _line(self) -> int | None:
        """The spatial axis along which the noise is alike, if it is."""
        ndim = len(self.views[0].spatial_shape)
        return {"lines_y": ndim - 2, "lines_x": ndim - 1}.get(self.choice.method)

    def _from_neighbour(
        self, place: PatchLocation, random: np.random.Generator, validation: bool
    ) -> TrainingExample:
        view, o = self.views[place.image], self.options
        inputs = self.normalisation.apply(view.read_raw(place.loop, place.read))
        # What is seen cannot be learned from: its noise is known.
        away, plane = reach(self.choice.planes), place.loop[-1]
        there = [p for p in (plane - away, plane + away) if 0 <= p < view.loop_shape[-1]]
        beside = (*place.loop[:-1], there[int(random.integers(len(there)))])
        raw = view.read_raw(beside, place.core)[view.centre_channels]
        # The same places in all planes: the neighbour shows what was held out.
        judged = held_out((), place.core, place.held, o.seed, CELL)
        counts = (judged if validation else ~judged) & inside(place, view.spatial_shape)
        weights = (counts & np.isfinite(raw)).astype(np.float32)
        return TrainingExample(inputs, self.target.apply(raw), weights)

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return the mean squared difference: its least value is the mean of what can be."""
        return image_loss({"l2": 1.0}, outputs, targets, weights)

    def facts(self) -> dict[str, Any]:
        """Return what was measured and chosen."""
        return {
            "method": self.choice.method,
            "why": self.choice.why,
            "measured": self.choice.measured,
        }


def _flattened(region: Region, axis: int) -> Region:
    """Return a region's first voxels along an axis, wherever it begins."""
    start, stop = list(region.start), list(region.stop)
    start[axis], stop[axis] = 0, 1
    return Region(tuple(start), tuple(stop))


def _is_better_added(
    choice: NoiseChoice, views: Sequence[ImageView], target: Normalisation
) -> bool:
    """Tell whether planes are so near to those they are learned from that they are added to."""
    if choice.method != "neighbours":
        return False
    away, half = -reach(choice.planes), choice.planes // 2
    for view in views:
        planes = [target.apply(middle_plane(view, z)) for z in range(-half, half + 1)]
        beside = target.apply(middle_plane(view, away))
        noise = float(np.nanmean((planes[half] - beside) ** 2)) / 2
        if not learns_residual(np.mean(planes, 0), beside, noise):
            return False
    return True


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
