"""Flips and 90° rotations of the last two axes, eight in all, and their inverses."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

Flip = tuple[bool, bool, bool]
"""A flip or rotation: whether y and x are swapped, then whether y and whether x is mirrored."""

IDENTITY: Flip = (False, False, False)
"""The flip that changes nothing."""


def flips_and_rotations(
    square: bool = True, mirrored: Sequence[bool] = (True, True)
) -> tuple[Flip, ...]:
    """Return the allowed flips and rotations, beginning with `IDENTITY`.

    Parameters
    ----------
    square : bool
        Whether y and x may be swapped.
    mirrored : sequence of bool
        Whether y, and whether x, may be mirrored.

    Examples
    --------
    >>> len(flips_and_rotations()), len(flips_and_rotations(square=False))
    (8, 4)
    """
    swaps = (False, True) if square else (False,)
    ys, xs = ((False, True) if allowed else (False,) for allowed in mirrored)
    return tuple((swap, y, x) for swap in swaps for y in ys for x in xs)


def apply_flip(x: Tensor, flip: Flip) -> Tensor:
    """Return a tensor with axes (..., y, x) flipped or rotated.

    Parameters
    ----------
    x : Tensor, shape (..., y, x)
        Of any type.
    flip : Flip
        From :func:`flips_and_rotations`.

    Returns
    -------
    Tensor, shape (..., y, x) or (..., x, y)
    """
    x = x.transpose(-2, -1) if flip[0] else x
    axes = _mirrored_axes(flip)
    return x.flip(axes) if axes else x


def undo_flip(x: Tensor, flip: Flip) -> Tensor:
    """Invert :func:`apply_flip`; parameters as there."""
    axes = _mirrored_axes(flip)
    x = x.flip(axes) if axes else x
    return x.transpose(-2, -1) if flip[0] else x


def _mirrored_axes(flip: Flip) -> list[int]:
    return [axis for axis, mirrored in zip((-2, -1), flip[1:], strict=True) if mirrored]
