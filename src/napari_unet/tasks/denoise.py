"""Denoise: learn from noisy images alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.data.blind_spots import choose_hidden, hide
from napari_unet.data.held_out import held_out
from napari_unet.data.image import ImageView
from napari_unet.data.normalisation import Normalisation, fit_normalisation
from napari_unet.geometry.region import Region, mirror
from napari_unet.model import Reading
from napari_unet.noise.poisson_gauss import NoiseModel
from napari_unet.tasks.image_losses import image_loss
from napari_unet.tasks.image_options import DenoiseOptions
from napari_unet.tasks.lesson import Example, Place, inside, middle
from napari_unet.tasks.noise_choice import NoiseChoice, choose

LEAST_NOISE = 1e-12
"""In normalised units squared; for what is filtered by it, none at all would be no number."""

CELL = 8
"""Side of the squares that are held out where whole planes are the target."""


@dataclass(frozen=True, eq=False)
class DenoiseLesson:
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
    """

    views: Sequence[ImageView]
    normalisation: Normalisation
    target: Normalisation
    choice: NoiseChoice
    options: DenoiseOptions
    task: str = "denoise"

    @classmethod
    def of(cls, views: Sequence[ImageView], options: DenoiseOptions) -> DenoiseLesson:
        """Measure the first of some images, and choose.

        Parameters
        ----------
        views : sequence of ImageView
            The images, one plane at a time.
        options : DenoiseOptions
            What is set.

        Raises
        ------
        InputError
            Where the images do not allow what is set, or are constant.
        """
        choice = choose(views[0], options, options.seed)
        kind = options.normalise if options.normalise != "auto" else "mean_sd"
        noise: tuple[tuple[float, float], ...] = ()
        if choice.photon and choice.noise:
            kind, noise = "photon", tuple((m.gain, m.offset_variance) for m in choice.noise)
        target, _ = fit_normalisation(
            views, "mean_sd" if kind == "photon" and not noise else kind, noise=noise
        )
        together = [replace(view, planes=choice.planes) for view in views]
        return cls(together, target.repeat(choice.planes), target, choice, options)

    @property
    def reading(self) -> Reading:
        """How an image is read."""
        share = self.options.own_share
        own = 0.0 if share == "auto" else share
        return Reading(self.choice.planes, self.views[0].wrap, own=own, border=self.views[0].border)

    @property
    def filters(self) -> bool:
        """Whether the result is filtered once more together with the pixels themselves."""
        choice, share = self.choice, self.options.own_share
        measured = choice.method == "blind_spot" and choice.white and bool(choice.noise)
        return measured and share == "auto"

    has_truth = False

    def notes(self) -> Iterator[str]:
        """Say what was chosen, and why."""
        yield self.choice.why

    def warnings(self) -> Iterator[str]:
        """Say what the user should know."""
        yield from self.choice.caution

    def missing(self, image: int) -> None:
        """Nothing is missing."""

    def example(self, place: Place, random: np.random.Generator, judge: bool) -> Example:
        """Return an example."""
        if self.choice.method == "neighbours":
            return self._from_neighbour(place, random, judge)
        return self._from_surroundings(place, random, judge)

    def _from_surroundings(self, place: Place, random: np.random.Generator, judge: bool) -> Example:
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
        hidden = held if judge else chance & ~judged
        own = inputs[view.own]
        targets = middle(own, place.core.shape)
        seen = inputs.copy()
        seen[view.own] = hide(own, hidden, random, o.replacement, line)
        counts = middle(hidden, place.core.shape) & inside(place, view.spatial_shape)
        finite = middle(np.isfinite(raw[view.own]), place.core.shape)
        return Example(seen, targets, (counts & finite).astype(np.float32))

    @property
    def _line(self) -> int | None:
        """The spatial axis along which the noise is alike, if it is."""
        ndim = len(self.views[0].spatial_shape)
        return {"lines_y": ndim - 2, "lines_x": ndim - 1}.get(self.choice.method)

    def _from_neighbour(self, place: Place, random: np.random.Generator, judge: bool) -> Example:
        view, o = self.views[place.image], self.options
        inputs = self.normalisation.apply(view.read_raw(place.loop, place.read))
        step = 1 if random.random() < 0.5 else -1
        beside = (*place.loop[:-1], mirror(place.loop[-1] + step, view.loop_shape[-1]))
        raw = view.read_raw(beside, place.core)[view.own]
        # The same places in all planes: the neighbour shows what was held out.
        judged = held_out((), place.core, place.held, o.seed, CELL)
        counts = (judged if judge else ~judged) & inside(place, view.spatial_shape)
        weights = (counts & np.isfinite(raw)).astype(np.float32)
        return Example(inputs, self.target.apply(raw), weights)

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return the mean squared difference: its least value is the mean of what can be."""
        return image_loss({"l2": 1.0}, outputs, targets, weights)

    def noise_of(self, outputs: NDArray[np.float32]) -> tuple[float, ...]:
        """Return the variance of the noise per channel, in normalised units squared."""
        models = zip(self.choice.noise, outputs, strict=True)
        return tuple(
            _noise_variance(model, self.target, c, values)
            for c, (model, values) in enumerate(models)
        )

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


def _noise_variance(
    model: NoiseModel, target: Normalisation, channel: int, values: NDArray[np.float32]
) -> float:
    """Return the variance of the noise, in normalised units squared."""
    scale = target.scale[channel]
    if target.noise:
        return 1 / scale**2
    signal = values.astype(np.float64) * scale + target.offset[channel]
    return max(float(np.mean(model.variance(signal))) / scale**2, LEAST_NOISE)
