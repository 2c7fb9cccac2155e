"""Several processes that learn one network: on a CPU, by gloo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile
import torch
from typer.testing import CliRunner

import napari_unet
from napari_unet import device
from napari_unet.cli import load_app
from napari_unet.cli.launch import launch
from napari_unet.errors import InputError
from napari_unet.tasks.segmentation.data import open_all_annotated
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.tasks.segmentation.task import SegmentationTask
from napari_unet.training.distributed import seed_rank
from tests.training.ranks import DESCENT, Given, learn, pixels

app = load_app()

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nobody_is_left():
    before = psutil.Process().children()
    yield
    assert [child for child in psutil.Process().children() if child not in before] == []


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Run all of `ranks` in two processes, and return what each of them wrote."""
    folder = tmp_path_factory.mktemp("ranks")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert launch([sys.executable, "-m", "tests.training.ranks", str(folder)], 2) == 0
    found = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]
    assert [one["size"] for one in found] == [2, 2]
    return found


@pytest.mark.parametrize("run", ["together", "given", "stopped", "spoilt", "ran_out", "resumed"])
def test_both_end_with_the_same_weights(both, run):
    first, second = (one[run] for one in both)
    for name, weights in first["weights"].items():
        # A count that nothing uses: where memory ran out in one, the other had counted the step.
        if run != "ran_out" or not name.endswith("num_batches_tracked"):
            assert second["weights"][name] == weights, name
    assert first["losses"] == second["losses"]
    assert first["rates"] == second["rates"]
    assert first["step"] == second["step"] > 0


def test_each_draws_patches_of_its_own(both):
    for run in ("together", "resumed"):
        first, second = (one[run]["drawn"] for one in both)
        assert len(first) == len(second) > 0
        assert not set(first) & set(second)


def test_two_processes_take_the_step_of_one_with_both_batches(both):
    alone = learn(Given(torch.cat([pixels(0), pixels(1)])), steps=3, averaging=0, **DESCENT)
    half = learn(Given(pixels(0)), steps=3, averaging=0, **DESCENT)
    for name, weights in alone["weights"].items():
        np.testing.assert_allclose(both[0]["given"]["weights"][name], weights, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(both[0]["given"]["losses"], alone["losses"], rtol=1e-5)
    assert any(
        not np.allclose(half["weights"][name], weights, rtol=1e-4, atol=1e-6)
        for name, weights in alone["weights"].items()
    )


def test_the_first_alone_tests_and_writes_and_the_rate_follows_its_tests(both):
    assert [one["together"]["tests"] for one in both] == [9, 0]
    assert [one["saved"] for one in both] == [True, False]
    assert min(both[1]["together"]["rates"][4:]) < max(both[1]["together"]["rates"][4:])
    assert both[0]["together"]["facts"]["processes"] == 2


def test_whoever_stops_stops_all(both):
    assert [one["stopped"]["step"] for one in both] == [3, 3]


def test_a_step_that_is_not_finite_in_one_is_left_out_by_all(both):
    for one in both:
        assert len(one["spoilt"]["drawn"]) == 5
        assert one["spoilt"]["step"] == 4
        assert any("not finite" in warning for warning in one["spoilt"]["warnings"])


def test_where_memory_runs_out_in_one_all_take_fewer_patches(both):
    for one in both:
        assert one["ran_out"]["sizes"] == [4, 2, 2, 2]
        assert "continues with 2 patches" in one["ran_out"]["warnings"][0]


def test_a_training_goes_on_together(both):
    assert [one["resumed"]["step"] for one in both] == [12, 12]
    assert len(both[0]["resumed"]["drawn"]) == 4


def test_networks_that_differ_are_told_of(both):
    assert all("do not train the same network" in one["unlike"] for one in both)


def test_who_is_left_alone_says_so(both):
    assert "Another process of this training has ended" in both[0]["dead"]


def learner(seed=0):
    image = np.random.default_rng(0).normal(size=(96, 96)).astype(np.float32)
    labels = np.zeros((96, 96), np.uint8)
    labels[5:90:10, 5:40], labels[5:90:10, 50:90] = 1, 2
    options = SegmentOptions(size="small", seed=seed, batch_size=2, patch=(80, 80))
    return SegmentationTask.of(open_all_annotated([image], [labels], 2, options), options)


def test_a_segmentation_draws_and_changes_other_patches_but_holds_out_the_same():
    first, again, second = learner(), learner(), learner()
    seed_rank(again, 0)
    seed_rank(second, 1)
    a, b, c = (one.batch(2) for one in (first, again, second))
    assert torch.equal(a.inputs, b.inputs)
    assert not torch.equal(a.inputs, c.inputs)
    # What augmentation draws comes from a count, which must differ by the bits that are used.
    assert (second.augmenter.step - first.augmenter.step) % 2**32 > 2**20
    held = [one.sampler.val_count.tolist() for one in (first, second)]
    assert held[0] == held[1]
    windows = [
        list(one.sampler.windows(one.input_shape, one.output_shape)) for one in (first, second)
    ]
    for mine, theirs in zip(*windows, strict=True):
        np.testing.assert_array_equal(mine.labels, theirs.labels)


def test_alone_nothing_is_shared_out():
    assert device.rank_and_size() == (0, 1)
    assert device.choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(("local", "rank", "expected"), [("1", 5, 1), (None, 5, 1), (None, 2, 0)])
def test_each_process_takes_the_gpu_of_its_rank(monkeypatch, local, rank, expected):
    monkeypatch.setattr(device, "rank_and_size", lambda: (rank, 8))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local is not None:
        monkeypatch.setenv("LOCAL_RANK", local)
    for name in ("auto", "cuda"):
        assert device.choose_device(name) == torch.device("cuda", expected)
    assert device.choose_device("cpu") == torch.device("cpu")


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(device, "rank_and_size", lambda: (2, 3))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(InputError, match="GPU of its own"):
        device.choose_device("cuda")


def test_where_one_fails_the_others_are_ended_and_nobody_is_left():
    code = "import os, time; os._exit(7) if os.environ['RANK'] == '1' else time.sleep(60)"
    began = time.monotonic()
    assert launch([sys.executable, "-c", code], 2) == 7
    assert time.monotonic() - began < 20


WAITING = """
import os, signal, time
rank, got = os.environ["RANK"], []
signal.signal(signal.SIGINT, lambda *_: got.append(1))
open(f"ready{rank}", "w").close()
until = time.monotonic() + 30
while not got and time.monotonic() < until:
    time.sleep(0.01)
time.sleep(0.3)
with open(f"got{rank}", "w") as file:
    file.write(str(len(got)))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to all of a console")
def test_ctrl_c_reaches_each_once_and_all_may_end_in_good_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def press():
        until = time.monotonic() + 20
        while len(list(tmp_path.glob("ready*"))) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    assert launch([sys.executable, "-c", WAITING], 2) == 0
    thread.join()
    assert [Path(f"got{rank}").read_text() for rank in range(2)] == ["1", "1"]


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
@pytest.mark.parametrize("at", ["the start", "work"])
def test_told_to_end_it_ends_all(at, monkeypatch):
    def tell():
        os.kill(os.getpid(), signal.SIGTERM)

    class Told(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            tell()  # before `launch` knows of it

    if at == "work":
        threading.Timer(0.5, tell).start()
    else:
        monkeypatch.setattr(subprocess, "Popen", Told)
    with pytest.raises(SystemExit) as ended:
        launch([sys.executable, "-c", "import time; time.sleep(60)"], 2)
    assert ended.value.code == 128 + signal.SIGTERM


QUICK = ("--size", "small", "--batch-size", 2, "--threads", 1, "--device", "cpu")


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Return what runs a command whose processes are started for it, in a folder with pictures."""
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).normal(100, 9, (64, 64)).astype(np.float32)
    image[:, 32:] += 60
    strokes = np.zeros((64, 64), np.uint8)
    strokes[10:40, 5:15], strokes[10:40, 45:55] = 1, 2
    for name, data in {"image": image, "strokes": strokes, "other": strokes[:, :50]}.items():
        tifffile.imwrite(f"{name}.tif", data)

    def run(*words):
        typed = [str(word) for word in (*words, *QUICK, "--processes", 2)]
        monkeypatch.setattr(sys, "argv", ["napari-unet", *typed])
        return CliRunner().invoke(app, typed)

    return run


def test_a_command_writes_one_model_and_one_log(command, capfd):
    done = command("train", "image.tif", "strokes.tif", "-o", "m", "--steps", 3, "--runs", "kept")
    out, err = capfd.readouterr()
    assert done.exit_code == 0, err
    assert sorted(p.name for p in Path().glob("m*")) == ["m.csv", "m.safetensors"]
    assert len(list(Path("kept").iterdir())) == 1
    assert len(Path("m.csv").read_text().splitlines()) >= 4
    training = napari_unet.load_model("m.safetensors").training
    assert (training["steps"], training["processes"]) == (3, 2)
    assert err.count("Saved m.safetensors after 3 steps") == 1
    assert err.count("Training on CPU") == 1
    assert out.count("class 1") == 1


def test_wrong_labels_are_one_clean_line(command, capfd):
    done = command("train", "image.tif", "other.tif", "-o", "m", "--steps", 3)
    _, err = capfd.readouterr()
    assert done.exit_code == 1
    lines = err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Error: Image and labels differ in shape")
    assert not list(Path().glob("m*"))
