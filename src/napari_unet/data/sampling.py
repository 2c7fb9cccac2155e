"""Sampling of training patches around painted voxels, and of validation windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.image import ImageView
from napari_unet.data.normalisation import ImageNormalisations, Normalisation
from napari_unet.data.split import Split, split, whole_images
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region

IGNORED = -1
"""Class index of voxels that are ignored: not painted, held out, outside, or not finite."""

Shape = tuple[int, ...]


class AnnotatedImage(NamedTuple):
    """An image and its annotations.

    Parameters
    ----------
    view : ImageView
        The image, with the roles of its axes.
    store : AnnotationStore
        What is painted on it; it may change while it is learned from.
    """

    view: ImageView
    store: AnnotationStore


@dataclass(frozen=True, eq=False)
class PatchSample:
    """A patch of an image with its labels.

    Attributes
    ----------
    image : ndarray of float32, shape (channels, *read)
        Normalised.
    labels : ndarray of int64, shape read
        Index of the class, or -1 for ignored voxels: not painted, on the other side of the split,
        outside the image, or not finite.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.int64]


class PatchSampler:
    """Samples patches of annotated images.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        Images with as many channels as the normalisation, and their annotations.
    classes : tuple of int
        Label values in the order of the network's classes; other values are ignored.
    normalisation : Normalisation or ImageNormalisations
        Applied to the patches: one for all images, or of each its own.
    fraction : float
        Share of the painted cells that is held out for validation.
    seed : int
        Determines what is held out; draws have a random generator of their own.
    balance : float
        With 1 all classes are drawn equally often, with 0 in proportion to their painted voxels,
        in general to ``count ** (1 - balance)``.
    whole : bool
        Hold out whole images, about `fraction` of them and at least one, but none without which
        a class would have nothing to train with.

    Raises
    ------
    InputError
        If an image and its labels differ in shape, no voxel of the classes is painted, or no
        image can be held out as a whole.
    """

    def __init__(
        self,
        images: Sequence[AnnotatedImage],
        classes: tuple[int, ...],
        normalisation: Normalisation | ImageNormalisations,
        fraction: float = 1 / 6,
        seed: int = 0,
        *,
        balance: float = 1.0,
        whole: bool = False,
    ) -> None:
        self.images = list(images)
        self.classes = classes
        if isinstance(normalisation, Normalisation):
            normalisation = ImageNormalisations(normalisation)
        self.normalisations = normalisation
        self.balance = balance
        for image in self.images:
            _check_shapes(image)
        # With one seed, small images of one shape would hold out the same cells.
        self._seeds = [seed + 1_000_003 * i for i in range(len(self.images))]
        self._fractions = [fraction] * len(self.images)
        if whole and fraction:
            held = whole_images([p.store.snapshot().counts for p in self.images], fraction, seed)
            self._fractions = [1.0 if i in held else 0.0 for i in range(len(self.images))]
        self._splits: list[Split] = []
        self.refresh()
        if not self.train_count.any():
            raise InputError(
                "Nothing is painted",
                expected=f"strokes with the labels {', '.join(map(str, classes))}",
                todo="Paint a few strokes of each class",
            )

    @property
    def train_count(self) -> NDArray[np.int64]:
        """Number of painted training voxels per class, shape (classes,)."""
        total: NDArray[np.int64] = self._counts.sum(axis=0)
        return total

    @property
    def val_count(self) -> NDArray[np.int64]:
        """Number of painted voxels per class that are held out, shape (classes,)."""
        counts = [[s.val_count.get(v, 0) for v in self.classes] for s in self._splits]
        total: NDArray[np.int64] = np.array(counts, np.int64).sum(axis=0)
        return total

    @property
    def splits(self) -> Sequence[Split]:
        """The split into training and validation, one per image."""
        return tuple(self._splits)

    def refresh(self) -> bool:
        """Update the splits from the annotations; return whether these have changed."""
        old: Sequence[Split | None] = self._splits or [None] * len(self.images)
        new = [
            split(image.store, fraction, seed, previous=before)
            for image, fraction, seed, before in zip(
                self.images, self._fractions, self._seeds, old, strict=True
            )
        ]
        changed = any(a is not b for a, b in zip(old, new, strict=True))
        self._splits = new
        counts = [[s.train_count.get(v, 0) for v in self.classes] for s in new]
        self._counts = np.array(counts, np.int64).reshape(len(new), len(self.classes))
        return changed

    def draw(
        self, read_shape: Shape, rng: np.random.Generator, output_shape: Shape | None = None
    ) -> PatchSample:
        """Draw a patch around a random painted training voxel.

        The class is drawn first, then a voxel of it, then a patch such that the voxel lies at a
        random position in its central part, the output of the network. That part lies inside the
        image if the image is large enough; the rest is mirrored beyond the border.

        Parameters
        ----------
        read_shape : tuple of int
            Shape of the patch, in voxels.
        rng : numpy.random.Generator
            Source of all draws.
        output_shape : tuple of int, optional
            Shape of the central part, in voxels; by default that of the patch.

        Returns
        -------
        PatchSample
            Held-out voxels have the label -1.

        Raises
        ------
        InputError
            If no painted training voxel is left.
        """
        image_index, voxel = self._draw_voxel(rng)
        image = self.images[image_index]
        output_shape = output_shape or read_shape
        loops = len(image.view.loop_shape)
        start = [
            _draw_start(v, c, n, rng) - (r - c) // 2
            for v, c, n, r in zip(
                voxel[loops:], output_shape, image.view.spatial_shape, read_shape, strict=True
            )
        ]
        region = Region.of(start, read_shape)
        return self._sample(image_index, voxel[:loops], region, held_out=False)

    def windows(
        self, read_shape: Shape, output_shape: Shape, limit: int = 16, *, held_out: bool = True
    ) -> Iterator[PatchSample]:
        """Yield patches that cover the held-out voxels, or the training voxels.

        They are the same for the same annotations. Their central parts lie on a grid, so that no
        voxel counts twice; it is aligned with the cells of the split if the central part is at
        least as large as a cell. If there are more than `limit`, those with the largest shares
        of the classes' voxels are taken.

        Parameters
        ----------
        read_shape, output_shape : tuple of int
            As for :meth:`draw`.
        limit : int
            Greatest number of patches.
        held_out : bool
            Whether held-out voxels are covered, and not training voxels.

        Yields
        ------
        PatchSample
            Voxels of the other side have the label -1.
        """
        windows: dict[tuple[int, Shape, Shape], float] = {}
        for image_index, coords, share in self._voxels(held_out):
            loops = len(self.images[image_index].view.loop_shape)
            step = _grid_step(output_shape, self._splits[image_index].cell[loops:])
            coords[:, loops:] //= np.array(step)
            cells, counts = np.unique(coords, axis=0, return_counts=True)
            for cell, count in zip(cells.tolist(), counts.tolist(), strict=True):
                key = (image_index, tuple(cell[:loops]), tuple(cell[loops:]))
                windows[key] = windows.get(key, 0.0) + share * count
        best = sorted(windows, key=lambda key: (-windows[key], key))[:limit]
        for image_index, loop, cell in sorted(best):
            yield self._window(image_index, loop, cell, read_shape, output_shape, held_out)

    def _draw_voxel(self, rng: np.random.Generator) -> tuple[int, Shape]:
        """Draw image index and coordinates of a painted training voxel."""
        counts = self._counts
        total = counts.sum(axis=0)
        if not total.any():
            raise InputError("All strokes were removed", todo="Paint a few strokes")
        weight = np.where(total > 0, total ** (1.0 - self.balance), 0.0)
        c = int(rng.choice(len(weight), p=weight / weight.sum()))
        image_index = int(rng.choice(len(counts), p=counts[:, c] / total[c]))
        coords = self._splits[image_index].train_index[self.classes[c]]
        return image_index, tuple(int(i) for i in coords[rng.integers(len(coords))])

    def _sample(
        self, image_index: int, loop: Shape, region: Region, *, held_out: bool
    ) -> PatchSample:
        image = self.images[image_index]
        raw = image.view.read_raw(loop, region)
        labels_region = Region.of(loop + region.start, (1,) * len(loop) + region.shape)
        labels = class_index(
            image.store.read(labels_region), self.classes, image.store.zero_is_class
        )
        held = self._splits[image_index].validation_mask(labels_region)
        labels[held != held_out] = IGNORED
        labels = labels.reshape(region.shape)
        outside = np.ones(region.shape, bool)
        inside = region.intersect(Region.whole(image.view.spatial_shape))
        outside[inside.within(region).slices] = False
        labels[outside] = IGNORED
        if raw.dtype.kind == "f":
            labels[~np.isfinite(raw).all(axis=0)] = IGNORED
        return PatchSample(self.normalisations.of(image.view, loop).apply(raw), labels)

    def _voxels(self, held_out: bool) -> Iterator[tuple[int, NDArray[np.int32], float]]:
        """Yield image index, coordinates and weight of a voxel, for each class of each image.

        The weight is the share of the class's voxels that one indexed voxel stands for.
        """
        totals = (self.val_count if held_out else self.train_count).tolist()
        for image_index, part in enumerate(self._splits):
            indices = part.val_index if held_out else part.train_index
            counts = part.val_count if held_out else part.train_count
            for value, total in zip(self.classes, totals, strict=True):
                coords = indices.get(value)
                if coords is not None and len(coords):
                    yield image_index, coords.copy(), counts[value] / len(coords) / max(total, 1)

    def _window(
        self,
        image_index: int,
        loop: Shape,
        cell: Shape,
        read_shape: Shape,
        output_shape: Shape,
        held_out: bool,
    ) -> PatchSample:
        step = _grid_step(output_shape, self._splits[image_index].cell[len(loop) :])
        start = tuple(i * s for i, s in zip(cell, step, strict=True))
        counted = Region.of(start, step)
        first = tuple(
            a - (c - s) // 2 - (r - c) // 2
            for a, s, c, r in zip(start, step, output_shape, read_shape, strict=True)
        )
        window = Region.of(first, read_shape)
        sample = self._sample(image_index, loop, window, held_out=held_out)
        labels = np.full_like(sample.labels, IGNORED)
        inside = counted.within(window).slices
        labels[inside] = sample.labels[inside]
        return PatchSample(sample.image, labels)


def class_index(
    labels: NDArray[Any], classes: tuple[int, ...], zero_is_class: bool = False
) -> NDArray[np.int64]:
    """Return the index of each label's class, -1 for labels of no class.

    Parameters
    ----------
    labels : ndarray of int
        Label values.
    classes : tuple of int
        Label values in the order of the classes.
    zero_is_class : bool
        Whether 0 may be a class; otherwise it is ignored, even if it is in `classes`.

    Examples
    --------
    >>> class_index(np.array([0, 7, 3, 4]), (7, 3))
    array([-1,  0,  1, -1])
    """
    order = np.argsort(classes)
    values = np.asarray(classes)[order]
    # Only painted voxels are looked up, because most are not painted.
    painted = np.ones(labels.shape, bool) if zero_is_class else labels != 0
    wanted = labels[painted]
    position = np.searchsorted(values, wanted).clip(max=len(classes) - 1)
    index = np.full(labels.shape, IGNORED, np.int64)
    index[painted] = np.where(values[position] == wanted, order[position], IGNORED)
    return index


def _draw_start(voxel: int, length: int, size: int, rng: np.random.Generator) -> int:
    """Draw the start of an interval that contains the voxel, inside the image if it fits."""
    low = voxel - length + 1
    high = voxel
    if length <= size:
        low = max(low, 0)
        high = min(high, size - length)
    return int(rng.integers(low, high + 1))


def _grid_step(output_shape: Shape, cell: Shape) -> Shape:
    """Return the largest multiple of the cell that fits, else the output shape itself."""
    return tuple(c // n * n or c for c, n in zip(output_shape, cell, strict=True))


def _check_shapes(image: AnnotatedImage) -> None:
    shape = image.view.loop_shape + image.view.spatial_shape
    if image.store.shape != shape:
        raise InputError(
            "The labels do not fit the image",
            got=f"labels of shape {image.store.shape}",
            expected=f"{shape}",
            todo="Choose the labels that were painted on this image",
        )
