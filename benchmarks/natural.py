"""Denoising natural images (BSD68, white noise of sigma 25) beside published figures.

One network learns from 400 noisy images (`task="denoise"`, blind spots: no clean image, nor two of
a scene), with ``--pairs`` another from noisy and clean ones; both are applied to the 68 others.
PSNR at a range of 255, nothing clipped, mean over the images.

Published for sigma 25: Noise2Void 27.71 (Krull et al. 2019, arXiv:1811.10980), BM3D 28.57 and DnCNN
29.23 (Zhang et al. 2017, arXiv:1608.03981), all but BM3D trained for hours on a GPU.

    python benchmarks/natural.py --data ../shared/data/bsd68_train400_set12 --seconds 1200 --pairs
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.io import imread

import napari_unet

SIGMA = 25.0
DATA = Path(__file__).parents[2] / "shared" / "data" / "bsd68_train400_set12"


def images(folder: Path) -> Iterator[NDArray[np.float32]]:
    """Yield the images of a folder, grey values from 0 to 255."""
    for path in sorted(folder.iterdir()):
        yield imread(path, as_gray=False).astype(np.float32)


def noisy(image: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Add white noise."""
    noise = np.random.default_rng(seed).normal(0, SIGMA, image.shape)
    return (image + noise).astype(np.float32)


def psnr(image: NDArray[Any], truth: NDArray[Any]) -> float:
    """Return the peak signal-to-noise ratio in dB, at a range of 255."""
    return float(10 * np.log10(255**2 / np.mean((np.asarray(image, float) - truth) ** 2)))


def main() -> None:
    """Learn, apply, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--pairs", action="store_true", help="Learn from pairs, too.")
    given, _ = parser.parse_known_args()
    if not given.data.is_dir():
        print(f"skipped: there is no {given.data}")
        return
    clean = np.stack(list(images(given.data / "Train400")))
    learned = np.stack([noisy(image, k) for k, image in enumerate(clean)])
    truth = list(images(given.data / "BSD68"))
    seen = [noisy(image, 10_000 + k) for k, image in enumerate(truth)]
    print(f"noisy {np.mean([psnr(a, b) for a, b in zip(seen, truth, strict=True)]):.2f} dB")
    alone = {"task": "denoise", "method": "blind_spot"}
    ways: dict[str, Any] = {"without clean images": (None, alone)}
    if given.pairs:
        ways["with pairs"] = (clean, {"task": "restore", "loss": {"l2": 1.0}})
    for name, (goal, options) in ways.items():
        model = napari_unet.fit(learned, goal, seconds=given.seconds, **options)
        for flips in (False, True):
            found = [napari_unet.predict(model, image, flips=flips) for image in seen]
            mean = np.mean([psnr(a, b) for a, b in zip(found, truth, strict=True)])
            steps = model.training["steps"]
            print(f"{name}, {steps} steps, flips {flips}: {mean:.2f} dB", flush=True)


if __name__ == "__main__":
    main()
