"""Labels from stored probabilities, without a new prediction."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.control import Control
from napari_unet.errors import InputError
from napari_unet.postprocessing.objects import (
    Mask,
    Regions,
    drop_small,
    fill_holes,
    find_regions,
    merge_small,
    split_objects,
)
from napari_unet.postprocessing.options import RefineOptions
from napari_unet.postprocessing.quantised import FULL


@dataclass(frozen=True)
class PartRefined:
    """One plane or volume of a stack has been refined."""

    done: int
    parts: int


@dataclass(frozen=True, eq=False)
class Refined:
    """The result: `labels` has the shape of one class; `complete` is False if it was stopped."""

    labels: NDArray[Any]
    complete: bool


def refine(
    probabilities: Any,
    options: RefineOptions | None = None,
    *,
    values: Sequence[int] | None = None,
    spacing: Sequence[float] | None = None,
    spatial_ndim: int | None = None,
) -> NDArray[Any]:
    """Make labels from probabilities.

    If `options` name an object class, it gets the voxels whose probability reaches the threshold;
    then its holes are filled, and its small objects removed. The other voxels get the most
    probable other class. Without an object class each voxel gets the most probable class, and
    regions that are too small are merged into their neighbours. Objects are connected over faces.

    Parameters
    ----------
    probabilities : array of float or uint8, shape (class, ..., y, x) or (class, ..., z, y, x)
        From 0 to 1, or bytes from 0 to 255 (`QuantisedProbabilities.array`).
    options : RefineOptions, optional
        How labels are made.
    values : sequence of int, optional
        Label value of each class; by default 1, 2, …
    spacing : sequence of float, optional
        Distance of voxels per spatial axis; by default 1 for all.
    spatial_ndim : {2, 3}, optional
        Number of spatial axes, which are the last ones; along the others each part is refined on
        its own. By default all axes, at most three. With `RefineOptions.through_planes` it is 3
        if there are enough axes.

    Returns
    -------
    ndarray of int
        Shape of one class, of the smallest unsigned type that holds the labels. Objects are
        numbered 1, 2, … throughout, and 0 is the background: regions of the object class, or
        without one, of each class whose label is not 0.

    Raises
    ------
    InputError
        If shapes, types and classes do not fit.

    Examples
    --------
    >>> cells = np.array([[[0.9, 0.6, 0.1, 0.7]] * 2, [[0.1, 0.4, 0.9, 0.3]] * 2])
    >>> refine(cells)
    array([[1, 1, 2, 1],
           [1, 1, 2, 1]], dtype=uint8)
    >>> refine(cells, RefineOptions(object_class=1, output="objects", threshold=0.7))
    array([[1, 0, 0, 2],
           [1, 0, 0, 2]], dtype=uint8)
    """
    events = refine_events(
        probabilities, options, values=values, spacing=spacing, spatial_ndim=spatial_ndim
    )
    *_, last = events
    assert isinstance(last, Refined)
    return last.labels


def refine_events(
    probabilities: Any,
    options: RefineOptions | None = None,
    *,
    values: Sequence[int] | None = None,
    spacing: Sequence[float] | None = None,
    spatial_ndim: int | None = None,
    control: Control | None = None,
) -> Iterator[PartRefined | Refined]:
    """Make labels from probabilities, part by part; see `refine`.

    Parameters
    ----------
    probabilities, options, values, spacing, spatial_ndim
        As for `refine`.
    control : Control, optional
        Stops it between parts; the labels of the remaining parts are 0.

    Yields
    ------
    PartRefined or Refined
        `PartRefined` for each index along the other axes, `Refined` at the end.

    Raises
    ------
    InputError
        If shapes, types and classes do not fit.
    """
    options = options or RefineOptions()
    control = control or Control()
    ndim = _spatial_ndim(probabilities, spatial_ndim, options)
    refiner = _Refiner.of(probabilities, options, values, spacing, ndim)
    shape = tuple(int(n) for n in probabilities.shape[1:])
    loops = shape[: len(shape) - ndim]
    labels = np.zeros(shape, np.int32)
    parts = math.prod(loops)
    total = 0
    done = 0
    for index in np.ndindex(*loops):
        if control.stopped:
            break
        given = np.asarray(probabilities[(slice(None), *index)])
        part, number = refiner.refine(given)
        part[~given.any(0)] = 0  # nothing was predicted there
        labels[index] = np.where(part > 0, part + total, 0) if total else part
        total += number
        done += 1
        yield PartRefined(done, parts)
    largest = total if options.output == "objects" else max(refiner.values)
    yield Refined(labels.astype(np.min_scalar_type(largest)), done == parts)


@dataclass(frozen=True)
class _Refiner:
    """Refines single parts; `chosen` is the index of the object class."""

    options: RefineOptions
    values: tuple[int, ...]
    spacing: tuple[float, ...]
    chosen: int | None

    @classmethod
    def of(
        cls,
        probabilities: Any,
        options: RefineOptions,
        values: Sequence[int] | None,
        spacing: Sequence[float] | None,
        ndim: int,
    ) -> _Refiner:
        """Check the arguments of `refine`, and return a refiner for them."""
        if probabilities.dtype != np.uint8 and not np.issubdtype(probabilities.dtype, np.floating):
            raise InputError(
                "These are not probabilities",
                got=probabilities.dtype,
                expected="floats from 0 to 1, or bytes from 0 to 255",
            )
        classes = int(probabilities.shape[0])
        values = tuple(range(1, classes + 1) if values is None else map(int, values))
        if len(values) != classes or min(values, default=0) < 0:
            raise InputError(
                "Each class needs a label that is not negative",
                got=values,
                expected=f"{classes} labels",
            )
        return cls(options, values, _last_spacing(spacing, ndim), _class_index(options, values))

    def refine(self, probabilities: NDArray[Any]) -> tuple[NDArray[Any], int]:
        """Return the labels of a part, and the number of objects (0 if they are classes)."""
        classes = tuple(range(len(self.values)))
        if self.chosen is None:
            most_probable = _most_probable(probabilities, classes)
            found = merge_small(most_probable, self.options.smallest)
            if self.options.output == "objects":
                objects = [found == c for c in classes if self.values[c] != 0]
                return self._number(objects, found.shape)
            return np.array(self.values, np.int32)[found], 0
        mask = self._mask(probabilities[self.chosen])
        if self.options.output == "objects":
            return self._number([mask], mask.shape)
        labels = np.zeros(mask.shape, np.int32)
        if others := [c for c in classes if c != self.chosen]:
            labels = np.array(self.values, np.int32)[_most_probable(probabilities, others)]
        labels[mask] = self.values[self.chosen]
        return labels, 0

    def _mask(self, probability: NDArray[Any]) -> Mask:
        """Return the mask of the object class."""
        full = FULL if probability.dtype == np.uint8 else 1
        mask = np.asarray(probability >= self.options.threshold * full)
        return drop_small(fill_holes(mask, self.options.holes), self.options.smallest)

    def _number(self, masks: list[Mask], shape: tuple[int, ...]) -> tuple[Regions, int]:
        """Label the objects of masks that do not overlap with numbers."""
        options = self.options
        total = 0
        objects = np.zeros(shape, np.int32)
        for mask in masks:
            if options.split:
                found, number = split_objects(
                    mask, options.distance, self.spacing, options.smallest
                )
            else:
                found, number = find_regions(mask)
            objects += np.where(found > 0, found + np.int32(total), np.int32(0))
            total += number
        return objects, total


def _most_probable(probabilities: NDArray[Any], classes: Sequence[int]) -> NDArray[np.int32]:
    """Return the index of the most probable of some classes; of equal ones the first."""
    best = probabilities[classes[0]].copy()
    found = np.full(best.shape, classes[0], np.int32)
    for index in classes[1:]:
        better = probabilities[index] > best
        found[better] = index
        np.maximum(best, probabilities[index], out=best)
    return found


def _spatial_ndim(probabilities: Any, wanted: int | None, options: RefineOptions) -> int:
    """Return the number of spatial axes."""
    axes = len(probabilities.shape) - 1
    ndim = min(axes, 3) if wanted is None or options.through_planes else wanted
    if axes < ndim or ndim not in (2, 3):
        raise InputError(
            "Probabilities have too few axes",
            got=f"shape {tuple(probabilities.shape)}, {ndim} spatial axes",
            expected="(class, ..., y, x) or (class, ..., z, y, x)",
        )
    return ndim


def _last_spacing(spacing: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    """Return the spacing of the last axes."""
    given = (1.0,) * ndim if spacing is None else tuple(map(float, spacing))
    if len(given) < ndim or min(given) <= 0:
        raise InputError("The spacing does not fit", got=given, expected=f"{ndim} positive numbers")
    return given[-ndim:]


def _class_index(options: RefineOptions, values: tuple[int, ...]) -> int | None:
    """Return the index of the object class, if there is one."""
    if options.object_class is None:
        return None
    if options.object_class not in values:
        raise InputError(
            "There is no such class", got=options.object_class, expected=f"one of {values}"
        )
    return values.index(options.object_class)
