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


def unet_scores(
    image: NDArray[np.uint8],
    truth: Labels,
    painted: Labels,
    ndim: Literal[2, 3],
    seconds: float,
    seed: int,
    **options: Any,
) -> tuple[NDArray[np.float64], int]:
    """Train on the strokes, predict the test slices; return IoU per slice and class, and steps."""
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
    predicted = whole[test] if ndim == 3 else whole
    return mean_iou(truth[test], predicted), model.training["steps"]


def forest_scores(image: NDArray[np.uint8], truth: Labels, painted: Labels) -> NDArray[np.float64]:
    """Do the same with a random forest on multi-scale features."""
    test = list(TEST_SLICES)
    predicted, _ = predict_forest(fit_forest(image, painted), image, test)
    return mean_iou(truth[test], predicted)


def _row(name: str, seed: int, table: NDArray[np.float64], took: float, note: str = "") -> float:
    score = float(np.nanmean(table))
    per_class = "  ".join(f"{v:.3f}" for v in np.nanmean(table, 0))
    print(f"{name:8} seed {seed}  {score:.3f}   {per_class}   {took:5.1f} s {note}", flush=True)
    return score


def main(arguments: Sequence[str] | None = None) -> None:
    """Print mean IoU per seed of both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/vnc_sstem"))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ndim", type=int, nargs="+", default=[2, 3], choices=[2, 3])
    parser.add_argument("--as-published", action="store_true", help="leave the empty slices empty")
    chosen = parser.parse_args(arguments)
    if not chosen.data.is_dir():
        print(f"skipped: {chosen.data} is not there")
        return
    image, truth = load_stack(chosen.data, repaired=not chosen.as_published)
    print("                 mean    " + "  ".join(CLASSES))
    for ndim in chosen.ndim:
        results: dict[str, list[float]] = {"forest": [], "unet": []}
        for seed in chosen.seeds:
            painted = paint(truth, seed=seed, slices=SLICES_3D if ndim == 3 else (0,))
            began = time.perf_counter()
            table = forest_scores(image, truth, painted)
            results["forest"].append(_row("forest", seed, table, time.perf_counter() - began))
            began = time.perf_counter()
            table, steps = unet_scores(image, truth, painted, ndim, chosen.seconds, seed)
            took = time.perf_counter() - began
            score = _row(f"U-Net {ndim}D", seed, table, took, f"({steps} steps)")
            results["unet"].append(score)
        ours, theirs = mean(results["unet"]), mean(results["forest"])
        print(f"{ndim}D mean: U-Net {ours:.3f}, forest {theirs:.3f}, ratio {ours / theirs:.3f}")


if __name__ == "__main__":
    main()
