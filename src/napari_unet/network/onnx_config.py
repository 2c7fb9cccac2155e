"""A network that another program made: what is known of it from the outside. Knows no torch."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_unet.geometry.unet_shape import AxisGeometry
from napari_unet.network.architecture import Architecture
from napari_unet.network.table import LayerRow

HELD = 200
"""Numbers per voxel that an unknown network holds in memory: a U-Net with 64 channels at first."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AxisSizes(_Frozen):
    """Which sizes fit through a program along one axis.

    An input has ``smallest + n * step`` voxels, or `smallest` and no other where `step` is 0; the
    output is smaller by `cut`, and of that `halo` voxels on each side are not to be trusted.
    """

    smallest: int = Field(ge=1)
    step: int = Field(0, ge=0)
    cut: int = Field(0, ge=0)
    halo: int = Field(0, ge=0)

    @property
    def context(self) -> int:
        """Voxels by which what can be trusted of the output is smaller than the input."""
        return self.cut + 2 * self.halo

    @model_validator(mode="after")
    def _has_output(self) -> AxisSizes:
        if not self.step and self.smallest <= self.context:
            raise ValueError(f"an input of {self.smallest} voxels leaves nothing of the output")
        return self

    @property
    def geometry(self) -> AxisGeometry:
        """The same as the rest of the package counts it.

        A program of one size takes others piece by piece (`OnnxNetwork`): its stride is what
        one piece gives.
        """
        if not self.step:
            return AxisGeometry(self.smallest - self.context, self.context, 0)
        # The smallest input of which anything is left.
        more = -(-max(0, self.context + 1 - self.smallest) // self.step)
        grow = self.smallest + (more - 1) * self.step
        return AxisGeometry(self.step, grow, self.context - grow)


class Step(_Frozen):
    """One thing that is done to each voxel before or behind a program.

    "linear": ``(x - a) / b``; "clip": between `a` and `b`; "binarize": 1 above `a`, else 0;
    "sigmoid" and "softmax" (over the channels). `a` and `b` have one number, or one per channel.
    """

    name: Literal["linear", "clip", "binarize", "sigmoid", "softmax"]
    a: tuple[float, ...] = ()
    b: tuple[float, ...] = ()


class PictureFit(_Frozen):
    """A normalisation that is fitted to each picture anew, instead of once to those learned from.

    ``"mean_sd"``: ``(x - mean) / (sd + eps)``; ``"percentile"``: ``(x - p) / (q - p + eps)`` with
    the percentiles `low` and `high`. With `together` over all channels at once.
    """

    kind: Literal["mean_sd", "percentile"]
    low: float = 0.0
    high: float = 100.0
    together: bool = False
    eps: float = 1e-6


class OnnxConfig(Architecture):
    """A program made elsewhere: an ONNX graph. It can predict, but cannot learn.

    Parameters
    ----------
    name : str
        What it calls itself.
    sizes : tuple of AxisSizes
        One per spatial axis, in the order (y, x) or (z, y, x).
    inputs, outputs : str
        The order of its axes, of b(atch), c(hannel), z, y, x; b and c may lack.
    before, after : tuple of Step
        What is done in front of it, after the normalisation, and behind.
    result : {"probability", "probabilities", "logits", "image"}
        What it gives then: the probability of the second of two classes, those of all classes,
        something that softmax makes probabilities of, or an image.
    fit : PictureFit, optional
        How a picture is normalised, where that is not the same for all.
    """

    kind: Literal["foreign"] = "foreign"
    name: str
    sizes: tuple[AxisSizes, ...]
    inputs: str
    outputs: str
    before: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    result: Literal["probability", "probabilities", "logits", "image"] = "image"
    fit: PictureFit | None = None

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
        """What it is, in a few words."""
        return f"imported: {self.name}"

    @property
    def depth(self) -> int:
        """Not known; 0."""
        return 0

    @property
    def padded(self) -> bool:
        """Whether it keeps the size of whatever it is given."""
        return all(axis.step and not axis.cut for axis in self.sizes)

    @property
    def geometry(self) -> tuple[AxisGeometry, ...]:
        """Which sizes fit, and what context a tile needs, per axis."""
        return tuple(axis.geometry for axis in self.sizes)

    @property
    def passing(self) -> tuple[AxisGeometry, ...]:
        """Which sizes can pass at all: those of `geometry`."""
        return self.geometry

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """Number of input voxels that one output voxel can see, as far as its halo tells."""
        return tuple(axis.context + 1 for axis in self.sizes)

    @property
    def piece(self) -> tuple[int, ...] | None:
        """The one input size that it takes, or None where it takes several."""
        if all(axis.step for axis in self.sizes):
            return None
        return tuple(axis.smallest for axis in self.sizes)

    def rows(self, input_shape: Sequence[int]) -> list[LayerRow]:
        """List it as one layer; what it holds in memory is a guess."""
        held = HELD * prod(input_shape)
        shape = self.output_for(input_shape)
        return [LayerRow("program", shape, self.out_channels, held=held)]
