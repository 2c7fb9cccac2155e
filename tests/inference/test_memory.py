"""The estimate of memory errs on the safe side, and not by much."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

import napari_unet
from napari_unet.control import Previewed, Viewport
from napari_unet.errors import OutOfMemoryError
from napari_unet.geometry.region import Region
from napari_unet.inference import memory
from napari_unet.inference.memory import MAX_BYTES, SHARE, bytes_per_voxel, max_tile_voxels
from napari_unet.network.architecture import Architecture
from napari_unet.network.build import build_network
from napari_unet.network.registry import preset
from napari_unet.network.unet_config import UNetConfig
from napari_unet.training.events import Finished, Warned
from tests.inference.models import model

CPU = torch.device("cpu")

CONFIGS = {
    "2D": UNetConfig.sized("small", 2, fast=False),
    "2D with a stem": UNetConfig.sized("large", 2),
    "3D": UNetConfig.sized("small", 3, fast=False),
    "Ronneberger": UNetConfig.preset("ronneberger2015"),
    "strided": preset("sinogram2019"),
    "FC-DenseNet": preset("fcdensenet56"),
    "FCN": preset("fcn8s", width=0.1),
    "one block": UNetConfig(encoder=(), bottom=(32, 32), decoder=()),
}


def largest_pair(config: Architecture, shape: tuple[int, ...]) -> int:
    """Return the bytes of the largest input and output of one layer together."""
    sizes = []
    network = build_network(config).eval().to("meta")
    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(
                lambda m, args, y: sizes.append(4 * (args[0].numel() + y.numel()))
            )
    network(torch.empty(1, config.in_channels, *shape, device="meta"))
    return max(sizes)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_estimate_covers_what_one_layer_needs(name):
    config = CONFIGS[name]
    side = 400 if config.ndim == 2 else 100
    shape = tuple(axis.input_for(side) for axis in config.passing)
    needed = largest_pair(config, shape) / torch.Size(shape).numel()
    assert needed <= bytes_per_voxel(config) <= 8 * needed


def test_a_tile_takes_a_share_of_what_is_free_and_no_more_than_helps(monkeypatch):
    config = CONFIGS["2D"]
    for free in (10**6, 10**9, 10**13):
        monkeypatch.setattr(psutil, "virtual_memory", lambda n=free: SimpleNamespace(available=n))
        expected = min(free * SHARE, MAX_BYTES) / bytes_per_voxel(config)
        assert max_tile_voxels(config, CPU) == pytest.approx(expected, abs=1)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=0))
    assert max_tile_voxels(config, CPU) == 1


def test_a_network_that_no_tile_of_fits_is_refused_before_anything_is_computed(monkeypatch):
    image = np.random.default_rng(0).random((48, 48))
    labels = np.zeros((48, 48), int)
    labels[4:20, 4:20], labels[4:20, 30:44] = 1, 2
    monkeypatch.setattr(memory, "_free_bytes", lambda device: 1000)
    said = []
    control = napari_unet.Control()
    control.look(Viewport((), Region((0, 0), (16, 16))))
    for event in napari_unet.train(image, labels, steps=15, size="small", control=control):
        assert not isinstance(event, Previewed)
        said += [event.message] if isinstance(event, Warned) else []
        trained = event.model if isinstance(event, Finished) else None
    assert any("There is no preview" in message and "smallest tile" in message for message in said)
    with pytest.raises(OutOfMemoryError, match="There is not enough memory for a prediction"):
        napari_unet.predict(trained, image)
    monkeypatch.undo()
    assert napari_unet.predict(trained, image).shape == image.shape


def test_an_image_that_fits_in_one_piece_is_seen_in_one_piece_where_no_tile_does(monkeypatch):
    config = preset("fcdensenet56", in_channels=1, out_channels=2)
    trained = model(config)
    image = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    one = {"tile": None, "output": "probabilities", "threads": 1}
    # Room for 64 x 64, not for the smallest tile, of 896 x 896.
    monkeypatch.setattr(memory, "_free_bytes", lambda device: 10**8)
    found = napari_unet.predict(trained, image, **one)
    wide = np.pad(image, [(0, 64 - 40), (0, 64 - 50)], mode="reflect")
    x = torch.from_numpy(trained.normalisation.apply(wide[None]))[None]
    with torch.inference_mode():
        expected = torch.softmax(trained.network()(x), 1)[0, :, :40, :50].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(OutOfMemoryError, match="896 x 896"):
        napari_unet.predict(trained, np.zeros((900, 1000), np.float32), **one)
