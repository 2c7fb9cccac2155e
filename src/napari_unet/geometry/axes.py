"""Which axes of an array are space, which one holds channels, and which are looped over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from napari_unet.errors import InputError

CHANNEL_NAMES = frozenset({"c", "ch", "channel", "channels", "colour", "color", "rgb", "s"})
"""Names of axes that hold channels, in lower case."""

TIME_NAMES = frozenset({"t", "time", "times", "timepoint", "timepoints", "frame", "frames"})
"""Names of time axes, in lower case."""

SPACE_NAMES = frozenset({"z", "y", "x"})
"""Names of spatial axes, in lower case."""

TIME_UNITS = frozenset(
    {
        *("s", "sec", "second", "seconds", "ms", "msec", "millisecond", "milliseconds"),
        *("us", "µs", "microsecond", "microseconds", "ns", "nanosecond", "nanoseconds"),
        *("min", "minute", "minutes", "h", "hr", "hour", "hours", "d", "day", "days"),
    }
)
"""Units of time, in lower case: an axis without a known name that has one of them is time."""

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

    The last axes that are neither the channel axis nor time are space; all others are looped
    over. An axis with a name of time is space only where too few other axes are left: a 3D
    network then reads time as depth, as it was asked to.
    With ``channel_axis="auto"`` the channel axis is, in this order: the last axis of an RGB
    image; the axis with the name of a channel; the axis that labels of shape `labels_shape` lack,
    if it has no name of time or space, or a size of 1; otherwise there is none.

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
    rest = [a for a in range(len(shape)) if a != channel]
    if len(rest) < ndim:
        with_channels = "" if channel is None else f" with channel axis {channel}"
        raise InputError(
            f"A {ndim}D network needs {ndim} spatial axes",
            got=f"shape {tuple(shape)}{with_channels}",
            todo="Choose a 2D network or another channel axis",
        )
    lasting = [a for a in rest if not is_time(_name(names, a))]
    space = tuple((lasting if len(lasting) >= ndim else rest)[-ndim:])
    return AxisLayout(tuple(a for a in rest if a not in space), channel, space)


def name_axes(names: Sequence[str], units: Sequence[str]) -> tuple[str, ...]:
    """Return names of axes where "t" replaces an unknown name of an axis with a unit of time.

    Parameters
    ----------
    names : sequence of str
        Names of the axes; a known one (time, channel, z, y or x) is kept, whatever the unit.
    units : sequence of str
        Unit of each axis, in any case; empty where unknown.

    Examples
    --------
    >>> name_axes(("", "y", "x"), ("second", "micrometer", "micrometer"))
    ('t', 'y', 'x')
    """
    known = TIME_NAMES | SPACE_NAMES | CHANNEL_NAMES
    return tuple(
        "t" if unit.strip().lower() in TIME_UNITS and plain_name(name) not in known else name
        for name, unit in zip(names, units, strict=True)
    )


def is_time(name: str) -> bool:
    """Tell whether an axis of this name is time."""
    return plain_name(name) in TIME_NAMES


def plain_name(name: str) -> str:
    """Return the name of an axis without blanks around it, in lower case."""
    return name.strip().lower()


def describe_layout(
    shape: Sequence[int],
    layout: AxisLayout,
    names: Sequence[str] | None = None,
    *,
    rgb: bool = False,
    channels: Sequence[str] = (),
) -> str:
    """Return how an array is read, in one line.

    Parameters
    ----------
    shape : sequence of int
        Shape of the array.
    layout : AxisLayout
        Roles of its axes.
    names : sequence of str, optional
        Names of its axes; unknown names are not shown.
    rgb : bool
        Whether the channels are colours.
    channels : sequence of str
        Names of the channels, as far as they are known.

    Examples
    --------
    >>> describe_layout((8, 64, 64), AxisLayout((0,), None, (1, 2)), ("t", "y", "x"))
    'time 8 · y x · 1 channel → 2D'
    """
    ndim, number = len(layout.spatial), layout.channels(shape)
    space = ["zyx"[-ndim:][i] for i in range(ndim)]
    timed = [is_time(_name(names, axis)) for axis in layout.spatial]
    space = ["time" if time else name for name, time in zip(space, timed, strict=True)]
    parts = [f"{_loop_name(names, axis)} {shape[axis]}" for axis in layout.loops]
    what = "colour" if rgb else "channel"
    named = f" ({', '.join(channels)})" if channels else ""
    parts += [" ".join(space), f"{number} {what}{'s' if number != 1 else ''}{named}"]
    depth = " (time is read as depth)" if any(timed) else ""
    return f"{' · '.join(parts)} → {ndim}D{depth}"


def _loop_name(names: Sequence[str] | None, axis: int) -> str:
    name = plain_name(_name(names, axis))
    return "time" if name in TIME_NAMES else name if name in SPACE_NAMES else f"axis {axis}:"


def _name(names: Sequence[str] | None, axis: int) -> str:
    """Return the name of an axis; empty where none is known."""
    return names[axis] if names is not None and axis < len(names) else ""


def _guess_channel(
    shape: Sequence[int],
    names: Sequence[str] | None,
    labels_shape: Sequence[int] | None,
    rgb: bool,
) -> int | None:
    if rgb:
        return len(shape) - 1
    for axis, name in enumerate(names or ()):
        if plain_name(name) in CHANNEL_NAMES:
            return axis
    if labels_shape is not None and len(labels_shape) == len(shape) - 1:
        fits = [a for a in range(len(shape)) if _without(shape, a) == tuple(labels_shape)]
        named = TIME_NAMES | SPACE_NAMES
        fits = [a for a in fits if shape[a] == 1 or plain_name(_name(names, a)) not in named]
        if fits:
            # Of several candidates the shortest axis is the likeliest to hold channels.
            return min(fits, key=lambda a: shape[a])
    return None


def _without(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    return tuple(n for a, n in enumerate(shape) if a != axis)
