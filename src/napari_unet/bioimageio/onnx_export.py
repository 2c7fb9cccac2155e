"""Conversion of modules to ONNX and TorchScript, checked with inputs of another size."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.bioimageio.portable import PortableModel
from napari_unet.errors import ModelFileError

OPSET = 17
"""Version of the ONNX operators: old enough for every runner, new enough for a U-Net."""

TOLERANCE = 1e-4
"""Largest difference between program and model, relative to the largest value."""


DEBUG_SUFFIX = ".debug_pkl"
"""Ending of the debug records in a TorchScript archive."""

ALIGNMENT = 64
"""Bytes at whose multiples the records of a TorchScript archive begin, so that they can be mapped
into memory."""

LOCAL_HEADER_BYTES = 30
"""Length of the header in front of each record of a ZIP archive, without its name."""

EXTRA_HEADER = struct.Struct("<2sH")
"""Type and length of an extra field in a ZIP archive."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress torch's warnings about old exporters, and about traces, which are checked."""
    with warnings.catch_warnings():
        for text in (".*legacy TorchScript-based ONNX", "The feature will be removed"):
            warnings.filterwarnings("ignore", text, DeprecationWarning)
        warnings.filterwarnings("ignore", r".*torch\.jit\.", DeprecationWarning)
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        warnings.filterwarnings("ignore", "no signature found for <torch.ScriptMethod", UserWarning)
        warnings.filterwarnings("ignore", category=torch.jit._trace.TracerWarning)
        yield


@torch.no_grad()
def as_onnx(module: torch.nn.Module, example: Tensor, free: Sequence[int] | None = None) -> bytes:
    """Return a module as an ONNX graph for inputs of any size.

    Parameters
    ----------
    module : Module
        Maps one tensor to one; in evaluation mode, or a script module.
    example : Tensor
        (batch, channel, *spatial).
    free : sequence of int, optional
        Axes of any size; all but that of the channels when None.
    """
    file = io.BytesIO()
    axes = (0, *range(2, example.ndim)) if free is None else free
    names = {name: {a: f"{name}{a}" for a in axes} for name in ("input", "output")}
    with _quiet():
        torch.onnx.export(
            module,
            (example,),
            file,  # type: ignore[arg-type] # this exporter takes files too
            dynamo=False,  # the newer exporter of torch fixes sizes that are free in a U-Net
            opset_version=OPSET,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes=names,
        )
    return file.getvalue()


@torch.no_grad()
def as_torchscript(module: torch.nn.Module, example: Tensor) -> bytes:
    """Return a module as a TorchScript archive, without debug records.

    Parameters
    ----------
    module, example
        As in `as_onnx`.
    """
    file = io.BytesIO()
    with _quiet():
        traced = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, file)
    return without_debug_records(file.getvalue())


def without_debug_records(program: bytes) -> bytes:
    """Return a TorchScript archive without the paths of the source files that it was traced from.

    For each line of a program torch stores the path of the Python file that it comes from, and so
    the folders of whoever exports it. Nothing but stack traces needs these records.
    """
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(program)) as given,
        zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive,
    ):
        for name in given.namelist():
            if name.endswith(DEBUG_SUFFIX):
                continue
            entry = zipfile.ZipInfo(name)
            # As torch writes it: the content begins at a multiple of `ALIGNMENT`, behind an extra
            # field (of type "FB", then its length) that fills the gap.
            begin = out.tell() + LOCAL_HEADER_BYTES + len(name.encode()) + EXTRA_HEADER.size
            gap = -begin % ALIGNMENT
            entry.extra = EXTRA_HEADER.pack(b"FB", gap) + b"Z" * gap
            archive.writestr(entry, given.read(name))
    return out.getvalue()


def run_onnx(program: bytes, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run an ONNX graph of one input on the CPU, and return its first output.

    Parameters
    ----------
    program : bytes
        The ONNX file.
    x : ndarray of float32
        Its input.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(program, providers=["CPUExecutionProvider"])
    out: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: x})[0]
    return out


def load_torchscript(program: bytes) -> torch.nn.Module:
    """Return the module of a TorchScript archive, which must be ours or from a trusted source."""
    with _quiet():
        module: torch.nn.Module = torch.jit.load(io.BytesIO(program), map_location="cpu")  # type: ignore[no-untyped-call]
    return module.eval()


@torch.no_grad()
def run_torchscript(program: bytes, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a TorchScript archive on the CPU, see `load_torchscript` and `run_onnx`."""
    out: Tensor = load_torchscript(program)(torch.from_numpy(x))
    return out.numpy()


@torch.no_grad()
def checked_programs(module: PortableModel, example: Tensor, other: Tensor) -> dict[str, bytes]:
    """Return a module as "onnx" and "torchscript", each checked with another input.

    Parameters
    ----------
    module : PortableModel
        The module.
    example, other : Tensor
        Inputs (batch, channel, *spatial) of different sizes, for conversion and check.

    Raises
    ------
    ModelFileError
        Where a program computes something else than the module.
    """
    programs = {"onnx": as_onnx(module, example), "torchscript": as_torchscript(module, example)}
    run = {"onnx": run_onnx, "torchscript": run_torchscript}
    right = module(other).numpy()
    for name, program in programs.items():
        found = run[name](program, other.numpy())
        worst = np.abs(found - right).max() if found.shape == right.shape else np.inf
        if not worst <= TOLERANCE * max(1.0, float(np.abs(right).max())):
            raise ModelFileError(
                f"The model could not be written as {name}",
                got=f"results that differ by {worst:.2g}",
            )
    return programs
