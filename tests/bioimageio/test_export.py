"""Packages that are written: other programs' libraries must read and run them."""

from __future__ import annotations

import gc
import io
import socket
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("bioimageio.core")
pytest.importorskip("onnxruntime")

import napari_unet
from napari_unet.bioimageio import onnx_export as programs
from napari_unet.bioimageio.export import export_bioimageio
from napari_unet.bioimageio.load import import_bioimageio
from napari_unet.bioimageio.onnx_export import run_onnx, run_torchscript
from napari_unet.bioimageio.portable import PortableModel, signal, stable
from napari_unet.data.normalisation import Normalisation
from napari_unet.errors import InputError, ModelFileError
from napari_unet.model import ClassInfo, InputSpec
from napari_unet.network.unet_config import UNetConfig
from napari_unet.noise.variance_stabilising import Stabiliser
from tests.inference.models import FLAT, VOLUME, model

# What bioimage.io's own library does while it runs.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SAME = UNetConfig(encoder=((4,),), bottom=(6,), decoder=((4,),), padding="same")
GREY = Normalisation("mean_sd", (100.0,), (30.0,))


@pytest.fixture(autouse=True)
def _no_web(monkeypatch):
    def refuse(*_):
        raise AssertionError("somebody wants to go online")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(autouse=True)
def _little_to_collect():
    """bioimageio.core collects garbage after every run: most of its time, where torch is loaded."""
    gc.freeze()
    yield
    gc.unfreeze()


def ours_in(ndim, **fields):
    """A network with all that our sizes have, in little."""
    blocks = {"encoder": ((4,),), "bottom": (6,), "decoder": ((4,),)}
    return UNetConfig(
        ndim=ndim, stem=(2,) * ndim, filters=((0.7,) * ndim, (1.4,) * ndim), **blocks, **fields
    )


def restorer(config=FLAT, **fields):
    usual = {
        "task": "restore",
        "classes": (),
        "normalisation": GREY,
        "target": Normalisation("mean_sd", (500.0,), (90.0,)),
    }
    return model(config.with_channels(config.in_channels, 1), **{**usual, **fields})


@pytest.mark.parametrize(
    "made",
    [
        lambda: model(FLAT),
        lambda: model(VOLUME, spacing=(3.0, 1.0, 1.0)),
        lambda: restorer(SAME),
        lambda: restorer(VOLUME),
    ],
    ids=["segment 2D", "segment 3D", "restore 2D", "restore 3D"],
)
def test_bioimageios_own_test_passes(made, tmp_path):
    from bioimageio.core import test_description as examine

    path = export_bioimageio(made(), tmp_path / "package", authors=["A. Person"], licence="MIT")

    assert path.name == "package.zip"
    summary = examine(path)
    assert summary.status == "passed", summary.format()


@pytest.mark.parametrize(
    ("config", "shape", "blocks"),
    [
        (FLAT, (60, 52), (26, 22)),
        (VOLUME, (9, 36, 40), (5, 28, 24)),
        (SAME, (50, 44), (30, 26)),
    ],
)
def test_bioimageios_own_prediction_is_ours(config, shape, blocks, tmp_path):
    """What a model that learned says, its package says too: whole, and in their blocks."""
    from bioimageio.core import create_prediction_pipeline, predict
    from bioimageio.spec import load_model_description

    rng = np.random.default_rng(0)
    image = rng.normal(400, 60, shape).astype(np.float32)
    labels = np.where(image > 450, 2, np.where(image < 380, 1, 0))
    options = {"network": config, "steps": 8, "batch_size": 1, "device": "cpu", "axes": None}
    trained = napari_unet.fit(image, labels, ndim=config.ndim, **options)
    ours = napari_unet.predict(trained, image, output="probabilities", device="cpu")

    package = export_bioimageio(trained, tmp_path / "p.zip", image=image)
    about = load_model_description(package)
    x = image[None, None]
    block = dict(zip("zyx"[-config.ndim :], blocks, strict=True))
    for program, how in (
        ("onnx", {}),
        ("torchscript", {}),
        ("onnx", {"input_block_shape": {"input": block}}),
    ):
        pipeline = create_prediction_pipeline(about, weight_format=program)
        sample = predict(model=pipeline, inputs=x, **how)
        theirs = next(iter(sample.members.values())).data.values[0]
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "made",
    [
        lambda: model(ours_in(2)),
        lambda: model(ours_in(3)),
        lambda: model(ours_in(2, padding="same")),
        lambda: restorer(input_spec=InputSpec(blend=0.3)),
        lambda: restorer(input_spec=InputSpec(residual="image")),
        lambda: restorer(
            FLAT.with_channels(3, 1),
            normalisation=Normalisation("mean_sd", (100.0,) * 3, (20.0,) * 3),
            input_spec=InputSpec(context_planes=3, residual="mean"),
        ),
        lambda: model(FLAT.with_channels(3, 2), input_spec=InputSpec(context_planes=3)),
        lambda: restorer(
            normalisation=Normalisation("photon", (10.0,), (4.0,), ((2.0, 50.0),)),
            target=Normalisation("photon", (10.0,), (4.0,), ((2.0, 50.0),)),
            input_spec=InputSpec(blend=0.2),
        ),
    ],
    ids=[
        "stem and filters",
        "3D",
        "padded",
        "own share",
        "adds",
        "adds to mean",
        "planes",
        "photon",
    ],
)
def test_programs_say_what_our_prediction_says(made, tmp_path):
    trained = made()
    c = trained.config
    rng = np.random.default_rng(1)
    # Longer than what is smoothed at once.
    size = (22, 30, 34) if c.ndim == 3 else (150, 141)
    n = trained.normalisation
    stack = (trained.input_spec.context_planes,) if trained.input_spec.context_planes > 1 else ()
    low = 30 if n.noise else n.offset[0]
    image = rng.normal(low, n.scale[0], (*stack, *size)).astype(np.float32)
    image = np.abs(image) if n.noise else image
    output = "probabilities" if trained.target is None else "image"
    ours = napari_unet.predict(trained, image, output=output, device="cpu")
    planes = ours.reshape(-1, *stack, *size)  # (class or channel, plane, *spatial)
    ours = planes[:, 1] if stack else planes

    with zipfile.ZipFile(export_bioimageio(trained, tmp_path / "p.zip")) as package:
        written = {name: package.read(f"weights.{name}") for name in ("onnx", "pt")}
    before = [g.context // 2 for g in c.geometry]
    reads = [g.input_for(s) for g, s in zip(c.geometry, size, strict=True)]
    sides = [(b, r - s - b) for b, r, s in zip(before, reads, size, strict=True)]
    x = np.pad(image.reshape(-1, *size), [(0, 0), *sides], mode="reflect")
    x = (x if n.noise else n.apply(x))[None]
    middle = tuple(slice(b, b + s) for b, s in zip(before, size, strict=True))
    for name, run in (("onnx", run_onnx), ("pt", run_torchscript)):
        theirs = run(written[name], x)[0][(slice(None), *middle)]
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("noise", [(2.0, 50.0), (3.0, 0.0), (1.0, -5.0), (0.0, 4.0), (1e-3, 9.0)])
def test_stabilising_in_torch_is_that_in_numpy(noise):
    x = np.linspace(-20, 500, 999)
    stabiliser = Stabiliser(*noise)
    forward = stable(*noise, torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(forward, stabiliser.forward(x), rtol=1e-9, atol=1e-9)
    y = np.linspace(-10, 60, 999)
    back = signal(*noise, torch.from_numpy(y)).numpy()
    np.testing.assert_allclose(back, stabiliser.inverse(y), rtol=1e-9, atol=1e-9)


def test_a_package_of_ours_gives_back_the_very_model(tmp_path):
    trained = model(
        VOLUME,
        classes=(ClassInfo(1, "cell", (1.0, 0.0, 0.0, 1.0)), ClassInfo(7, "wall")),
        spacing=(2.0, 1.0, 1.0),
        training={"steps": 3, "seconds": 1.5},
    )

    path = export_bioimageio(trained, tmp_path / "p.zip")
    with zipfile.ZipFile(path) as package:
        package.extractall(tmp_path / "folder")

    for place in (path, tmp_path / "folder"):
        again = import_bioimageio(place)
        assert again.digest == trained.digest
        assert again.header() == trained.header()


def test_a_package_says_what_it_is(tmp_path):
    from bioimageio.spec import load_model_description

    trained = model(FLAT, classes=(ClassInfo(1, "sky"), ClassInfo(2, "bird")))
    image = np.random.default_rng(0).normal(0.5, 0.3, (3, 200, 220)).astype(np.float32)
    path = export_bioimageio(
        trained, tmp_path / "p.zip", image=image, name="Birds, at last!", authors=["A", "B"]
    )

    about = load_model_description(path)
    assert about.name == "Birds at last"
    assert [a.name for a in about.authors] == ["A", "B"]
    assert str(about.cite[0].doi) == "10.1007/978-3-319-24574-4_28"
    axes = about.outputs[0].axes
    assert list(axes[1].channel_names) == ["sky", "bird"]
    assert axes[2].size.offset == 0
    assert axes[2].halo == FLAT.geometry[0].context // 2
    size = about.inputs[0].axes[2].size
    assert (size.min, size.step) == (FLAT.geometry[0].smallest_input, FLAT.geometry[0].stride)
    with zipfile.ZipFile(path) as package:
        shown = np.load(io.BytesIO(package.read("test_input.npy")))
        assert b"sky, bird" in package.read("documentation.md")
        assert len(package.read("cover.png")) > 1000
    assert np.isin(shown, image[1]).all(), "the example is the middle of the middle picture"


def contents(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_a_package_holds_no_path_of_the_machine_that_wrote_it(tmp_path):
    path = export_bioimageio(model(ours_in(2)), tmp_path / "p.zip")
    files = contents(path.read_bytes())
    files |= contents(files["weights.pt"])
    local = [Path(m.__file__).parent for m in (napari_unet, torch)] + [tmp_path, Path.home()]
    # The home of root is a part of many words.
    paths = [str(folder) for folder in local if len(folder.parts) > 2]
    assert len(paths) >= 3
    found = {n for n, content in files.items() for p in paths if p.encode() in content}
    assert found == set()
    assert [name for name in files if "debug" in name and name.endswith("pkl")] == []


def test_the_numbers_in_a_program_stay_where_they_can_be_mapped_into_memory():
    program = programs.as_torchscript(PortableModel(model(FLAT)), torch.randn(1, 1, 22, 22))
    with zipfile.ZipFile(io.BytesIO(program)) as archive:
        begins = []
        for entry in archive.infolist():
            name, extra = struct.unpack("<HH", program[entry.header_offset :][26:30])
            begins.append(entry.header_offset + 30 + name + extra)
    assert len(begins) > 5
    assert all(begin % 64 == 0 for begin in begins)


def test_what_a_package_cannot_say_is_refused(tmp_path):
    filler = restorer(FLAT.with_channels(2, 1), input_spec=InputSpec(mask=True), task="inpaint")
    with pytest.raises(InputError, match="fills in"):
        export_bioimageio(filler, tmp_path / "p.zip")
    with pytest.raises(InputError, match="needs a name"):
        export_bioimageio(model(FLAT), tmp_path / "p.zip", name="?")
    with pytest.raises(InputError, match=r"does not accept.*license"):
        export_bioimageio(model(FLAT), tmp_path / "p.zip", licence="mine")
    with pytest.raises(ModelFileError, match="could not be written"):
        export_bioimageio(model(FLAT), tmp_path / "none" / "p.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_computes_something_else_is_not_written(monkeypatch):
    """Such as a trace of a network that looks at the size of its input."""
    right, other = programs.as_onnx, PortableModel(model(FLAT, seed=1))
    monkeypatch.setattr(programs, "as_onnx", lambda _, x: right(other, x))
    module, x = PortableModel(model(FLAT)), torch.randn(1, 1, 22, 22)
    with pytest.raises(ModelFileError, match="results that differ"):
        programs.checked_programs(module, x, torch.randn(1, 1, 30, 26))
