"""The program of a package: an ONNX graph, or what can be made one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_unet.errors import InputError, ModelFileError
from napari_unet.exchange.package import Package, in_folder
from napari_unet.exchange.programs import as_onnx, opened_torchscript, run_onnx, run_torchscript

WHY = (
    "PyTorch treats TorchScript like code from its author, and so do we: allow it "
    "(allow_torchscript=True, --torchscript) only where you trust who made the package"
)


def read_program(package: Package, example: tuple[int, ...], allow_torchscript: bool) -> bytes:
    """Return a package's program as an ONNX file.

    ONNX is preferred: a graph of operations from a fixed set, which is data. TorchScript is a
    program in a language of its own; PyTorch's security policy says to treat it like code of
    unknown origin. So it is loaded only where that is allowed, once, here, to be rewritten as
    ONNX: what a model file of ours holds is never TorchScript.

    Parameters
    ----------
    package : Package
        What is read.
    example : tuple of int
        Shape of an input that fits, with the axes of the program.
    allow_torchscript : bool
        Whether TorchScript may be loaded.

    Raises
    ------
    InputError
        Where there is neither, or only TorchScript and that is not allowed.
    ModelFileError
        Where a file is missing or damaged.
    """
    weights = package.about.weights
    if weights.onnx is not None:
        return _whole(package, weights.onnx)
    if weights.torchscript is None:
        raise InputError(
            "The package has no program that can be run without its author's code",
            got=", ".join(sorted(weights.available_formats)),
            expected="onnx or torchscript",
            todo="Ask its authors for ONNX weights, or convert it with bioimageio.core",
        )
    if not allow_torchscript:
        raise InputError("The package has only TorchScript weights", todo=WHY)
    return _rewritten(package.read(weights.torchscript), example)


def last_operation(program: bytes) -> str:
    """Return the name of the operation that gives a graph's first output, such as "Sigmoid"."""
    import onnx

    graph = onnx.load_model_from_string(program).graph
    output = graph.output[0].name
    return next((node.op_type for node in graph.node if output in node.output), "")


def _whole(package: Package, weights: Any) -> bytes:
    """Return an ONNX file with all of its numbers in it."""
    import onnx
    from onnx.external_data_helper import load_external_data_for_model, uses_external_data

    content = package.read(weights)
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's have no base class that onnx names
        raise ModelFileError("The ONNX file is damaged", got=type(error).__name__) from error
    if not any(map(uses_external_data, model.graph.initializer)):
        return content
    if getattr(weights, "external_data", None) is None:
        raise ModelFileError("The ONNX file lacks its numbers", got="no external_data")
    name = Path(str(getattr(weights.external_data.source, "path", weights.external_data.source)))
    with in_folder({name.name: package.read(weights.external_data)}) as folder:
        try:
            load_external_data_for_model(model, folder)
        except Exception as error:
            raise ModelFileError("The ONNX file lacks its numbers", got=str(error)) from error
    whole: bytes = model.SerializeToString()
    return whole


def _rewritten(program: bytes, example: tuple[int, ...]) -> bytes:
    """Return TorchScript as ONNX, if that computes the same."""
    x = np.random.default_rng(0).normal(size=example).astype(np.float32)
    right = run_torchscript(program, x)
    try:
        found = as_onnx(opened_torchscript(program), torch.from_numpy(x), range(x.ndim))
        same = np.allclose(run_onnx(found, x), right, rtol=1e-3, atol=1e-4 * np.abs(right).max())
    except Exception as error:  # whatever the exporter stumbles over
        raise InputError(
            "The TorchScript program cannot be rewritten as ONNX",
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
        ) from error
    if not same:
        raise InputError("The TorchScript program computes something else when rewritten as ONNX")
    return found
