"""The command line: what it writes, what it says, and that nothing is lost when it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
import zarr
from pydantic import BaseModel, Field
from typer import Exit, Typer
from typer.testing import CliRunner

import napari_unet
from napari_unet.cli import commands, work
from napari_unet.cli.options import with_options
from napari_unet.data.metadata import AxesMetadata, read_axes_metadata
from napari_unet.data.normalisation import Normalisation
from napari_unet.data.source import open_source
from napari_unet.data.writers import ImageSpec, new_image, write_image
from napari_unet.errors import InputError
from napari_unet.fields import flag_of
from napari_unet.geometry.region import Region
from napari_unet.model import ClassInfo, TrainedModel, load_model, weights_of
from napari_unet.network.build import build_network
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.option_groups import GROUPS
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.training.events import Stepped

QUICK = ("--steps", 5, "--size", "small", "--batch-size", 2, "--threads", 1, "--held-out", 0.5)


def run(*words: object) -> Any:
    return CliRunner().invoke(commands.app, [str(word) for word in words])


def tiny_model(path: Path, ndim: Literal[2, 3] = 2, channels: int = 1) -> Path:
    """Save an untrained model of three classes that predicts in no time."""
    config = UNetConfig(
        ndim=ndim, in_channels=channels, out_channels=3,
        encoder=((2,),), bottom=(3,), decoder=((2,),),
    )  # fmt: skip
    return TrainedModel(
        config=config,
        weights=weights_of(build_network(config)),
        normalisation=Normalisation("mean_sd", (0.0,) * channels, (1.0,) * channels),
        classes=(ClassInfo(1, "membrane"), ClassInfo(4, "nucleus"), ClassInfo(7)),
    ).save(path)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Work in a folder with pictures, strokes and models, good ones and bad ones."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    image = random.normal(100, 10, (96, 96)).astype(np.float32)
    image[:, 48:] += 60
    strokes = np.zeros((96, 96), np.uint8)
    one = strokes.copy()
    for row in (5, 25, 45, 65):
        strokes[row : row + 10, 5:20], strokes[row : row + 10, 70:85] = 1, 2
        one[row : row + 10, 5:20] = 1
    volume = random.normal(size=(6, 40, 44)).astype(np.float32)
    tifffile.imwrite("image.tif", image)
    tifffile.imwrite("strokes.tif", strokes)
    tifffile.imwrite("empty.tif", np.zeros((96, 96), np.uint8))
    tifffile.imwrite("one.tif", one)
    tifffile.imwrite("other.tif", strokes[:, :90])
    tifffile.imwrite("rgb.tif", random.integers(0, 255, (48, 52, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(
        "volume.tif", volume, imagej=True, resolution=(4.0, 4.0),
        metadata={"axes": "ZYX", "spacing": 2.0, "unit": "um"},
    )  # fmt: skip
    tiny_model(Path("m2.safetensors"))
    tiny_model(Path("m3.safetensors"), ndim=3)
    tiny_model(Path("rgb.safetensors"), channels=3)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_train_writes_a_model_and_tells_how_good_it_is(folder):
    done = run("train", "image.tif", "strokes.tif", "-o", "out", "--class-names", "1=cell", *QUICK)
    assert done.exit_code == 0, done.output
    model = load_model("out.safetensors")
    assert [str(c) for c in model.classes] == ["cell", "class 2"]
    assert (model.training["steps"], model.config.ndim) == (5, 2)
    assert "600" in done.stdout
    assert "held-out pixels" in done.stdout
    assert "cell" in done.stdout
    assert "Saved out.safetensors after 5 steps" in done.stderr


def test_train_learns_from_several_pairs(folder):
    two = ("train", "image.tif", "one.tif", "image.tif", "strokes.tif", "-o", "out", *QUICK)
    done = run(*two)
    assert done.exit_code == 0, done.output
    model = load_model("out.safetensors")
    assert model.training["painted"] == {"class 1": 1200, "class 2": 600}
    odd = run("train", "image.tif", "one.tif", "image.tif", "-o", "out", *QUICK)
    assert odd.exit_code == 2
    assert "image.tif has no labels" in " ".join(odd.output.replace("│", " ").split())


def test_train_goes_on_from_a_model(folder):
    run("train", "image.tif", "strokes.tif", "-o", "first", *QUICK)
    first = load_model("first.safetensors")
    done = run("train", "image.tif", "one.tif", "-o", "on", "--start", "first.safetensors", *QUICK)
    assert done.exit_code == 0, done.output
    assert "There are no strokes of class 2" in " ".join(done.stderr.split())
    model = load_model("on.safetensors")
    assert model.training["continued_from"] == first.digest
    assert (model.classes, model.normalisation) == (first.classes, first.normalisation)


def test_training_twice_with_one_seed_gives_one_model(folder):
    for name in "ab":
        run("train", "image.tif", "strokes.tif", "-o", name, "--seed", 3, *QUICK)
    assert load_model("a.safetensors").digest == load_model("b.safetensors").digest


def test_train_learns_pixel_size_and_channels_from_the_file(folder):
    image = np.random.default_rng(0).normal(size=(2, 96, 96)).astype(np.float32)
    write_image(Path("two.tif"), image, ("c", "y", "x"), (1, 0.5, 0.5), ("", "um", "um"))
    done = run("train", "two.tif", "strokes.tif", "-o", "out", *QUICK)
    assert done.exit_code == 0, done.output
    model = load_model("out.safetensors")
    assert (model.config.in_channels, model.spacing) == (2, (0.5, 0.5))


def test_warnings_are_told(folder):
    few = np.zeros((96, 96), np.uint8)
    few[4, 4], few[60:90, 60:90] = 1, 2
    tifffile.imwrite("few.tif", few)
    done = run("train", "image.tif", "few.tif", "-o", "out", *QUICK)
    assert "Warning: Few pixels are painted of class 1: 1." in done.stderr


def interrupt_after(monkeypatch, count: int, kind: type) -> None:
    """Press Ctrl-C when so many events of a kind have passed."""
    follow = work.follow

    def impatient(title: str, events: Any) -> Any:
        seen = 0
        for event in follow(title, events):
            yield event
            seen += isinstance(event, kind)
            if isinstance(event, kind) and seen == count:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(work, "follow", impatient)


def test_ctrl_c_ends_the_training_and_saves(folder, monkeypatch):
    interrupt_after(monkeypatch, 2, Stepped)
    before = signal.getsignal(signal.SIGINT)
    done = run("train", "image.tif", "strokes.tif", "-o", "out", *QUICK, "--steps", 1000)
    assert done.exit_code == 0, done.output
    assert load_model("out.safetensors").training["steps"] == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_before_the_first_step_leaves_an_old_model(folder, monkeypatch):
    interrupt_after(monkeypatch, 1, object)
    old = Path("m2.safetensors").read_bytes()
    done = run("train", "image.tif", "strokes.tif", "-o", "m2.safetensors", *QUICK)
    assert done.exit_code == 130
    assert "nothing to save" in done.stderr
    assert Path("m2.safetensors").read_bytes() == old


def test_predict_writes_what_python_predicts_and_keeps_axes_and_pixel_size(folder):
    done = run("predict", "m2.safetensors", "volume.tif", "-o", "out.tif", "--tile", "20,20")
    assert done.exit_code == 0, done.output
    expected = napari_unet.predict(load_model("m2.safetensors"), "volume.tif")
    written = tifffile.imread("out.tif")
    assert written.dtype == np.uint8
    assert set(np.unique(written)) <= {1, 4, 7}
    np.testing.assert_array_equal(written, expected)
    grid = AxesMetadata(("z", "y", "x"), (2.0, 0.25, 0.25), ("micrometer",) * 3)
    assert (
        read_axes_metadata(Path("out.tif"), 3) == read_axes_metadata(Path("volume.tif"), 3) == grid
    )


@pytest.mark.parametrize("output", ["part.tif", "part.zarr"])
def test_predict_writes_a_part_as_in_the_whole(folder, output):
    image = open_source("volume.tif")
    (depth, height, width), rows = image.shape, "5,20"
    region = f"1,{depth},{rows},0,{width}"
    done = run("predict", "m2.safetensors", "volume.tif", "-o", output, "--region", region)
    assert done.exit_code == 0, done.output
    expected = napari_unet.predict(load_model("m2.safetensors"), "volume.tif")
    expected[:1] = expected[:, :5] = expected[:, 20:] = 0
    assert height > 20
    written = open_source(output)
    np.testing.assert_array_equal(written.read(Region.whole(written.shape)), expected)


def test_predict_writes_probabilities_as_ome_zarr(folder):
    done = run(
        "predict", "m3.safetensors", "volume.tif", "-o", "out.ome.zarr", "--probabilities",
        "--device", "cpu",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    group = zarr.open_group("out.ome.zarr", mode="r")
    ome: Any = group.attrs["ome"]
    pyramid = ome["multiscales"][0]
    assert (ome["version"], [a["name"] for a in pyramid["axes"]]) == ("0.5", ["c", "z", "y", "x"])
    assert [a["type"] for a in pyramid["axes"]] == ["channel", "space", "space", "space"]
    assert [a.get("unit") for a in pyramid["axes"]] == [None] + ["micrometer"] * 3
    assert pyramid["datasets"][0]["coordinateTransformations"][0]["scale"] == [1, 2, 0.25, 0.25]
    assert [c["label"] for c in ome["omero"]["channels"]] == ["membrane", "nucleus", "class 7"]
    array: Any = group["0"]
    expected = napari_unet.predict(
        load_model("m3.safetensors"), "volume.tif", output="probabilities"
    )
    np.testing.assert_array_equal(array[:], expected)
    assert array.metadata.dimension_names == ("c", "z", "y", "x")


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
@pytest.mark.parametrize("model", ["m2.safetensors", "m3.safetensors"])
def test_time_comes_before_classes_in_files(folder, name, model):
    movie = np.random.default_rng(1).normal(size=(8, 40, 44)).astype(np.float32)
    write_image(Path("movie.tif"), movie, ("t", "y", "x"), (30.0, 0.5, 0.5), ("s", "um", "um"))
    done = run("predict", model, "movie.tif", "-o", name, "--probabilities")
    assert done.exit_code == 0, done.output
    expected = napari_unet.predict(load_model(model), movie, output="probabilities")
    written: Any = tifffile.imread(name) if name.endswith("tif") else zarr.open(name)["0"][:]
    np.testing.assert_array_equal(written, np.moveaxis(expected, 0, 1))
    assert read_axes_metadata(Path(name), 4).axes == ("t", "c", "y", "x")


def test_what_was_written_can_be_predicted_again(folder):
    write_image(Path("in.zarr"), np.ones((40, 44), np.float32), ("y", "x"), (2, 3), ("um", "um"))
    assert run("predict", "m2.safetensors", "in.zarr", "-o", "out.zarr").exit_code == 0
    assert read_axes_metadata(Path("out.zarr"), 2) == read_axes_metadata(Path("in.zarr"), 2)
    first = zarr.open_array("out.zarr/0", mode="r")[:]
    assert run("predict", "rgb.safetensors", "rgb.tif", "-o", "out.zarr").exit_code == 0
    second = zarr.open_array("out.zarr/0", mode="r")[:]
    assert (first.shape, second.shape) == ((40, 44), (48, 52))


def test_ctrl_c_in_a_prediction_leaves_the_old_result(folder, monkeypatch):
    run("predict", "m2.safetensors", "volume.tif", "-o", "out.zarr")
    old = contents(folder)
    interrupt_after(monkeypatch, 3, object)
    done = run("predict", "m2.safetensors", "volume.tif", "-o", "out.zarr", "--probabilities")
    assert (done.exit_code, "nothing was written" in done.stderr) == (130, True)
    assert contents(folder) == old


FAILURES = {
    "train missing.tif strokes.tif -o old": "There is no such file",
    "train image.tif other.tif -o old": "Image and labels differ in shape",
    "train image.tif empty.tif -o old": "Nothing is painted",
    "train image.tif one.tif -o old": "Only one class is painted",
    "train image.tif strokes.tif image.tif other.tif -o old": "Pair 2: Image and labels differ",
    "train image.tif strokes.tif rgb.tif strokes.tif -o old": "Pair 2",
    "train image.tif strokes.tif --start rgb.safetensors -o old": "got a model of 3 channels",
    "train image.tif strokes.tif --start m3.safetensors --ndim 2 -o old": "got a 3D model",
    "train image.tif strokes.tif --start none.safetensors -o old": "no such model file",
    "train image.tif strokes.tif -o old --ndim 3": "A 3D network needs 3 spatial axes",
    "train image.tif strokes.tif -o none/old": "There is no such folder",
    "train m2.safetensors strokes.tif -o old": "This kind of file cannot be opened",
    "predict missing.safetensors image.tif -o old.tif": "There is no such model file",
    "predict image.tif image.tif -o old.tif": "image.tif is not a model of napari-unet",
    "predict m3.safetensors image.tif -o old.tif": "A 3D network needs 3 spatial axes",
    "predict rgb.safetensors image.tif -o old.zarr": "other channels than the model",
    "predict m2.safetensors missing.tif -o old.zarr": "There is no such file",
    "predict m2.safetensors image.tif -o old.tif --tile 64": "one size per spatial axis",
    "predict m2.safetensors image.tif -o old.zarr --tile 2,2": "too small for the network",
    "predict m2.safetensors image.tif -o old.tif --region 0,99,0,9": "is not inside the image",
    "predict m2.safetensors image.tif -o old.png": "expected .tif or .tiff or .zarr",
    "predict m2.safetensors image.tif -o image.tif": "would overwrite an input",
    "predict m2.safetensors old.zarr/0 -o old.zarr": "would overwrite an input",
    "predict m2.safetensors image.tif -o strange.zarr": "There is something else",
    "info image.tif": "is not a model of napari-unet",
}


@pytest.mark.parametrize("command", FAILURES)
def test_a_failure_is_one_line_and_nothing_is_lost(folder, command):
    for name in ("old.tif", "old.zarr"):
        write_image(Path(name), np.ones((30, 40), np.uint8), ("y", "x"), (1, 1), ("", ""))
    tiny_model(Path("old.safetensors"))
    Path("strange.zarr").write_text("no picture")
    before = contents(folder)
    done = run(*command.split())
    assert done.exit_code == 1, done.output
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert FAILURES[command] in line
    assert done.stdout == ""
    assert contents(folder) == before


@pytest.mark.parametrize(
    "command",
    [
        "train image.tif strokes.tif",
        "train image.tif strokes.tif -o out --seconds 0",
        "train image.tif strokes.tif -o out --size huge",
        "train image.tif strokes.tif -o out --held-out 0.7",
        "train image.tif strokes.tif -o out --ndim 4",
        "train image.tif strokes.tif -o out --class-names membrane",
        "predict m2.safetensors image.tif -o out.tif --tile a,b",
        "paint image.tif",
    ],
)
def test_wrong_usage_is_told_from_bad_input(folder, command):
    before = contents(folder)
    assert run(*command.split()).exit_code == 2
    assert contents(folder) == before


def test_info_tells_a_models_story(folder):
    run("train", "image.tif", "strokes.tif", "-o", "out", *QUICK)
    said = " ".join(run("info", "out.safetensors").stdout.split())
    model = load_model("out.safetensors")
    score = model.training["validation"]["IoU"][0]
    assert f"class 1 label 1, 600 pixels painted, IoU {score:.3f}" in said
    assert "2D U-Net, 2 poolings, valid convolutions" in said
    assert "seed 0 " in said
    assert model.digest in said


def test_the_entry_point_runs_and_torch_waits_for_a_command():
    code = "import sys, napari_unet.cli; assert not {'torch', 'typer'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    command = [sys.executable, "-m", "napari_unet", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == napari_unet._version.__version__


class Toy(BaseModel):
    count: int = Field(3, ge=1, lt=9, description="How many.")
    sizes: tuple[int, ...] | None = Field(None, description="How large.")
    names: dict[int, str] = Field(default_factory=dict, description="Who.")
    axis: int | Literal["auto"] | None = Field("auto", description="Where.")
    loud: bool = Field(True, description="Whether.")
    hidden: float = 1.0


@pytest.fixture
def toy() -> tuple[Typer, list[dict[str, Any]]]:
    heard: list[dict[str, Any]] = []
    app = Typer()

    @app.command()
    @with_options(Toy, but=("hidden",))
    def command(options: dict[str, Any], more: int = 1) -> None:
        heard.append(options)

    return app, heard


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("", {}),
        ("--more 2", {}),
        ("--count 8", {"count": 8}),
        ("--sizes 3,4", {"sizes": (3, 4)}),
        ("--names 1=a,2=b", {"names": {1: "a", 2: "b"}}),
        ("--axis none", {"axis": None}),
        ("--axis -1", {"axis": -1}),
        ("--axis auto --no-loud", {"axis": "auto", "loud": False}),
    ],
)
def test_options_are_read_as_the_fields_say(toy, words, options):
    app, heard = toy
    assert CliRunner().invoke(app, words.split()).exit_code == 0
    assert heard == [options]


@pytest.mark.parametrize("words", ["--count 9", "--count x", "--axis some", "--hidden 2"])
def test_options_are_refused_as_the_fields_say(toy, words):
    app, heard = toy
    assert CliRunner().invoke(app, words.split()).exit_code == 2
    assert heard == []


def test_help_comes_from_the_fields(toy):
    shown = CliRunner().invoke(toy[0], ["--help"], env={"COLUMNS": "200"}).stdout
    said = " ".join(shown.split())
    assert "How many. (from 1 below 9; default 3)" in said
    assert "INT|auto Where. (default auto)" in said


def test_train_has_an_option_for_every_field_that_fits_a_line():
    shown = CliRunner().invoke(commands.app, ["train", "--help"], env={"COLUMNS": "200"}).stdout
    flags = {f"--{name.replace('_', '-')}" for name in SegmentOptions.model_fields}
    missing = {flag for flag in flags if flag not in shown}
    assert missing == {"--class-colors"}
    for group, names in GROUPS.items():
        panel = shown.partition(f"─ {group} ─")[2].partition("╰")[0]
        ours = {flag_of(name) for name in names if name in SegmentOptions.model_fields}
        assert {flag for flag in ours - missing if flag not in panel} == set()


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_a_picture_that_fails_half_way_leaves_no_trace(tmp_path, name):
    path = tmp_path / name
    picture = ImageSpec((4, 5), np.dtype(np.uint8), AxesMetadata.unknown(2))
    write_image(path, np.full((4, 5), 7, np.uint8), ("y", "x"), (1, 1), ("", ""))
    before = contents(tmp_path)

    def fail_half_way() -> None:
        with new_image(path, picture) as target:
            target[:2] = 1
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        fail_half_way()
    assert contents(tmp_path) == before


def test_a_full_disk_is_told_before_the_start(tmp_path):
    enormous = ImageSpec((10**6, 10**6, 10**3), np.dtype(np.uint8), AxesMetadata.unknown(3))
    with pytest.raises(InputError, match="GiB needed"), new_image(tmp_path / "a.tif", enormous):
        pytest.fail("there cannot be so much room")
    assert contents(tmp_path) == {}


def test_files_have_five_axes_at_the_most(tmp_path):
    picture = ImageSpec((2,) * 6, np.dtype(np.uint8), AxesMetadata.unknown(6))
    with pytest.raises(InputError, match="five axes"), new_image(tmp_path / "a.zarr", picture):
        pytest.fail("there is no name for the sixth")


def test_written_files_have_the_rights_of_any_other(tmp_path):
    if os.name == "nt":
        pytest.skip("Windows has other rights")
    (tmp_path / "plain").touch()
    write_image(tmp_path / "a.tif", np.ones((4, 5), np.uint8), ("y", "x"), (1, 1), ("", ""))
    assert (tmp_path / "a.tif").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_axes_of_ome_zarr_0_4_are_read(tmp_path):
    scale = [{"type": "scale", "scale": [1.0, 4.0, 0.5]}]
    level = {"path": "0", "coordinateTransformations": scale}
    axes = [{"name": "c", "type": "channel"}, {"name": "y", "unit": "micrometer"}, {"name": "x"}]
    outer = [{"type": "scale", "scale": [1.0, 1.0, 3.0]}]
    pyramid = {"axes": axes, "datasets": [level], "coordinateTransformations": outer}
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.attrs["multiscales"] = [pyramid]
    found = read_axes_metadata(tmp_path / "a.zarr", 3)
    assert found == AxesMetadata(("c", "y", "x"), (1.0, 4.0, 1.5), ("", "micrometer", ""))
    assert read_axes_metadata(tmp_path / "a.zarr", 2) == AxesMetadata.unknown(2)


def test_damaged_or_missing_metadata_keeps_nobody_from_the_pixels(tmp_path):
    xml = "<?xml version='1.0'?><OME xmlns='http://www.openmicroscopy.org/Schemas/OME/2016-06'>"
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), np.uint8), description=xml, metadata=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tifffile.logger(), "disabled", True)
        assert read_axes_metadata(tmp_path / "a.tif", 2).scale == (None, None)
    np.save(tmp_path / "a.npy", np.zeros((4, 5)))
    assert read_axes_metadata(tmp_path / "a.npy", 2) == AxesMetadata.unknown(2)


@pytest.mark.parametrize(
    ("axes", "scale", "units", "spacing"),
    [
        ("zyx", (2.0, 0.5, 0.4), "uuu", (2.0, 0.5, 0.4)),
        ("czyx", (None, 2.0, 0.5, 0.4), "-uuu", (2.0, 0.5, 0.4)),
        ("tyx", (30.0, 0.5, 0.4), "suu", (0.4, 0.5, 0.4)),
        ("zyx", (None, 0.5, 0.4), "uuu", (0.4, 0.5, 0.4)),
        ("zyx", (200.0, 0.5, 0.4), "nuu", (0.4, 0.5, 0.4)),
        ("yxs", (0.5, 0.4, None), "uu-", (0.5, 0.4)),
        ("zyx", (2.0, None, 0.4), "uuu", None),
        ("x", (1.0,), "u", None),
    ],
)
def test_spacing_compares_only_what_can_be_compared(axes, scale, units, spacing):
    assert AxesMetadata(tuple(axes), scale, tuple(units)).spacing == spacing


def test_a_model_whose_folder_is_gone_is_kept_elsewhere(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "spare"))
    (tmp_path / "spare").mkdir()
    (tmp_path / "gone").write_text("a file where the folder was")
    model = load_model(tiny_model(tmp_path / "model.safetensors"))
    with pytest.raises(Exit) as ended:
        work.save_model(model, tmp_path / "gone" / "mine.safetensors")
    assert ended.value.exit_code == 1
    (kept,) = (tmp_path / "spare").rglob("mine.safetensors")
    assert load_model(kept).digest == model.digest
