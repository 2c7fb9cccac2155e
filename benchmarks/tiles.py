"""Exact tiles against blended overlapping windows, with the same weights, in one run.

The peer is MONAI's sliding-window inference where MONAI is installed (``pip install monai``).
For each: the time, and the largest difference from the whole image computed at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

import napari_unet
from napari_unet.data.normalisation import Normalisation
from napari_unet.model import ClassInfo

Array = NDArray[np.float32]


def untrained(config: napari_unet.UNetConfig) -> napari_unet.TrainedModel:
    """Return a model with fresh weights: for time and seams they are as good as others."""
    torch.manual_seed(0)
    network = napari_unet.build_network(config)
    return napari_unet.TrainedModel(
        config,
        network.state_dict(),
        Normalisation("none", (0.0,), (1.0,)),
        classes=(ClassInfo(1), ClassInfo(2)),
    )


def peer(model: napari_unet.TrainedModel, window: int, overlap: float) -> Callable[[Array], Array]:
    """Return MONAI's sliding window over the same weights, padded inside the window."""
    from monai.inferers import sliding_window_inference

    padded = model.config.model_copy(update={"padding": "same"})
    network = napari_unet.build_network(padded)
    network.load_state_dict({k: torch.tensor(v) for k, v in model.weights.items()})
    network.eval()

    @torch.inference_mode()
    def run(image: Array) -> Array:
        x = torch.from_numpy(image)[None, None]
        size = (window,) * model.config.ndim
        y = sliding_window_inference(x, size, 1, network, overlap=overlap)
        return torch.softmax(y, 1)[0].numpy()

    return run


def compare(ndim: int, size: int, window: int) -> None:
    """Print seconds and errors of both."""
    config = napari_unet.UNetConfig.sized("small", ndim, fast=False)  # type: ignore[arg-type]
    model = untrained(config)
    image = np.random.default_rng(0).standard_normal((size,) * ndim, np.float32)
    whole = napari_unet.predict(
        model, image, output="probabilities", tile=config.input_for(image.shape)
    )

    def ours(x: Array) -> Array:
        return napari_unet.predict(model, x, output="probabilities")

    runs: dict[str, Callable[[Array], Array]] = {"exact tiles": ours}
    try:
        runs |= {f"MONAI {o}": peer(model, window, o) for o in (0.25, 0.5)}
    except ImportError:
        print("MONAI is not installed: only our own figures")
    inside = (slice(None), *(slice(48, -48),) * ndim)
    seconds: dict[str, float] = {}
    for name, run in runs.items():
        times = []
        for _ in range(3):
            began = time.perf_counter()
            result = run(image)
            times.append(time.perf_counter() - began)
        seconds[name] = sorted(times)[1]
        error = np.abs(result[inside] - whole[inside]).max()
        ratio = seconds[name] / seconds["exact tiles"]
        print(f"{ndim}D {name:12} {seconds[name]:6.2f} s  x{ratio:.2f}  error {error:.1e}")


if __name__ == "__main__":
    compare(2, 1536, 256)
    compare(3, 160, 96)
