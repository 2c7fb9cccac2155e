"""Which axes of an array are space, which one holds channels, and which are looped over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from napari_unet.errors import InputError

CHANNEL_NAMES = frozenset({"c", "ch", "channel", "channels", "colour", "color", "rgb", "s"})
"""Names of axes that hold channels, in lower case."""

ChannelAxis = int | None | Literal["auto"]


@dataclass(frozen=True, slots=True)
class AxisLayout:
    """The roles of an array's axes: each is looped over, or holds channels, or is spatial.

    Parameters
    ----------
    loops : tuple of int
        Axes looped over (time, position; also z for a 2D network on a stack), in order.
    channel : int or None
        The channel axis, if there is one.
    spatial : tuple of int
        The network's spatial axes (y, x) or (z, y, x), in order.
    """

    loops: tuple[int, ...]
    channel: int | None
    spatial: tuple[int, ...]

    def loop_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the sizes of the looped axes."""
        return tuple(shape[a] for a in self.loops)

    def spatial_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the sizes of the spatial axes."""
        return tuple(shape[a] for a in self.spatial)

    def channels(self, shape: Sequence[int]) -> int:
        """Return the number of channels, 1 without a channel axis."""
        return 1 if self.channel is None else shape[self.channel]

    @property
    def labels(self) -> AxisLayout:
        """The same layout for an array without the channel axis, such as labels."""
        if self.channel is None:
            return self
        c = self.channel

        def drop(axes: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(a - (a > c) for a in axes)

        return AxisLayout(drop(self.loops), None, drop(self.spatial))


def find_layout(
    shape: Sequence[int],
    ndim: int,
    *,
    channel_axis: ChannelAxis = "auto",
    names: Sequence[str] | None = None,
    labels_shape: Sequence[int] | None = None,
    rgb: bool = False,
) -> AxisLayout:
    """Find the roles of an array's axes.

    The last axes that are not the channel axis are space; those before them are looped over.
    With ``channel_axis="auto"`` the channel axis is, in this order: the last axis of an RGB
    image; the axis that labels of shape `labels_shape` lack; the axis with the name of a channel;
    otherwise there is none.

    Parameters
    ----------
    shape : sequence of int
        Shape of the image array.
    ndim : int
        Spatial dimensions of the network, 2 or 3.
    channel_axis : int, None or "auto"
        Axis that holds channels (negative counts from the end), None for none.
    names : sequence of str, optional
        Axis labels, such as ``("t", "c", "z", "y", "x")``.
    labels_shape : sequence of int, optional
        Shape of the labels that go with the image; they never have a channel axis.
    rgb : bool
        Whether the last axis is known to hold colours.

    Raises
    ------
    InputError
        Where fewer than `ndim` axes are left for space, or the channel axis does not exist.

    Examples
    --------
    >>> find_layout((5, 2, 64, 64), 2, names=("t", "c", "y", "x"))
    AxisLayout(loops=(0,), channel=1, spatial=(2, 3))
    """
    channel = (
        _guess_channel(shape, names, labels_shape, rgb) if channel_axis == "auto" else channel_axis
    )
    if channel is not None:
        if not -len(shape) <= channel < len(shape):
            raise InputError(
                "There is no such channel axis",
                got=f"axis {channel} of an image with {len(shape)} axes",
                todo="Choose another channel axis",
            )
        channel %= len(shape)
    rest = tuple(a for a in range(len(shape)) if a != channel)
    if len(rest) < ndim:
        with_channels = "" if channel is None else f" with channel axis {channel}"
        raise InputError(
            f"A {ndim}D network needs {ndim} spatial axes",
            got=f"shape {tuple(shape)}{with_channels}",
            todo="Choose a 2D network or another channel axis",
        )
    return AxisLayout(rest[: len(rest) - ndim], channel, rest[len(rest) - ndim :])


def _guess_channel(
    shape: Sequence[int],
    names: Sequence[str] | None,
    labels_shape: Sequence[int] | None,
    rgb: bool,
) -> int | None:
    if rgb:
        return len(shape) - 1
    if labels_shape is not None and len(labels_shape) == len(shape) - 1:
        fits = [a for a in range(len(shape)) if _without(shape, a) == tuple(labels_shape)]
        if fits:
            # Of several candidates the shortest axis is the likeliest to hold channels.
            return min(fits, key=lambda a: shape[a])
    for axis, name in enumerate(names or ()):
        if name.strip().lower() in CHANNEL_NAMES:
            return axis
    return None


def _without(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    return tuple(n for a, n in enumerate(shape) if a != axis)
