"""Cropping or padding arrays to sizes that a network accepts, and the way back."""

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
"""Whether an array is made smaller or larger."""

MODES: dict[Border, Any] = {"mirror": "reflect", "zero": "constant", "edge": "edge", "wrap": "wrap"}
"""Padding mode of numpy for each way to continue an array."""


@dataclass(frozen=True)
class CroppedOrPadded:
    """Position of a cropped or padded array in the original one.

    Parameters
    ----------
    original, fitted : tuple of int
        Spatial shapes, in voxels.
    before : tuple of int
        Voxels added before the first one, per spatial axis; negative if they were cropped.
    """

    original: tuple[int, ...]
    fitted: tuple[int, ...]
    before: tuple[int, ...]

    def undo(self, result: NDArray[Any], fill: float = 0) -> NDArray[Any]:
        """Return a network's result at the size of the original.

        Parameters
        ----------
        result : ndarray
            Shape ``(..., *spatial)``: that of the fitted array, or smaller by the same amount on
            both sides.
        fill : float
            Value where there is no result: where the array was cropped, or valid convolutions
            lacked context.

        Raises
        ------
        InputError
            If the result is larger, or not centred.
        """
        n = len(self.original)
        lost = [a - b for a, b in zip(self.fitted, result.shape[-n:], strict=False)]
        if result.ndim < n or any(c < 0 or c % 2 for c in lost):
            raise InputError(
                "The result does not belong to the fitted array",
                got=result.shape,
                expected=f"{self.fitted}, or less by the same amount on both sides",
            )
        out = np.full((*result.shape[:-n], *self.original), fill, result.dtype)
        # The result's first voxel, in the original's coordinates.
        starts = [c // 2 - b for c, b in zip(lost, self.before, strict=True)]
        sizes = zip(starts, result.shape[-n:], self.original, strict=True)
        to, source = zip(*(_overlap(*size) for size in sizes), strict=True)
        out[(..., *to)] = result[(..., *source)]
        return out


def crop_or_pad(
    array: NDArray[Any],
    geometry: Sequence[AxisGeometry],
    how: How = "crop",
    mode: Border = "mirror",
) -> tuple[NDArray[Any], CroppedOrPadded]:
    """Crop or pad an array to the nearest size that a network accepts, equally on both sides.

    If the difference is odd, the far side loses or gains the odd voxel. As in NDNet, valid
    networks take the largest size that fits into the array, and padded ones the smallest that
    holds it.

    Parameters
    ----------
    array : ndarray
        Shape ``(..., *spatial)``: the last axes are those of the geometry.
    geometry : sequence of AxisGeometry
        Accepted sizes per spatial axis: `Architecture.passing`.
    how : {"crop", "pad"}
        Whether the array is made smaller or larger.
    mode : {"mirror", "zero", "edge", "wrap"}
        What is added: the mirrored image, zeros, the outermost values, or the other end.

    Returns
    -------
    array : ndarray
        A view if it was cropped, a copy if it was padded.
    fitted : CroppedOrPadded
        Its ``undo`` returns a result at the original size.

    Raises
    ------
    InputError
        If the array has too few axes, is empty, or is too small to be cropped; the message names
        the smallest size.

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
            "The array needs at least one voxel along each spatial axis",
            got=array.shape,
            expected=f"{n} axes",
        )
    if how == "crop":
        wanted = tuple(g.largest_input(size) for g, size in zip(geometry, shape, strict=True))
    else:
        wanted = tuple(
            g.input_for(size - g.context) for g, size in zip(geometry, shape, strict=True)
        )
    added = [w - size for w, size in zip(wanted, shape, strict=True)]
    before = tuple(-(-m // 2) if m < 0 else m // 2 for m in added)
    fitted = CroppedOrPadded(tuple(shape), wanted, before)
    if how == "crop":
        inside: Any = (..., *(slice(-b, w - b) for b, w in zip(before, wanted, strict=True)))
        return array[inside], fitted
    sides = [(b, m - b) for b, m in zip(before, added, strict=True)]
    return np.pad(array, [(0, 0)] * (array.ndim - n) + sides, mode=MODES[mode]), fitted


def _overlap(start: int, size: int, whole: int) -> tuple[slice, slice]:
    """Return the overlap of [start, start + size) with [0, whole), in both coordinates."""
    low = max(0, start)
    high = max(low, min(whole, start + size))
    return slice(low, high), slice(low - start, high - start)
