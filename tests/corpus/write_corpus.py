"""Write the corpus: small files of every format, and what was predicted with them.

Each format is written by the code that introduced it, so the script runs on any checkout of the
package and writes whatever that checkout knows::

    git worktree add --detach /tmp/old COMMIT
    PYTHONPATH=/tmp/old/src OMP_NUM_THREADS=1 python tests/corpus/write_corpus.py models /tmp/out

Format 1 was written at af2f1a2, format 2 at a4fda27, format 3 at e4d07f8. The parts:

- ``inputs``: the images and strokes, which never change;
- ``models``: one model per case with the arrays that it predicts, in ``format-N/``;
- ``rest``: a checkpoint, runs, a BioImage.IO package and a model imported from one;
- ``told``: what the command line and `list_runs` say about all these, by the newest code.

A new format adds a folder ``format-N`` and leaves the older ones alone. Nothing that is written
may depend on the machine: paths are relative.
"""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import napari_unet

FILES = Path(__file__).parent / "files"
FORMATS = (1, 2, 3)
RESUMED_STEPS = 10

TINY: dict[str, Any] = {"encoder": [[4, 4]], "bottom": [8, 8], "decoder": [[4, 4]]}
SAME = {**TINY, "padding": "same"}
FILTERED = {**TINY, "filters": [[1.0, 1.0]], "stem": [2, 2]}
FLAT = {**TINY, "ndim": 3, "poolings": [[1, 2, 2]], "kernels": [[1, 3, 3], [3, 3, 3]]}

MARGIN = 1e-3
"""Least difference between the two largest probabilities of a pixel, so that no rounding of
another processor changes its label."""

MOST_SEEDS = 50
"""How many trainings are tried for such labels; then only the probabilities are kept."""


@dataclass(frozen=True)
class Case:
    """One model: what it learns from, how, and since which format it can be written.

    `image` and `other` name arrays in ``inputs``; `mask` says that `other` is needed to predict.
    """

    image: str
    other: str | None
    network: dict[str, Any]
    task: str = "segment"
    since: int = 1
    mask: bool = False
    options: dict[str, Any] = field(default_factory=dict)


NAMED = {
    "class_names": {1: "wall", 2: "cell", 7: "nucleus"},
    "class_colors": {1: (1.0, 0.0, 0.0, 1.0), 7: (0.0, 0.5, 1.0, 0.5)},
}

CASES = {
    "segment-2d": Case("cells", "cells-strokes", FILTERED),
    "segment-2d-channels": Case("channels", "channels-strokes", TINY, options=NAMED),
    "segment-3d": Case("volume", "volume-strokes", FLAT, options={"ndim": 3}),
    "segment-wrap": Case("cells", "cells-strokes", SAME, since=3, options={"border": "wrap"}),
    "segment-fcn": Case(
        "cells", "cells-strokes", {"kind": "fcn", "width": 0.01, "finest": 8}, since=3
    ),
    "segment-dense": Case(
        "cells",
        "cells-strokes",
        {"kind": "fcdensenet", "first": 4, "growth": 2, "blocks": [2], "bottom": 2},
        since=3,
    ),
    "denoise": Case("noisy", None, SAME, "denoise", 2, options={"method": "blind_spot"}),
    "denoise-frames": Case("frames", None, SAME, "denoise", 2, options={"method": "neighbours"}),
    "restore": Case("blurred", "sharp", SAME, "restore", 2),
    "inpaint": Case("sharp", "holes", SAME, "inpaint", 2, mask=True),
}


def inputs() -> dict[str, np.ndarray]:
    """Return the images, strokes and masks by name."""
    rng = np.random.default_rng(13)
    y, x = np.mgrid[:40, :40]
    discs = ((y % 20 - 10) ** 2 + (x % 20 - 10) ** 2 < 36).astype(np.float64)
    strokes = np.zeros((40, 40), np.uint8)
    strokes[[0, 1, 20, 21, 39]] = 1
    strokes[8:13, 8:13] = strokes[8:13, 28:33] = strokes[28:33, 8:13] = strokes[28:33, 28:33] = 2
    nuclei = (y % 20 - 10) ** 2 + (x % 20 - 10) ** 2 < 9
    three = np.where(nuclei & (strokes == 2), 7, strokes).astype(np.uint8)
    three[5:7, 8:13] = three[25:27, 28:33] = three[14:15, 28:33] = 2
    z, v, u = np.mgrid[:8, :24, :24]
    ball = ((z - 4) ** 2 * 4 + (v - 12) ** 2 + (u - 12) ** 2 < 70).astype(np.float64)
    painted = np.zeros(ball.shape, np.uint8)
    for plane in (1, 4, 6):
        painted[plane, 1:4], painted[plane, :, 20:22] = 1, 1
    painted[3:6, 10:15, 10:15] = 2
    scene = 40 + 25 * np.sin(y / 5) * np.cos(x / 7) + 30 * discs
    blurred = scene.copy()
    for axis in (0, 1):
        blurred = sum(np.roll(blurred, k, axis) for k in (-1, 0, 1)) / 3
    holes = np.zeros((40, 40), np.uint8)
    holes[6:10, 12:20] = holes[22:30, 5:8] = 1
    return {
        "cells": np.rint(100 + 80 * discs + rng.normal(0, 6, discs.shape)).astype(np.uint8),
        "cells-strokes": strokes,
        "channels": np.stack(
            [
                60 + 50 * discs + rng.normal(0, 3, discs.shape),
                30 + 70 * nuclei + rng.normal(0, 3, discs.shape),
            ]
        ).astype(np.float32),
        "channels-strokes": three,
        "volume": np.rint(500 + 300 * ball + rng.normal(0, 20, ball.shape)).astype(np.uint16),
        "volume-strokes": painted,
        "noisy": rng.poisson(np.tile(scene, (2, 2))).astype(np.uint16),
        "frames": rng.poisson(scene, (6, 40, 40)).astype(np.uint16),
        "blurred": np.rint(blurred + rng.normal(0, 1, blurred.shape)).astype(np.uint16),
        "sharp": scene.astype(np.float32),
        "holes": holes,
    }  # fmt: skip


def load_input(name: str | None, folder: Path = FILES) -> np.ndarray | None:
    """Return an input by name."""
    return None if name is None else np.load(folder / "inputs" / f"{name}.npy")


def fitted(case: Case, folder: Path, seed: int = 0, steps: int = 40, **more: Any) -> Any:
    """Return a model trained on a case."""
    network = dict(case.network)
    config = network if "kind" in network else napari_unet.UNetConfig(**network)
    options = {"network": config, "batch_size": 2, "device": "cpu", **case.options, **more}
    given = load_input(case.image, folder), load_input(case.other, folder)
    return napari_unet.fit(*given, task=case.task, seed=seed, steps=steps, **options)


def predictions(model: Any, case: Case, folder: Path = FILES) -> dict[str, np.ndarray]:
    """Return what a model of a case predicts, by output."""
    image = load_input(case.image, folder)
    more = {"mask": load_input(case.other, folder)} if case.mask else {}
    outputs = ("labels", "probabilities") if model.classes else ("image",)
    return {
        output: napari_unet.predict(model, image, output=output, device="cpu", **more)
        for output in outputs
    }


def is_clear(found: dict[str, np.ndarray]) -> bool:
    """Tell whether no label hangs on a rounding, and every class is there."""
    if "labels" not in found:
        return True
    sorted_ = np.sort(found["probabilities"], 0)
    there = len(np.unique(found["labels"])) == len(sorted_)
    return there and float((sorted_[-1] - sorted_[-2]).min()) > MARGIN


def write_inputs(folder: Path) -> None:
    """Write the inputs."""
    (folder / "inputs").mkdir(parents=True)
    for name, array in inputs().items():
        np.save(folder / "inputs" / f"{name}.npy", array)


def write_models(folder: Path) -> None:
    """Write a model per case, and what it predicts."""
    version = format_version(folder)
    for name, case in CASES.items():
        if version < case.since:
            continue
        for seed in range(MOST_SEEDS):
            model = fitted(case, folder, seed)
            found = predictions(model, case, folder)
            if is_clear(found):
                break
        else:
            del found["labels"]
        write_model(folder / f"format-{version}", name, model, found)


def write_model(folder: Path, name: str, model: Any, found: dict[str, np.ndarray]) -> None:
    """Write a model and what it predicts."""
    folder.mkdir(exist_ok=True)
    model.save(folder / f"{name}.safetensors")
    for output, array in found.items():
        np.save(folder / f"{name}-{output}.npy", array)


def format_version(folder: Path) -> int:
    """Return the format that this code writes."""
    model = fitted(CASES["segment-2d"], folder, steps=1)
    version: int = model.header()["version"]
    return version


def write_rest(folder: Path) -> None:
    """Write what only newer code knows: a checkpoint, runs, a package, an imported model."""
    os.chdir(folder)
    case = CASES["segment-2d"]
    stopped = {
        "threads": 1,
        "checkpoint": "checkpoint.safetensors",
        "patch": (26, 26),  # smaller than the image, so that random places matter
        "held_out": 0.3,
        "test_every": 2,
        "keep": "best",
    }
    tiny = Case(case.image, case.other, TINY)
    fitted(tiny, folder, steps=6, **stopped)
    given = load_input(case.image, folder), load_input(case.other, folder)
    again = napari_unet.resume("checkpoint.safetensors", *given, steps=RESUMED_STEPS)
    np.save(
        "resumed-probabilities.npy", predictions(last_model(again), tiny, folder)["probabilities"]
    )
    # Going on has written it anew.
    fitted(tiny, folder, steps=6, **stopped)
    fitted(CASES["segment-2d-channels"], folder, runs="runs", held_out=0.3, threads=1)
    fitted(CASES["denoise"], folder, runs="runs", threads=1, steps=8)
    write_package(folder)


def last_model(events: Any) -> Any:
    """Return the model that a training ends with."""
    return [event.model for event in events if type(event).__name__ == "Finished"][-1]


def write_package(folder: Path) -> None:
    """Write a package, and what is imported from it where it says nothing of being ours."""
    from napari_unet.bioimageio.export import export_bioimageio
    from napari_unet.bioimageio.load import import_bioimageio

    case = CASES["segment-2d"]
    model = napari_unet.load_model(folder / f"format-{FORMATS[-1]}" / "segment-2d.safetensors")
    package = folder / "package.zip"
    image = load_input(case.image, folder)
    export_bioimageio(model, package, image=image, name="corpus cells", authors=["A. Nobody"])
    other = folder / "other.zip"
    other.write_bytes(changed(package.read_bytes(), drop=("attachments", "config")))
    imported = import_bioimageio(other)
    write_model(folder, "imported", imported, predictions(imported, case, folder))
    other.unlink()


def changed(package: bytes, drop: Sequence[str]) -> bytes:
    """Return a package without some of its entries, named such as "config" or "weights.onnx"."""

    def edit(files: dict[str, bytes], about: dict[str, Any]) -> None:
        for name in drop:
            *above, last = name.split(".")
            entries = about
            for part in above:
                entries = entries[part]
            gone = entries.pop(last)
            for entry in gone if isinstance(gone, list) else [gone]:
                files.pop(entry.get("source", ""), None)

    return _edited(package, edit)


def _edited(package: bytes, edit: Callable[[dict[str, bytes], dict[str, Any]], None]) -> bytes:
    import yaml

    with zipfile.ZipFile(io.BytesIO(package)) as given:
        files = {name: given.read(name) for name in given.namelist()}
    about = yaml.safe_load(files["rdf.yaml"])
    edit(files, about)
    files["rdf.yaml"] = yaml.safe_dump(about, sort_keys=False, allow_unicode=True).encode()
    return _zipped(files, zipfile.ZIP_DEFLATED)


def _zipped(files: dict[str, bytes], compression: int) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return whole.getvalue()


def model_files(folder: Path = FILES) -> list[Path]:
    """Return all files that hold a model."""
    return sorted(folder.rglob("*.safetensors"))


def told_name(path: Path, folder: Path = FILES) -> str:
    """Return the name of the text that `napari-unet info` prints about a model file."""
    return "-".join(path.relative_to(folder).with_suffix("").parts)


def told(*words: object) -> str:
    """Return what the command line prints, on a terminal of 200 columns."""
    from typer.testing import CliRunner

    from napari_unet.cli import load_app

    done = CliRunner().invoke(load_app(), [str(word) for word in words], env={"COLUMNS": "200"})
    if done.exit_code:
        raise RuntimeError(f"{words}: {done.output}")
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()) + "\n"


def runs_told(folder: Path) -> list[dict[str, Any]]:
    """Return what `list_runs` says, as plain JSON, without where the runs are."""
    listed = [asdict(run) for run in napari_unet.list_runs(folder)]
    plain = json.dumps(
        [{k: v for k, v in run.items() if k != "folder"} for run in listed], default=str
    )
    found: list[dict[str, Any]] = json.loads(plain)
    return found


def write_told(folder: Path) -> None:
    """Write what is said about the files."""
    out = folder / "told"
    out.mkdir(exist_ok=True)
    for path in model_files(folder):
        (out / f"{told_name(path, folder)}.txt").write_text(told("info", path), encoding="utf-8")
    runs = folder / "runs"
    for name, flags in RUNS_COMMANDS.items():
        (out / f"{name}.txt").write_text(told("runs", runs, *flags), encoding="utf-8")
    text = json.dumps(runs_told(runs), indent=1) + "\n"
    (out / "runs.json").write_text(text, encoding="utf-8")


RUNS_COMMANDS: dict[str, tuple[str, ...]] = {
    "runs": (),
    "runs-csv": ("--csv",),
    "runs-differ": ("--differ",),
}

PARTS = {
    "inputs": write_inputs,
    "models": write_models,
    "rest": write_rest,
    "told": write_told,
}

if __name__ == "__main__":
    PARTS[sys.argv[1]](Path(sys.argv[2]).resolve())
