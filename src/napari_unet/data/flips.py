"""Flips and quarter turns of the last two axes: eight of them, and their inverses."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

Turn = tuple[bool, bool, bool]
"""Whether y and x change places, and then whether y, and whether x, is mirrored."""

SAME: Turn = (False, False, False)


def flips_and_rotations(
    square: bool = True, mirrored: Sequence[bool] = (True, True)
) -> tuple[Turn, ...]:
    """Return the flips and turns that are allowed, beginning with the one that changes nothing.

    Parameters
    ----------
    square : bool
        Whether y and x may change places.
    mirrored : sequence of bool
        Whether y, and whether x, may be mirrored.

    Examples
    --------
    >>> len(flips_and_rotations()), len(flips_and_rotations(square=False))
    (8, 4)
    """
    swaps = (False, True) if square else (False,)
    ys, xs = ((False, True) if able else (False,) for able in mirrored)
    return tuple((swap, y, x) for swap in swaps for y in ys for x in xs)


def apply_flip(x: Tensor, turn: Turn) -> Tensor:
    """Return a tensor (..., y, x) flipped and turned."""
    swap, *mirrored = turn
    x = x.transpose(-2, -1) if swap else x
    axes = [axis for axis, flip in zip((-2, -1), mirrored, strict=True) if flip]
    return x.flip(axes) if axes else x


def undo_flip(x: Tensor, turn: Turn) -> Tensor:
    """Undo `apply_flip`."""
    swap, *mirrored = turn
    axes = [axis for axis, flip in zip((-2, -1), mirrored, strict=True) if flip]
    x = x.flip(axes) if axes else x
    return x.transpose(-2, -1) if swap else x
