"""The configuration of an imported network, an ONNX graph: sizes, axes, pre- and postprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_unet.geometry.unet_shape import AxisGeometry
from napari_unet.network.architecture import Architecture
from napari_unet.network.layers import LayerRow

HELD_PER_VOXEL = 200
"""Numbers per input voxel that an unknown network holds in memory, as many as a U-Net with 64
channels at the full resolution does."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AxisSizes(_Frozen):
    """Allowed sizes of a program along one axis, in voxels.

    An input has ``smallest + n * step`` voxels, where a `step` of 0 allows `smallest` alone. The
    output is smaller by `cut`, and its outermost `halo` voxels on each side are discarded.
    """

    smallest: int = Field(ge=1)
    step: int = Field(0, ge=0)
    cut: int = Field(0, ge=0)
    halo: int = Field(0, ge=0)

    @property
    def context(self) -> int:
        """Voxels by which the output without its halo is smaller than the input."""
        return self.cut + 2 * self.halo

    @model_validator(mode="after")
    def _has_output(self) -> AxisSizes:
        if not self.step and self.smallest <= self.context:
            raise ValueError(f"an input of {self.smallest} voxels gives no output")
        return self

    @property
    def geometry(self) -> AxisGeometry:
        """The same sizes as an `AxisGeometry`.

        A program that takes one size computes larger inputs in pieces (`OnnxNetwork`): the stride
        is the output of one piece.
        """
        if not self.step:
            return AxisGeometry(self.smallest - self.context, self.context, 0)
        # The smallest input whose output is larger than its halo.
        more = -(-max(0, self.context + 1 - self.smallest) // self.step)
        grow = self.smallest + (more - 1) * self.step
        return AxisGeometry(self.step, grow, self.context - grow)


class Step(_Frozen):
    """One operation on each voxel, before or after a program.

    "linear": ``(x - a) / b``; "clip": between `a` and `b`; "binarize": 1 above `a`, else 0;
    "sigmoid" and "softmax" (over the channels). `a` and `b` have one number, or one per channel.
    """

    name: Literal["linear", "clip", "binarize", "sigmoid", "softmax"]
    a: tuple[float, ...] = ()
    b: tuple[float, ...] = ()


class PerImageNormalisation(_Frozen):
    """A normalisation that is computed for each image anew, not once for the training data.

    ``"mean_sd"``: ``(x - mean) / (sd + eps)``; ``"percentile"``: ``(x - p) / (q - p + eps)`` with
    the percentiles p = `low` and q = `high`. `together` computes one mean (or percentile) over
    all channels instead of one per channel.
    """

    kind: Literal["mean_sd", "percentile"]
    low: float = 0.0
    high: float = 100.0
    together: bool = False
    eps: float = 1e-6


class OnnxConfig(Architecture):
    """An ONNX graph from another program. It predicts, but cannot be trained.

    Parameters
    ----------
    name : str
        Its name in the package.
    sizes : tuple of AxisSizes
        One per spatial axis, in the order (y, x) or (z, y, x).
    inputs, outputs : str
        The order of its axes, of b(atch), c(hannel), z, y, x; b and c may lack.
    before, after : tuple of Step
        Operations between the normalisation and the program, and after the program.
    result : {"probability", "probabilities", "logits", "image"}
        What the output is then: the probability of the second of two classes, the probabilities
        of all classes, logits for softmax, or an image.
    fit : PerImageNormalisation, optional
        The normalisation, where it is computed for each image.
    """

    kind: Literal["foreign"] = "foreign"
    name: str
    sizes: tuple[AxisSizes, ...]
    inputs: str
    outputs: str
    before: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    result: Literal["probability", "probabilities", "logits", "image"] = "image"
    fit: PerImageNormalisation | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> OnnxConfig:
        space = "zyx"[-self.ndim :]
        for order in (self.inputs, self.outputs):
            if sorted(order.replace("b", "").replace("c", "")) != sorted(space):
                raise ValueError(f"axes {order!r} of a network for {space!r}")
        if len(self.sizes) != self.ndim:
            raise ValueError(f"{len(self.sizes)} sizes for {self.ndim} axes")
        if self.result == "probability" and self.out_channels != 2:
            raise ValueError("one probability is that of two classes")
        return self

    @property
    def title(self) -> str:
        """Short description."""
        return f"imported: {self.name}"

    @property
    def depth(self) -> int:
        """Always 0, because it is not known."""
        return 0

    @property
    def padded(self) -> bool:
        """Whether it keeps the size of any allowed input."""
        return all(axis.step and not axis.cut for axis in self.sizes)

    @property
    def geometry(self) -> tuple[AxisGeometry, ...]:
        """Allowed sizes, and the context of a tile, per axis."""
        return tuple(axis.geometry for axis in self.sizes)

    @property
    def passing(self) -> tuple[AxisGeometry, ...]:
        """The sizes of `geometry`: nothing else is known of the program."""
        return self.geometry

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """Number of input voxels that one output voxel depends on, according to its halo."""
        return tuple(axis.context + 1 for axis in self.sizes)

    @property
    def piece(self) -> tuple[int, ...] | None:
        """The only allowed input shape, or None where several are allowed."""
        if all(axis.step for axis in self.sizes):
            return None
        return tuple(axis.smallest for axis in self.sizes)

    def layers(self, input_shape: Sequence[int]) -> list[LayerRow]:
        """List the program as one layer; its memory is estimated with `HELD_PER_VOXEL`."""
        held = HELD_PER_VOXEL * prod(input_shape)
        shape = self.output_for(input_shape)
        return [LayerRow("program", shape, self.out_channels, held=held)]
