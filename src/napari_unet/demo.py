"""The demonstration: train on the strokes of both samples, and compare with the truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_unet.api import train
from napari_unet.data.writers import write_image
from napari_unet.display import PALETTE
from napari_unet.errors import InputError
from napari_unet.inference.predictor import predict_events
from napari_unet.inference.request import PredictionEvent, PredictionFinished
from napari_unet.model import TrainedModel
from napari_unet.samples import Sample, sample
from napari_unet.training.events import Finished, TrainingEvent

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

TRUTHS = {"cells2d": "a classical reference", "volume3d": "exact"}
"""The samples, and how exact their truth is."""

COLOURS = ((0, 0, 0), *PALETTE)
"""Colours of label values in the figure; the background is black."""

Event = TypeVar("Event", bound=TrainingEvent | PredictionEvent)


class Follow(Protocol):
    """Shows the progress of events, and passes them on."""

    def __call__(self, title: str, events: Iterable[Event], /) -> Iterable[Event]:
        """Return the same events, which are shown under a title."""


@dataclass(frozen=True, eq=False)
class DemoResult:
    """Result for one sample.

    `everywhere` and `unpainted` are the intersection over union with the truth per class: over
    all voxels, and over those that no stroke covers.
    """

    sample: Sample
    model: TrainedModel
    labels: NDArray[Any]
    truth: str
    everywhere: dict[str, float | None]
    unpainted: dict[str, float | None]

    @property
    def name(self) -> str:
        """The sample's name."""
        return self.sample.name


def pass_on(_title: str, events: Iterable[Event], /) -> Iterable[Event]:
    """Return the events and show nothing; see `Follow`."""
    return events


def run_demo(
    out: Path,
    seconds: float = 40.0,
    *,
    follow: Follow = pass_on,
    steps: int | None = None,
) -> list[DemoResult]:
    """Train on both samples, predict them, and write all files into a folder.

    Parameters
    ----------
    out : Path
        The folder; created if it does not exist. Files of the same names are replaced.
    seconds, steps : number
        Budget of each of the two trainings, which ends at the first limit.
    follow : callable
        Shows the progress of trainings and predictions.

    Returns
    -------
    list of DemoResult
        One for each sample.

    Raises
    ------
    InputError
        If the folder cannot be created or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("The folder cannot be created", got=f"{out}: {error.strerror}") from error
    results = []
    for name in TRUTHS:
        results.append(_learn(sample(name), seconds, steps, follow))
        _write_all(out, results[-1])
    draw_figure(results).save(out / "figure.png")
    return results


def intersection_over_union(
    labels: NDArray[Any], truth: NDArray[Any], where: NDArray[np.bool_], value: int
) -> float | None:
    """Return the intersection over union of one class.

    Parameters
    ----------
    labels, truth : ndarray of int
        Predicted and true label values, of one shape.
    where : ndarray of bool, the same shape
        The voxels that count.
    value : int
        Label value of the class.

    Returns
    -------
    float or None
        None if the class does not occur in the truth.
    """
    found = (labels == value) & where
    expected = (truth == value) & where
    if not expected.any():
        return None
    return float((found & expected).sum() / (found | expected).sum())


def _learn(shown: Sample, seconds: float | None, steps: int | None, follow: Follow) -> DemoResult:
    learning = train(
        shown.image,
        shown.strokes,
        seconds=seconds,
        steps=steps,
        rgb=shown.rgb,
        spacing=shown.scale,
        class_names=shown.class_names,
    )
    (model,) = (
        e.model for e in follow(f"{shown.name}: train", learning) if isinstance(e, Finished)
    )
    predicting = follow(f"{shown.name}: predict", predict_events(model, shown.image))
    (labels,) = (e.result for e in predicting if isinstance(e, PredictionFinished))
    assert shown.truth is not None
    everywhere, unpainted = (
        {
            name: intersection_over_union(labels, shown.truth, where, value)
            for value, name in shown.class_names.items()
        }
        for where in (np.ones(labels.shape, bool), shown.strokes == 0)
    )
    return DemoResult(shown, model, labels, TRUTHS[shown.name], everywhere, unpainted)


def _write_all(out: Path, result: DemoResult) -> None:
    """Write image and strokes as TIFF, to be used again, and the results."""
    shown = result.sample
    name = result.name
    axes = (shown.axis_labels, shown.scale, shown.units)
    if shown.rgb:
        image_axes = ((*shown.axis_labels, "s"), (*shown.scale, 1.0), (*shown.units, ""))
    else:
        image_axes = axes
    write_image(out / f"{name}-image.tif", shown.image, *image_axes)
    write_image(out / f"{name}-strokes.tif", shown.strokes, *axes)
    write_image(out / f"{name}-labels.tif", result.labels, *axes)
    write_image(out / f"{name}-labels.ome.zarr", result.labels, *axes)
    result.model.save(out / f"{name}.safetensors")


_PANEL = 320
"""Side of a picture in the figure, in pixels."""

_GAP = 16
"""Distance between pictures, in pixels."""

_MARGIN = 28
"""Margin around the figure, in pixels."""

_HEAD = 64
"""Height of the heading of a row, in pixels."""


def draw_figure(results: list[DemoResult]) -> Image:
    """Draw image, strokes, prediction and truth side by side.

    Parameters
    ----------
    results : list of DemoResult
        One row for a 2D image; for a volume one for the plane with most strokes, and one for the
        plane farthest from all strokes.
    """
    from PIL import Image, ImageDraw

    rows = [(result, plane) for result in results for plane in _shown_planes(result.sample)]
    width = 2 * _MARGIN + 4 * _PANEL + 3 * _GAP
    figure = Image.new("RGB", (width, 2 * _MARGIN + len(rows) * (_HEAD + _PANEL + _GAP)), "white")
    draw = ImageDraw.Draw(figure)
    for i, (result, plane) in enumerate(rows):
        top = _MARGIN + i * (_HEAD + _PANEL + _GAP)
        _draw_head(draw, top, result, plane)
        for j, panel in enumerate(_panels(result, plane)):
            size = (_PANEL, _PANEL)
            scaled = Image.fromarray(panel).resize(size, Image.Resampling.LANCZOS)
            figure.paste(scaled, (_MARGIN + j * (_PANEL + _GAP), top + _HEAD))
    return figure


def _draw_head(draw: ImageDraw, top: int, result: DemoResult, plane: int | None) -> None:
    """Write title, classes with their IoU, and titles of the columns above a row."""
    from PIL import ImageFont

    large = ImageFont.load_default(20)
    small = ImageFont.load_default(15)
    depth = len(result.labels)
    draw.text((_MARGIN, top), f"{result.name}{_plane_name(plane, depth)}", "black", large)
    left: float = _MARGIN + 2 * (_PANEL + _GAP)
    for value, name in result.sample.class_names.items():
        draw.rectangle((left, top + 5, left + 14, top + 19), COLOURS[value])
        score = result.unpainted[name]
        text = name if score is None else f"{name}  IoU {score:.2f}"
        draw.text((left + 22, top + 3), text, "black", small)
        left += 22 + small.getlength(text) + 24
    columns = ("image", "strokes", "prediction (IoU: unpainted voxels)", f"truth ({result.truth})")
    for j, column in enumerate(columns):
        draw.text((_MARGIN + j * (_PANEL + _GAP), top + 36), column, "#606060", small)


def _plane_name(plane: int | None, depth: int) -> str:
    return "" if plane is None else f", plane {plane + 1} of {depth}"


def _shown_planes(shown: Sample) -> Iterator[int | None]:
    """Yield the plane with most strokes, and the one farthest from all; None for a 2D image."""
    if shown.strokes.ndim == 2:
        yield None
        return
    painted = np.count_nonzero(shown.strokes, axis=(1, 2))
    yield int(painted.argmax())
    distance = np.abs(np.arange(len(painted))[:, None] - np.flatnonzero(painted)).min(1)
    # The ends of the volume, where there is less to see, are not shown.
    distance[: len(painted) // 8] = 0
    distance[-(len(painted) // 8) :] = 0
    yield int(distance.argmax())


def _panels(result: DemoResult, plane: int | None) -> Iterator[NDArray[np.uint8]]:
    """Yield image, strokes, prediction and truth as RGB, axes (y, x, channel)."""
    shown = result.sample
    key = slice(None) if plane is None else plane
    image = shown.image.astype(np.float32)
    low, high = (0, 255) if shown.rgb else np.percentile(image, (0.5, 99.8))
    grey = np.clip((image[key] - low) / (high - low), 0, 1) * 255
    base = grey if shown.rgb else np.repeat(grey[..., None], 3, -1)
    assert shown.truth is not None
    yield base.astype(np.uint8)
    for labels, opacity in ((shown.strokes, 1.0), (result.labels, 0.55), (shown.truth, 0.55)):
        painted = labels[key][..., None]
        colours = np.array(COLOURS, np.float32)[labels[key]]
        mixed = base + opacity * (colours - base)
        yield np.where(painted > 0, mixed, base).astype(np.uint8)
