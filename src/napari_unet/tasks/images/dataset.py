"""What a network whose result is an image learns from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.data.image import ImageView
from napari_unet.data.normalisation import Normalisation
from napari_unet.data.split import held_out
from napari_unet.geometry.region import Region
from napari_unet.model import InputSpec

HELD_OUT_SIDE = 8
"""Side in voxels of the squares that are held out where whole patches are targets."""


@dataclass(frozen=True, slots=True)
class PatchLocation:
    """Where an example lies.

    Parameters
    ----------
    image_index : int
        Index of the image.
    loop : tuple of int
        Index along the looped axes: which plane or volume of the image.
    input_region, output_region : Region
        What the network reads and what it predicts, over the spatial axes in voxels. Both may
        reach beyond the image.
    held_out : float
        Share of its voxels that are held out, from 0 to 1.
    """

    image_index: int
    loop: tuple[int, ...]
    input_region: Region
    output_region: Region
    held_out: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class TrainingExample:
    """An example, normalised.

    Parameters
    ----------
    inputs : ndarray of float32, shape (channels, *input_shape)
        What the network reads.
    targets, weights : ndarray of float32, shape (channels, *output_shape)
        What it should predict, and where that counts in the loss; 0: not at all.
    """

    inputs: NDArray[np.float32]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]


class ImageDataset(ABC):
    """Images, and how an example is made of a patch of them.

    Attributes
    ----------
    task : str
        "denoise", "restore" or "inpaint".
    views : sequence of ImageView
        The images that go into the network.
    normalisation : Normalisation
        Of the inputs, for all channels of a view.
    target : Normalisation
        Of the targets.
    has_truth : bool
        Whether the targets are free of noise, so that the PSNR against them means something.
    """

    task: str
    views: Sequence[ImageView]
    normalisation: Normalisation
    target: Normalisation
    has_truth = True

    @property
    @abstractmethod
    def input_spec(self) -> InputSpec:
        """How the network reads an image."""

    @abstractmethod
    def example(
        self, location: PatchLocation, random: np.random.Generator, validation: bool
    ) -> TrainingExample:
        """Return an example.

        Parameters
        ----------
        location : PatchLocation
            Where it lies.
        random : numpy.random.Generator
            Draws what is hidden.
        validation : bool
            Whether only what is held out has weight; otherwise only the rest has.
        """

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Parameters
        ----------
        outputs, targets, weights : Tensor
            (B, channels, *output_shape), normalised; the weights are 0 where nothing counts.
        """

    def notes(self) -> Iterator[str]:
        """Yield what was decided from the images, and why."""
        yield from ()

    def warnings(self) -> Iterator[str]:
        """Yield what the user should know."""
        yield from ()

    def missing(self, image_index: int) -> ImageView | None:  # noqa: ARG002 - by default none
        """Return the mask of an image's missing pixels; None where none can be missing."""
        return None

    def facts(self) -> dict[str, Any]:
        """Return what a model keeps of how it was made beside the options, as plain JSON."""
        return {}


def random_location(
    view: ImageView,
    image_index: int,
    random: np.random.Generator,
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    held_out: float = 0.0,
) -> PatchLocation:
    """Draw a patch of an image, all positions alike, with the output inside the image if it fits.

    Parameters
    ----------
    view : ImageView
        The image.
    image_index : int
        Its index.
    random : numpy.random.Generator
        Draws the position.
    input_shape, output_shape : sequence of int
        Spatial shapes of the network's input, and of its output, which lies in the middle of it.
    held_out : float
        Share of the voxels that are held out.
    """
    loop = tuple(int(random.integers(n)) for n in view.loop_shape)
    start = tuple(
        int(random.integers(max(1, whole - n + 1)))
        for n, whole in zip(output_shape, view.spatial_shape, strict=True)
    )
    margins = [(n - m) // 2 for n, m in zip(input_shape, output_shape, strict=True)]
    input_start = [a - margin for a, margin in zip(start, margins, strict=True)]
    return PatchLocation(
        image_index,
        loop,
        Region.of(input_start, input_shape),
        Region.of(start, output_shape),
        held_out,
    )


def in_image(location: PatchLocation, shape: Sequence[int]) -> NDArray[np.bool_]:
    """Tell which voxels of the output region lie in the image.

    Parameters
    ----------
    location : PatchLocation
        Where the patch lies.
    shape : sequence of int
        Spatial shape of the image, in voxels.

    Returns
    -------
    ndarray of bool, shape output_shape
    """
    whole = Region.whole(tuple(shape))
    mask = np.zeros(location.output_region.shape, bool)
    part = location.output_region.intersect(whole)
    if part.size:
        mask[part.within(location.output_region).slices] = True
    return mask


def counted_voxels(
    location: PatchLocation,
    loop: tuple[int, ...],
    shape: Sequence[int],
    seed: int,
    validation: bool,
) -> NDArray[np.bool_]:
    """Tell which voxels of the output region count: those held out, or those that are not.

    Parameters
    ----------
    location : PatchLocation
        Where the patch lies.
    loop : tuple of int
        Index of the plane; the same squares are held out wherever it is the same.
    shape : sequence of int
        Spatial shape of the image, in voxels.
    seed : int
        Decides which squares are held out.
    validation : bool
        Whether those held out count; otherwise the others do.

    Returns
    -------
    ndarray of bool, shape output_shape
    """
    held = held_out(loop, location.output_region, location.held_out, seed, HELD_OUT_SIDE)
    return (held if validation else ~held) & in_image(location, shape)


def middle(array: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """Return the middle of the last axes of an array.

    Parameters
    ----------
    array : ndarray
        Its last axes are cropped.
    shape : sequence of int
        Their sizes afterwards.
    """
    pairs = list(zip(array.shape[-len(shape) :], shape, strict=True))
    parts = tuple(slice((have - want) // 2, (have - want) // 2 + want) for have, want in pairs)
    found: NDArray[Any] = array[(slice(None),) * (array.ndim - len(shape)) + parts]
    return found
