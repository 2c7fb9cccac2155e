"""One noisy image and nothing else: ours against BM3D and CAREamics' Noise2Void, in one run.

- ``noise2fast``: five confocal images with real noise and their truths. PSNR at range 255 after
  clipping to it, per image and mean, for: the noisy image; the generalised Anscombe transform with
  blindly fitted noise, BM3D and the unbiased inverse; our `fit(image, task="denoise")` for
  ``--seconds`` and a prediction averaged over flips; and CAREamics' Noise2Void for the same wall
  time, in a Python of its own (``--careamics PATH``), for it asks for another torch than we do.
- ``volumes``: `vnc_sstem` stack2 with synthetic Poisson noise, and a series of frames of one of
  its planes: what "auto" chose, and PSNR for each choice.

Training and CAREamics get the same number of threads. Predicting does not count as training for
either.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

import napari_unet
from napari_unet.noise.poisson_gauss import fit_noise
from napari_unet.noise.variance_stabilising import Stabiliser
from napari_unet.training.events import Decision, Finished

Image = NDArray[Any]
NAMES = ("fish", "mice", "BPAE_R", "BPAE_B", "BPAE_G")
RANGE = 255.0


def psnr(image: Image, truth: Image) -> float:
    """Return the peak signal-to-noise ratio in dB, at range 255, of an image clipped to it."""
    error = np.mean((np.clip(image, 0, RANGE) - truth.astype(float)) ** 2)
    return float(10 * np.log10(RANGE**2 / error))


def bm3d_blind(noisy: Image) -> Image:
    """Return the image denoised by BM3D between the Anscombe transform and its inverse."""
    from bm3d import bm3d

    stable = Stabiliser.of(fit_noise([noisy]))
    forward = stable.forward(noisy.astype(float))
    return np.asarray(stable.inverse(bm3d(forward, 1.0)))


def ours(noisy: Image, seconds: float, threads: int | None, **options: Any) -> tuple[Image, str]:
    """Return the image as our network denoises it, and what was chosen and how many steps."""
    why, model, steps = "", None, 0
    events = napari_unet.train(noisy, task="denoise", seconds=seconds, threads=threads, **options)
    for event in events:
        if isinstance(event, Decision):
            why = event.message
        if isinstance(event, Finished):
            model, steps = event.model, event.step
    assert model is not None
    found = napari_unet.predict(model, noisy, flips=True, threads=threads)
    return found, f"{steps} steps, {why}"


CAREAMICS = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import numpy as np, tifffile, torch
from careamics import CAREamist
from careamics.config import create_n2v_config
from pytorch_lightning.callbacks import Callback

source, target, seconds, threads = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
if threads:
    torch.set_num_threads(threads)
image = tifffile.imread(source).astype(np.float32)


class Clock(Callback):
    def on_train_start(self, *_):
        self.began = time.monotonic()

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop |= time.monotonic() - self.began > seconds


config = create_n2v_config(
    experiment_name="n2v", data_type="array", axes="YX", patch_size=[64, 64], batch_size=16,
    num_epochs=10_000,
)
engine = CAREamist(config, callbacks=[Clock()], enable_progress_bar=False)
engine.train(train_data=image, val_data=image)
result = engine.predict(image)
found = np.asarray(result[0] if isinstance(result, (list, tuple)) else result).squeeze()
np.save(target, found)
"""


def careamics(python: Path, noisy: Image, seconds: float, threads: int | None) -> Image:
    """Return the image as CAREamics denoises it, run by a Python that has it."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.tif"), Path(folder, "out.npy")
        tifffile.imwrite(source, noisy)
        command = [str(python), "-c", CAREAMICS, source, target, str(seconds), str(threads or 0)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"CAREamics failed:\n{done.stderr[-2000:]}")
        return np.asarray(np.load(target))


def confocal(data: Path, seconds: float, threads: int | None, python: Path | None) -> None:
    """Print the table of the confocal images."""
    methods: dict[str, Callable[[Image], Image]] = {
        "noisy": lambda noisy: noisy.astype(float),
        "VST+BM3D": bm3d_blind,
        "ours": lambda noisy: ours(noisy, seconds, threads)[0],
    }
    if python is not None:
        methods["CAREamics"] = lambda noisy: careamics(python, noisy, seconds, threads)
    print(f"confocal, one image at a time, {seconds:g} s of training")
    print(f"{'':10}" + "".join(f"{name:>12}" for name in methods), flush=True)
    rows = []
    for name in NAMES:
        noisy, truth = (
            tifffile.imread(data / "noise2fast" / kind / f"{name}.tif")
            for kind in ("Confocal_gaussianpoisson", "Confocal")
        )
        rows.append([psnr(method(noisy), truth) for method in methods.values()])
        print(f"{name:10}" + "".join(f"{value:12.2f}" for value in rows[-1]), flush=True)
    means = np.mean(rows, axis=0)
    print(f"{'mean':10}" + "".join(f"{value:12.2f}" for value in means), flush=True)


def volumes(data: Path, seconds: float, threads: int | None) -> None:
    """Print what was chosen for a volume and for a series of frames, and what each choice gives."""
    stack = tifffile.imread(data / "vnc_sstem" / "stack2_raw.tif")[:12, 256:768, 256:768]
    random = np.random.default_rng(0)
    cases = {"volume": stack / 4.0, "frames": np.repeat(stack[:1] / 4.0, 12, 0)}
    for name, clean in cases.items():
        noisy = random.poisson(clean).astype(np.uint16)
        print(f"{name}: {clean.shape}, Poisson noise, {clean.mean():.0f} counts on average")
        print(f"  {'noisy':24}{_counts(noisy, clean):8.2f} dB")
        for choice, options in CHOICES.items():
            found, why = ours(noisy, seconds, threads, **options)
            print(f"  {choice:24}{_counts(found, clean):8.2f} dB   {why}", flush=True)


CHOICES: dict[str, dict[str, Any]] = {
    "auto": {},
    "blind spots, 2D": {"method": "blind_spot", "planes": 1},
    "blind spots, 3 planes": {"method": "blind_spot", "planes": 3},
    "blind spots, 3D": {"method": "blind_spot", "ndim": 3},
    "neighbours, 1 plane": {"method": "neighbours", "planes": 1},
    "neighbours, 5 planes": {"method": "neighbours", "planes": 5},
}


def _counts(image: Image, clean: Image) -> float:
    """Return the PSNR of counts whose range is a quarter of 255."""
    return psnr(np.asarray(image, float) * 4, clean * 4)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--careamics", type=Path, help="a Python that has careamics")
    parser.add_argument("--sets", nargs="+", default=["confocal", "volumes"])
    given = parser.parse_args()
    if not given.data.is_dir():
        raise SystemExit(f"{given.data} is not there: nothing is measured.")
    if "confocal" in given.sets:
        confocal(given.data, given.seconds, given.threads, given.careamics)
    if "volumes" in given.sets:
        volumes(given.data, given.seconds, given.threads)


if __name__ == "__main__":
    main()
