"""Whether an image is of the kind that a model learned from, told before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from napari_unet.display import count
from napari_unet.errors import InputError
from napari_unet.geometry.axes import find_layout
from napari_unet.inference.request import Request, find_missing, find_view
from napari_unet.model import TrainedModel
from napari_unet.widgets.layers.layer_data import LayerData
from napari_unet.widgets.qt.style import Notice
from napari_unet.widgets.qt.text import sizes

FAR = 1.5
"""Factor between the sizes of voxels from which on things look unlike what was learned."""


@dataclass(frozen=True)
class CompatibilityIssue:
    """Something that model and image differ in; an error where nothing can be predicted."""

    kind: Literal["warning", "error"]
    text: str


class CompatibilityNotice(Notice):
    """Says what model and image differ in; hidden while they fit."""

    def compare(self, model: TrainedModel | None, picture: LayerData | None, mask: Any) -> None:
        """Look at them again; None where nothing is chosen."""
        found = [] if model is None or picture is None else misfits(model, picture, mask)
        refused = any(misfit.kind == "error" for misfit in found)
        self.say("\n".join(m.text for m in found), "error" if refused else "warning")


def misfits(model: TrainedModel, picture: LayerData, mask: Any = None) -> list[CompatibilityIssue]:
    """Compare a model with an image, without looking at its pixels.

    Parameters
    ----------
    model : TrainedModel
        What is to be applied.
    picture : Picture
        To what.
    mask : array, optional
        What tells which pixels are missing.

    Returns
    -------
    list of Misfit
        Empty where they fit.
    """
    error = _error(model, picture, mask)
    return [CompatibilityIssue("error", error)] if error else list(_cautions(model, picture))


def _error(model: TrainedModel, picture: LayerData, mask: Any) -> str:
    """Return why nothing can be predicted; empty where it can."""
    name, ndim = picture.name, model.config.ndim
    shape = tuple(int(n) for n in picture.data.shape)
    try:
        layout = find_layout(shape, ndim, names=picture.axes, rgb=picture.rgb)
    except InputError:
        have = len(shape) - picture.rgb
        axes = f"{have} {'axis' if have == 1 else 'axes'}"
        return f"The model is {ndim}D, but “{name}” has {axes} of space ({sizes(shape)})."
    try:
        view = find_view(model, picture.data, Request(axes=picture.axes, rgb=picture.rgb))
    except InputError as error:
        have, wanted = layout.channels(shape), model.image_channels
        if have == wanted:
            return str(error)
        return (
            f"The model reads {count(wanted, 'channel')}, but “{name}” has {have} ({sizes(shape)})."
        )
    if model.input_spec.mask and mask is None and view.source.dtype.kind != "f":
        return (
            f"The model fills in what a mask marks, but “{name}” holds whole numbers, of which "
            'none is missing: choose a layer under "Missing".'
        )
    try:
        find_missing(model, view, mask if model.input_spec.mask else None)
    except InputError as error:
        return str(error)
    return ""


def _cautions(model: TrainedModel, picture: LayerData) -> Iterator[CompatibilityIssue]:
    """Compare the sizes of voxels, where both are known: 1 is what everything begins with."""
    layout = find_view(model, picture.data, Request(axes=picture.axes, rgb=picture.rgb)).layout
    learned = model.spacing[-model.config.ndim :]
    here = picture.spacing(layout.channel)[-model.config.ndim :]
    known = len(learned) == len(here) and all(v > 0 for v in (*learned, *here))
    if not known or set(learned) == {1} or set(here) == {1}:
        return
    factors = [a / b for a, b in zip(here, learned, strict=True)]
    if max(max(f, 1 / f) for f in factors) > FAR:
        yield CompatibilityIssue(
            "warning",
            f"The model learned from voxels of {_lengths(learned)}; those of “{picture.name}” are "
            f"{_lengths(here)}. What it knows has another size here, so look at the result twice.",
        )


def _lengths(values: Sequence[float]) -> str:
    return " × ".join(f"{value:.3g}" for value in values)
