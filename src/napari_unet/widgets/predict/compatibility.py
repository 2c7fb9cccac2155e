"""Checks whether a model can be applied to an image, without computing anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from napari_unet.display import count
from napari_unet.errors import InputError
from napari_unet.geometry.axes import find_layout, is_time
from napari_unet.inference.request import Request, find_missing, find_view
from napari_unet.model import TrainedModel
from napari_unet.widgets.layers.layer_data import LayerData
from napari_unet.widgets.qt.style import Notice
from napari_unet.widgets.qt.text import sizes

FAR = 1.5
"""Ratio of voxel sizes, image to training, from which on there is a warning."""


@dataclass(frozen=True)
class CompatibilityIssue:
    """Something that model and image differ in; an error where the model cannot be applied."""

    kind: Literal["warning", "error"]
    text: str


class CompatibilityNotice(Notice):
    """Shows in what model and image differ; hidden while they fit."""

    def compare(self, model: TrainedModel | None, data: LayerData | None, mask: Any) -> None:
        """Show the issues of this choice.

        Parameters
        ----------
        model : TrainedModel, optional
            The chosen model.
        data : LayerData, optional
            The chosen image.
        mask : array, optional
            What tells which pixels are missing.
        """
        issues = [] if model is None or data is None else find_issues(model, data, mask)
        refused = any(issue.kind == "error" for issue in issues)
        self.say("\n".join(issue.text for issue in issues), "error" if refused else "warning")


def find_issues(model: TrainedModel, data: LayerData, mask: Any = None) -> list[CompatibilityIssue]:
    """Compare a model with an image, without looking at its pixels.

    Parameters
    ----------
    model : TrainedModel
        The model to apply.
    data : LayerData
        The image to apply it to.
    mask : array, optional
        What tells which pixels are missing.

    Returns
    -------
    list of CompatibilityIssue
        Empty where they fit.
    """
    error = _error(model, data, mask)
    return [CompatibilityIssue("error", error)] if error else list(_cautions(model, data))


def _error(model: TrainedModel, data: LayerData, mask: Any) -> str:
    """Return why nothing can be predicted; empty where it can."""
    name, ndim = data.name, model.config.ndim
    shape = tuple(int(n) for n in data.data.shape)
    try:
        layout = find_layout(shape, ndim, names=data.axes, rgb=data.rgb)
    except InputError:
        have = len(shape) - data.rgb
        axes = f"{have} spatial {'axis' if have == 1 else 'axes'}"
        return f"The model is {ndim}D, but “{name}” has {axes} ({sizes(shape)})."
    try:
        view = find_view(model, data.data, Request(axes=data.axes, rgb=data.rgb))
    except InputError as error:
        have, wanted = layout.channels(shape), model.image_channels
        if have == wanted:
            return str(error)
        return (
            f"The model reads {count(wanted, 'channel')}, but “{name}” has {have} ({sizes(shape)})."
        )
    if model.input_spec.mask and mask is None and view.source.dtype.kind != "f":
        return (
            f"The model fills in missing pixels, but “{name}” has integer pixels, which cannot "
            "be NaN: choose the layer that marks the missing pixels under “Missing”."
        )
    try:
        find_missing(model, view, mask if model.input_spec.mask else None)
    except InputError as error:
        return str(error)
    return ""


def _cautions(model: TrainedModel, data: LayerData) -> Iterator[CompatibilityIssue]:
    """Compare the sizes of voxels, where both are known: 1 is what everything begins with."""
    layout = find_view(model, data.data, Request(axes=data.axes, rgb=data.rgb)).layout
    if any(axis < len(data.axes) and is_time(data.axes[axis]) for axis in layout.spatial):
        text = f"The model is 3D: it reads the time of “{data.name}” as depth."
        yield CompatibilityIssue("warning", text)
    learned = model.spacing[-model.config.ndim :]
    here = data.spacing(layout.channel)[-model.config.ndim :]
    known = len(learned) == len(here) and all(v > 0 for v in (*learned, *here))
    if not known or set(learned) == {1} or set(here) == {1}:
        return
    factors = [a / b for a, b in zip(learned, here, strict=True)]
    larger, smaller = max(factors), 1 / min(factors)
    if max(larger, smaller) > FAR:
        most = f"{larger:.2g} times larger" if larger >= smaller else f"{smaller:.2g} times smaller"
        yield CompatibilityIssue(
            "warning",
            f"Objects appear {most} here than in training; check the result. Pixel size here: "
            f"{_lengths(here)}, in training: {_lengths(learned)}.",
        )


def _lengths(values: Sequence[float]) -> str:
    return " × ".join(f"{value:.3g}" for value in values)
