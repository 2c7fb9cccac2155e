"""What a network whose result is an image learns from, and how it is judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.data.image import ImageView
from napari_unet.data.normalisation import Normalisation
from napari_unet.geometry.region import Region
from napari_unet.model import InputSpec


@dataclass(frozen=True, slots=True)
class PatchLocation:
    """Where an example comes from: which image and picture, what is read, what is learned.

    `held` is the share of it that is held out, 0 to 1.
    """

    image: int
    loop: tuple[int, ...]
    read: Region
    core: Region
    held: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class TrainingExample:
    """Inputs (channel, *read), and targets and weights (channel, *core), float32, normalised."""

    inputs: NDArray[np.float32]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]


class ImageDataset(Protocol):
    """What is learned, and from what."""

    @property
    def task(self) -> str:
        """The task's name."""

    @property
    def views(self) -> Sequence[ImageView]:
        """The images that go into the network."""

    @property
    def normalisation(self) -> Normalisation:
        """Of the images, for all of a view's channels."""

    @property
    def target(self) -> Normalisation:
        """Of what comes out."""

    @property
    def input_spec(self) -> InputSpec:
        """How an image is read."""

    @property
    def has_truth(self) -> bool:
        """Whether the targets are what the result should be, and not noisy themselves."""

    def notes(self) -> Iterator[str]:
        """Say what was decided, and why."""

    def warnings(self) -> Iterator[str]:
        """Say what the user should know."""

    def missing(self, image: int) -> ImageView | None:
        """Return which pixels of an image are missing, if that matters."""

    def example(
        self, place: PatchLocation, random: np.random.Generator, validation: bool
    ) -> TrainingExample:
        """Return an example; for validation only what is held out has weight, else the rest."""

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return the loss, a scalar."""

    def facts(self) -> dict[str, Any]:
        """Return what a model shall say of how it was made, as plain JSON."""


def location_at(
    view: ImageView,
    image: int,
    random: np.random.Generator,
    patch: Sequence[int],
    core: Sequence[int],
    held: float = 0.0,
) -> PatchLocation:
    """Choose a place at random: every voxel is as likely to be learned from as any other.

    Parameters
    ----------
    view : ImageView
        The image.
    image : int
        Its number.
    random : Generator
        Chooses.
    patch, core : sequence of int
        Spatial shapes of what is read, and of what is learned in the middle of it.
    held : float
        Share of its voxels that are held out.
    """
    loop = tuple(int(random.integers(n)) for n in view.loop_shape)
    start = tuple(
        int(random.integers(max(1, whole - n + 1)))
        for n, whole in zip(core, view.spatial_shape, strict=True)
    )
    before = tuple((p - c) // 2 for p, c in zip(patch, core, strict=True))
    return PatchLocation(
        image,
        loop,
        Region.of([a - b for a, b in zip(start, before, strict=True)], patch),
        Region.of(start, core),
        held,
    )


def inside(place: PatchLocation, shape: Sequence[int]) -> NDArray[np.bool_]:
    """Tell which voxels of the core lie in the image, and are not mirrored."""
    whole = Region.whole(tuple(shape))
    mask = np.zeros(place.core.shape, bool)
    part = place.core.intersect(whole)
    if part.size:
        mask[part.within(place.core).slices] = True
    return mask


def middle(array: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """Return the middle of the last axes of an array."""
    pairs = list(zip(array.shape[-len(shape) :], shape, strict=True))
    parts = tuple(slice((have - want) // 2, (have - want) // 2 + want) for have, want in pairs)
    found: NDArray[Any] = array[(slice(None),) * (array.ndim - len(shape)) + parts]
    return found
