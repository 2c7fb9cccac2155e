"""A network that another program made: an ONNX graph, run by onnxruntime.

A graph is data: it names operations of a fixed set, and onnxruntime computes them. Nothing that a
file could bring along is executed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from types import EllipsisType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_unet.errors import InputError
from napari_unet.network.blocks import Network
from napari_unet.network.onnx_config import OnnxConfig, Step

PROGRAM = "program"
"""Name of the program among the weights: its file as bytes."""

TINY = 1e-20
"""Probabilities below this are as good as none; their logarithm is finite."""


class OnnxNetwork(Network, config=OnnxConfig):
    """A program of another origin that predicts as networks of ours do.

    Its weights are the bytes of its file. It has no head, and cannot learn.

    Parameters
    ----------
    config : OnnxConfig
        The configuration.
    """

    config: OnnxConfig

    def __init__(self, config: OnnxConfig) -> None:
        super().__init__()
        self.config = config
        # A parameter, so that it tells the device like those of every network.
        self.program = nn.Parameter(torch.empty(0, dtype=torch.uint8), requires_grad=False)
        self._session: Any = None

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Take over a program of any length."""
        if prefix + PROGRAM in state_dict:
            self.program.data = torch.empty_like(state_dict[prefix + PROGRAM])
        super()._load_from_state_dict(state_dict, prefix, *args)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the session out of copies, which make their own."""
        return {**self.__dict__, "_session": None}

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, *spatial) to (batch, out_channels, *spatial).

        Classes come as logarithms of their probabilities, so that softmax gives these back.

        Raises
        ------
        InputError
            Where the program does not take this input.
        """
        for step in self.config.before:
            x = applied(step, x)
        y = self._whole(x) if self.config.piece is None else self._pieces(x)
        for step in self.config.after:
            y = applied(step, y)
        if self.config.result == "probability":
            y = torch.cat([1 - y, y], 1)
        known = self.config.result.startswith("probabilit")
        return y.clamp(min=TINY).log() if known else y

    def _pieces(self, x: Tensor) -> Tensor:
        """Run a program of one size over an input that is as long as several, without a seam."""
        size, axes = self.config.piece, self.config.geometry
        assert size is not None
        y: Tensor | None = None
        shape = [g.output_for(n) for g, n in zip(axes, x.shape[2:], strict=True)]
        steps, halo = [g.stride for g in axes], [axis.halo for axis in self.config.sizes]
        starts = [range(0, n, step) for n, step in zip(shape, steps, strict=True)]
        for start in product(*starts):
            part = self._whole(x[_box(start, size)])
            part = part[_box(halo, steps)]
            y = part.new_empty((*part.shape[:2], *shape)) if y is None else y
            y[_box(start, steps)] = part
        assert y is not None
        return y

    def _whole(self, x: Tensor) -> Tensor:
        """Run the program, with its axes in the order it wants them in."""
        c = self.config
        batches = [x] if "b" in c.inputs else torch.split(x, 1)
        inside = [_ordered(part, c.inputs).contiguous().cpu().numpy() for part in batches]
        found = [torch.from_numpy(self._run(part)).to(x.device, torch.float32) for part in inside]
        return torch.cat([_standard(y, c.outputs, c.ndim) for y in found])

    def _run(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        session = self._started()
        given = session.get_inputs()[0]
        x = x.astype(_DTYPES.get(given.type, np.float32))
        try:
            y: np.ndarray[Any, Any] = session.run(None, {given.name: x})[0]
        except Exception as error:  # its exceptions have no base class of their own
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError("The imported program failed", got=reason) from error
        return y

    def _started(self) -> Any:
        if self._session is None:
            if not len(self.program):
                raise InputError(
                    "An imported network cannot be made anew",
                    got="no program",
                    todo="Import a package with a program",
                )
            self._session = open_program(self.program.cpu().numpy().tobytes(), self.program.device)
        return self._session


_DTYPES = {"tensor(double)": np.float64, "tensor(float16)": np.float16}


def open_program(program: bytes, device: torch.device | None = None) -> Any:
    """Return onnxruntime's session for a program.

    Parameters
    ----------
    program : bytes
        An ONNX file.
    device : torch.device, optional
        A CUDA device is used where onnxruntime knows it too; else the CPU.

    Raises
    ------
    InputError
        Where onnxruntime is not installed, or does not take the program.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            "Imported models run with onnxruntime, which is not installed",
            todo='Run: pip install "napari-unet-live[bioimageio]"',
        ) from error
    onnxruntime.disable_telemetry_events()  # only builds for Windows send any
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    wanted = ["CUDAExecutionProvider"] if device is not None and device.type == "cuda" else []
    there = [p for p in wanted if p in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(
            program, options, providers=[*there, "CPUExecutionProvider"]
        )
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError("onnxruntime does not take this program", got=reason) from error


def applied(step: Step, x: Tensor) -> Tensor:
    """Do one step to (batch, channel, *spatial)."""
    a, b = (
        x.new_tensor(v or (0.0,)).reshape(1, -1, *(1,) * (x.ndim - 2)) for v in (step.a, step.b)
    )
    match step.name:
        case "linear":
            return (x - a) / b
        case "clip":
            return x.clamp(a, b)
        case "binarize":
            return (x > a).to(x.dtype)
        case "sigmoid":
            return x.sigmoid()
        case "softmax":
            return x.softmax(1)


def _box(start: Sequence[int], size: Sequence[int]) -> tuple[slice | EllipsisType, ...]:
    """Return the last axes' part of an array."""
    return (..., *(slice(a, a + n) for a, n in zip(start, size, strict=True)))


def _ordered(x: Tensor, order: str) -> Tensor:
    """Bring (b, c, *space) into another order, without the axes that are not in it."""
    have = "bc" + "zyx"[-(x.ndim - 2) :]
    for axis in "bc":
        if axis not in order:
            x, have = x.squeeze(have.index(axis)), have.replace(axis, "")
    return x.permute(*(have.index(axis) for axis in order))


def _standard(y: Tensor, order: str, ndim: int) -> Tensor:
    """Bring what came out into the order (b, c, *space)."""
    want = "bc" + "zyx"[-ndim:]
    for axis in "bc":
        if axis not in order:
            y, order = y.unsqueeze(0), axis + order
    return y.permute(*(order.index(axis) for axis in want))
