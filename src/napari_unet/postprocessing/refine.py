"""Labels from kept probabilities, without predicting again."""

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
    """One plane or volume of a stack is done."""

    done: int
    parts: int


@dataclass(frozen=True, eq=False)
class Refined:
    """All is done: `labels` has the shape of one class. `complete` is False if it was stopped."""

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
    """Make labels of probabilities.

    Where `options` name a class, that class has the voxels whose probability of it reaches the
    threshold, its holes are filled and then its small objects removed; all else goes to the
    likeliest other class. Where they name none, the likeliest class has each voxel, and regions
    that are too small go to the regions beside them. Objects are connected over faces.

    Parameters
    ----------
    probabilities : array of float or uint8, shape (class, ..., y, x) or (class, ..., z, y, x)
        From 0 to 1, as bytes from 0 to 255 (`QuantisedProbabilities.array`).
    options : RefineOptions, optional
        What is wanted.
    values : sequence of int, optional
        The label of each class. Default: 1, 2, …
    spacing : sequence of float, optional
        Distance between voxels per spatial axis. Default: all alike.
    spatial_ndim : {2, 3}, optional
        How many of the last axes are space; all others are gone through one by one. Default: all,
        of four and more the last three. With `RefineOptions.through_planes` it is 3 where there
        are as many.

    Returns
    -------
    ndarray of int
        Of the shape of one class and the smallest unsigned type that holds the labels. Objects are
        numbered 1, 2, … throughout, 0 being outside; an object class has objects of that class
        alone, and where there is none, each region of a class whose label is not 0 is one.

    Raises
    ------
    InputError
        Where shapes, types and classes do not fit.

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
    """Make labels of probabilities, part by part; see `refine`.

    Parameters
    ----------
    probabilities, options, values, spacing, spatial_ndim
        As for `refine`.
    control : Control, optional
        Stops between parts; the labels of what was not reached are 0.

    Yields
    ------
    PartRefined or Refined
        The first for each index of the axes that are no space, the second at the end.

    Raises
    ------
    InputError
        Where shapes, types and classes do not fit.
    """
    options, control = options or RefineOptions(), control or Control()
    ndim = _spatial_ndim(probabilities, spatial_ndim, options)
    job = _Job.of(probabilities, options, values, spacing, ndim)
    shape = tuple(int(n) for n in probabilities.shape[1:])
    loops = shape[: len(shape) - ndim]
    labels = np.zeros(shape, np.int32)
    total, parts, done = 0, math.prod(loops), 0
    for index in np.ndindex(*loops):
        if control.stopped:
            break
        part, number = job.run(np.asarray(probabilities[(slice(None), *index)]))
        labels[index] = np.where(part > 0, part + total, 0) if total else part
        total += number
        done += 1
        yield PartRefined(done, parts)
    largest = total if options.output == "objects" else max(job.values)
    yield Refined(labels.astype(np.min_scalar_type(largest)), done == parts)


@dataclass(frozen=True)
class _Job:
    """What is done to each part; `chosen` is the position of the object class."""

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
    ) -> _Job:
        """Check that all fits together."""
        if probabilities.dtype != np.uint8 and not np.issubdtype(probabilities.dtype, np.floating):
            raise InputError(
                "These are no probabilities",
                got=probabilities.dtype,
                expected="floats from 0 to 1, or bytes from 0 to 255",
            )
        classes = int(probabilities.shape[0])
        values = tuple(range(1, classes + 1) if values is None else map(int, values))
        if len(values) != classes or min(values, default=0) < 0:
            raise InputError(
                "Each class needs a label, none of them negative",
                got=values,
                expected=f"{classes} labels",
            )
        return cls(options, values, _last(spacing, ndim), _position(options, values))

    def run(self, probabilities: NDArray[Any]) -> tuple[NDArray[Any], int]:
        """Return the labels of a part, and of objects how many there are (else 0)."""
        classes = tuple(range(len(self.values)))
        if self.chosen is None:
            likeliest = _likeliest(probabilities, classes)
            found = merge_small(likeliest, self.options.smallest)
            if self.options.output == "objects":
                objects = [found == c for c in classes if self.values[c] != 0]
                return self._number(objects, found.shape)
            return np.array(self.values, np.int32)[found], 0
        mask = self._mask(probabilities[self.chosen])
        if self.options.output == "objects":
            return self._number([mask], mask.shape)
        labels = np.zeros(mask.shape, np.int32)
        if others := [c for c in classes if c != self.chosen]:
            labels = np.array(self.values, np.int32)[_likeliest(probabilities, others)]
        labels[mask] = self.values[self.chosen]
        return labels, 0

    def _mask(self, probability: NDArray[Any]) -> Mask:
        """Return where the object class is."""
        full = FULL if probability.dtype == np.uint8 else 1
        mask = np.asarray(probability >= self.options.threshold * full)
        return drop_small(fill_holes(mask, self.options.holes), self.options.smallest)

    def _number(self, masks: list[Mask], shape: tuple[int, ...]) -> tuple[Regions, int]:
        """Give numbers to the objects of masks that do not overlap."""
        options, total = self.options, 0
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


def _likeliest(probabilities: NDArray[Any], among: Sequence[int]) -> NDArray[np.int32]:
    """Return the positions of the likeliest of some classes, of equals the first."""
    best = probabilities[among[0]].copy()
    found = np.full(best.shape, among[0], np.int32)
    for position in among[1:]:
        better = probabilities[position] > best
        found[better] = position
        np.maximum(best, probabilities[position], out=best)
    return found


def _spatial_ndim(probabilities: Any, wanted: int | None, options: RefineOptions) -> int:
    axes = len(probabilities.shape) - 1
    ndim = min(axes, 3) if wanted is None or options.through_planes else wanted
    if axes < ndim or ndim not in (2, 3):
        raise InputError(
            "Probabilities have too few axes",
            got=f"shape {tuple(probabilities.shape)}, {ndim} of them space",
            expected="(class, ..., y, x) or (class, ..., z, y, x)",
        )
    return ndim


def _last(spacing: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    """Return the spacing of the last axes."""
    given = (1.0,) * ndim if spacing is None else tuple(map(float, spacing))
    if len(given) < ndim or min(given) <= 0:
        raise InputError("The spacing does not fit", got=given, expected=f"{ndim} positive numbers")
    return given[-ndim:]


def _position(options: RefineOptions, values: tuple[int, ...]) -> int | None:
    if options.object_class is None:
        return None
    if options.object_class not in values:
        raise InputError(
            "There is no such class", got=options.object_class, expected=f"one of {values}"
        )
    return values.index(options.object_class)
