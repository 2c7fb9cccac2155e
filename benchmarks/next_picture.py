"""Strokes on one picture, scored on the others: the U-Net against a random forest.

Eight strokes per class are painted on one image of a set (three seeds: three images) by a
simulated painter. The model is scored on that image, on others, and on one of the others after its
gain, offset, gamma, noise or zoom has been changed. The forest sees the same strokes, and the same
measurement of each picture: its median, and its contrast where that is clear.

The budget can be given in steps: on a machine with other work, seconds are no measure.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from painter import Labels, load_stack, mean_iou, paint
from scipy.ndimage import zoom
from skimage.feature import multiscale_basic_features
from skimage.io import imread
from skimage.segmentation import find_boundaries
from sklearn.ensemble import RandomForestClassifier

import napari_unet

Image = NDArray[Any]

NEXT = 5
"""Number of other images that are scored."""

SIGMAS = (0.7, 11.3)
"""Smallest and largest scale of the forest's features, in pixels."""

CLEAR_CONTRAST = 8.0
"""Contrast, in standard deviations of the noise, from which a picture's own one is taken."""


@dataclass(frozen=True)
class Picture:
    """An image (y, x), (y, x, channel) or (z, y, x), and its true classes from 1."""

    name: str
    image: Image
    truth: Labels


@dataclass(frozen=True)
class Set:
    """Pictures of one kind.

    Parameters
    ----------
    read : callable
        Reads all pictures from the folder of the data.
    ndim : int
        Spatial dimensions.
    spacing : tuple of float
        Distance between voxels per spatial axis.
    width : int
        Of a stroke, in pixels.
    """

    read: Callable[[Path], Iterator[Picture]]
    ndim: Literal[2, 3] = 2
    spacing: tuple[float, ...] = (1.0, 1.0)
    width: int = 3


def _binary(mask: NDArray[Any]) -> Labels:
    return np.where(mask > 0, 1, 2).astype(np.uint8)


def _folder(name: str, step: int = 1) -> Callable[[Path], Iterator[Picture]]:
    """Return what reads a folder of images and masks, each `step`-th pixel along y and x."""

    def read(data: Path) -> Iterator[Picture]:
        for path in sorted((data / name / "images").glob("*.tif")):
            image, mask = imread(path), imread(data / name / "masks" / path.name)
            yield Picture(path.stem, *_thinned(image, _binary(mask), step))

    return read


def _thinned(image: Image, truth: Labels, step: int) -> tuple[Image, Labels]:
    """Return the means of blocks of pixels, and the most frequent class of each block."""
    if step == 1:
        return image, truth
    height, width = (n // step * step for n in truth.shape)
    blocks = image[:height, :width].reshape(height // step, step, width // step, step, -1)
    few = truth[:height, :width].reshape(height // step, step, width // step, step)
    return (
        blocks.mean((1, 3)).round().astype(image.dtype),
        _binary((few == 1).mean((1, 3)) >= 0.5),
    )


def _electron_micrographs(data: Path) -> Iterator[Picture]:
    image, truth = load_stack(data / "vnc_sstem")
    for z in (0, 7, 14, 3, 10, 17):
        window = (z, slice(256, 768), slice(256, 768))
        yield Picture(f"slice {z}", image[window], truth[window])


def _fluorescent_nuclei(data: Path) -> Iterator[Picture]:
    """Yield images from dim to bright, mixed, of those that hold some nuclei."""
    found = []
    for path in sorted((data / "dsb2018" / "fluo" / "images").glob("*.tif"))[::9]:
        image = imread(path)
        truth = _binary(imread(data / "dsb2018" / "fluo" / "labels" / path.name))
        if max(image.shape) <= 520 and (truth == 1).mean() > 0.02:
            found.append(Picture(path.stem[:8], image, truth))
    found.sort(key=lambda picture: float(np.percentile(picture.image, 99)))
    order = np.random.default_rng(0).permutation(len(found))
    yield from (found[i] for i in order)


def _nuclei(data: Path) -> Iterator[Picture]:
    """Yield both groups of embryos in turn."""
    pictures = list(_folder("nuclei_3d")(data))
    yield from (pictures[i] for i in (0, 6, 3, 1, 7, 2, 4, 5))


def _frames(data: Path) -> Iterator[Picture]:
    for name, frames in (("hela_h2b", (0, 4, 8, 12, 16, 19)),):
        image = imread(data / "timelapse_2d" / "images" / f"{name}.tif")
        mask = imread(data / "timelapse_2d" / "masks" / f"{name}.tif")
        yield from (Picture(f"{name} {t}", image[t], _binary(mask[t])) for t in frames)


def _membranes(data: Path) -> Iterator[Picture]:
    for slab in ("medulla_z000", "medulla_z170"):
        image = imread(data / "em_neurites_3d" / "images" / f"{slab}.tif")
        mask = imread(data / "em_neurites_3d" / "masks" / f"{slab}.tif")
        for start in (0, 40):
            part = (slice(start, start + 24), slice(40, 200), slice(40, 200))
            truth = _binary(find_boundaries(mask[part], mode="thick"))
            yield Picture(f"{slab}+{start}", image[part], truth)


SETS = {
    "vnc_sstem": Set(_electron_micrographs),
    "dsb2018": Set(_fluorescent_nuclei),
    "thin_vessels": Set(_folder("thin_vessels", 2)),
    "histology_rgb": Set(_folder("histology_rgb")),
    "phase_or_brightfield_cells": Set(_folder("phase_or_brightfield_cells")),
    "nuclei_3d": Set(_nuclei, 3, (2.0, 0.8, 0.8)),
    "timelapse_2d": Set(_frames),
    "em_neurites_3d": Set(_membranes, 3, (1.0, 1.0, 1.0)),
}
"""All sets by the name of their folder."""


def chosen(pictures: Sequence[Picture], seed: int) -> tuple[Picture, list[Picture]]:
    """Return the picture to paint on, and up to `NEXT` others from all over the set."""
    number = seed * max(1, len(pictures) // 3) % len(pictures)
    others = [p for i, p in enumerate(pictures) if i != number]
    picks = np.linspace(0, len(others) - 1, min(NEXT, len(others))).astype(int)
    return pictures[number], [others[i] for i in picks]


def strokes_on(picture: Picture, width: int, seed: int) -> Labels:
    """Paint eight strokes of each class; on a volume, on three of its planes."""
    truth = picture.truth if picture.truth.ndim == 3 else picture.truth[None]
    depth, height, wide = truth.shape
    slices = (0,) if depth == 1 else tuple(int(depth * part) for part in (0.3, 0.5, 0.7))
    painted = paint(truth, 8, 40, width, seed, slices=slices, window=(0, 0, height, wide))
    return painted.reshape(picture.truth.shape)


def changed(picture: Picture) -> Iterator[tuple[str, Image, Labels]]:
    """Yield an image with one thing changed, and its truth."""
    image = picture.image.astype(np.float64)
    low, high = np.percentile(image, (1, 99))
    span = high - low
    scaled = ((image - image.min()) / np.ptp(image)).clip(0, 1)
    noise = np.random.default_rng(0).normal(0, 0.1 * span, image.shape)
    yield "gain x2", 2 * image, picture.truth
    yield "offset", image + span, picture.truth
    yield "gamma .6", image.min() + np.ptp(image) * scaled**0.6, picture.truth
    yield "noise", image + noise, picture.truth
    factors = (1.0,) * (picture.truth.ndim - 2) + (1.4, 1.4)
    larger = zoom(image, factors + (1.0,) * (image.ndim - picture.truth.ndim), order=1)
    yield "zoom 1.4", larger, zoom(picture.truth, factors, order=0)


def measured(image: Image, stored: NDArray[np.float64] | None) -> tuple[Image, NDArray[np.float64]]:
    """Normalise each channel by its median and contrast, for the forest.

    Parameters
    ----------
    image : ndarray, shape (*spatial, channel)
        Pixels.
    stored : ndarray of float64, shape (channel,), optional
        Contrasts that are taken where a picture has no clear one.
    """
    flat = image.reshape(-1, image.shape[-1]).astype(np.float64)
    median, high = np.percentile(flat, (50, 99), axis=0)
    steps = np.abs(np.diff(image.astype(np.float64), axis=-2)).reshape(-1, image.shape[-1])
    noise = np.median(steps, axis=0) / 0.954  # of differences of two Gaussian pixels
    own = np.maximum(high - median, 1e-9)
    contrast = own if stored is None else np.where(own > CLEAR_CONTRAST * noise, own, stored)
    return ((image - median) / contrast).astype(np.float32), contrast


class Forest:
    """A random forest on multi-scale features of every channel."""

    def __init__(self, ndim: int) -> None:
        self._ndim = ndim
        self._contrast: NDArray[np.float64] | None = None
        self._trees = RandomForestClassifier(100, n_jobs=1, random_state=0)

    def features(self, image: Image) -> NDArray[np.float32]:
        """Return features, shape (*spatial, feature)."""
        image = image if image.ndim > self._ndim else image[..., None]
        pixels, contrast = measured(image, self._contrast)
        self._contrast = contrast if self._contrast is None else self._contrast
        low, high = SIGMAS if self._ndim == 2 else (0.7, 5.6)
        found = multiscale_basic_features(
            pixels, sigma_min=low, sigma_max=high, channel_axis=-1, workers=1
        )
        return np.asarray(found, np.float32)

    def fit(self, image: Image, painted: Labels) -> None:
        """Grow the trees on the painted pixels."""
        self._trees.fit(self.features(image)[painted > 0], painted[painted > 0])

    def predict(self, image: Image) -> Labels:
        """Return the class of every pixel."""
        features = self.features(image)
        said = self._trees.predict(features.reshape(-1, features.shape[-1]))
        return np.asarray(said.reshape(features.shape[:-1]), np.uint8)


def scores(truth: Labels, predicted: Labels) -> tuple[float, float, float]:
    """Return mean IoU, F1 of class 1, and how often it was found for once that it is true."""
    classes = int(truth.max())
    table = mean_iou(truth[None], predicted[None], classes)
    found, true = predicted == 1, truth == 1
    both = (found & true).sum()
    f1 = 2 * both / max(1, found.sum() + true.sum())
    return float(np.nanmean(table)), float(f1), float(found.sum() / max(1, true.sum()))


def report(
    what: str,
    predict: Callable[[Image], Labels],
    own: Picture,
    others: Sequence[Picture],
) -> dict[str, float]:
    """Score one model everywhere, print a line, and return its scores."""
    rows = [scores(p.truth, predict(p.image)) for p in others]
    found = {"same": scores(own.truth, predict(own.image))[0]}
    found |= {"next": mean(r[0] for r in rows), "F1": mean(r[1] for r in rows)}
    ratios = np.array([r[2] for r in rows])
    found |= {"least ratio": float(ratios.min()), "most ratio": float(ratios.max())}
    for name, image, truth in changed(others[0]):
        found[name] = scores(truth, predict(image))[0]
    found["unchanged"] = rows[0][0]
    print(f"{what:42s}", "  ".join(f"{k} {v:.3f}" for k, v in found.items()), flush=True)
    return found


def by_unet(
    options: argparse.Namespace, one: Set, own: Picture, painted: Labels, seed: int
) -> Callable[[Image], Labels]:
    """Train on the strokes, and return what predicts."""
    channel = None if own.image.ndim == own.truth.ndim else -1
    budget = {"steps": options.steps} if options.steps else {"seconds": options.seconds}
    model = napari_unet.fit(
        own.image, painted, ndim=one.ndim, spacing=one.spacing, seed=seed,
        channel_axis=channel, **budget, **dict(options.set),
    )  # fmt: skip
    return lambda image: napari_unet.predict(model, image, channel_axis=channel)


def _setting(text: str) -> tuple[str, Any]:
    """Read NAME=VALUE, where the value is a literal of Python or a word."""
    import ast

    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one line per set, seed and rival, and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--steps", type=int, help="instead of seconds")
    parser.add_argument("--rivals", nargs="+", default=["forest", "unet"])
    parser.add_argument("--set", type=_setting, nargs="*", default=[], help="options: NAME=VALUE")
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        print(f"skipped: {options.data} is not there")
        return
    for name in options.sets:
        one = SETS[name]
        pictures = list(one.read(options.data))
        table: dict[str, list[dict[str, float]]] = {rival: [] for rival in options.rivals}
        for seed in options.seeds:
            own, others = chosen(pictures, seed)
            painted = strokes_on(own, one.width, seed)
            for rival in options.rivals:
                began = time.perf_counter()
                if rival == "forest":
                    forest = Forest(one.ndim)
                    forest.fit(own.image, painted)
                    predict: Callable[[Image], Labels] = forest.predict
                else:
                    predict = by_unet(options, one, own, painted, seed)
                took = time.perf_counter() - began
                what = f"{name} {own.name} s{seed} {rival} {took:.0f} s"
                table[rival].append(report(what, predict, own, others))
        for rival, rows in table.items():
            means = {key: mean(row[key] for row in rows) for key in rows[0]}
            line = "  ".join(f"{k} {v:.3f}" for k, v in means.items())
            print(f"{name + ' mean ' + rival:42s}", line, flush=True)


if __name__ == "__main__":
    main()
