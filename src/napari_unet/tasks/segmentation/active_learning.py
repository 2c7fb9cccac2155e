"""Active learning: where the next annotations would help most.

A place is worth annotating where the network is uncertain, by the margin between its two likeliest
classes (Scheffer, Decomain and Wrobel 2001, doi:10.1007/3-540-44816-0_31), or where the image is
unlike everything annotated: the network may be certain there, and wrong. This novelty is measured
in the spirit of core sets (Sener and Savarese 2018, arXiv:1708.00489), by the distance to the
nearest annotated example; but between plain statistics of the image, not between features of the
network, which tell the annotated classes apart and may be blind to anything else.

Both are computed in cells about as wide as a brush, and averaged over neighbouring cells. So an
area wins, rather than a noisy pixel or the thin line between two classes, where every network is
uncertain and no annotation would help.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.control import Viewport
from napari_unet.data.sampling import IGNORED, PatchSampler
from napari_unet.data.split import Split
from napari_unet.geometry.region import Region
from napari_unet.inference.preview import class_uncertainty
from napari_unet.network.architecture import Architecture
from napari_unet.tasks.windows import WindowGrid, choose_windows
from napari_unet.training.events import Suggested

Floats = NDArray[np.floating[Any]]

LEAST_DIFFERENCE = 0.02
"""Smaller differences, in standard deviations of the image, lie far below its noise."""


def cell_means(x: NDArray[Any], cell: tuple[int, ...]) -> Floats:
    """Return the mean of each cell.

    Parameters
    ----------
    x : ndarray, shape (channels, *spatial)
        Values per voxel.
    cell : tuple of int
        Shape of a cell, in voxels; what is left over at the end of an axis is dropped.

    Returns
    -------
    ndarray, shape (channels, *cells)

    Examples
    --------
    >>> cell_means(np.array([[1, 3, 5, 7, 9]]), (2,))
    array([[2., 6.]])
    """
    grid = [n // c for n, c in zip(x.shape[1:], cell, strict=True)]
    whole = x[(slice(None), *(slice(0, n * c) for n, c in zip(grid, cell, strict=True)))]
    split = [part for n, c in zip(grid, cell, strict=True) for part in (n, c)]
    means: Floats = whole.reshape(len(x), *split).mean(tuple(range(2, len(split) + 1, 2)))
    return means


def features_of(x: NDArray[np.float32], cell: tuple[int, ...]) -> Floats:
    """Describe cells by brightness, contrast and steepness, the last two on a logarithmic scale.

    Parameters
    ----------
    x : ndarray, shape (channels, *spatial)
        Normalised pixels, y and x last.
    cell : tuple of int
        Shape of a cell, in voxels.

    Returns
    -------
    ndarray, shape (3 * channels, *cells)
    """
    level = cell_means(x, cell)
    contrast = np.sqrt(np.maximum(cell_means(x * x, cell) - level * level, 0))
    steps = sum(np.abs(np.diff(x, axis=a, prepend=x.take([0], a))) for a in (-2, -1))
    steepness = cell_means(np.asarray(steps), cell)
    logarithms = [np.log(values + LEAST_DIFFERENCE) for values in (contrast, steepness)]
    return np.concatenate([level, *logarithms])


def novelty(features: Floats, annotated: Floats, patches: NDArray[np.int64]) -> Floats:
    """Return how unlike everything annotated each cell is.

    Parameters
    ----------
    features : ndarray, shape (n, features)
        Features of cells.
    annotated : ndarray, shape (m, features)
        Features of annotated cells.
    patches : ndarray of int, shape (m,)
        Index of the patch that each annotated cell lies in. The usual distance of an annotated
        cell from those of other patches is the unit of all distances.

    Returns
    -------
    ndarray, shape (n,)
        From 0 (like something annotated) to 1; a half at twice the usual distance.
    """
    deviation = np.concatenate([features, annotated]).std(0)
    deviation[deviation == 0] = 1
    scaled = annotated / deviation
    distances = [_distance_to_others(scaled, patches, i) for i in np.unique(patches)]
    usual = float(np.median(distances))
    squared = nearest_distances(features / deviation, scaled) ** 2
    return squared / (squared + max(2 * usual, LEAST_DIFFERENCE) ** 2)


def _distance_to_others(features: Floats, patches: NDArray[np.int64], patch: int) -> float:
    """Return the median distance of the cells of one patch to the nearest of the others."""
    here = patches == patch
    if here.all():
        return 0.0
    return float(np.median(nearest_distances(features[here], features[~here])))


def nearest_distances(points: Floats, others: Floats) -> Floats:
    """Return the distance of each point to the nearest of other points.

    Parameters
    ----------
    points : ndarray, shape (n, axes)
        The points.
    others : ndarray, shape (m, axes)
        The other points.

    Returns
    -------
    ndarray, shape (n,)
        Infinite where there are no other points.
    """
    from scipy.spatial import cKDTree

    if not len(others) or not len(points):
        return np.full(len(points), np.inf)
    distance: Floats = cKDTree(others).query(points)[0]
    return distance


Shape = tuple[int, ...]
Indices = NDArray[np.int64]

VOXEL_BUDGET = {2: 1 << 19, 3: 5 << 18}
"""Voxels per suggestion that go through the network: about half a second of one core."""

CELL = 8
"""Side of a cell, in voxels of the finest axis."""

PLACES = 5
"""Number of places per suggestion, at most."""

REMEMBERED = 40
"""Number of suggested places that later suggestions keep away from."""

EXAMPLES = 48
"""Number of patches around annotations whose features are compared with."""

STROKE_SHARE = 1 / 20
"""Length of a stroke as a part of the image's shorter side."""

LONGEST_STROKE = 48
"""Length of a stroke in voxels, at most."""

PLANES = 4
"""Planes or time points so many steps apart count as different images."""


@dataclass(frozen=True)
class UncertaintyProbe:
    """Windows to predict with the network as it is now.

    Parameters
    ----------
    window_shape : tuple of int
        Shape of the windows, in voxels.
    count : int
        Number of windows.
    predict : callable
        Returns the probabilities (class, *window_shape) of a window of an image.
    calibration : callable, optional
        Returns factors for the classes, given probabilities (voxels, classes).
    """

    window_shape: Shape
    count: int
    predict: Callable[[Viewport], Tensor]
    calibration: Callable[[Tensor], Tensor] | None = None

    @classmethod
    def of(
        cls,
        config: Architecture,
        input_shape: Shape,
        predict: Callable[[Viewport], Tensor],
        calibration: Callable[[Tensor], Tensor] | None = None,
    ) -> UncertaintyProbe:
        """Return a probe whose windows are twice as wide as the network's output in training.

        Larger windows need less context per voxel, smaller ones see more of the image. The input
        of a padded network in training may be no larger than its context, or smaller.

        Parameters
        ----------
        config : Architecture
            The network.
        input_shape : tuple of int
            Spatial shape of its input in training.
        predict, calibration : callable
            As of the class.
        """
        widths = (1,) * (config.ndim - 2) + (2, 2)
        window_shape = tuple(
            max(1, round(w * (n - g.context) / g.stride)) * g.stride
            for w, n, g in zip(widths, input_shape, config.geometry, strict=True)
        )
        count = VOXEL_BUDGET[config.ndim] // prod(config.input_for(window_shape))
        return cls(window_shape, max(2, count), predict, calibration)


@dataclass(frozen=True, eq=False)
class Window:
    """Features and predictions in a window.

    Parameters
    ----------
    image_index : int
        The image that it lies in.
    cell : tuple of int
        Shape of a cell, in voxels.
    grid : tuple of int
        Number of cells per spatial axis.
    centres : ndarray of int, shape (cells, axes)
        Centres of the cells in voxels, looped axes first.
    features : ndarray, shape (cells, features)
        See `features_of`.
    probabilities : Tensor
        (class, *window_shape).
    """

    image_index: int
    cell: Shape
    grid: Shape
    centres: Indices
    features: Floats
    probabilities: Tensor


@dataclass(frozen=True, eq=False)
class Ranked:
    """Cells of one image, the most useful first.

    Parameters
    ----------
    image_index : int
        The image.
    centres : ndarray of int, shape (cells, axes)
        Centres of the cells in voxels, looped axes first.
    scores : ndarray, shape (cells,)
        How useful an annotation there would be, descending.
    scale : ndarray, shape (axes,)
        Factors from voxels to lengths of a stroke.
    unsure : ndarray of int, shape (cells, 2)
        See `CellScores`.
    """

    image_index: int
    centres: Indices
    scores: Floats
    scale: Floats
    unsure: Indices


@dataclass(frozen=True, eq=False)
class CellScores:
    """How useful the cells of a window are, and why.

    Parameters
    ----------
    scores : ndarray, shape (cells,)
        From 0 to 2.
    unsure : ndarray of int, shape (cells, 2)
        Indices of the two likeliest classes, or -1 where a cell is useful because it is new
        rather than because the network is unsure of it.
    """

    scores: Floats
    unsure: Indices


class AnnotationSuggester:
    """Suggests places to annotate, and remembers which ones it has suggested.

    Parameters
    ----------
    sampler : PatchSampler
        Images and their annotations; up to date.
    spacing : tuple of float
        Distance between voxels per spatial axis.
    seed : int
        Decides, with the number of suggestions so far, which windows are predicted.
    """

    def __init__(self, sampler: PatchSampler, spacing: tuple[float, ...], seed: int) -> None:
        self._sampler = sampler
        self._seed = seed
        self._suggestions = 0
        self._relative_spacing = np.array(spacing) / min(spacing)
        self._cell = tuple(max(1, round(CELL / n)) for n in self._relative_spacing)
        self._suggested: deque[tuple[int, Shape]] = deque(maxlen=REMEMBERED)

    def suggest(self, probe: UncertaintyProbe, visible: Viewport | None = None) -> Suggested:
        """Suggest the most useful places of one image that are not annotated.

        Parameters
        ----------
        probe : UncertaintyProbe
            The windows to predict, and the network.
        visible : Viewport, optional
            The visible region; some windows always lie there.

        Returns
        -------
        Suggested
            At most `PLACES`, not within a stroke of any annotation, and two strokes from each
            other and from places suggested before.
        """
        random = np.random.default_rng((self._seed, self._suggestions))
        self._suggestions += 1
        annotated = self._sampler.images
        images = [i for i, one in enumerate(annotated) if not one.store.zero_is_class]
        if not images or not self._sampler.train_count.any():
            return Suggested(0, ())
        grids = [WindowGrid(i, annotated[i].view, probe.window_shape) for i in images]
        views = choose_windows(grids, probe.count, visible, random)
        windows = [self._predicted(view, probe) for view in views]
        features = np.concatenate([window.features for window in windows])
        scores = _scores(windows, novelty(features, *self._examples(random)), probe)
        ranked = [self._rank(image, windows, scores) for image in images]
        found = self._best(ranked)
        if not found.places and self._suggested:
            self._suggested.clear()  # everything was suggested once: begin again
            found = self._best(ranked)
        self._suggested.extend((found.image_index, place) for place in found.places)
        return found

    def _predicted(self, view: Viewport, probe: UncertaintyProbe) -> Window:
        """Return features and predictions of a window."""
        image = self._sampler.images[view.image_index].view
        region = view.region
        cell = tuple(min(c, n) for c, n in zip(self._cell, region.shape, strict=True))
        grid = tuple(n // c for n, c in zip(region.shape, cell, strict=True))
        axes = [
            a + np.arange(n) * c + c // 2 for a, n, c in zip(region.start, grid, cell, strict=True)
        ]
        spatial = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(grid))
        loops = np.tile(np.array(view.index, np.int64), (len(spatial), 1))
        normalisation = self._sampler.normalisations.of(image, view.index)
        pixels = normalisation.apply(image.read_raw(view.index, region))
        return Window(
            view.image_index,
            cell,
            grid,
            np.hstack([loops, spatial]),
            features_of(pixels, cell).reshape(-1, len(spatial)).T,
            probe.predict(view),
        )

    def _examples(self, random: np.random.Generator) -> tuple[Floats, Indices]:
        """Return features of annotated cells (n, features), and the index of each one's patch."""
        features = []
        patches = []
        shape = tuple(4 * c for c in self._cell)
        for number in range(EXAMPLES):
            sample = self._sampler.draw(shape, random)
            annotated = cell_means((sample.labels != IGNORED)[None], self._cell)[0] > 0
            features.append(features_of(sample.image, self._cell)[:, annotated].T)
            patches.append(np.full(int(annotated.sum()), number))
        return np.concatenate(features), np.concatenate(patches)

    def _rank(
        self, image_index: int, windows: Sequence[Window], scores: Sequence[CellScores]
    ) -> Ranked:
        """Return the cells in an image that are away from annotations, the most useful first."""
        view = self._sampler.images[image_index].view
        shape = view.loop_shape + view.spatial_shape
        loops = len(view.loop_shape)
        share = int(STROKE_SHARE * min(view.spatial_shape[-2:]))
        stroke = min(LONGEST_STROKE, max(CELL, share))
        scale = np.concatenate([np.full(loops, 1 / PLANES), self._relative_spacing / stroke])
        mine = [
            (window.centres, score)
            for window, score in zip(windows, scores, strict=True)
            if window.image_index == image_index
        ]
        centres = np.concatenate([np.zeros((0, len(shape)), np.int64), *(c for c, _ in mine)])
        score = np.concatenate([np.zeros(0), *(s.scores for _, s in mine)])
        unsure = np.concatenate([np.zeros((0, 2), np.int64), *(s.unsure for _, s in mine)])
        free: NDArray[np.bool_] = np.all(centres < np.array(shape), axis=1)
        split = self._sampler.splits[image_index]
        annotated = _annotated_cells(split, (1,) * loops + self._cell, shape)
        distances = nearest_distances(centres[free] * scale, annotated * scale)
        free[free] = distances > 1 + CELL / stroke
        order = np.flatnonzero(free)[np.argsort(-score[free], kind="stable")]
        return Ranked(image_index, centres[order], score[order], scale, unsure[order])

    def _best(self, ranked: Sequence[Ranked]) -> Suggested:
        """Return the best places of the image that has the best one."""
        found = [(cells, chosen) for cells in ranked if (chosen := self._best_apart(cells))]
        if not found:
            return Suggested(0, ())
        cells, chosen = max(found, key=lambda item: item[0].scores[item[1][0]])
        places = tuple(tuple(map(int, cells.centres[i])) for i in chosen)
        return Suggested(cells.image_index, places, tuple(self._doubt(cells, i) for i in chosen))

    def _doubt(self, cells: Ranked, index: int) -> tuple[int, int] | None:
        """Return the label values of the classes that a cell may be; None where it is new."""
        first, second = map(int, cells.unsure[index])
        values = self._sampler.classes
        return None if first < 0 else (values[first], values[second])

    def _best_apart(self, cells: Ranked) -> list[int]:
        """Return the indices of the best cells that are near no other and none suggested before."""
        store = self._sampler.images[cells.image_index].store
        positions = cells.centres * cells.scale
        suggested = [
            np.array(place) * cells.scale
            for image, place in self._suggested
            if image == cells.image_index
        ]
        free = nearest_distances(positions, np.array(suggested)) > 2
        found: list[int] = []
        while free.any() and len(found) < PLACES:
            best = int(free.argmax())
            free[best] = False
            place = tuple(map(int, cells.centres[best]))
            if not store.read(Region.of(place, (1,) * len(place))).any():
                found.append(best)
                free &= np.linalg.norm(positions - positions[best], axis=1) > 2
        return found


def _scores(
    windows: Sequence[Window], novelties: Floats, probe: UncertaintyProbe
) -> list[CellScores]:
    """Return how useful the cells of each window are.

    `novelties` are those of the cells of all windows, one after the other.
    """
    from scipy import ndimage

    every = torch.cat([window.probabilities.flatten(1).T for window in windows])
    factors = torch.ones(every.shape[1]) if probe.calibration is None else probe.calibration(every)
    ends = np.cumsum([len(window.centres) for window in windows])
    scores = []
    for window, novel in zip(windows, np.split(novelties, ends[:-1]), strict=True):
        calibrated = window.probabilities * factors.view(-1, *(1,) * len(window.grid))
        calibrated = calibrated / calibrated.sum(0)
        unsure = class_uncertainty(calibrated).numpy()[None]
        uncertainty, novelty_here = cell_means(unsure, window.cell)[0], novel.reshape(window.grid)
        score = uncertainty + novelty_here
        shares = cell_means(calibrated.numpy(), window.cell).reshape(len(calibrated), -1).T
        likeliest = np.argsort(-shares, axis=1, kind="stable")[:, :2]
        likeliest[(uncertainty < novelty_here).ravel()] = -1
        # The median continues the window: mirrored, a line along its edge would be an area.
        usual = float(np.median(score))
        smooth = ndimage.uniform_filter(score, 3, mode="constant", cval=usual).ravel()
        scores.append(CellScores(smooth, likeliest))
    return scores


def _annotated_cells(split: Split, cell: Shape, shape: Shape) -> Floats:
    """Return the centres (n, axes) of all annotated cells, held out or not, in voxels."""
    coords = [c for index in (split.train_index, split.val_index) for c in index.values()]
    size = np.array(cell)
    grid = -(-np.array(shape) // size)
    cells = np.concatenate([np.zeros((0, len(shape)), np.int32), *coords]) // size
    numbers = np.unique(np.ravel_multi_index(tuple(cells.T), tuple(grid)))
    centres: Floats = np.stack(np.unravel_index(numbers, tuple(grid)), 1) * size + (size - 1) / 2
    return centres
