"""Files of every format load, and mean what they meant. See write_corpus.py."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console, ConsoleDimensions

import napari_unet
from napari_unet.bioimageio.load import import_bioimageio
from tests.corpus.write_corpus import (
    CASES,
    FILES,
    FORMATS,
    RESUMED_STEPS,
    RUNS_COMMANDS,
    Case,
    changed,
    fitted,
    last_model,
    load_input,
    model_files,
    predictions,
    runs_told,
    told,
    told_name,
)

# Of the range of what was written: other processors add up float32 in other orders (AVX-512, AVX2,
# NEON, other versions of oneDNN), which was seen to change about 1e-6 of it, so equal bits would
# fail on them. Another normalisation, border, filter or order of axes changes 1e-3 and more.
TOLERANCE = 2e-5

# Roundings grow while a training goes on, for Adam divides small gradients by themselves: 3e-4 with
# other convolutions. Other random draws change 0.1, a learning rate that is off by a tenth 0.01.
RESUMED_TOLERANCE = 3e-3

WRITTEN = [
    pytest.param(f"format-{version}", name, case, id=f"{version}-{name}")
    for version in FORMATS
    for name, case in CASES.items()
    if version >= case.since
]

MODELS = [pytest.param(path, id=told_name(path)) for path in model_files()]


def raw_header(path: Path) -> dict[str, Any]:
    """Return the header of a model file as it was written, read without our code."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["napari_unet"])
    assert isinstance(header, dict)
    return header


def expected(folder: str, name: str) -> dict[str, np.ndarray]:
    outputs = ("labels", "probabilities", "image")
    paths = {output: FILES / folder / f"{name}-{output}.npy" for output in outputs}
    found = {output: np.load(path) for output, path in paths.items() if path.is_file()}
    assert found
    return found


def assert_alike(found: np.ndarray, right: np.ndarray, tolerance: float = TOLERANCE) -> None:
    assert (found.dtype, found.shape) == (right.dtype, right.shape)
    np.testing.assert_allclose(found, right, rtol=0, atol=tolerance * float(np.ptp(right)))


def assert_predicts(model: Any, case: Case, right: dict[str, np.ndarray]) -> None:
    found = predictions(model, case)
    for output, array in right.items():
        if output == "labels":
            assert found[output].dtype == array.dtype
            assert found[output].tobytes() == array.tobytes()
        else:
            assert_alike(found[output], array)


def keys_of(header: Any, above: str = "") -> set[str]:
    """Return the names of all entries, with the way to them; of lists those of all members."""
    if isinstance(header, list):
        return set().union(*(keys_of(entry, above) for entry in header))
    if not isinstance(header, dict):
        return set()
    names = {f"{above}{key}" for key in header}
    return names.union(*(keys_of(value, f"{above}{key}.") for key, value in header.items()))


@pytest.mark.parametrize(("folder", "name", "case"), WRITTEN)
def test_a_model_predicts_what_it_did(folder, name, case):
    model = napari_unet.load_model(FILES / folder / f"{name}.safetensors")
    assert model.task == case.task
    assert_predicts(model, case, expected(folder, name))


@pytest.mark.parametrize("path", MODELS)
def test_a_model_saved_again_says_all_that_it_said(path, tmp_path):
    model = napari_unet.load_model(path)
    told_then, told_now = raw_header(path), raw_header(model.save(tmp_path / "again"))
    assert keys_of(told_then) <= keys_of(told_now)
    for key in ("task", "classes", "normalisation", "spacing", "training"):
        assert told_now[key] == told_then[key]
    assert told_then["config"].items() <= told_now["config"].items()
    again = napari_unet.load_model(tmp_path / "again.safetensors")
    assert again.digest == model.digest


@pytest.mark.parametrize("name", ["segment-2d-channels", "denoise", "restore", "inpaint"])
def test_a_new_model_says_all_that_older_ones_say(name, tmp_path):
    case = CASES[name]
    new = raw_header(fitted(case, FILES, steps=2).save(tmp_path / "new"))
    for version in FORMATS:
        if version >= case.since:
            old = raw_header(FILES / f"format-{version}" / f"{name}.safetensors")
            assert old["version"] == version <= new["version"]
            # Among the options are only those that are not the usual ones.
            said = {key for key in keys_of(old) if not key.startswith("training.options.")}
            assert said <= keys_of(new)


def test_a_checkpoint_is_gone_on_from(tmp_path, monkeypatch):
    # It is written again where it was: by a relative path.
    monkeypatch.chdir(tmp_path)
    path = shutil.copy(FILES / "checkpoint.safetensors", tmp_path)
    case = CASES["segment-2d"]
    given = load_input(case.image), load_input(case.other)
    events = list(napari_unet.resume(path, *given, steps=RESUMED_STEPS))
    said = [event.message for event in events if type(event).__name__ == "Warned"]
    assert not [message for message in said if "It continues with these" in message]
    assert events[-1].step == RESUMED_STEPS
    right = np.load(FILES / "resumed-probabilities.npy")
    found = predictions(last_model(events), case)["probabilities"]
    assert_alike(found, right, RESUMED_TOLERANCE)


def test_runs_are_listed_as_they_were():
    right = json.loads((FILES / "told" / "runs.json").read_text(encoding="utf-8"))
    assert [run["status"] for run in right] == ["finished", "finished"]
    assert runs_told(FILES / "runs") == right


def test_the_models_of_runs_are_those_that_the_runs_tell_of():
    for run in napari_unet.list_runs(FILES / "runs"):
        facts = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
        model = napari_unet.load_model(run.folder / "model.safetensors")
        assert (model.task, model.digest) == (run.task, facts["fingerprint"])


def test_a_package_gives_back_the_model_it_was_made_of():
    model = import_bioimageio(FILES / "package.zip")
    newest = FILES / f"format-{FORMATS[-1]}" / "segment-2d.safetensors"
    assert model.digest == napari_unet.load_model(newest).digest
    assert_predicts(model, CASES["segment-2d"], expected(f"format-{FORMATS[-1]}", "segment-2d"))


def test_the_programs_of_a_package_are_imported_without_our_model(tmp_path):
    case, right = CASES["segment-2d"], expected("", "imported")
    package = (FILES / "package.zip").read_bytes()
    other = tmp_path / "other.zip"
    other.write_bytes(changed(package, drop=("attachments", "config")))
    assert_predicts(import_bioimageio(other), case, right)
    other.write_bytes(changed(package, drop=("attachments", "config", "weights.onnx")))
    assert_predicts(import_bioimageio(other, allow_torchscript=True), case, right)


def test_an_imported_model_predicts_what_it_did():
    model = napari_unet.load_model(FILES / "imported.safetensors")
    assert_predicts(model, CASES["segment-2d"], expected("", "imported"))


@pytest.fixture
def wide(monkeypatch):
    """Let tables be as wide as they were, whatever terminal the tests run in."""
    monkeypatch.setattr(Console, "size", property(lambda _: ConsoleDimensions(200, 50)))


@pytest.mark.parametrize("path", MODELS)
def test_info_prints_what_it_did(path, wide):
    right = (FILES / "told" / f"{told_name(path)}.txt").read_text(encoding="utf-8")
    assert told("info", path) == right


@pytest.mark.parametrize("name", RUNS_COMMANDS)
def test_runs_print_what_they_did(name):
    right = (FILES / "told" / f"{name}.txt").read_text(encoding="utf-8")
    assert told("runs", FILES / "runs", *RUNS_COMMANDS[name]) == right


def test_the_corpus_is_small():
    assert sum(path.stat().st_size for path in FILES.rglob("*") if path.is_file()) < 1_500_000
