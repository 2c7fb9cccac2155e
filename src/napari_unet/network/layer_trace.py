"""A walk through a network in integers, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from napari_unet.network.table import LayerRow

REMEMBERED = {"none": 0, "relu": 0}
"""Times that a nonlinearity keeps its input for the gradient: a ReLU needs its output alone."""

INDICES = 2
"""An index weighs as much as two numbers."""


class LayerTrace:
    """Writes down the layers that an image passes.

    Parameters
    ----------
    shape : sequence of int
        The image's spatial shape.
    channels : int
        Its channels.

    Attributes
    ----------
    rows : list of Row
        What was passed so far.
    """

    def __init__(self, shape: Sequence[int], channels: int) -> None:
        numbers = prod(shape) * channels
        self.rows = [LayerRow("input", tuple(shape), channels, kept=numbers, held=numbers)]
        self._waiting: list[LayerRow] = []

    @property
    def last(self) -> LayerRow:
        """The layer that was passed last."""
        return self.rows[-1]

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
        """Pass a layer.

        `kept` counts in times what it puts out; `extra` are numbers that it holds in memory
        besides what goes in, what comes out, and what waits.
        """
        numbers = channels * prod(shape)
        held = numbers + extra + sum(row.numbers for row in self._waiting)
        if not any(row is self.last for row in self._waiting):
            held += self.last.numbers
        sums, keeps = multiply_adds, int(kept * numbers)
        self.rows.append(LayerRow(name, tuple(shape), channels, parameters, sums, keeps, held))
        return self.last

    def wait(self) -> LayerRow:
        """Hold what the last layer put out for a later one, and return its row."""
        self._waiting.append(self.last)
        return self.last

    def take(self, row: LayerRow) -> LayerRow:
        """Hold it no longer."""
        self._waiting = [other for other in self._waiting if other is not row]
        return row

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
        """Pass a convolution (`of` another layer than the last), norm, nonlinearity, dropout."""
        ahead = of or self.last
        cut = [k - 1 if valid else 0 for k in kernel]
        shape = [n - c for n, c in zip(ahead.shape, cut, strict=True)]
        shape = [n // f for n, f in zip(shape, stride or (1,) * len(shape), strict=True)]
        weights = prod(kernel) * ahead.channels * out
        # A norm has a scale and a shift per channel, and keeps what it is given.
        own = 2 * norm + bias
        kept = 1 + norm + REMEMBERED.get(activation, 1) + (dropout > 0)
        sums = weights * prod(shape)
        return self.add(name, shape, out, weights + own * out, multiply_adds=sums, kept=kept)

    def pool(self, name: str, factor: Sequence[int], *, indices: bool = True) -> LayerRow:
        """Pass a pooling; that of the maximum keeps where it was."""
        shape = [n // f for n, f in zip(self.last.shape, factor, strict=True)]
        return self.add(name, shape, self.last.channels, kept=1 + INDICES * indices)

    def up(self, name: str, factor: Sequence[int], border: Sequence[int] = ()) -> LayerRow:
        """Pass an upsampling without weights, which cuts `border` voxels off at both sides."""
        ahead = self.last
        shape = [n * f for n, f in zip(ahead.shape, factor, strict=True)]
        cut = border or (0,) * len(shape)
        shape = [n - 2 * c for n, c in zip(shape, cut, strict=True)]
        return self.add(name, shape, ahead.channels, kept=0)

    def norm_conv(self, name: str, out: int, kernel: Sequence[int], *, joins: bool) -> LayerRow:
        """Pass norm, ReLU, convolution and dropout; what comes out may join what went in."""
        ahead = self.last
        weights = prod(kernel) * ahead.channels * out
        parameters = weights + out + 2 * ahead.channels
        made, size = out * prod(ahead.shape), prod(ahead.shape)
        channels = out + ahead.channels * joins
        # Kept: what the ReLU let through, which of the new channels dropout left, and the result.
        kept = 1 + (ahead.numbers + made) / (channels * size)
        extra = ahead.numbers + made * joins
        sums = weights * size
        return self.add(
            name, ahead.shape, channels, parameters, multiply_adds=sums, kept=kept, extra=extra
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
        """Pass a transposed convolution, `factor` times as large; `into` are channels it takes."""
        ahead = self.last
        weights = prod(kernel) * (into or ahead.channels) * out // groups
        shape = [n * f for n, f in zip(ahead.shape, factor, strict=True)]
        sums = weights * prod(ahead.shape)
        return self.add(name, shape, out, weights + bias * out, multiply_adds=sums, kept=kept)

    def concat(self, name: str, skip: LayerRow) -> LayerRow:
        """Pass the concatenation with what an earlier layer put out, cropped to this size."""
        self.take(skip)
        shape, channels = self.last.shape, self.last.channels + skip.channels
        return self.add(name, shape, channels, extra=skip.numbers)

    def plus(self, name: str, skip: LayerRow) -> LayerRow:
        """Pass the sum with what an earlier layer put out."""
        self.take(skip)
        return self.add(name, self.last.shape, self.last.channels, kept=0, extra=skip.numbers)
