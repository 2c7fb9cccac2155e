"""Forest distillation: a random forest gives soft labels for pixels that are not annotated.

From a few strokes a forest on multi-scale filters generalises better than a U-Net, which can
learn them by heart. So a forest is fitted to the annotated pixels, and the network learns the
forest's probabilities at other pixels (distillation: Hinton et al. 2015, arXiv:1503.02531) beside
the annotated classes. The forest is gone when the training ends: the model is the network alone.

The forest is fitted to the image, and predicts it, before augmentation: the probabilities of a
pixel hold for whatever the augmentation makes of that pixel.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_unet.data.sampling import IGNORED, PatchSample, PatchSampler
from napari_unet.device import using_threads
from napari_unet.network.blocks import centre_crop
from napari_unet.network.filters import ScaleFilters
from napari_unet.network.unet_config import UNetConfig
from napari_unet.training.task import SoftLabels

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

TREES = 40
"""Number of trees."""

LEAF_PIXELS = 2
"""Number of annotated pixels in a leaf, at least."""

MAX_WINDOWS = 64
"""Number of windows that annotated pixels are taken from, at most."""

WINDOWS_PER_STEP = 16
"""Number of windows that are filtered in one step: the first step need not wait for all."""

MAX_PIXELS = 6000
"""Number of annotated pixels that a forest is fitted to, at most: about half a second."""

SOFT_PIXELS = 3000
"""Number of pixels per step that get soft labels."""

OUTPUT_MARGIN = 1.5
"""Soft labels lie in the middle of a patch, in so many times the output's shape.

More than 1, since the augmentation may rotate what lies outside the output into it.
"""

MIN_STEPS_BETWEEN_FITS = 20
"""Steps from fitting a forest to fitting the next: many strokes may come in a row."""

FULL_WEIGHT_PIXELS = 3000
"""With more annotated pixels than these, the weight of soft labels decreases."""

MIN_WEIGHT = 0.1
"""A weight below this is 0."""

FIRST_MARK = IGNORED - 1
"""Pixel k with soft labels is marked by ``FIRST_MARK - k`` among the labels."""


class ForestTeacher:
    """A random forest on the fixed filters of a network.

    Parameters
    ----------
    config : UNetConfig
        With `filters`.
    sampler : PatchSampler
        Images and their annotations.
    input_shape, output_shape : tuple of int
        Spatial shapes of the network's input and output in training.
    seed : int
        Seed of the forest.
    """

    def __init__(
        self,
        config: UNetConfig,
        sampler: PatchSampler,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        seed: int,
    ) -> None:
        self._scales = nn.ModuleList(ScaleFilters(sigma) for sigma in config.filters)
        self._sampler = sampler
        self._input_shape = input_shape
        self._output_shape = output_shape
        self._seed = seed
        self._trees: RandomForestClassifier | None = None
        self._version: Hashable = None
        self._steps_since_fit = MIN_STEPS_BETWEEN_FITS
        self._windows: Iterator[PatchSample] | None = None
        self._pixels: list[tuple[NDArray[Any], NDArray[Any]]] = []
        self._windows_to_catch_up = 0

    def update_trees(self, version: Hashable, weights: Tensor | None = None) -> None:
        """Fit the forest where annotations changed; with less than two classes there is none.

        To be called once per step: annotated pixels are gathered over several steps, always as
        many windows in each, so that the same steps see the same forest in every training. In the
        meantime the earlier forest is in use, if any.

        Parameters
        ----------
        version : hashable
            Differs where the annotations do.
        weights : Tensor, optional
            (classes,): how much pixels of each class count.
        """
        if self._windows is None:
            if version == self._version or self._steps_since_fit < MIN_STEPS_BETWEEN_FITS:
                return
            self._version = version
            self._steps_since_fit = 0
            self._pixels = []
            self._windows = self._sampler.windows(
                self._input_shape, self._output_shape, MAX_WINDOWS, held_out=False
            )
        number = WINDOWS_PER_STEP + self._windows_to_catch_up
        self._windows_to_catch_up = 0
        with using_threads(1):  # in such small windows threads would only wait for each other
            gathered = [self._annotated_pixels_of(x) for x in islice(self._windows, number)]
        self._pixels += gathered
        if len(gathered) < number:
            self._windows = None
            self._fit(weights)

    def _fit(self, weights: Tensor | None) -> None:
        """Fit the forest to a sample of the pixels that were gathered."""
        from sklearn.ensemble import RandomForestClassifier

        self._trees = None
        if not self._pixels:
            return
        features, classes = (np.concatenate(x) for x in zip(*self._pixels, strict=True))
        self._pixels = []
        chosen = np.random.default_rng(self._seed).permutation(len(classes))[:MAX_PIXELS]
        features, classes = features[chosen], classes[chosen]
        if len(np.unique(classes)) < 2:
            return
        threads = torch.get_num_threads()
        trees = RandomForestClassifier(
            TREES, min_samples_leaf=LEAF_PIXELS, random_state=self._seed, n_jobs=threads
        )
        sample_weights = None if weights is None else weights.numpy()[classes]
        # It predicts so few pixels at a time that threads would only wait for each other.
        self._trees = trees.fit(features, classes, sample_weights).set_params(n_jobs=1)

    def state(self) -> int:
        """Return how many windows were gathered; more than there are where the forest is there."""
        if self._windows is not None:
            return len(self._pixels)
        return 0 if self._version is None else MAX_WINDOWS

    def restore(self, state: int) -> None:
        """Gather as many windows before the next step as `state` said of an earlier training."""
        self._windows_to_catch_up = state

    def predict_unlabelled(
        self, images: Tensor, labels: Tensor, classes: int, random: np.random.Generator
    ) -> Tensor | None:
        """Predict some pixels that are not annotated, and mark them among the labels.

        Parameters
        ----------
        images : Tensor
            (B, C, *spatial), before augmentation.
        labels : Tensor
            (B, *spatial): class indices, -1 where nothing is annotated. Marked in place.
        classes : int
            Number of classes of the network.
        random : numpy.random.Generator
            Draws the pixels.

        Returns
        -------
        Tensor or None
            (pixels, classes): probabilities; None where there is no forest, or everything is
            annotated.
        """
        self._steps_since_fit += 1
        sizes = zip(self._output_shape, labels.shape[1:], strict=True)
        # The margin is even, so that the middle of this part is the middle of the patch.
        shape = [have - max(0, have - round(OUTPUT_MARGIN * n)) // 2 * 2 for n, have in sizes]
        part = _middle(labels, shape)
        unlabelled = torch.nonzero(part.flatten() == IGNORED)[:, 0]
        if self._trees is None or not len(unlabelled):
            return None
        drawn = torch.from_numpy(random.integers(len(unlabelled), size=SOFT_PIXELS))
        pixels = unlabelled[drawn]
        predicted = self._trees.predict_proba(self._features(images, shape)[pixels].numpy())
        probabilities = torch.zeros(SOFT_PIXELS, classes)
        known = torch.from_numpy(self._trees.classes_)
        probabilities[:, known] = torch.from_numpy(predicted).float()
        marks = FIRST_MARK - torch.arange(SOFT_PIXELS)
        part[torch.unravel_index(pixels, part.shape)] = marks
        return probabilities

    def _annotated_pixels_of(self, sample: PatchSample) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return features and classes of a patch's annotated pixels."""
        labels = _middle(torch.from_numpy(sample.labels)[None], self._output_shape).flatten()
        features = self._features(torch.from_numpy(sample.image)[None], self._output_shape)
        annotated = labels != IGNORED
        return features[annotated].numpy(), labels[annotated].numpy()

    @torch.no_grad()
    def _features(self, images: Tensor, shape: Sequence[int]) -> Tensor:
        """Return the filter responses in the centres of images: (voxels, features)."""
        features = torch.cat([scale(images, shape) for scale in self._scales], 1)
        return features.movedim(1, -1).flatten(0, -2)


def soft_label_weight(largest: float, annotated: int) -> float:
    """Return the weight of soft labels in the loss.

    Parameters
    ----------
    largest : float
        The weight where little is annotated.
    annotated : int
        Number of annotated pixels.
    """
    weight = largest * min(1.0, FULL_WEIGHT_PIXELS / max(1, annotated))
    return weight if weight >= MIN_WEIGHT else 0.0


def pop_soft_labels(targets: Tensor, probabilities: Tensor) -> SoftLabels | None:
    """Return the soft labels of the marked pixels that are left, if any, and remove the marks.

    Parameters
    ----------
    targets : Tensor
        (B, *output_shape), changed in place: marked pixels are -1 afterwards.
    probabilities : Tensor
        From `ForestTeacher.predict_unlabelled`.
    """
    flat = targets.flatten()
    indices = torch.nonzero(flat <= FIRST_MARK)[:, 0]
    left = probabilities[FIRST_MARK - flat[indices]]
    targets.clamp_(min=IGNORED)
    return SoftLabels(indices, left) if len(indices) else None


def _middle(labels: Tensor, shape: Sequence[int]) -> Tensor:
    """Return a view of the middle of labels (B, *spatial)."""
    return centre_crop(labels[:, None], shape)[:, 0]
