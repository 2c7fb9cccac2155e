"""Arrays of sizes that a network accepts: cropped or padded, and what came out put back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.image import Border
from napari_unet.errors import InputError
from napari_unet.geometry.unet_shape import AxisGeometry

How = Literal["crop", "pad"]

MODES: dict[Border, Any] = {"mirror": "reflect", "zero": "constant", "edge": "edge", "wrap": "wrap"}
"""How numpy calls what may be beyond an array's border."""


@dataclass(frozen=True)
class CroppedOrPadded:
    """Where a fitted array lies in the original one.

    Parameters
    ----------
    original, fitted : tuple of int
        Spatial shapes, in voxels.
    before : tuple of int
        Voxels that were added in front, per spatial axis; negative where some were cut off.
    """

    original: tuple[int, ...]
    fitted: tuple[int, ...]
    before: tuple[int, ...]

    def undo(self, result: NDArray[Any], fill: float = 0) -> NDArray[Any]:
        """Return a network's result at the size of the original.

        Parameters
        ----------
        result : ndarray
            Shape ``(..., *spatial)``: as large as the fitted array, or smaller by as much on
            both sides.
        fill : float
            What stands where there is no result: where the array was cropped, or where valid
            convolutions had no context.

        Raises
        ------
        InputError
            Where the result is larger, or does not lie in the middle.
        """
        n = len(self.original)
        cut = [a - b for a, b in zip(self.fitted, result.shape[-n:], strict=False)]
        if result.ndim < n or any(c < 0 or c % 2 for c in cut):
            raise InputError(
                "The result does not belong to the fitted array",
                got=result.shape,
                expected=f"{self.fitted}, or less by as much on both sides",
            )
        out = np.full((*result.shape[:-n], *self.original), fill, result.dtype)
        # The result's first voxel, in the original's coordinates.
        starts = [c // 2 - b for c, b in zip(cut, self.before, strict=True)]
        sizes = zip(starts, result.shape[-n:], self.original, strict=True)
        into, of = zip(*(_overlap(*size) for size in sizes), strict=True)
        out[(..., *into)] = result[(..., *of)]
        return out


def crop_or_pad(
    array: NDArray[Any],
    geometry: Sequence[AxisGeometry],
    how: How = "crop",
    mode: Border = "mirror",
) -> tuple[NDArray[Any], CroppedOrPadded]:
    """Crop or pad an array to the nearest size that a network accepts, alike on both sides.

    Where the difference is odd, the far side loses or gains the odd voxel. As in NDNet, valid
    networks take the largest size that fits into the array, and padded ones the smallest that
    holds it.

    Parameters
    ----------
    array : ndarray
        Shape ``(..., *spatial)``: the last axes are those of the geometry.
    geometry : sequence of AxisGeometry
        Which sizes pass, per spatial axis: `Architecture.passing`.
    how : {"crop", "pad"}
        Whether to cut off or to add.
    mode : {"mirror", "zero", "edge", "wrap"}
        What is added beyond the border: the image mirrored, zeros, its border, or its other end.

    Returns
    -------
    array : ndarray
        A view where it was cropped, a copy where it was padded.
    fitted : Fitted
        Puts a result back to the original's size.

    Raises
    ------
    InputError
        Where the array has too few axes, is empty, or, to be cropped, is too small for the
        network; the message names the smallest size.

    Examples
    --------
    >>> from napari_unet import preset
    >>> network = preset("ndnet_unetv3")
    >>> array, fitted = crop_or_pad(np.zeros((400, 100, 100)), network.passing)
    >>> array.shape, fitted.before
    ((398, 94, 94), (-1, -3, -3))
    """
    n = len(geometry)
    shape = array.shape[array.ndim - n :]
    if array.ndim < n or 0 in shape:
        raise InputError(
            "The array needs voxels along each spatial axis", got=array.shape, expected=f"{n} axes"
        )
    if how == "crop":
        wanted = tuple(g.largest_input(size) for g, size in zip(geometry, shape, strict=True))
    else:
        wanted = tuple(
            g.input_for(size - g.context) for g, size in zip(geometry, shape, strict=True)
        )
    more = [w - size for w, size in zip(wanted, shape, strict=True)]
    before = tuple(-(-m // 2) if m < 0 else m // 2 for m in more)
    fitted = CroppedOrPadded(tuple(shape), wanted, before)
    if how == "crop":
        inside: Any = (..., *(slice(-b, w - b) for b, w in zip(before, wanted, strict=True)))
        return array[inside], fitted
    sides = [(b, m - b) for b, m in zip(before, more, strict=True)]
    return np.pad(array, [(0, 0)] * (array.ndim - n) + sides, mode=MODES[mode]), fitted


def _overlap(start: int, size: int, whole: int) -> tuple[slice, slice]:
    """Return where [start, start + size) lies within [0, whole), and which part of it that is."""
    lo, hi = max(0, start), min(whole, start + size)
    return slice(lo, max(lo, hi)), slice(lo - start, max(lo, hi) - start)
