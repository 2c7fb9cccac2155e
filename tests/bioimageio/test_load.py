"""Packages of other programs: read without running their code, predicted with our tiles."""

from __future__ import annotations

import copy
import socket
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("bioimageio.core")
pytest.importorskip("onnxruntime")

import napari_unet
from napari_unet.bioimageio.export import export_bioimageio
from napari_unet.bioimageio.load import import_bioimageio
from napari_unet.device import choose_device
from napari_unet.errors import InputError, ModelFileError
from napari_unet.model import load_model
from napari_unet.network.inference import for_inference
from napari_unet.network.onnx_config import OnnxConfig
from napari_unet.network.unet_config import UNetConfig
from tests.bioimageio.packages import old_package, package_of_others
from tests.inference.models import FLAT, VOLUME, model

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Conversion of channel size:UserWarning"),
]

SAME = UNetConfig(encoder=((4,),), bottom=(6,), decoder=((4,),), padding="same")


@pytest.fixture(autouse=True)
def _no_web(monkeypatch):
    def refuse(*_):
        raise AssertionError("somebody wants to go online")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def small(out: int = 1) -> nn.Module:
    """A network with a reach of 4 voxels."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = nn.Conv2d(1, 3, 5, padding=2), nn.Conv2d(3, out, 5, padding=2)
    return nn.Sequential(first, nn.ReLU(), second).eval()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(0.5, 0.3, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("config", "shape"), [(FLAT, (61, 50)), (VOLUME, (7, 31, 40)), (SAME, (45, 50))]
)
def test_imported_predicts_as_the_original_in_any_tiles(config, shape, tmp_path):
    original, image = model(config), noise(*shape)
    expected = napari_unet.predict(original, image, output="probabilities", device="cpu")

    imported = import_bioimageio(package_of_others(original, tmp_path))
    imported = load_model(imported.save(tmp_path / "imported"))

    assert isinstance(imported.config, OnnxConfig)
    assert imported.config.title == f"imported: segmentation in {config.ndim}D by napari-unet"
    smallest = tuple(g.input_for(2 * g.stride) for g in imported.config.geometry)
    for tile in (None, smallest):
        found = napari_unet.predict(
            imported, image, output="probabilities", tile=tile, device="cpu"
        )
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    labels = napari_unet.predict(imported, image, device="cpu")
    assert set(np.unique(labels)) == {1, 2}


def test_torchscript_is_loaded_only_where_allowed_and_becomes_onnx(tmp_path):
    original, image = model(FLAT), noise(40, 44)
    path = package_of_others(original, tmp_path, lambda about: about["weights"].pop("onnx"))

    with pytest.raises(InputError, match="can run code of its author"):
        import_bioimageio(path)
    imported = import_bioimageio(path, allow_torchscript=True)

    assert not imported.weights["program"].tobytes().startswith(b"PK"), "an archive of TorchScript"
    found = napari_unet.predict(imported, image, output="probabilities", device="cpu")
    expected = napari_unet.predict(original, image, output="probabilities", device="cpu")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("step", "fitted"),
    [
        (
            {"name": "zero_mean_unit_variance", "kwargs": {"mode": "per_sample", "axes": "cyx"}},
            lambda x: (x - x.mean()) / (x.std() + 1e-6),
        ),
        (
            {
                "name": "scale_range",
                "kwargs": {
                    "mode": "per_sample",
                    "axes": "yx",
                    "min_percentile": 5,
                    "max_percentile": 90,
                },
            },
            lambda x: (
                (x - np.percentile(x, 5)) / (np.percentile(x, 90) - np.percentile(x, 5) + 1e-6)
            ),
        ),
    ],
    ids=["mean and sd", "percentiles"],
)
def test_what_is_measured_is_measured_on_the_whole_picture(step, fitted, tmp_path):
    """Of each looped picture by itself, whatever the tiles."""
    network = small()
    sizes = {"min": [1, 1, 16, 16], "step": [0, 0, 8, 8]}
    entries = {
        "given": {"preprocessing": [step]},
        "result": {"postprocessing": [{"name": "sigmoid"}]},
    }
    path = old_package(tmp_path, network, sizes, noise(1, 1, 32, 32), **entries)
    image = np.stack([noise(48, 40), 100 + 40 * noise(48, 40)])

    imported = import_bioimageio(path)
    found = napari_unet.predict(
        imported, image, output="probabilities", tile=(24, 24), device="cpu"
    )

    assert [str(c) for c in imported.classes] == ["background", "foreground"]
    for k, picture in enumerate(image):
        x = np.pad(fitted(picture.astype(np.float64)), 4, mode="reflect").astype(np.float32)
        with torch.no_grad():
            expected = network(torch.from_numpy(x[None, None])).sigmoid().numpy()[0, 0, 4:-4, 4:-4]
        np.testing.assert_allclose(found[1, k], expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(found[:, k].sum(0), 1, atol=1e-6)


def test_a_program_of_one_size_takes_images_of_any(tmp_path):
    """In pieces that fit together without a seam, for it has no halo to be wrong in."""

    class Pointwise(nn.Module):
        def forward(self, x):
            return torch.cat([x * 2, x.square()], 1)

    example = noise(1, 1, 24, 16)
    path = old_package(tmp_path, Pointwise(), (1, 1, 24, 16), example)
    image = noise(50, 61)

    imported = import_bioimageio(path)

    assert imported.config.piece == (24, 16)
    assert (imported.task, imported.classes) == ("restore", ())
    for tile in (None, (48, 48)):
        found = napari_unet.predict(imported, image, tile=tile, device="cpu")
        np.testing.assert_allclose(found, np.stack([image * 2, image**2]), rtol=1e-6)


def test_classes_or_image_can_be_told(tmp_path):
    sizes = {"min": [1, 1, 16, 16], "step": [0, 0, 8, 8]}
    path = old_package(tmp_path, small(3), sizes, noise(1, 1, 32, 32))
    image = noise(40, 40)

    scores = import_bioimageio(path)
    classes = import_bioimageio(path, task="segment")

    assert scores.task == "restore", "numbers of any size are no probabilities"
    raw = napari_unet.predict(scores, image, device="cpu")
    found = napari_unet.predict(classes, image, output="probabilities", device="cpu")
    np.testing.assert_allclose(found, torch.softmax(torch.from_numpy(raw), 0), atol=1e-5)
    one = old_package(tmp_path, small(1), sizes, noise(1, 1, 32, 32))
    with pytest.raises(InputError, match="not a probability"):
        import_bioimageio(one, task="segment")


def test_steps_around_the_program_are_done(tmp_path):
    network = small()
    entries = {
        "given": {
            "preprocessing": [
                {"name": "scale_linear", "kwargs": {"gain": [2.0], "offset": [-1.0], "axes": "yx"}},
                {"name": "clip", "kwargs": {"min": -0.5, "max": 0.5}},
            ]
        },
        "result": {
            "postprocessing": [
                {"name": "scale_linear", "kwargs": {"gain": [3.0], "offset": [7.0], "axes": "yx"}}
            ]
        },
    }
    sizes = {"min": [1, 1, 16, 16], "step": [0, 0, 8, 8]}
    path = old_package(tmp_path, network, sizes, noise(1, 1, 32, 32), **entries)
    image = noise(32, 32)

    found = napari_unet.predict(import_bioimageio(path), image, device="cpu")

    x = np.clip(np.pad(image, 4, mode="reflect") * 2 - 1, -0.5, 0.5)
    with torch.no_grad():
        y = network(torch.from_numpy(x[None, None])).numpy()[0, 0, 4:-4, 4:-4]
    np.testing.assert_allclose(found, y * 3 + 7, rtol=1e-5)


def test_copies_run_by_themselves(tmp_path):
    network = import_bioimageio(package_of_others(model(FLAT), tmp_path)).network()
    x = torch.randn(2, 1, 22, 26)
    expected = network(x)

    for again in (copy.deepcopy(network), for_inference(network, choose_device("cpu"))):
        assert again._session is None
        torch.testing.assert_close(again(x), expected)


def test_an_imported_model_cannot_learn(tmp_path):
    imported = import_bioimageio(package_of_others(model(FLAT), tmp_path))
    labels = np.where(noise(40, 40) > 0.5, 1, 2)

    with pytest.raises(InputError, match="cannot be trained"):
        napari_unet.fit(noise(40, 40), labels, start=imported, steps=1)
    with pytest.raises(InputError, match="cannot be trained"):
        napari_unet.fit(noise(40, 40), labels, network=imported.config, steps=1)
    with pytest.raises(InputError, match="imported from a package"):
        export_bioimageio(imported, tmp_path / "again.zip")


def _weights(about, **entries):
    about["weights"] = entries


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda d: _weights(
                d, tensorflow_js={"source": "weights.pt", "tensorflow_version": "2.0"}
            ),
            "got tensorflow_js, expected onnx or torchscript",
        ),
        (
            lambda d: d["weights"]["onnx"].update(source="https://example.com/weights.onnx"),
            "does not download files",
        ),
        (lambda d: d["weights"]["onnx"].update(sha256="0" * 64), "damaged"),
        (lambda d: d["weights"]["onnx"].update(source="missing.onnx"), "A file is missing"),
        (
            lambda d: d["inputs"][0]["axes"].append({"type": "time", "size": 1}),
            "an axis that is not supported",
        ),
        (lambda d: d.pop("inputs"), "not valid"),
        (
            lambda d: d["outputs"][0]["axes"][2]["size"].update(offset=2),
            "another resolution",
        ),
        (
            lambda d: d["inputs"][0].update(
                preprocessing=[{"id": "zero_mean_unit_variance", "kwargs": {"axes": ["x"]}}]
            ),
            "of parts of the image separately",
        ),
    ],
    ids=["format", "web", "sum", "missing", "time", "invalid", "finer", "lines"],
)
def test_what_cannot_be_read_is_refused_with_its_reason(change, says, tmp_path):
    with pytest.raises((InputError, ModelFileError), match=says):
        import_bioimageio(package_of_others(model(FLAT), tmp_path, change))


def test_what_is_no_package_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"nothing")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as package:
        package.writestr("picture.png", b"")
    (tmp_path / "c").mkdir()
    for name in ("a.zip", "b.zip", "c", "none.zip"):
        with pytest.raises(InputError, match=r"not a model package|There is no model package"):
            import_bioimageio(tmp_path / name)


def test_a_missing_library_is_named_with_what_installs_it(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    for call in (
        lambda: export_bioimageio(model(FLAT), tmp_path / "p.zip"),
        lambda: import_bioimageio(tmp_path / "p.zip"),
    ):
        with pytest.raises(InputError, match=r"no onnxruntime.*napari-unet-live\[bioimageio\]"):
            call()
