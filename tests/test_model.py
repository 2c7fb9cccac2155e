"""The model's file: whole or not at all, readable, and never executed."""

from __future__ import annotations

import json
import os
import pickle  # noqa: TID251 - to show that it is not used
import struct
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from napari_unet.api import predict
from napari_unet.data.normalisation import Normalisation
from napari_unet.errors import ModelFileError
from napari_unet.header import VERSION, header_schema
from napari_unet.model import HEADER, ClassInfo, InputSpec, TrainedModel, load_model
from napari_unet.network.unet_config import UNetConfig
from tests.inference.models import VOLUME, model

CLASSES = (ClassInfo(3, "membrane", (1.0, 0.5, 0.0, 1.0)), ClassInfo(7))


@pytest.fixture
def trained() -> TrainedModel:
    return model(
        normalisation=Normalisation("percentile", (12.5,), (0.1,)),
        classes=CLASSES,
        spacing=(0.25, 0.1),
        training={"steps": 5, "validation": {"IoU": [0.5, None]}},
    )


def test_what_is_saved_comes_back(trained, tmp_path):
    path = trained.save(tmp_path / "cells.safetensors")
    again = load_model(path)
    assert path == tmp_path / "cells.safetensors"
    assert again.config == trained.config
    assert again.classes == CLASSES
    assert again.normalisation == trained.normalisation
    assert (again.task, again.spacing) == ("segment", (0.25, 0.1))
    assert again.training == trained.training
    assert again.header() == trained.header()
    assert again.weights.keys() == trained.weights.keys()
    assert all(np.array_equal(w, trained.weights[name]) for name, w in again.weights.items())
    assert again.digest == trained.digest
    image = np.random.default_rng(0).random((30, 40))
    found, expected = (predict(m, image, output="probabilities") for m in (again, trained))
    assert np.array_equal(found, expected)


def test_a_3d_model_comes_back_too(tmp_path):
    volume = model(VOLUME)
    again = load_model(volume.save(tmp_path / "v"))
    assert (again.config, again.digest) == (volume.config, volume.digest)


@pytest.mark.parametrize("name", ["cells", "cells.v2", "cells.safetensors"])
def test_the_ending_is_added_where_it_is_missing(trained, name, tmp_path):
    path = trained.save(str(tmp_path / name))
    assert path.name == name.removesuffix(".safetensors") + ".safetensors"
    assert load_model(str(path)).digest == trained.digest
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208


def test_the_network_has_the_weights_and_does_not_train(trained):
    network = trained.network()
    assert not network.training
    state = network.state_dict()
    assert all(np.array_equal(w, state[name].numpy()) for name, w in trained.weights.items())


def test_weights_of_another_network_are_refused(trained):
    with pytest.raises(ModelFileError, match="do not belong to this network"):
        replace(trained, config=UNetConfig()).network()
    few = {name: w for name, w in trained.weights.items() if "head" not in name}
    with pytest.raises(ModelFileError, match="do not belong to this network"):
        replace(trained, weights=few).network()


def test_the_digest_is_that_of_architecture_and_weights(trained):
    assert len(trained.digest) == 64
    assert trained.digest == replace(trained).digest
    # How the weights lie in memory, what the classes are called: no matter.
    laid = {
        name: np.asfortranarray(w) if w.ndim == 4 else w
        for name, w in reversed(trained.weights.items())
    }
    assert replace(trained, weights=laid, classes=()).digest == trained.digest
    weights = {name: w.copy() for name, w in trained.weights.items()}
    weights["head.bias"][0] += 1e-6
    assert replace(trained, weights=weights).digest != trained.digest
    other = trained.config.model_copy(update={"activation": "elu"})
    assert replace(trained, config=other).digest != trained.digest


def raw_header(path: Path) -> dict:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(json.loads(file.read(length))["__metadata__"][HEADER])


def test_a_person_can_read_the_header(trained, tmp_path):
    header = raw_header(trained.save(tmp_path / "m"))
    assert header["version"] == VERSION
    assert header["classes"][0] == {"value": 3, "name": "membrane", "color": [1, 0.5, 0, 1]}
    assert header["config"]["encoder"] == [[4, 4]]
    assert header["normalisation"] == {"kind": "percentile", "offset": [12.5], "scale": [0.1]}


FAILURES = {"fsync": OSError(28, "No space left on device"), "replace": OSError(5, "I/O error")}


@pytest.mark.parametrize("call", FAILURES)
def test_a_save_that_fails_leaves_the_old_file_and_no_other(trained, call, tmp_path, monkeypatch):
    path = trained.save(tmp_path / "cells")
    before = path.read_bytes()

    def fails(*args, **kwargs):
        raise FAILURES[call]

    monkeypatch.setattr(os, call, fails)
    newer = model(seed=1)
    with pytest.raises(ModelFileError, match=rf"could not be saved to .*{FAILURES[call].strerror}"):
        newer.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    monkeypatch.undo()
    assert load_model(newer.save(path)).digest == newer.digest


def test_nor_does_one_that_is_interrupted(trained, tmp_path, monkeypatch):
    path = trained.save(tmp_path / "cells")

    def interrupted(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model(seed=1).save(path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert load_model(path).digest == trained.digest


def test_the_content_is_on_the_disk_before_it_takes_the_name(trained, tmp_path, monkeypatch):
    calls, fsync, move = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("fsync"), fsync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), move(a, b))[1])
    trained.save(tmp_path / "cells")
    assert calls == ["fsync", "replace"]


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_others_may_read_it_as_any_new_file(trained, tmp_path):
    (tmp_path / "any").touch()
    path = trained.save(tmp_path / "cells")
    assert path.stat().st_mode == (tmp_path / "any").stat().st_mode


def test_where_it_cannot_be_written_it_says_so(trained, tmp_path, monkeypatch):
    with pytest.raises(ModelFileError, match=r"could not be saved to .*missing.*write to"):
        trained.save(tmp_path / "missing" / "cells")
    (tmp_path / "file").touch()
    with pytest.raises(ModelFileError, match="could not be saved"):
        trained.save(tmp_path / "file" / "cells")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(ModelFileError, match="could not be saved"):
        trained.save(tmp_path / "folder.safetensors")
    assert {p.name for p in tmp_path.iterdir()} == {"file", "folder.safetensors"}


def test_a_read_only_folder_is_said(trained, tmp_path, monkeypatch):
    def refused(**kwargs):
        raise PermissionError(13, "Permission denied")

    # Not by the folder's mode, which is nothing to an administrator.
    monkeypatch.setattr(tempfile, "mkstemp", refused)
    with pytest.raises(ModelFileError, match=r"Permission denied.*folder that you can write"):
        trained.save(tmp_path / "cells")


NO_MODEL = r"is not a model of napari-unet, or it is damaged .*expected a \.safetensors file that"
DAMAGED = r"The header of m\.safetensors is damaged"


@pytest.mark.parametrize(
    "content", [b"", b"not a model", b"\x89PNG\r\n\x1a\n" * 40, b"\xff" * 100, b"II*\0" + bytes(99)]
)
def test_a_file_that_is_no_model_is_refused(content, tmp_path):
    path = tmp_path / "picture.tif"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=f"^picture.tif {NO_MODEL}"):
        load_model(path)


@pytest.mark.parametrize("part", [0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(trained, part, tmp_path):
    path = trained.save(tmp_path / "cells")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ModelFileError, match=NO_MODEL):
        load_model(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    for path in (tmp_path / "missing.safetensors", tmp_path):
        with pytest.raises(ModelFileError, match="There is no such model file"):
            load_model(path)


def test_weights_of_another_program_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    for metadata in (None, {"format": "pt"}):
        safetensors.numpy.save_file({"w": np.zeros(3)}, path, metadata)
        with pytest.raises(
            ModelFileError, match="contains weights but is not a model of napari-unet"
        ):
            load_model(path)


def with_header(trained: TrainedModel, path: Path, text: str) -> Path:
    safetensors.numpy.save_file(dict(trained.weights), path, {HEADER: text})
    return path


def test_a_newer_version_is_refused_and_the_remedy_named(trained, tmp_path):
    header = {**trained.header(), "version": VERSION + 1, "surprise": 1}
    path = with_header(trained, tmp_path / "m.safetensors", json.dumps(header))
    with pytest.raises(ModelFileError, match=rf"newer .*got format {VERSION + 1}.*Update napari-"):
        load_model(path)


@pytest.mark.parametrize(
    "key", ["version", "task", "config", "classes", "normalisation", "spacing", "training"]
)
def test_a_missing_entry_is_named(trained, key, tmp_path):
    header = {name: value for name, value in trained.header().items() if name != key}
    path = with_header(trained, tmp_path / "m.safetensors", json.dumps(header))
    with pytest.raises(ModelFileError, match=rf"header of m.safetensors is damaged .*'{key}'"):
        load_model(path)


@pytest.mark.parametrize(
    "change",
    [
        {"version": None},
        {"version": "1"},
        {"config": {"ndim": 9}},
        {"config": {"encoder": 5}},
        {"config": {"depth": 3}},
        {"config": None},
        {"classes": [{"name": "a", "color": None}]},
        {"classes": [{"value": 1, "name": "a", "color": 5}]},
        {"classes": [1]},
        {"normalisation": {}},
        {"normalisation": None},
        {"normalisation": {"kind": "percentile", "offset": [0], "scale": [0]}},
        {"spacing": 3},
    ],
)
def test_a_header_that_makes_no_sense_is_refused_in_one_line(trained, change, tmp_path):
    text = json.dumps({**trained.header(), **change})
    path = with_header(trained, tmp_path / "m.safetensors", text)
    with pytest.raises(ModelFileError, match=DAMAGED) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "no JSON", "null", "[1]", '"text"', "{}"])
def test_so_is_one_that_is_none(trained, text, tmp_path):
    path = with_header(trained, tmp_path / "m.safetensors", text)
    with pytest.raises(ModelFileError, match=DAMAGED):
        load_model(path)


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_in_a_file_is_executed(tmp_path):
    mark, path = tmp_path / "executed", tmp_path / "bomb.safetensors"
    path.write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(ModelFileError):
        load_model(path)
    torch.save({"w": Bomb(mark)}, path)  # noqa: TID251
    with pytest.raises(ModelFileError):
        load_model(path)
    assert not mark.exists()
    # The bomb is a real one.
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists()


def test_classes_have_a_name_to_show():
    assert [str(c) for c in CLASSES] == ["membrane", "class 7"]


def test_other_facts_leave_the_fingerprint_as_it_is(trained):
    digest = trained.digest
    other = trained.with_facts(classes=(), training={"steps": 6})
    assert (other.classes, other.training) == ((), {"steps": 6})
    assert other.__dict__["digest"] == other.digest == replace(other).digest == digest
    assert trained.classes == CLASSES


def test_the_header_is_as_its_schema_says(trained, tmp_path):
    import jsonschema

    image = model(
        VOLUME,
        task="inpaint",
        target=Normalisation("photon", (0.5,), (2.0,), ((1.5, 0.2),)),
        input_spec=InputSpec(
            context_planes=3,
            periodic_axes=(True, False, False),
            mask=True,
            blend=0.2,
            border="zero",
        ),
    )
    schema = header_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for one in (trained, image):
        header = json.loads(json.dumps(one.header()))
        jsonschema.validate(header, schema)
        assert set(header) == set(schema["properties"])
        for change in ({"version": VERSION + 1}, {"classes": [{"value": -1}]}, {"reading": {}}):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({**header, **change}, schema)


OLD = {
    # As the first two formats wrote them.
    1: {
        "version": 1,
        "task": "segment",
        "config": {"ndim": 2, "encoder": [[2]], "bottom": [3], "decoder": [[2]]},
        "classes": [
            {"value": 3, "name": "a", "color": None}, {"value": 7, "name": "", "color": None},
        ],
        "normalisation": {"kind": "mean_sd", "offset": [1.0], "scale": [2.0]},
        "spacing": [1.0, 1.0],
        "training": {"steps": 5},
    },
    2: {
        "version": 2,
        "task": "denoise",
        "config": {
            "ndim": 2, "in_channels": 3, "out_channels": 1,
            "encoder": [[2]], "bottom": [3], "decoder": [[2]], "padding": "same",
        },
        "classes": [],
        "normalisation": {"kind": "mean_sd", "offset": [1.0] * 3, "scale": [2.0] * 3},
        "spacing": [1.0, 1.0],
        "training": {"steps": 5},
        "target": {"kind": "mean_sd", "offset": [1.0], "scale": [2.0]},
        "reading": {"planes": 3, "wrap": [True, False], "mask": False, "own": 0.1},
    },
}  # fmt: skip


@pytest.mark.parametrize("version", [1, 2])
def test_older_headers_load_and_predict(tmp_path, version):
    header = OLD[version]
    config = UNetConfig(**header["config"])
    weights = model(config).weights
    path = tmp_path / "old.safetensors"
    safetensors.numpy.save_file(dict(weights), path, {HEADER: json.dumps(header)})
    loaded = load_model(path)
    assert loaded.config == config
    assert loaded.input_spec.border == "mirror"
    assert loaded.input_spec.context_planes == (3 if version == 2 else 1)
    assert loaded.header()["version"] == VERSION
    image = np.random.default_rng(0).random((4, 40, 44)).astype(np.float32)
    assert predict(loaded, image).shape == image.shape
    again = load_model(loaded.save(tmp_path / "new"))
    assert again.digest == loaded.digest
