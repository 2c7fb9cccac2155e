"""The axes and the pre- and postprocessing that a package declares, as ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from napari_unet.data.normalisation import Normalisation
from napari_unet.errors import InputError
from napari_unet.network.onnx_config import AxisSizes, PerImageNormalisation, Step

EPS = 1e-6
"""Number that runners add to a fixed standard deviation."""

LARGEST = 3e38
"""Limit of a clip without limit: about the largest float32, because JSON has no infinity."""


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of an image.

    Parameters
    ----------
    normalisation : Normalisation
        The same for all images.
    fit : PerImageNormalisation, optional
        The normalisation that is computed for each image instead.
    steps : tuple of Step
        What follows either.
    """

    normalisation: Normalisation
    fit: PerImageNormalisation | None
    steps: tuple[Step, ...]


def read_preprocessing(given: Any, channels: int) -> Preprocessing:
    """Read the preprocessing.

    A fixed linear operation that comes first becomes the normalisation, which is computed with the
    precision of the pixels; one that depends on the image becomes a fit.

    Parameters
    ----------
    given : InputTensorDescr
        The input, in format 0.5.
    channels : int
        Its channels.

    Raises
    ------
    InputError
        Where an operation is not supported, such as one that depends on parts of the image, or on
        its values after a nonlinear operation.
    """
    steps: list[Step] = []
    fit: PerImageNormalisation | None = None
    for declared in given.preprocessing:
        measured = _fit(declared, given, channels)
        if measured is None:
            steps += _step(declared)
        elif fit is None:
            # Linear operations before it change nothing but the scale of `eps`.
            fit = measured.model_copy(update={"eps": measured.eps * _scale_of(steps)})
            steps = []
        else:
            raise InputError(
                "The package computes statistics of the image twice, which is not supported"
            )
    first = steps[0] if steps and fit is None else None
    if first is not None and first.name == "linear" and min(first.b) > 0:
        normalisation = Normalisation(
            "mean_sd", _repeated(first.a, channels), _repeated(first.b, channels)
        )
        return Preprocessing(normalisation, None, tuple(steps[1:]))
    plain = Normalisation("none", (0.0,) * channels, (1.0,) * channels)
    return Preprocessing(plain, fit, tuple(steps))


def read_postprocessing(result: Any) -> tuple[Step, ...]:
    """Read the postprocessing.

    Raises
    ------
    InputError
        Where an operation depends on the whole image, or is not supported otherwise.
    """
    return tuple(step for declared in result.postprocessing for step in _step(declared))


def _scale_of(steps: Sequence[Step]) -> float:
    """Return the divisor of linear operations that are the same for all channels."""
    scale = 1.0
    for step in steps:
        if step.name != "linear" or len(step.b) != 1 or step.b[0] <= 0:
            raise InputError(
                "The package computes statistics of the image after a non-linear step",
                got=step.name,
                expected="statistics in the first step",
            )
        scale *= step.b[0]
    return scale


def _fit(declared: Any, given: Any, channels: int) -> PerImageNormalisation | None:
    """Read an operation that depends on the image; None for any other."""
    if declared.id not in ("zero_mean_unit_variance", "scale_range"):
        return None
    wanted = declared.kwargs
    axes = {str(a.id) for a in given.axes}
    over = axes if wanted.axes is None else {str(a) for a in wanted.axes}
    space = {str(a.id) for a in given.axes if a.type == "space"}
    if not space <= over:
        raise InputError(
            "The package computes statistics of parts of the image separately, which is not "
            "supported",
            got=f"{declared.id} over {', '.join(sorted(over))}",
        )
    together = channels > 1 and bool(over & {"c", "channel"})
    if declared.id == "zero_mean_unit_variance":
        return PerImageNormalisation(kind="mean_sd", together=together, eps=wanted.eps)
    if wanted.reference_tensor not in (None, given.id):
        raise InputError("The package scales by another image, which is not supported")
    return PerImageNormalisation(
        kind="percentile",
        low=wanted.min_percentile,
        high=wanted.max_percentile,
        together=together,
        eps=wanted.eps,
    )


def _step(declared: Any) -> list[Step]:
    """Read an operation that is the same for all images; none where only the type changes."""
    k = declared.kwargs
    axis = getattr(k, "axis", None)
    if axis is not None and str(axis) not in ("c", "channel"):
        raise InputError(
            "The package has a step along a spatial axis, which is not supported",
            got=f"{declared.id} along {axis}",
        )
    match declared.id:
        case "ensure_dtype":
            return []
        case "fixed_zero_mean_unit_variance":
            deviations = tuple(s + EPS for s in _numbers(k.std))
            return [Step(name="linear", a=_numbers(k.mean), b=deviations)]
        case "scale_linear":
            return [_linear(_numbers(k.gain), _numbers(k.offset))]
        case "binarize":
            return [Step(name="binarize", a=_numbers(k.threshold))]
        case "clip" if k.min is not None or k.max is not None:
            low = -LARGEST if k.min is None else max(k.min, -LARGEST)
            high = LARGEST if k.max is None else min(k.max, LARGEST)
            return [Step(name="clip", a=(low,), b=(high,))]
        case "sigmoid" | "softmax":
            name: Literal["sigmoid", "softmax"] = declared.id
            return [Step(name=name)]
    raise InputError(
        "The package has a step that napari-unet does not know",
        got=f'"{declared.id}"',
        expected="linear scaling, percentiles, clip, sigmoid, softmax or binarize",
    )


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(map(float, value)) if isinstance(value, list | tuple) else (float(value),)


def _repeated(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Return one value per channel; a single one is for all of them."""
    return values * channels if len(values) == 1 else values


def _linear(gain: tuple[float, ...], offset: tuple[float, ...]) -> Step:
    """Return ``x * gain + offset`` as ``(x - a) / b``."""
    if 0.0 in gain:
        raise InputError("The package multiplies by 0")
    channels = max(len(gain), len(offset))
    gain = _repeated(gain, channels)
    offset = _repeated(offset, channels)
    a = tuple(-o / g for g, o in zip(gain, offset, strict=True))
    return Step(name="linear", a=a, b=tuple(1 / g for g in gain))


LETTERS = {"batch": "b", "channel": "c"}
"""Letters of axes by their type; those of spatial axes are their names."""


@dataclass(frozen=True)
class Shapes:
    """Axes, sizes and channels of a program; most attributes are those of `OnnxConfig`.

    Parameters
    ----------
    ndim, inputs, outputs, sizes, in_channels
        See `OnnxConfig`.
    channel_names : tuple of str
        Names of the channels of the output.
    spacing : tuple of float
        Distance between voxels per spatial axis; empty where it is 1 along all of them.
    """

    ndim: Literal[2, 3]
    inputs: str
    outputs: str
    sizes: tuple[AxisSizes, ...]
    in_channels: int
    channel_names: tuple[str, ...]
    spacing: tuple[float, ...]


def read_axes(given: Any, result: Any, example: tuple[int, ...] | None) -> Shapes:
    """Read the axes of a program, and the sizes that it allows.

    Parameters
    ----------
    given, result : InputTensorDescr, OutputTensorDescr
        Input and output, in format 0.5.
    example : tuple of int, optional
        Shape of the test input, axes as in `given`. Where the program allows a single size along
        one axis, the sizes along the others are fixed to those of the example, which are allowed.

    Raises
    ------
    InputError
        Where an axis is not supported, or the output has another resolution than the input.
    """
    inputs = _order(given)
    outputs = _order(result)
    space = "".join(a for a in "zyx" if a in inputs)
    if len(space) not in (2, 3) or space != "zyx"[-len(space) :] or set(space) != _space(outputs):
        raise InputError(
            "The package's axes are not those of images",
            got=f"{inputs} in, {outputs} out",
            expected="y and x, or z, y and x, both in and out",
        )
    into = _by_letter(given, inputs)
    out = _by_letter(result, outputs)
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
    """Return the axes of a tensor as letters, in their order."""
    letters = [LETTERS.get(a.type, str(a.id)) for a in tensor.axes]
    unknown = [
        str(a.id)
        for a, letter in zip(tensor.axes, letters, strict=True)
        if letter not in tuple("bczyx")
    ]
    if unknown:
        raise InputError(
            "The package has an axis that is not supported",
            got=", ".join(unknown),
            expected="batch, channel, z, y, x",
        )
    return "".join(letters)


def _by_letter(tensor: Any, order: str) -> dict[str, Any]:
    return dict(zip(order, tensor.axes, strict=True))


def _sizes(given: Any, result: Any, tensor: Any) -> AxisSizes:
    """Read one spatial axis."""
    size = given.size
    if hasattr(size, "axis_id"):
        raise InputError(
            "Sizes that depend on each other are not supported", got=f"axis {given.id}"
        )
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
            "The package's output has another resolution than its input, or an unknown one",
            got=f"axis {given.id}",
            expected="as many voxels, or fewer by a fixed number",
        )
    return cut
