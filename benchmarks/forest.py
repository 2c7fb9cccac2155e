"""The peer: a random forest on multi-scale features, as classic pixel classifiers use it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from painter import TEST_SLICES, Labels, load_stack, mean_iou, paint
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier

SIGMAS = (0.7, 11.3)  # pixels: five scales, doubling, about those of interactive classifiers


def features(plane: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return smoothed intensity, edges and Hessian eigenvalues: shape (y, x, feature)."""
    low, high = SIGMAS
    found = multiscale_basic_features(plane, sigma_min=low, sigma_max=high, workers=2)
    return np.asarray(found, dtype=np.float32)


def fit_forest(
    image: NDArray[np.uint8], painted: Labels, *, trees: int = 100, seed: int = 0
) -> RandomForestClassifier:
    """Grow a forest on the painted pixels, slice by slice.

    Parameters
    ----------
    image, painted : ndarray of uint8, shape (z, y, x)
        Grey values, and classes with 0 for not painted.
    trees : int
        Number of trees.
    seed : int
        Random state of the forest.

    Returns
    -------
    RandomForestClassifier
        Its ``classes_`` are the painted ones.
    """
    slices = np.flatnonzero(painted.any(axis=(1, 2)))
    rows = [features(image[z])[painted[z] > 0] for z in slices]
    answers = [painted[z][painted[z] > 0] for z in slices]
    forest = RandomForestClassifier(trees, n_jobs=2, random_state=seed)
    return forest.fit(np.concatenate(rows), np.concatenate(answers))


def predict_forest(
    forest: RandomForestClassifier, image: NDArray[np.uint8], slices: Sequence[int]
) -> tuple[Labels, NDArray[np.float32]]:
    """Classify some slices of a stack.

    Parameters
    ----------
    forest : RandomForestClassifier
        From :func:`fit_forest`.
    image : ndarray of uint8, shape (z, y, x)
        Grey values.
    slices : sequence of int
        Slices to classify.

    Returns
    -------
    classes : ndarray of uint8, shape (slice, y, x)
    probabilities : ndarray of float32, shape (slice, class, y, x)
    """
    maps = []
    for z in slices:
        rows = features(image[z]).reshape(image[z].size, -1)
        maps.append(forest.predict_proba(rows).T.reshape(-1, *image[z].shape))
    probabilities = np.asarray(maps, dtype=np.float32)
    return forest.classes_[probabilities.argmax(1)].astype(np.uint8), probabilities


def main() -> None:
    """Print the forest's mean IoU for a few seeds of the painter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/vnc_sstem"))
    parser.add_argument("--seeds", type=int, nargs="*", default=(0, 1, 2))
    options = parser.parse_args()
    if not options.data.exists():
        raise SystemExit(f"skipped: no data in {options.data}")
    image, truth = load_stack(options.data)
    _, as_published = load_stack(options.data, repaired=False)
    test = list(TEST_SLICES)
    for seed in options.seeds:
        painted = paint(truth, seed=seed)
        start = time.perf_counter()
        forest = fit_forest(image, painted, seed=seed)
        seconds = time.perf_counter() - start
        predicted, _ = predict_forest(forest, image, test)
        repaired, published = (
            np.nanmean(mean_iou(known[test], predicted)) for known in (truth, as_published)
        )
        per_class = np.nanmean(mean_iou(truth[test], predicted), axis=0).round(3)
        print(
            f"seed {seed}: mean IoU {repaired:.3f} (files as published {published:.3f}), "
            f"membrane, mitochondrion, rest {per_class}, trained in {seconds:.1f} s"
        )


if __name__ == "__main__":
    main()
