"""The demonstration: learn both samples from their strokes, and compare with the truth."""

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
"""The samples, and what their truth is worth."""

COLOURS = ((0, 0, 0), *PALETTE)
"""Colours of label values in the figure; the background is black."""

Event = TypeVar("Event", bound=TrainingEvent | PredictionEvent)


class Follow(Protocol):
    """Looks at events, under a title, while they pass by: a progress bar."""

    def __call__(self, title: str, events: Iterable[Event], /) -> Iterable[Event]:
        """Return the same events."""


@dataclass(frozen=True, eq=False)
class DemoResult:
    """What came of one sample.

    `everywhere` and `unpainted` hold the intersection over union with the truth per class: over
    all voxels, and over those that no stroke touched.
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


def just_pass(_title: str, events: Iterable[Event], /) -> Iterable[Event]:
    """Follow nothing."""
    return events


def run_demo(
    out: Path,
    seconds: float = 40.0,
    *,
    follow: Follow = just_pass,
    steps: int | None = None,
) -> list[DemoResult]:
    """Train on both samples, predict them, and write everything into a folder.

    Parameters
    ----------
    out : Path
        The folder; made if need be. Files of the same names are replaced.
    seconds, steps : number
        Length of each of the two trainings, whichever ends first.
    follow : callable
        Sees the events of trainings and predictions.

    Returns
    -------
    list of DemoResult
        One for each sample.

    Raises
    ------
    InputError
        Where the folder cannot be made or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("The folder cannot be made", got=f"{out}: {error.strerror}") from error
    results = []
    for name in TRUTHS:
        results.append(_learn(sample(name), seconds, steps, follow))
        _write_all(out, results[-1])
    draw_figure(results).save(out / "figure.png")
    return results


def intersection_over_union(
    labels: NDArray[Any], truth: NDArray[Any], where: NDArray[np.bool_], value: int
) -> float | None:
    """Return the IoU of one class over some voxels; None where the class is not there."""
    found, right = (labels == value) & where, (truth == value) & where
    if not right.any():
        return None
    return float((found & right).sum() / (found | right).sum())


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
    """Write what went in as TIFF, so that it can be tried again, and what came out."""
    shown, name = result.sample, result.name
    grid = shown.axis_labels, shown.scale, shown.units
    colours = ((*grid[0], "s"), (*grid[1], 1.0), (*grid[2], "")) if shown.rgb else grid
    write_image(out / f"{name}-image.tif", shown.image, *colours)
    write_image(out / f"{name}-strokes.tif", shown.strokes, *grid)
    write_image(out / f"{name}-labels.tif", result.labels, *grid)
    write_image(out / f"{name}-labels.ome.zarr", result.labels, *grid)
    result.model.save(out / f"{name}.safetensors")


_PANEL, _GAP, _MARGIN, _HEAD = 320, 16, 28, 64


def draw_figure(results: list[DemoResult]) -> Image:
    """Draw image, strokes, prediction and truth side by side.

    Parameters
    ----------
    results : list of DemoResult
        A row each for pictures; for volumes a row for the plane with most strokes and one for the
        plane farthest from all strokes.
    """
    from PIL import Image, ImageDraw

    rows = [(result, plane) for result in results for plane in _planes(result.sample)]
    width = 2 * _MARGIN + 4 * _PANEL + 3 * _GAP
    figure = Image.new("RGB", (width, 2 * _MARGIN + len(rows) * (_HEAD + _PANEL + _GAP)), "white")
    draw = ImageDraw.Draw(figure)
    for i, (result, plane) in enumerate(rows):
        top = _MARGIN + i * (_HEAD + _PANEL + _GAP)
        _draw_head(draw, top, result, plane)
        for j, panel in enumerate(_panels(result, plane)):
            size = (_PANEL, _PANEL)
            picture = Image.fromarray(panel).resize(size, Image.Resampling.LANCZOS)
            figure.paste(picture, (_MARGIN + j * (_PANEL + _GAP), top + _HEAD))
    return figure


def _draw_head(draw: ImageDraw, top: int, result: DemoResult, plane: int | None) -> None:
    """Write a row's title, its classes with their IoU, and what the columns are."""
    from PIL import ImageFont

    large, small = ImageFont.load_default(20), ImageFont.load_default(15)
    depth = len(result.labels)
    draw.text((_MARGIN, top), f"{result.name}{_place(plane, depth)}", "black", large)
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


def _place(plane: int | None, depth: int) -> str:
    return "" if plane is None else f", plane {plane + 1} of {depth}"


def _planes(shown: Sample) -> Iterator[int | None]:
    """Return which planes to show: the one with most strokes, and the farthest from all."""
    if shown.strokes.ndim == 2:
        yield None
        return
    painted = np.count_nonzero(shown.strokes, axis=(1, 2))
    yield int(painted.argmax())
    distance = np.abs(np.arange(len(painted))[:, None] - np.flatnonzero(painted)).min(1)
    # Not at the ends of the volume, where there is less to see.
    distance[: len(painted) // 8] = distance[-(len(painted) // 8) :] = 0
    yield int(distance.argmax())


def _panels(result: DemoResult, plane: int | None) -> Iterator[NDArray[np.uint8]]:
    """Return image, strokes, prediction and truth as RGB pictures, axes (y, x, channel)."""
    shown, whole = result.sample, slice(None)
    at = whole if plane is None else plane
    image = shown.image.astype(np.float32)
    low, high = (0, 255) if shown.rgb else np.percentile(image, (0.5, 99.8))
    grey = np.clip((image[at] - low) / (high - low), 0, 1) * 255
    base = grey if shown.rgb else np.repeat(grey[..., None], 3, -1)
    assert shown.truth is not None
    yield base.astype(np.uint8)
    for labels, opacity in ((shown.strokes, 1.0), (result.labels, 0.55), (shown.truth, 0.55)):
        painted = labels[at][..., None]
        colours = np.array(COLOURS, np.float32)[labels[at]]
        mixed = base + opacity * (colours - base)
        yield np.where(painted > 0, mixed, base).astype(np.uint8)
