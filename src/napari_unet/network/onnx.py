"""Imported networks: ONNX graphs, run by onnxruntime.

A graph is data: it names operations of a fixed set, which onnxruntime computes. No code in a file
is executed.
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
"""Name of the program among the weights, which holds its file as bytes."""

LEAST_PROBABILITY = 1e-20
"""Smaller probabilities are raised to this, so that their logarithm is finite."""

_DTYPES = {"tensor(double)": np.float64, "tensor(float16)": np.float16}
"""Types of inputs by onnxruntime's names, where they are not float32."""


class OnnxNetwork(Network, config=OnnxConfig):
    """A program from another origin as a `Network`: it predicts, but cannot be trained.

    Its weights are the bytes of its file. It has no head.

    Parameters
    ----------
    config : OnnxConfig
        The configuration.
    """

    config: OnnxConfig

    def __init__(self, config: OnnxConfig) -> None:
        super().__init__()
        self.config = config
        # As a parameter it tells the device of the network, like the weights of others.
        self.program = nn.Parameter(torch.empty(0, dtype=torch.uint8), requires_grad=False)
        self._session: Any = None

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Load a program of any length."""
        if prefix + PROGRAM in state_dict:
            self.program.data = torch.empty_like(state_dict[prefix + PROGRAM])
        super()._load_from_state_dict(state_dict, prefix, *args)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the session out of copies, which open their own."""
        return {**self.__dict__, "_session": None}

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, *spatial) to (batch, out_channels, *spatial).

        Classes are returned as the logarithms of their probabilities, which softmax inverts.

        Raises
        ------
        InputError
            Where the program does not accept this input.
        """
        for step in self.config.before:
            x = apply_step(step, x)
        y = self._whole(x) if self.config.piece is None else self._pieces(x)
        for step in self.config.after:
            y = apply_step(step, y)
        if self.config.result == "probability":
            y = torch.cat([1 - y, y], 1)
        if self.config.result in ("probability", "probabilities"):
            return y.clamp(min=LEAST_PROBABILITY).log()
        return y

    def _pieces(self, x: Tensor) -> Tensor:
        """Run a program of one size piece by piece over a larger input, without seams."""
        size = self.config.piece
        assert size is not None
        y: Tensor | None = None
        shape = self.config.output_for(x.shape[2:])
        steps = [g.stride for g in self.config.geometry]
        halo = [axis.halo for axis in self.config.sizes]
        starts = [range(0, n, step) for n, step in zip(shape, steps, strict=True)]
        for start in product(*starts):
            part = self._whole(x[_box(start, size)])
            part = part[_box(halo, steps)]
            y = part.new_empty((*part.shape[:2], *shape)) if y is None else y
            y[_box(start, steps)] = part
        assert y is not None
        return y

    def _whole(self, x: Tensor) -> Tensor:
        """Run the program with its own order of axes; without a batch axis image by image."""
        c = self.config
        batches = [x] if "b" in c.inputs else torch.split(x, 1)
        inputs = [_ordered(part, c.inputs).contiguous().cpu().numpy() for part in batches]
        outputs = [torch.from_numpy(self._run(part)).to(x.device, torch.float32) for part in inputs]
        return torch.cat([_standard(y, c.outputs, c.ndim) for y in outputs])

    def _run(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        session = self._opened()
        first = session.get_inputs()[0]
        x = x.astype(_DTYPES.get(first.type, np.float32))
        try:
            y: np.ndarray[Any, Any] = session.run(None, {first.name: x})[0]
        except Exception as error:  # the exceptions of onnxruntime have no base class of their own
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError("The imported program failed", got=reason) from error
        return y

    def _opened(self) -> Any:
        if self._session is None:
            if not len(self.program):
                raise InputError(
                    "An imported network cannot be rebuilt",
                    got="no program",
                    todo="Import a package with a program",
                )
            self._session = open_program(self.program.cpu().numpy().tobytes(), self.program.device)
        return self._session


def open_program(program: bytes, device: torch.device | None = None) -> Any:
    """Return onnxruntime's session for a program.

    Parameters
    ----------
    program : bytes
        An ONNX file.
    device : torch.device, optional
        A CUDA device is used where onnxruntime supports it; otherwise the CPU.

    Raises
    ------
    InputError
        Where onnxruntime is not installed, or does not accept the program.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            "Imported models run with onnxruntime, which is not installed",
            todo='Run: pip install "napari-unet-live[bioimageio]"',
        ) from error
    onnxruntime.disable_telemetry_events()  # builds for Windows would send some
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    providers = ["CPUExecutionProvider"]
    cuda = "CUDAExecutionProvider"
    if (
        device is not None
        and device.type == "cuda"
        and cuda in onnxruntime.get_available_providers()
    ):
        providers.insert(0, cuda)
    try:
        return onnxruntime.InferenceSession(program, options, providers=providers)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError("onnxruntime cannot load this model", got=reason) from error


def apply_step(step: Step, x: Tensor) -> Tensor:
    """Apply one operation to a batch.

    Parameters
    ----------
    step : Step
        The operation.
    x : Tensor
        (batch, channel, *spatial).
    """
    per_channel = (1, -1, *(1,) * (x.ndim - 2))
    a = x.new_tensor(step.a or (0.0,)).reshape(per_channel)
    b = x.new_tensor(step.b or (0.0,)).reshape(per_channel)
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
    """Return the index of a box over the last axes of an array."""
    return (..., *(slice(a, a + n) for a, n in zip(start, size, strict=True)))


def _ordered(x: Tensor, order: str) -> Tensor:
    """Return (b, c, *space) in another order of axes; b and c, of size 1, may be missing there."""
    have = "bc" + "zyx"[-(x.ndim - 2) :]
    for axis in "bc":
        if axis not in order:
            x = x.squeeze(have.index(axis))
            have = have.replace(axis, "")
    return x.permute(*(have.index(axis) for axis in order))


def _standard(y: Tensor, order: str, ndim: int) -> Tensor:
    """Return an output in the order (b, c, *space)."""
    want = "bc" + "zyx"[-ndim:]
    for axis in "bc":
        if axis not in order:
            y = y.unsqueeze(0)
            order = axis + order
    return y.permute(*(order.index(axis) for axis in want))
