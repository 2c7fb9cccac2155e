"""From the steps that a package declares to ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from napari_unet.data.normalisation import Normalisation
from napari_unet.errors import InputError
from napari_unet.network.foreign_config import PictureFit, Step

EPS = 1e-6
"""What runners add to a fixed standard deviation."""


@dataclass(frozen=True)
class Before:
    """What is done to an image before the program: one normalisation, then steps."""

    normalisation: Normalisation
    fit: PictureFit | None
    steps: tuple[Step, ...]


def read_before(given: Any, channels: int) -> Before:
    """Read the preprocessing.

    A first step that is a fixed linear one becomes the normalisation, which keeps the digits of
    large numbers; one that measures each image becomes a fit.

    Parameters
    ----------
    given : InputTensorDescr
        Of format 0.5.
    channels : int
        Of the input.

    Raises
    ------
    InputError
        Where there is a step that we do not know, or one that measures something else than the
        image as it is.
    """
    steps: list[Step] = []
    fit: PictureFit | None = None
    for declared in given.preprocessing:
        measured = _fit(declared, given, channels)
        if measured is None:
            steps += _step(declared)
        elif fit is None:
            # What comes before is linear, and scales what is added to the deviation alone.
            fit = measured.model_copy(update={"eps": measured.eps * _scale_of(steps)})
            steps = []
        else:
            raise InputError("The package measures the image twice, which is not supported")
    first = steps[0] if steps and fit is None else None
    if first is not None and first.name == "linear" and min(first.b) > 0:
        offset, scale = (tuple(v) * (channels if len(v) == 1 else 1) for v in (first.a, first.b))
        return Before(Normalisation("mean_sd", offset, scale), None, tuple(steps[1:]))
    plain = Normalisation("none", (0.0,) * channels, (1.0,) * channels)
    return Before(plain, fit, tuple(steps))


def read_after(result: Any) -> tuple[Step, ...]:
    """Read the postprocessing.

    Raises
    ------
    InputError
        Where there is a step that depends on the whole image, or that we do not know.
    """
    return tuple(step for declared in result.postprocessing for step in _step(declared))


def _scale_of(steps: Sequence[Step]) -> float:
    """Return by how much linear steps that treat all channels alike divide."""
    scale = 1.0
    for step in steps:
        if step.name != "linear" or len(step.b) != 1 or step.b[0] <= 0:
            raise InputError(
                "The package measures the image after a step that is not linear",
                got=step.name,
                expected="one that measures it first",
            )
        scale *= step.b[0]
    return scale


def _fit(declared: Any, given: Any, channels: int) -> PictureFit | None:
    """Read a step that measures the image; None for any other."""
    if declared.id not in ("zero_mean_unit_variance", "scale_range"):
        return None
    wanted = declared.kwargs
    axes = {str(a.id) for a in given.axes}
    over = axes if wanted.axes is None else {str(a) for a in wanted.axes}
    space = {str(a.id) for a in given.axes if a.type == "space"}
    if not space <= over:
        raise InputError(
            "The package measures parts of the image one by one, which is not supported",
            got=f"{declared.id} over {', '.join(sorted(over))}",
        )
    together = channels > 1 and bool(over & {"c", "channel"})
    if declared.id == "zero_mean_unit_variance":
        return PictureFit(kind="mean_sd", together=together, eps=wanted.eps)
    if wanted.reference_tensor not in (None, given.id):
        raise InputError("The package scales by another image, which is not supported")
    low, high = wanted.min_percentile, wanted.max_percentile
    return PictureFit(kind="percentile", low=low, high=high, together=together, eps=wanted.eps)


def _step(declared: Any) -> list[Step]:
    """Read a step that does the same to every image; none where only the type changes."""
    k = declared.kwargs
    axis = getattr(k, "axis", None)
    if axis is not None and str(axis) not in ("c", "channel"):
        raise InputError(
            "The package has a step along an axis of space, which is not supported",
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
            low, high = (float(e) if v is None else v for v, e in ((k.min, "-inf"), (k.max, "inf")))
            return [Step(name="clip", a=(max(low, -3e38),), b=(min(high, 3e38),))]
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


def _linear(gain: tuple[float, ...], offset: tuple[float, ...]) -> Step:
    """Return ``x * gain + offset`` as ``(x - a) / b``."""
    if 0.0 in gain:
        raise InputError("The package multiplies by 0")
    many = max(len(gain), len(offset))
    gain, offset = (v * (many if len(v) == 1 else 1) for v in (gain, offset))
    a = tuple(-o / g for g, o in zip(gain, offset, strict=True))
    return Step(name="linear", a=a, b=tuple(1 / g for g in gain))
