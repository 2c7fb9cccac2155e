"""Where the next strokes would help most.

A place is worth painting on where the network wavers, by the margin between its two likeliest
classes (Scheffer, Decomain and Wrobel 2001, doi:10.1007/3-540-44816-0_31), or where the image looks
like nothing that was painted: the network may be sure there, and wrong. The second is measured in
the spirit of core sets (Sener and Savarese 2018, arXiv:1708.00489), by the distance to the nearest
painted example; but between plain statistics of the image, not between features of the network,
for those see what tells the painted classes apart and may be blind to anything else.

All of it is judged in cells about as wide as a brush, and each cell together with its neighbours.
So what wins is an area, rather than a noisy pixel or the thin line between two classes, where every
network wavers and no stroke would help.
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
from napari_unet.data.sampling import PatchSampler
from napari_unet.data.split import Split
from napari_unet.geometry.region import Region
from napari_unet.inference.preview import unsure
from napari_unet.network.architecture import Architecture
from napari_unet.tasks.segmentation.losses import IGNORED
from napari_unet.tasks.windows import WindowGrid, choose_windows
from napari_unet.training.events import Suggested

Floats = NDArray[np.floating[Any]]

LEAST = 0.02
"""Differences far below the noise of a normalised image mean nothing."""


def mean_of_cells(x: NDArray[Any], cell: tuple[int, ...]) -> Floats:
    """Return the mean of each cell.

    Parameters
    ----------
    x : ndarray, shape (channels, *spatial)
    cell : tuple of int
        Shape of a cell, in voxels; what is left over at the end of an axis is dropped.

    Returns
    -------
    ndarray, shape (channels, *cells)

    Examples
    --------
    >>> mean_of_cells(np.array([[1, 3, 5, 7, 9]]), (2,))
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
    level = mean_of_cells(x, cell)
    contrast = np.sqrt(np.maximum(mean_of_cells(x * x, cell) - level * level, 0))
    steps = sum(np.abs(np.diff(x, axis=a, prepend=x.take([0], a))) for a in (-2, -1))
    steep = mean_of_cells(np.asarray(steps), cell)
    return np.concatenate([level, np.log(contrast + LEAST), np.log(steep + LEAST)])


def novelty(looks: Floats, known: Floats, patches: NDArray[np.int64]) -> Floats:
    """Return how unlike all that is known each cell is.

    Parameters
    ----------
    looks : ndarray, shape (n, features)
        What cells look like.
    known : ndarray, shape (m, features)
        What painted cells look like.
    patches : ndarray of int, shape (m,)
        In which patch each was seen. How far one painted cell usually lies from those of other
        patches is the measure for all distances.

    Returns
    -------
    ndarray, shape (n,)
        From 0 (just like something painted) to 1; a half at twice the usual distance.
    """
    spread = np.concatenate([looks, known]).std(0)
    spread[spread == 0] = 1
    looks, known = looks / spread, known / spread
    usual = float(np.median([_elsewhere(known, patches, i) for i in np.unique(patches)]))
    squared = nearest(looks, known) ** 2
    return squared / (squared + max(2 * usual, LEAST) ** 2)


def _elsewhere(known: Floats, patches: NDArray[np.int64], patch: int) -> float:
    """Return the median distance of the cells of one patch to the nearest of the others."""
    here = patches == patch
    return 0.0 if here.all() else float(np.median(nearest(known[here], known[~here])))


def nearest(points: Floats, others: Floats) -> Floats:
    """Return the distance of each point (n, axes) to the nearest of others (m, axes).

    Infinite where there are no others.
    """
    from scipy.spatial import cKDTree

    if not len(others) or not len(points):
        return np.full(len(points), np.inf)
    distance: Floats = cKDTree(others).query(points)[0]
    return distance


Shape = tuple[int, ...]
Places = NDArray[np.int64]

BUDGET = {2: 1 << 19, 3: 5 << 18}
"""Voxels that go through the network per question: about half a second of one core."""

CELL = 8
"""Side of a cell, in voxels of the finest axis."""

PLACES, REMEMBERED = 5, 40
"""Places per answer, and how many earlier ones are kept away from."""

EXAMPLES = 48
"""Patches around paint that tell what painted areas look like."""

STROKE, LONGEST = 1 / 20, 48
"""Length of a stroke: a part of the image's shorter side, and at most so many voxels."""

PLANES = 4
"""So many looped steps (planes, time points) away an image is another one."""


@dataclass(frozen=True)
class UncertaintyProbe:
    """How to look into an image with the network as it is.

    Parameters
    ----------
    box : tuple of int
        Shape of the windows to look into, in voxels.
    count : int
        How many of them.
    answer : callable
        Returns the probabilities (class, *box) of a part of an image.
    calibration : callable, optional
        Returns what to multiply the classes with, given probabilities (voxels, classes).
    """

    box: Shape
    count: int
    answer: Callable[[Viewport], Tensor]
    calibration: Callable[[Tensor], Tensor] | None = None

    @classmethod
    def of(cls, config: Architecture, patch: Shape, *answers: Any) -> UncertaintyProbe:
        """Return one with windows twice as wide as what training patches teach.

        Larger windows hold less mere context, smaller ones see more of the image. What a padded
        network learns from may be no larger than its context, or smaller.
        """
        widths = (1,) * (config.ndim - 2) + (2, 2)
        box = tuple(
            max(1, round(w * (n - g.context) / g.stride)) * g.stride
            for w, n, g in zip(widths, patch, config.geometry, strict=True)
        )
        count = BUDGET[config.ndim] // prod(config.input_for(box))
        return cls(box, max(2, count), *answers)


@dataclass(frozen=True, eq=False)
class Window:
    """What was found in one window.

    `grid` is the number of cells per spatial axis; `centres` are theirs, (cells, axes) in voxels,
    looped axes first; `looks` (cells, features); `answers` (class, *box).
    """

    pair: int
    cell: Shape
    grid: Shape
    centres: Places
    looks: Floats
    answers: Tensor


@dataclass(frozen=True, eq=False)
class Ranked:
    """Cells of one pair, the best first; `scale` turns voxels into lengths of a stroke."""

    pair: int
    centres: Places
    scores: Floats
    scale: Floats


class AnnotationSuggester:
    """Finds places, and remembers which ones it has named.

    Parameters
    ----------
    sampler : PatchSampler
        Images and what is painted on them; up to date.
    spacing : tuple of float
        Distance between voxels per spatial axis.
    seed : int
        Decides, with the number of questions so far, which windows are looked into.
    """

    def __init__(self, sampler: PatchSampler, spacing: tuple[float, ...], seed: int) -> None:
        self._sampler, self._seed, self._asked = sampler, seed, 0
        self._weights = np.array(spacing) / min(spacing)
        self._cell = tuple(max(1, round(CELL / w)) for w in self._weights)
        self._named: deque[tuple[int, Shape]] = deque(maxlen=REMEMBERED)

    def suggest(self, probe: UncertaintyProbe, looked: Viewport | None = None) -> Suggested:
        """Name the most useful unpainted places of one pair.

        Parameters
        ----------
        probe : Probe
            Asks the network.
        looked : Viewport, optional
            What somebody looks at; some windows always lie there.

        Returns
        -------
        Suggested
            At most `PLACES`, not within a stroke of any paint, and two strokes from each other
            and from places named before.
        """
        random = np.random.default_rng((self._seed, self._asked))
        self._asked += 1
        pairs = [i for i, p in enumerate(self._sampler.pairs) if not p.store.zero_is_class]
        if not pairs or not self._sampler.train_count.any():
            return Suggested(0, ())
        grids = [WindowGrid(i, self._sampler.pairs[i].view, probe.box) for i in pairs]
        views = choose_windows(grids, probe.count, looked, random)
        windows = [self._look(view, probe) for view in views]
        strange = novelty(np.concatenate([w.looks for w in windows]), *self._examples(random))
        scores = _scores(windows, strange, probe)
        ranked = [self._rank(pair, windows, scores) for pair in pairs]
        found = self._best(ranked)
        if not found.places and self._named:
            self._named.clear()  # all was named: begin again
            found = self._best(ranked)
        self._named.extend((found.pair, place) for place in found.places)
        return found

    def _look(self, view: Viewport, probe: UncertaintyProbe) -> Window:
        image, box = self._sampler.pairs[view.pair].view, view.region
        cell = tuple(min(c, n) for c, n in zip(self._cell, box.shape, strict=True))
        grid = tuple(n // c for n, c in zip(box.shape, cell, strict=True))
        axes = [
            a + np.arange(n) * c + c // 2 for a, n, c in zip(box.start, grid, cell, strict=True)
        ]
        inside = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(grid))
        index = np.tile(np.array(view.index, np.int64), (len(inside), 1))
        pixels = self._sampler.normalisation.apply(image.read_raw(view.index, box))
        looks = features_of(pixels, cell).reshape(-1, len(inside)).T
        centres = np.hstack([index, inside])
        return Window(view.pair, cell, grid, centres, looks, probe.answer(view))

    def _examples(self, random: np.random.Generator) -> tuple[Floats, Places]:
        """Return what painted cells look like (n, features), and in which patch each was seen."""
        looks, patches = [], []
        shape = tuple(4 * c for c in self._cell)
        for number in range(EXAMPLES):
            sample = self._sampler.draw(shape, random)
            painted = mean_of_cells((sample.labels != IGNORED)[None], self._cell)[0] > 0
            looks.append(features_of(sample.image, self._cell)[:, painted].T)
            patches.append(np.full(int(painted.sum()), number))
        return np.concatenate(looks), np.concatenate(patches)

    def _rank(self, pair: int, windows: Sequence[Window], scores: Sequence[Floats]) -> Ranked:
        """Return the cells of a pair that lie in the image and away from paint, the best first."""
        view = self._sampler.pairs[pair].view
        shape, loops = view.loop_shape + view.spatial_shape, len(view.loop_shape)
        stroke = min(LONGEST, max(CELL, int(STROKE * min(view.spatial_shape[-2:]))))
        scale = np.concatenate([np.full(loops, 1 / PLANES), self._weights / stroke])
        mine = [(w.centres, s) for w, s in zip(windows, scores, strict=True) if w.pair == pair]
        centres = np.concatenate([np.zeros((0, len(shape)), np.int64), *(c for c, _ in mine)])
        score = np.concatenate([np.zeros(0), *(s for _, s in mine)])
        free: NDArray[np.bool_] = np.all(centres < np.array(shape), axis=1)
        painted = _painted_cells(self._sampler.splits[pair], (1,) * loops + self._cell, shape)
        free[free] = nearest(centres[free] * scale, painted * scale) > 1 + CELL / stroke
        order = np.flatnonzero(free)[np.argsort(-score[free], kind="stable")]
        return Ranked(pair, centres[order], score[order], scale)

    def _best(self, ranked: Sequence[Ranked]) -> Suggested:
        """Take the pair with the best place, and of that pair the best places."""
        found = [(r, places) for r in ranked if (places := self._spread(r))]
        if not found:
            return Suggested(0, ())
        best, places = max(found, key=lambda item: item[0].scores[item[1][0]])
        return Suggested(best.pair, tuple(tuple(map(int, best.centres[i])) for i in places))

    def _spread(self, cells: Ranked) -> list[int]:
        """Return which cells are best, none of them near another, nor near one named before."""
        store, at = self._sampler.pairs[cells.pair].store, cells.centres * cells.scale
        before = [np.array(place) * cells.scale for i, place in self._named if i == cells.pair]
        free, found = nearest(at, np.array(before)) > 2, list[int]()
        while free.any() and len(found) < PLACES:
            best = int(free.argmax())
            free[best] = False
            place = tuple(map(int, cells.centres[best]))
            if not store.read(Region.of(place, (1,) * len(place))).any():
                found.append(best)
                free &= np.linalg.norm(at - at[best], axis=1) > 2
        return found


def _scores(windows: Sequence[Window], strange: Floats, probe: UncertaintyProbe) -> list[Floats]:
    """Return how useful the cells of each window are, from 0 to 2; `strange` is that of all."""
    from scipy import ndimage

    every = torch.cat([w.answers.flatten(1).T for w in windows])
    factors = torch.ones(every.shape[1]) if probe.calibration is None else probe.calibration(every)
    ends = np.cumsum([len(w.centres) for w in windows])
    scores = []
    for window, odd in zip(windows, np.split(strange, ends[:-1]), strict=True):
        answers = window.answers * factors.view(-1, *(1,) * len(window.grid))
        wavering = unsure(answers / answers.sum(0)).numpy()[None]
        score = mean_of_cells(wavering, window.cell)[0] + odd.reshape(window.grid)
        # Beyond the edge all is as usual: mirrored, a line along the edge would be an area.
        usual = float(np.median(score))
        scores.append(ndimage.uniform_filter(score, 3, mode="constant", cval=usual).ravel())
    return scores


def _painted_cells(split: Split, cell: Shape, shape: Shape) -> Floats:
    """Return the centres (n, axes) of all cells that hold paint, held out or not, in voxels."""
    coords = [c for index in (split.train_index, split.val_index) for c in index.values()]
    size = np.array(cell)
    grid = -(-np.array(shape) // size)
    cells = np.concatenate([np.zeros((0, len(shape)), np.int32), *coords]) // size
    numbers = np.unique(np.ravel_multi_index(tuple(cells.T), tuple(grid)))
    centres: Floats = np.stack(np.unravel_index(numbers, tuple(grid)), 1) * size + (size - 1) / 2
    return centres
