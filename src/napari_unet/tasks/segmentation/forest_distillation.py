"""A random forest as a second teacher: what it says of pixels that nobody painted.

From a few strokes a forest on multi-scale filters generalises better than a U-Net, which can
learn them by heart. So a forest is grown on the strokes, and the network learns to say of
unpainted pixels what the forest says (Hinton et al. 2015, arXiv:1503.02531), and of painted ones
what was painted. The forest is gone when the training ends: the model is the network alone.

It is grown on the image as it is, and asked about it before it is changed at random: what it says
of a pixel holds for whatever the augmentation makes of that pixel.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_unet.data.sampling import PatchSample, PatchSampler
from napari_unet.network.blocks import centre_crop
from napari_unet.network.filters import ScaleFilters
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.segmentation.losses import IGNORED
from napari_unet.training.task import SoftLabels

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

TREES, LEAF = 40, 2
"""Number of trees, and of painted pixels in a leaf, at least."""

WINDOWS, PIXELS = 64, 6000
"""Windows and painted pixels that it is grown on, at most: it then takes about half a second."""

ASKED = 3000
"""Unpainted pixels that it is asked about per step."""

AROUND = 1.5
"""They lie in the middle of a patch, in so many times the output's shape: it may be turned."""

REST = 20
"""Steps from growing a forest to growing the next: strokes come many at a time."""

FEW, LEAST = 3000, 0.1
"""Where more pixels are painted than these, it counts the less; less than that, not at all."""

MARKED = IGNORED - 1
"""The first of the marks, which count down from it, that asked pixels carry among the labels."""


class ForestTeacher:
    """A random forest on the fixed filters of a network.

    Parameters
    ----------
    config : UNetConfig
        With `filters`.
    sampler : PatchSampler
        Where what is painted comes from.
    patch, core : tuple of int
        The input's and the output's spatial shape.
    seed : int
        Of its trees.
    """

    def __init__(
        self,
        config: UNetConfig,
        sampler: PatchSampler,
        patch: tuple[int, ...],
        core: tuple[int, ...],
        seed: int,
    ) -> None:
        self._scales = nn.ModuleList(ScaleFilters(sigma) for sigma in config.filters)
        self._sampler, self._patch, self._core, self._seed = sampler, patch, core, seed
        self._trees: RandomForestClassifier | None = None
        self._grown_from: Hashable = None
        self._age = REST

    def update_trees(self, painted: Hashable, weights: Tensor | None = None) -> None:
        """Grow it anew on the painted pixels where they changed; without two classes there is none.

        Parameters
        ----------
        painted : hashable
            What tells these strokes from others.
        weights : Tensor, optional
            (classes,): how much pixels of each class count.
        """
        if painted == self._grown_from or self._age < REST:
            return
        from sklearn.ensemble import RandomForestClassifier

        windows = self._sampler.windows(self._patch, self._core, WINDOWS, held_out=False)
        pieces = [self._painted(sample) for sample in windows]
        features, classes = (np.concatenate(part) for part in zip(*pieces, strict=True))
        some = np.random.default_rng(self._seed).permutation(len(classes))[:PIXELS]
        features, classes = features[some], classes[some]
        self._grown_from, self._age, self._trees = painted, 0, None
        if len(np.unique(classes)) < 2:
            return
        threads = torch.get_num_threads()
        trees = RandomForestClassifier(
            TREES, min_samples_leaf=LEAF, random_state=self._seed, n_jobs=threads
        )
        counts = None if weights is None else weights.numpy()[classes]
        # It answers about so few pixels at a time that threads would only wait for each other.
        self._trees = trees.fit(features, classes, counts).set_params(n_jobs=1)

    def predict_unlabelled(
        self, images: Tensor, labels: Tensor, classes: int, random: np.random.Generator
    ) -> Tensor | None:
        """Answer for some unpainted pixels, and mark them among the labels; None without a forest.

        Parameters
        ----------
        images : Tensor
            (B, C, *spatial), not changed at random.
        labels : Tensor
            (B, *spatial): class indices, -1 where nothing is painted. Marked in place.
        classes : int
            How many the network knows.
        random : numpy.random.Generator
            Chooses the pixels.

        Returns
        -------
        Tensor or None
            (pixels, classes): probabilities.
        """
        self._age += 1
        sizes = zip(self._core, labels.shape[1:], strict=True)
        # As odd or even as the patch, so that the middle is the middle of both.
        box = [have - max(0, have - round(AROUND * n)) // 2 * 2 for n, have in sizes]
        part = _middle(labels, box)
        unpainted = torch.nonzero(part.flatten() == IGNORED)[:, 0]
        if self._trees is None or not len(unpainted):
            return None
        where = unpainted[torch.from_numpy(random.integers(len(unpainted), size=ASKED))]
        answers = torch.zeros(ASKED, classes)
        said = self._trees.predict_proba(self._filtered(images, box)[where].numpy())
        answers[:, torch.from_numpy(self._trees.classes_)] = torch.from_numpy(said).float()
        part[torch.unravel_index(where, part.shape)] = MARKED - torch.arange(ASKED)
        return answers

    def _painted(self, sample: PatchSample) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return features and classes of a patch's painted pixels."""
        labels = _middle(torch.from_numpy(sample.labels)[None], self._core).flatten()
        features = self._filtered(torch.from_numpy(sample.image)[None], self._core)
        painted = labels != IGNORED
        return features[painted].numpy(), labels[painted].numpy()

    @torch.no_grad()
    def _filtered(self, images: Tensor, shape: Sequence[int]) -> Tensor:
        """Return the filters' answers for the centres of images: (voxels, features)."""
        features = torch.cat([scale(images, shape) for scale in self._scales], 1)
        return features.movedim(1, -1).flatten(0, -2)


def soft_label_weight(most: float, painted: int) -> float:
    """Return what a forest's answers count in the loss.

    Parameters
    ----------
    most : float
        What they count where little is painted.
    painted : int
        Number of painted pixels.
    """
    weight = most * min(1.0, FEW / max(1, painted))
    return weight if weight >= LEAST else 0.0


def pop_soft_labels(targets: Tensor, answers: Tensor) -> SoftLabels | None:
    """Return what was answered for the marked pixels that are left, if any; take the marks away.

    Parameters
    ----------
    targets : Tensor
        (B, *core), changed in place: marked pixels are -1 afterwards.
    answers : Tensor
        From `ForestTeacher.predict_unlabelled`.
    """
    flat = targets.flatten()
    where = torch.nonzero(flat <= MARKED)[:, 0]
    said = answers[MARKED - flat[where]]
    targets.clamp_(min=IGNORED)
    return SoftLabels(where, said) if len(where) else None


def _middle(labels: Tensor, shape: Sequence[int]) -> Tensor:
    """Return a view of the middle of labels (B, *spatial)."""
    return centre_crop(labels[:, None], shape)[:, 0]
