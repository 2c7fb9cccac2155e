"""Sparse strokes on an electron micrograph: the U-Net against the random forest.

Eight strokes a class, painted by a simulated painter, on ``vnc_sstem``; mean IoU over three
classes and slices 0, 7 and 14. Both see the same strokes in the same run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any, Literal

import numpy as np
from forest import fit_forest, predict_forest
from numpy.typing import NDArray
from painter import CLASSES, TEST_SLICES, Labels, load_stack, mean_iou, paint

import napari_unet

SPACING = (45.0, 4.6, 4.6)  # nanometres, from the data's own description
SLICES_3D = (0, 7, 14)


def by_unet(
    image: NDArray[np.uint8],
    painted: Labels,
    ndim: Literal[2, 3],
    seconds: float,
    seed: int,
    **options: Any,
) -> tuple[Labels, int]:
    """Train on the strokes; return the classes of the test slices, and the number of steps."""
    model = napari_unet.fit(
        image,
        painted,
        ndim=ndim,
        seconds=seconds,
        seed=seed,
        spacing=SPACING[-ndim:],
        **options,
    )
    test = list(TEST_SLICES)
    whole = napari_unet.predict(model, image if ndim == 3 else image[test])
    return whole[test] if ndim == 3 else whole, model.training["steps"]


def by_forest(image: NDArray[np.uint8], painted: Labels) -> Labels:
    """Do the same with a random forest on multi-scale features."""
    return predict_forest(fit_forest(image, painted), image, list(TEST_SLICES))[0]


def _row(what: str, predicted: Labels, truths: tuple[Labels, Labels], note: str) -> float:
    """Print and return the mean IoU; beside it the one with the truth's files as published."""
    test = list(TEST_SLICES)
    table, published = (mean_iou(truth[test], predicted) for truth in truths)
    score = float(np.nanmean(table))
    per_class = "  ".join(f"{v:.3f}" for v in np.nanmean(table, 0))
    print(f"{what}  {score:.3f} ({np.nanmean(published):.3f})  {per_class}  {note}", flush=True)
    return score


def main(arguments: Sequence[str] | None = None) -> None:
    """Print mean IoU per seed of both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/vnc_sstem"))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ndim", type=int, nargs="+", default=[2, 3], choices=[2, 3])
    parser.add_argument("--strokes", type=int, default=8, help="of each class")
    parser.add_argument("--image-first", action="store_true", help="also with image_first")
    chosen = parser.parse_args(arguments)
    if not chosen.data.is_dir():
        print(f"skipped: {chosen.data} is not there")
        return
    image, truth = load_stack(chosen.data)
    truths = truth, load_stack(chosen.data, repaired=False)[1]
    print("mean IoU (with the files as published), " + ", ".join(CLASSES))
    for ndim in chosen.ndim:
        results: dict[str, list[float]] = {"forest": [], "unet": []}
        for seed in chosen.seeds:
            slices = SLICES_3D if ndim == 3 else (0,)
            painted = paint(truth, chosen.strokes, seed=seed, slices=slices)
            began = time.perf_counter()
            predicted = by_forest(image, painted)
            took = f"{time.perf_counter() - began:.0f} s"
            results["forest"].append(_row(f"forest   seed {seed}", predicted, truths, took))
            predicted, steps = by_unet(image, painted, ndim, chosen.seconds, seed)
            score = _row(f"U-Net {ndim}D seed {seed}", predicted, truths, f"{steps} steps")
            results["unet"].append(score)
            if chosen.image_first:
                first = by_unet(image, painted, ndim, chosen.seconds, seed, image_first=True)
                score = _row(f"image first  seed {seed}", first[0], truths, f"{first[1]} steps")
                results.setdefault("first", []).append(score)
        ours, theirs = mean(results["unet"]), mean(results["forest"])
        print(f"{ndim}D mean: U-Net {ours:.3f}, forest {theirs:.3f}, ratio {ours / theirs:.3f}")
        if "first" in results:
            print(f"{ndim}D mean with the image first: {mean(results['first']):.3f}")


if __name__ == "__main__":
    main()
