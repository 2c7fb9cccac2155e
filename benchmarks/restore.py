"""Two worked examples beside a classical method, with a figure each (for the docs).

- **Sinograms**: a stack of sinograms of random phantoms (`skimage.transform.radon`, 360 degrees),
  in which blocks of detectors are dead. Our `task="inpaint"` learns from that stack alone: five
  slices in, one out, the angle goes round. Beside biharmonic inpainting.
- **Deconvolution**: pictures of random cells, blurred by a Gaussian of 2.5 pixels and with Poisson
  noise. Our `task="restore"` learns from pairs, and is applied to others. Beside Richardson-Lucy,
  which is told the point-spread function, with the best of several numbers of iterations.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.restoration import inpaint_biharmonic, richardson_lucy
from skimage.transform import radon

import napari_unet

Image = NDArray[np.float32]
SIZE, SLICES, ANGLES = 96, 16, 120
BLUR, LIGHT = 2.5, 60.0
ITERATIONS = (5, 10, 20, 40, 80)


def psnr(image: NDArray[Any], truth: NDArray[Any], where: NDArray[np.bool_] | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB, at the truth's range."""
    error = (np.asarray(image, float) - truth) ** 2
    mean = error.mean() if where is None else error[where].mean()
    return float(10 * np.log10(np.ptp(truth) ** 2 / mean))


def cells(shape: Sequence[int], number: int, seed: int) -> Image:
    """Return balls of several brightnesses with some texture, (z, y, x)."""
    random, out = np.random.default_rng(seed), np.zeros(tuple(shape))
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    for _ in range(number):
        centre = [random.uniform(0.15 * n, 0.85 * n) for n in shape]
        radius = random.uniform(4, 11)
        squeeze = random.uniform(0.6, 1.4, len(shape))
        away = sum(((a - c) * s) ** 2 for a, c, s in zip(axes, centre, squeeze, strict=True))
        out[np.asarray(away) < radius**2] = random.uniform(0.3, 1)
    grain = gaussian_filter(random.normal(size=out.shape), 1.2)
    return (out * (1 + 0.8 * grain)).clip(0).astype(np.float32)


def sinograms(seed: int = 0) -> tuple[Image, NDArray[np.uint8]]:
    """Return sinograms (slice, angle, detector) and which of their pixels are dead."""
    volume = cells((SLICES, SIZE, SIZE), 40, seed)
    y, x = np.ogrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    volume *= (y**2 + x**2 < 0.9**2).astype(np.float32)
    angles = np.linspace(0, 360, ANGLES, endpoint=False)
    stack = np.stack([radon(plane, angles).T for plane in volume]).astype(np.float32)
    dead = np.zeros(stack.shape, np.uint8)
    for start, width in ((20, 4), (47, 6), (70, 3)):
        dead[:, :, start : start + width] = 1
    random = np.random.default_rng(seed)
    for _ in range(SLICES):  # and blocks that fail for some angles
        z, a, d = (int(random.integers(n)) for n in stack.shape)
        dead[z, a : a + 30, d : d + 5] = 1
    return stack, dead


def fill_in(seconds: float, threads: int | None) -> dict[str, Any]:
    """Fill in dead detectors; return pictures for the figure."""
    truth, dead = sinograms()
    broken, hole = np.where(dead, 0, truth).astype(np.float32), dead > 0
    model = napari_unet.fit(
        broken, dead, task="inpaint", planes=5, wrap=("y",), size="small",
        seconds=seconds, threads=threads,
    )  # fmt: skip
    ours = napari_unet.predict(model, broken, mask=dead)
    assert np.array_equal(ours[~hole], broken[~hole])
    theirs = np.stack([inpaint_biharmonic(p, m) for p, m in zip(broken, hole, strict=True)])
    steps = model.training["steps"]
    print(f"sinograms {truth.shape}, {hole.mean():.1%} dead; PSNR of the dead pixels, in dB")
    print(f"  biharmonic {psnr(theirs, truth, hole):.2f}")
    print(f"  ours       {psnr(ours, truth, hole):.2f}   {steps} steps", flush=True)
    k = SLICES // 2
    return {
        "dead detectors": broken[k],
        "biharmonic": theirs[k],
        "ours": ours[k],
        "truth": truth[k],
    }


def deconvolve(seconds: float, threads: int | None) -> dict[str, Any]:
    """Sharpen blurred pictures; return pictures for the figure."""
    sharp = np.stack([cells((256, 256), 90, seed) for seed in range(8)]) * LIGHT
    blurred = gaussian_filter(sharp, (0, BLUR, BLUR))
    seen = np.random.default_rng(0).poisson(blurred).astype(np.uint16)
    model = napari_unet.fit(
        seen[:6], sharp[:6], task="restore", loss={"l1": 1.0, "ms_ssim": 0.2},
        readout="softplus", turns="all", seconds=seconds, threads=threads,
    )  # fmt: skip
    ours, truth = napari_unet.predict(model, seen[6:]), sharp[6:]
    kernel = np.zeros((21, 21))
    kernel[10, 10] = 1
    kernel = gaussian_filter(kernel, BLUR)
    each = {
        n: np.stack([richardson_lucy(p / 255, kernel, n, clip=False) * 255 for p in seen[6:]])
        for n in ITERATIONS
    }
    best = max(each, key=lambda n: psnr(each[n], truth))
    print("deconvolution, two pictures that were not learned from; PSNR in dB")
    print(f"  blurred    {psnr(seen[6:], truth):.2f}")
    print(f"  Richardson-Lucy {psnr(each[best], truth):.2f}   {best} iterations, the best")
    steps = model.training["steps"]
    print(f"  ours       {psnr(ours, truth):.2f}   {steps} steps", flush=True)
    middle = np.s_[0, 64:192, 64:192]
    pictures = {"blurred": seen[6:], "Richardson-Lucy": each[best], "ours": ours, "truth": truth}
    return {name: picture[middle] for name, picture in pictures.items()}


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the figure."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(rows), 4, figsize=(12, 3.2 * len(rows)), layout="constrained")
    for line, pictures in zip(np.atleast_2d(axes), rows, strict=True):
        top = float(pictures["truth"].max())
        for axis, (name, picture) in zip(line, pictures.items(), strict=True):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=top, aspect="auto")
            axis.set_title(name)
            axis.axis("off")
    figure.savefig(path, dpi=80)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    rows = [method(given.seconds, given.threads) for method in (fill_in, deconvolve)]
    if given.figure is not None:
        draw(rows, given.figure)


if __name__ == "__main__":
    main()
