"""The layers of a network in integers: shapes, parameters, multiply-adds and memory. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

SAVED_INPUTS = {"none": 0, "relu": 0}
"""Copies of its input that a nonlinearity saves for the backward pass, 1 for those not listed.
A ReLU needs only its output."""

INDEX_NUMBERS = 2
"""Size of an index of max pooling (int64), in numbers of float32."""


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer of a network: a row of the table of layers.

    Parameters
    ----------
    name : str
        Block and layer, such as ``"encoder 1 conv 2"``. Levels count from the full resolution, in
        the decoder too. The layers of a block share the beginning of their names.
    shape : tuple of int
        Spatial shape of the output in voxels, axes (y, x) or (z, y, x).
    channels : int
        Channels of the output.
    parameters : int
        Trainable numbers in the layer, including those of its norm.
    multiply_adds : int
        Multiply-adds of its convolution for this shape.
    kept : int
        Numbers that training keeps for the backward pass, per image of the batch.
    held : int
        Numbers in memory while a prediction computes the layer: its input, its output, and the
        outputs that later layers still need.
    """

    name: str
    shape: tuple[int, ...]
    channels: int
    parameters: int = 0
    multiply_adds: int = field(default=0, compare=False)
    kept: int = field(default=0, compare=False)
    held: int = field(default=0, compare=False)

    @property
    def numbers(self) -> int:
        """Numbers in the layer's output."""
        return self.channels * prod(self.shape)


def format_table(layers: Sequence[LayerRow]) -> str:
    """Return the layers as aligned lines of plain text, with the sum of the parameters.

    Examples
    --------
    >>> print(format_table([LayerRow("input", (64, 64), 1), LayerRow("head", (44, 44), 2, 66)]))
    layer    shape  channels  parameters
    input  64 x 64         1           0
    head   44 x 44         2          66
    total                             66
    """
    cells = [("layer", "shape", "channels", "parameters")]
    cells += [
        (
            layer.name,
            " x ".join(map(str, layer.shape)),
            f"{layer.channels:,}",
            f"{layer.parameters:,}",
        )
        for layer in layers
    ]
    cells.append(("total", "", "", f"{sum(layer.parameters for layer in layers):,}"))
    name, *numbers = (max(map(len, column)) for column in zip(*cells, strict=True))
    return "\n".join(
        "  ".join([first.ljust(name), *(c.rjust(n) for c, n in zip(rest, numbers, strict=True))])
        for first, *rest in cells
    )


class LayerTrace:
    """Lists the layers of a network: each method appends the layer that follows the last one.

    An `Architecture` calls the methods in the order of the forward pass of its network.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape of the input, in voxels.
    channels : int
        Channels of the input.

    Attributes
    ----------
    layers : list of LayerRow
        The layers so far, the input first.
    """

    def __init__(self, shape: Sequence[int], channels: int) -> None:
        numbers = prod(shape) * channels
        self.layers = [LayerRow("input", tuple(shape), channels, kept=numbers, held=numbers)]
        self._waiting: list[LayerRow] = []

    @property
    def last(self) -> LayerRow:
        """The last layer."""
        return self.layers[-1]

    def add(
        self,
        name: str,
        shape: Sequence[int],
        channels: int,
        parameters: int = 0,
        *,
        multiply_adds: int = 0,
        kept: float = 1,
        extra: int = 0,
    ) -> LayerRow:
        """Append any layer.

        Parameters
        ----------
        name, shape, channels, parameters, multiply_adds
            See `LayerRow`.
        kept : float
            Numbers kept for the backward pass, as a multiple of the numbers in the output.
        extra : int
            Numbers in memory besides the input, the output and what waits for later layers.

        Returns
        -------
        LayerRow
            The layer.
        """
        numbers = channels * prod(shape)
        held = numbers + extra + sum(layer.numbers for layer in self._waiting)
        if not any(layer is self.last for layer in self._waiting):
            held += self.last.numbers
        self.layers.append(
            LayerRow(
                name,
                tuple(shape),
                channels,
                parameters,
                multiply_adds=multiply_adds,
                kept=int(kept * numbers),
                held=held,
            )
        )
        return self.last

    def wait(self) -> LayerRow:
        """Keep the output of the last layer in memory for a later one, until `take`."""
        self._waiting.append(self.last)
        return self.last

    def take(self, layer: LayerRow) -> LayerRow:
        """Release the output of a layer that waited."""
        self._waiting = [other for other in self._waiting if other is not layer]
        return layer

    def conv(
        self,
        name: str,
        out: int,
        kernel: Sequence[int],
        *,
        valid: bool = False,
        stride: Sequence[int] = (),
        bias: bool = True,
        norm: bool = False,
        activation: str = "none",
        dropout: float = 0.0,
        of: LayerRow | None = None,
    ) -> LayerRow:
        """Append a convolution with its norm, nonlinearity and dropout.

        Parameters
        ----------
        name : str
            See `LayerRow`.
        out : int
            Channels of the output.
        kernel : sequence of int
            Size per axis.
        valid : bool
            Whether the output lacks ``kernel - 1`` voxels per axis; otherwise it is padded.
        stride : sequence of int
            Per axis; empty means 1.
        bias, norm : bool
            Whether it has a bias, and a batch norm.
        activation : str
            As in `UNetConfig`, or "none".
        dropout : float
            Rate.
        of : LayerRow, optional
            The layer whose output is the input, where that is not the last one.

        Returns
        -------
        LayerRow
            The layer.
        """
        source = of or self.last
        cut = [k - 1 if valid else 0 for k in kernel]
        shape = [n - c for n, c in zip(source.shape, cut, strict=True)]
        shape = [n // f for n, f in zip(shape, stride or (1,) * len(shape), strict=True)]
        weights = prod(kernel) * source.channels * out
        # A norm has a scale and a shift per channel, and keeps its input.
        per_channel = (2 if norm else 0) + (1 if bias else 0)
        kept = 1 + norm + SAVED_INPUTS.get(activation, 1) + (dropout > 0)
        return self.add(
            name,
            shape,
            out,
            weights + per_channel * out,
            multiply_adds=weights * prod(shape),
            kept=kept,
        )

    def pool(self, name: str, factor: Sequence[int], *, indices: bool = True) -> LayerRow:
        """Append a pooling.

        Parameters
        ----------
        name : str
            See `LayerRow`.
        factor : sequence of int
            Pooling factor per axis.
        indices : bool
            Whether it keeps the position of each maximum for the backward pass.
        """
        shape = [n // f for n, f in zip(self.last.shape, factor, strict=True)]
        kept = 1 + INDEX_NUMBERS if indices else 1
        return self.add(name, shape, self.last.channels, kept=kept)

    def up(self, name: str, factor: Sequence[int], border: Sequence[int] = ()) -> LayerRow:
        """Append an upsampling without weights.

        Parameters
        ----------
        name : str
            See `LayerRow`.
        factor : sequence of int
            Per axis.
        border : sequence of int
            Voxels that are cut off on each side, per axis; empty means 0.
        """
        source = self.last
        shape = [n * f for n, f in zip(source.shape, factor, strict=True)]
        cut = border or (0,) * len(shape)
        shape = [n - 2 * c for n, c in zip(shape, cut, strict=True)]
        return self.add(name, shape, source.channels, kept=0)

    def norm_conv(self, name: str, out: int, kernel: Sequence[int], *, joins: bool) -> LayerRow:
        """Append norm, ReLU, padded convolution and dropout, in this order.

        Parameters
        ----------
        name : str
            See `LayerRow`.
        out : int
            Channels of the convolution's output.
        kernel : sequence of int
            Size per axis.
        joins : bool
            Whether the input is concatenated with the output, as in a dense block.
        """
        source = self.last
        voxels = prod(source.shape)
        weights = prod(kernel) * source.channels * out
        made = out * voxels
        channels = out + source.channels if joins else out
        # Kept: the output of the ReLU, the mask of the dropout, and the result.
        kept = 1 + (source.numbers + made) / (channels * voxels)
        return self.add(
            name,
            source.shape,
            channels,
            weights + out + 2 * source.channels,
            multiply_adds=weights * voxels,
            kept=kept,
            extra=source.numbers + made if joins else source.numbers,
        )

    def up_conv(
        self,
        name: str,
        out: int,
        kernel: Sequence[int],
        factor: Sequence[int],
        *,
        into: int | None = None,
        bias: bool = True,
        groups: int = 1,
        kept: float = 0,
    ) -> LayerRow:
        """Append a transposed convolution.

        Parameters
        ----------
        name : str
            See `LayerRow`.
        out : int
            Channels of the output.
        kernel, factor : sequence of int
            Size of the kernel, and upsampling factor, per axis.
        into : int, optional
            Channels that it reads; all of the last layer when None.
        bias : bool
            Whether it has a bias.
        groups : int
            Groups of channels that are convolved separately.
        kept : float
            As in `add`.
        """
        source = self.last
        weights = prod(kernel) * (into or source.channels) * out // groups
        shape = [n * f for n, f in zip(source.shape, factor, strict=True)]
        return self.add(
            name,
            shape,
            out,
            weights + out if bias else weights,
            multiply_adds=weights * prod(source.shape),
            kept=kept,
        )

    def concat(self, name: str, skip: LayerRow) -> LayerRow:
        """Append the concatenation with an earlier layer, cropped to the size of the last one.

        Parameters
        ----------
        name : str
            See `LayerRow`.
        skip : LayerRow
            The earlier layer, which waited.
        """
        self.take(skip)
        channels = self.last.channels + skip.channels
        return self.add(name, self.last.shape, channels, extra=skip.numbers)

    def plus(self, name: str, skip: LayerRow) -> LayerRow:
        """Append the sum with an earlier layer.

        Parameters
        ----------
        name : str
            See `LayerRow`.
        skip : LayerRow
            The earlier layer, which waited.
        """
        self.take(skip)
        return self.add(name, self.last.shape, self.last.channels, kept=0, extra=skip.numbers)
