"""From the axes of a package to sizes that fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

from napari_unet.errors import InputError
from napari_unet.network.foreign_config import AxisSizes

LETTERS = {"batch": "b", "channel": "c"}


@dataclass(frozen=True)
class Shapes:
    """What axes say of a program: names as in `ForeignConfig`."""

    ndim: Literal[2, 3]
    inputs: str
    outputs: str
    sizes: tuple[AxisSizes, ...]
    in_channels: int
    channel_names: tuple[str, ...]
    spacing: tuple[float, ...]


def read_axes(given: Any, result: Any, example: tuple[int, ...] | None) -> Shapes:
    """Read which sizes a program takes and gives.

    Parameters
    ----------
    given, result : InputTensorDescr, OutputTensorDescr
        Of format 0.5.
    example : tuple of int, optional
        Shape of the test input, axes as in `given`. Where the program takes one size only along
        one axis, the others get the example's size, which is known to fit.

    Raises
    ------
    InputError
        Where an axis is of a kind we have no use for, or the output is of another resolution.
    """
    inputs, outputs = _order(given), _order(result)
    space = "".join(a for a in "zyx" if a in inputs)
    if len(space) not in (2, 3) or space != "zyx"[-len(space) :] or set(space) != _space(outputs):
        raise InputError(
            "The package's axes are not those of images",
            got=f"{inputs} in, {outputs} out",
            expected="y and x, or z, y and x, both in and out",
        )
    into, out = _by_letter(given, inputs), _by_letter(result, outputs)
    sizes = tuple(_sizes(into[a], out[a], given) for a in space)
    if not all(axis.step for axis in sizes) and any(axis.step for axis in sizes):
        where = dict(zip(inputs, example or (), strict=False))
        sizes = tuple(
            axis.model_copy(update={"step": 0, "smallest": where.get(a, axis.smallest)})
            for a, axis in zip(space, sizes, strict=True)
        )
    scales = tuple(float(into[a].scale) for a in space)
    return Shapes(
        cast(Literal[2, 3], len(space)),
        inputs,
        outputs,
        sizes,
        into["c"].size if "c" in into else 1,
        tuple(map(str, out["c"].channel_names)) if "c" in out else ("channel",),
        scales if any(s != 1 for s in scales) else (),
    )


def _space(order: str) -> set[str]:
    return set(order) & set("zyx")


def _order(tensor: Any) -> str:
    """Return a tensor's axes as letters."""
    letters = [LETTERS.get(a.type, str(a.id)) for a in tensor.axes]
    strange = [
        str(a.id)
        for a, letter in zip(tensor.axes, letters, strict=True)
        if letter not in tuple("bczyx")
    ]
    if strange:
        raise InputError(
            "The package has an axis that images here do not have",
            got=", ".join(strange),
            expected="batch, channel, z, y, x",
        )
    return "".join(letters)


def _by_letter(tensor: Any, order: str) -> dict[str, Any]:
    return dict(zip(order, tensor.axes, strict=True))


def _sizes(given: Any, result: Any, tensor: Any) -> AxisSizes:
    """Read one spatial axis."""
    size, axis = given.size, str(given.id)
    if hasattr(size, "axis_id"):
        raise InputError("Sizes that depend on each other are not supported", got=f"axis {axis}")
    smallest, step = (size, 0) if isinstance(size, int) else (size.min, size.step)
    cut = _cut(result.size, given, result, tensor)
    return AxisSizes(smallest=smallest, step=step, cut=cut, halo=getattr(result, "halo", 0) or 0)


def _cut(size: Any, given: Any, result: Any, tensor: Any) -> int:
    """Return by how many voxels the output is smaller than the input."""
    if isinstance(size, int) and isinstance(given.size, int):
        cut = given.size - size
    else:
        refers = hasattr(size, "axis_id") and (size.tensor_id, size.axis_id) == (
            tensor.id,
            given.id,
        )
        cut = -size.offset if refers and result.scale == given.scale else -1
    if cut < 0:
        raise InputError(
            "The package's output has another resolution than its input, or one that is not told",
            got=f"axis {given.id}",
            expected="as many voxels, or fewer by a fixed number",
        )
    return cut
