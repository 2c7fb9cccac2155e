"""Every published network, scaled down, learns, is saved and loaded, and predicts."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.api import fit, predict
from napari_unet.model import load_model
from napari_unet.network.architecture import Architecture
from napari_unet.network.densenet_config import DenseNetConfig
from napari_unet.network.presets import PRESETS
from napari_unet.network.registry import preset
from napari_unet.network.unet_config import UNetConfig

QUICK = {"steps": 1, "batch_size": 1, "threads": 1}
RESTORES = ("sinogram2019", "ndnet_unetv3")


def tiny(name: str) -> Architecture:
    """Return a preset with few channels and, where there are many, few layers."""
    config = preset(name)
    if isinstance(config, DenseNetConfig):
        blocks = tuple(-(-n // 10) for n in config.blocks[:2])
        return preset(name, first=3, growth=config.growth // 6, blocks=blocks, bottom=1)
    if not isinstance(config, UNetConfig):
        return preset(name, width=0.01)

    def few(block: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(max(2, n // 32) for n in block)

    # In 3D context costs its third power: the two finest levels are enough.
    levels = config.depth if config.ndim == 2 else 2
    blocks = {"encoder": config.encoder[:levels], "decoder": config.decoder[-levels:]}
    changed = {key: tuple(map(few, levels)) for key, levels in blocks.items()}
    return preset(name, **changed, bottom=few(config.bottom))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_goes_all_the_way(name, tmp_path):
    config = tiny(name)
    random = np.random.default_rng(0)
    image = random.random((40,) * 2 if config.ndim == 2 else (6, 20, 20)).astype(np.float32)
    labels = (image > 0.5).astype(np.uint8) + 1
    options = {"network": config, "ndim": config.ndim, **QUICK}
    if name == "sinogram2019":
        # Five slices are seen together, the middle one comes out.
        image = random.random((5, 40, 40)).astype(np.float32)
        model = fit(image, image**2, task="restore", planes=5, **options)
        assert model.config.in_channels == 5
    elif name in RESTORES:
        model = fit(image, image**2, task="restore", **options)
    else:
        model = fit(image, labels, **options)
    assert model.config.title == config.title
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = load_model(path)
    assert (loaded.config, loaded.digest) == (model.config, model.digest)
    found = predict(loaded, image)
    assert found.shape == image.shape
    assert np.array_equal(found, predict(model, image))
    if name not in RESTORES:
        assert set(np.unique(found)) <= {1, 2}
    else:
        assert np.isfinite(found).all()
