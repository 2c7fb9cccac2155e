"""Tables and texts that describe networks, models and results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from napari_unet.cli.output import times
from napari_unet.data.metadata import AxesMetadata
from napari_unet.data.writers import ImageSpec
from napari_unet.display import score_text, voxels
from napari_unet.geometry.axes import AxisLayout, describe_layout
from napari_unet.inference.request import Output, result_shape_and_dtype
from napari_unet.network.architecture import Architecture, parameter_count, shape_table
from napari_unet.network.cost import NetworkCost, megabytes, network_cost
from napari_unet.network.layers import format_table
from napari_unet.network.unet_config import UNetConfig
from napari_unet.training.events import Started, Validated
from napari_unet.training.metrics import mean

if TYPE_CHECKING:
    from napari_unet.data.image import ImageView
    from napari_unet.demo import DemoResult
    from napari_unet.model import TrainedModel

COVERED = {2: 256, 3: 64}
"""Side of the output in the table of layers by dimensions, if no input is given, in voxels."""


def validation(started: Started, validated: Validated | None) -> Group:
    """Return a table of the painted pixels and the validation scores of each class.

    Parameters
    ----------
    started : Started
        The first event of a training.
    validated : Validated or None
        The last validation, if there was one.
    """
    table = Table("class", box=None)
    table.add_column("painted", justify="right")
    table.add_column(validated.metric if validated else "IoU", justify="right")
    scores = ["-"] * len(started.counts)
    if validated:
        scores = [score_text(score, 3) for score in validated.scores]
    for name, count, score in zip(started.class_names, started.counts, scores, strict=True):
        table.add_row(Text(name), f"{count:,}", score)
    if not validated:
        return Group(table)
    table.add_row("mean", "", score_text(validated.mean, 3), style="bold")
    return Group(table, f" {validated.metric} on {validated.pixels:,} held-out pixels")


def reading(started: Started, names: Sequence[str] | None, *, rgb: bool = False) -> str:
    """Return how the first image of a training is read, in one line.

    Parameters
    ----------
    started : Started
        The beginning of the training, with its plan.
    names : sequence of str, optional
        Names of the image's axes.
    rgb : bool
        Whether its last axis holds colours.
    """
    image = started.plan["images"][0]
    layout = AxisLayout(tuple(image["loops"]), image["channel"], tuple(image["spatial"]))
    return f"Read as {describe_layout(image['shape'], layout, names, rgb=rgb)}."


def result_spec(
    trained: TrainedModel, view: ImageView, metadata: AxesMetadata, kind: Output
) -> ImageSpec:
    """Return shape, type and axes of the result of a prediction.

    Parameters
    ----------
    trained : TrainedModel
        The model.
    view : ImageView
        The image.
    metadata : AxesMetadata
        The axes of the image.
    kind : {"labels", "probabilities", "image"}
        Kind of the result.
    """
    shape, dtype = result_shape_and_dtype(trained, view, kind)
    axes = metadata.without(view.layout.channel)
    if kind == "image":
        channels = len(shape) > len(axes.axes)
        kept = metadata if view.layout.channel is not None else axes.with_first("c")
        return ImageSpec(shape, dtype, kept if channels else axes)
    if kind == "labels":
        return ImageSpec(shape, dtype, axes)
    return ImageSpec(shape, dtype, axes.with_first("c"), tuple(map(str, trained.classes)))


def network(config: Architecture, input_shape: Sequence[int] | None = None, batch: int = 1) -> str:
    """Return a text with the layers of a network, the sizes that it accepts, and its cost.

    Parameters
    ----------
    config : Architecture
        The network.
    input_shape : sequence of int, optional
        Spatial shape of the input, in voxels; by default a small one that fits.
    batch : int
        Images per training step.

    Raises
    ------
    InputError
        If `input_shape` does not fit; the message names the nearest sizes that do.
    """
    side = COVERED[config.ndim]
    shape = input_shape or [axis.input_for(side) for axis in config.passing]
    rows = shape_table(config, shape)
    cost = network_cost(config, shape, batch)
    lines = [config.title, "", format_table(rows), ""]
    for name, axis, context, seen in zip(
        "zyx"[-config.ndim :], config.passing, cost.context, cost.receptive_field, strict=True
    ):
        first = ", ".join(map(str, axis.allowed_inputs(axis.smallest_input + 3 * axis.stride)))
        lines.append(
            f"{name}: inputs {first}, ... (every {axis.stride}); context {context}, "
            f"that is {context // 2} on each side; receptive field {seen}"
        )
    return "\n".join([*lines, "", *(f"{name:<18}{text}" for name, text in costs(cost))])


def costs(cost: NetworkCost) -> list[tuple[str, str]]:
    """Return pairs of name and text: the border that is lost, operations, and memory."""
    images = "1 image" if cost.batch == 1 else f"{cost.batch} images"
    tile = times(cost.shape)
    sums = cost.multiply_adds_per_voxel
    part = voxels(len(cost.shape)).removesuffix("s")
    work = f"{sums:,.0f} multiply-adds, that is {2 * sums:,.0f} FLOPs, per {part} of the output"
    return [
        ("input -> output", f"{tile} -> {times(cost.output)}"),
        ("cut per side", times(cost.crop)),
        ("computing", work),
        ("to train", f"about {megabytes(cost.training_bytes)} for a batch of {images} of {tile}"),
        ("to predict", f"about {megabytes(cost.prediction_bytes)} for a tile of {tile}"),
    ]


def model(trained: TrainedModel) -> Table:
    """Return a table of the network, the training and the scores of a model."""
    facts = dict(trained.training)
    validated = facts.pop("validation", {})
    painted = facts.pop("painted", {})
    scores = [score_text(s, 3) for s in validated.get("IoU", ())] or ["-"] * len(trained.classes)
    table = Table.grid(padding=(0, 2))
    rows = [("task", trained.task), *_network_facts(trained.config), *_pixel_facts(trained)]
    for info, score in zip(trained.classes, scores, strict=True):
        count = painted.get(str(info))
        parts = [f"label {info.value}"]
        parts += [] if count is None else [f"{count:,} pixels painted"]
        rows.append((str(info), ", ".join([*parts, f"IoU {score}"])))
    if validated:
        rows.append(("validation", f"{validated['pixels']:,} pixels held out"))
    known = {key: value for key, value in facts.items() if value not in (None, {}, [])}
    rows += [(key, _value_text(value)) for key, value in known.items()]
    rows.append(("model ID", trained.digest))
    for key, value in rows:
        table.add_row(Text(key, style="bold"), Text(value))
    return table


def scores(results: Iterable[DemoResult]) -> Table:
    """Return a table of the IoU of each class in the demonstration."""
    table = Table("sample", "class", box=None)
    table.add_column("IoU, all", justify="right")
    table.add_column("IoU, unpainted", justify="right")
    table.add_column("truth")
    for found in results:
        for i, (name, everywhere) in enumerate(found.everywhere.items()):
            first = (found.name, found.truth) if i == 0 else ("", "")
            texts = [score_text(s, 3) for s in (everywhere, found.unpainted[name])]
            table.add_row(first[0], Text(name), *texts, first[1])
        means = [mean(tuple(s.values())) for s in (found.everywhere, found.unpainted)]
        texts = [score_text(s, 3) for s in means]
        table.add_row("", "mean", *texts, style="bold", end_section=True)
    return table


def _network_facts(config: Architecture) -> list[tuple[str, str]]:
    rows = [("network", config.title)]
    if isinstance(config, UNetConfig):
        blocks = [*config.encoder, config.bottom]
        rows.append(("channels", " | ".join(", ".join(map(str, block)) for block in blocks)))
    return [
        *rows,
        ("parameters", f"{parameter_count(config):,}"),
        ("smallest input", times(axis.smallest_input for axis in config.passing)),
    ]


def _pixel_facts(trained: TrainedModel) -> list[tuple[str, str]]:
    n = trained.normalisation
    each = ", ".join(f"({o:.4g}, {s:.4g})" for o, s in zip(n.offset, n.scale, strict=True))
    rows = [("normalisation", f"{n.kind}: {each} per channel")]
    if trained.spacing:
        rows.append(("spacing", times(f"{s:g}" for s in trained.spacing)))
    return rows


def _value_text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_value_text(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_value_text, value))
    return str(value)
