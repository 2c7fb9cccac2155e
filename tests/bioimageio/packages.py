"""Packages as other programs would write them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn

from napari_unet.bioimageio.export import export_bioimageio
from napari_unet.bioimageio.onnx_export import as_onnx, as_torchscript
from napari_unet.model import TrainedModel


def package_of_others(
    model: TrainedModel, folder: Path, change: Callable[[dict[str, Any]], Any] = lambda _: None
) -> Path:
    """Export a model of ours, without what would tell it is ours."""
    ours = export_bioimageio(model, folder / "ours.zip")
    theirs = folder / "theirs.zip"
    with zipfile.ZipFile(ours) as package, zipfile.ZipFile(theirs, "w") as copy:
        document = yaml.safe_load(package.read("rdf.yaml"))
        del document["attachments"], document["config"]
        change(document)
        for name in package.namelist():
            if name not in ("rdf.yaml", "model.safetensors"):
                copy.writestr(name, package.read(name))
        copy.writestr("rdf.yaml", yaml.safe_dump(document))
    return theirs


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def old_package(
    folder: Path,
    module: nn.Module,
    sizes: tuple[int, ...] | dict[str, list[int]],
    example: np.ndarray,
    weights: str = "onnx",
    **entries: Any,
) -> Path:
    """Write a package of format 0.4, axes b, c, y, x, with a halo of 4 in y and x."""
    x = torch.from_numpy(example)
    write = {"onnx": as_onnx, "torchscript": as_torchscript}[weights]
    with torch.no_grad():
        result = module.eval()(x).numpy()
    document: dict[str, Any] = {
        "format_version": "0.4.10",
        "type": "model",
        "name": "an older package",
        "description": "for tests",
        "authors": [{"name": "Somebody"}],
        "cite": [{"text": "none", "doi": "10.1007/978-3-319-24574-4_28"}],
        "license": "MIT",
        "documentation": "README.md",
        "timestamp": "2023-01-01T00:00:00",
        "test_inputs": ["in.npy"],
        "test_outputs": ["out.npy"],
        "inputs": [
            {"name": "raw", "axes": "bcyx", "shape": sizes, "data_type": "float32"}
            | entries.get("given", {})
        ],
        "outputs": [
            {
                "name": "out",
                "axes": "bcyx",
                "data_type": "float32",
                "shape": list(result.shape)
                if isinstance(sizes, tuple)
                else {
                    "reference_tensor": "raw",
                    "scale": [1, 0, 1, 1],
                    "offset": [0, result.shape[1] / 2, 0, 0],
                },
            }
            | ({} if isinstance(sizes, tuple) else {"halo": [0, 0, 4, 4]})
            | entries.get("result", {})
        ],
        "weights": {weights: {"source": "weights"}},
    }
    if weights == "onnx":
        document["weights"]["onnx"]["opset_version"] = 17
    path = folder / "old.zip"
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("rdf.yaml", yaml.safe_dump(document))
        package.writestr("weights", write(module, x))
        package.writestr("in.npy", npy(example))
        package.writestr("out.npy", npy(result))
        package.writestr("README.md", "# An older package")
    return path
