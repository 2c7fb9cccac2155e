"""Tables and texts about networks, models and results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from napari_unet.cli.output import times
from napari_unet.data.metadata import AxesMetadata
from napari_unet.data.writers import ImageSpec
from napari_unet.inference.request import Output, result_shape_and_dtype
from napari_unet.network.architecture import Architecture, parameter_count, shape_table
from napari_unet.network.cost import NetworkCost, megabytes, network_cost
from napari_unet.network.layers import format_table
from napari_unet.network.unet_config import UNetConfig
from napari_unet.training.events import Started, Validated

if TYPE_CHECKING:
    from napari_unet.data.image import ImageView
    from napari_unet.demo import DemoResult
    from napari_unet.model import TrainedModel

COVERED = {2: 256, 3: 64}
"""Side of the output that the table of sizes is made for, where no input is given."""


def validation(started: Started, validated: Validated | None) -> Group:
    """Return what was painted and how well the held-out part of it is predicted, by class."""
    table = Table("class", box=None)
    table.add_column("painted", justify="right")
    table.add_column(validated.metric if validated else "IoU", justify="right")
    scores = validated.scores if validated else (None,) * len(started.counts)
    for name, count, score in zip(started.class_names, started.counts, scores, strict=True):
        table.add_row(Text(name), f"{count:,}", rounded(score))
    if not validated:
        return Group(table)
    table.add_row("mean", "", rounded(validated.mean), style="bold")
    return Group(table, f" {validated.metric} on {validated.pixels:,} held-out pixels")


def result(trained: TrainedModel, view: ImageView, grid: AxesMetadata, kind: Output) -> ImageSpec:
    """Return what a prediction will put out: the image's axes, without channels or with classes."""
    shape, dtype = result_shape_and_dtype(trained, view, kind)
    axes = grid.without(view.layout.channel)
    if kind == "image":
        channels = len(shape) > len(axes.axes)
        kept = grid if view.layout.channel is not None else axes.with_first("c")
        return ImageSpec(shape, dtype, kept if channels else axes)
    if kind == "labels":
        return ImageSpec(shape, dtype, axes)
    return ImageSpec(shape, dtype, axes.with_first("c"), tuple(map(str, trained.classes)))


def network(config: Architecture, input_shape: Sequence[int] | None = None, batch: int = 1) -> str:
    """Return a network's layers, which sizes fit through it, and what it costs.

    Raises
    ------
    InputError
        Where `input_shape` does not fit; the message names the nearest sizes that do.
    """
    side = COVERED[config.ndim]
    shape = input_shape or [axis.input_for(side) for axis in config.passing]
    rows = shape_table(config, shape)
    found = network_cost(config, shape, batch)
    lines = [config.title, "", format_table(rows), ""]
    for name, axis, context, seen in zip(
        "zyx"[-config.ndim :], config.passing, found.context, found.receptive_field, strict=True
    ):
        first = ", ".join(map(str, axis.allowed_inputs(axis.smallest_input + 3 * axis.stride)))
        lines.append(
            f"{name}: inputs {first}, ... (every {axis.stride}); context {context}, "
            f"that is {context // 2} on each side; receptive field {seen}"
        )
    return "\n".join([*lines, "", *(f"{name:<18}{text}" for name, text in costs(found))])


def costs(found: NetworkCost) -> list[tuple[str, str]]:
    """Return what a network cuts off, computes and holds in memory, as pairs of name and text."""
    images = "1 image" if found.batch == 1 else f"{found.batch} images"
    tile, sums = times(found.shape), found.multiply_adds_per_voxel
    work = f"{sums:,.0f} multiply-adds, that is {2 * sums:,.0f} FLOPs, per voxel of the output"
    return [
        ("input -> output", f"{tile} -> {times(found.output)}"),
        ("cut per side", times(found.crop)),
        ("computing", work),
        ("to train", f"about {megabytes(found.training_bytes)} for a batch of {images} of {tile}"),
        ("to predict", f"about {megabytes(found.prediction_bytes)} for a tile of {tile}"),
    ]


def model(trained: TrainedModel) -> Table:
    """Return what a model is, what it learned from and how well."""
    facts = dict(trained.training)
    validated, painted = facts.pop("validation", {}), facts.pop("painted", {})
    scores = validated.get("IoU") or [None] * len(trained.classes)
    table = Table.grid(padding=(0, 2))
    rows = [("task", trained.task), *_network_facts(trained.config), *_pixels(trained)]
    for info, score in zip(trained.classes, scores, strict=True):
        count = painted.get(str(info))
        parts = [f"label {info.value}"]
        parts += [] if count is None else [f"{count:,} pixels painted"]
        rows.append((str(info), ", ".join([*parts, f"IoU {rounded(score)}"])))
    if validated:
        rows.append(("validation", f"{validated['pixels']:,} pixels held out"))
    rows += [(key, _plain(value)) for key, value in facts.items() if value not in (None, {}, [])]
    rows.append(("fingerprint", trained.digest))
    for key, value in rows:
        table.add_row(Text(key, style="bold"), Text(value))
    return table


def scores(results: Iterable[DemoResult]) -> Table:
    """Return the IoU of each class of the demo against the truth."""
    table = Table("sample", "class", box=None)
    table.add_column("IoU, all", justify="right")
    table.add_column("IoU, unpainted", justify="right")
    table.add_column("truth")
    for found in results:
        for i, (name, everywhere) in enumerate(found.everywhere.items()):
            first = (found.name, found.truth) if i == 0 else ("", "")
            unpainted = rounded(found.unpainted[name])
            table.add_row(first[0], Text(name), rounded(everywhere), unpainted, first[1])
        means = [_mean(s.values()) for s in (found.everywhere, found.unpainted)]
        table.add_row("", "mean", *map(rounded, means), style="bold", end_section=True)
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


def _pixels(trained: TrainedModel) -> list[tuple[str, str]]:
    n = trained.normalisation
    each = ", ".join(f"({o:.4g}, {s:.4g})" for o, s in zip(n.offset, n.scale, strict=True))
    rows = [("normalisation", f"{n.kind}: {each} per channel")]
    return rows + [("spacing", times(f"{s:g}" for s in trained.spacing))] * bool(trained.spacing)


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return str(value)


def _mean(scores: Iterable[float | None]) -> float | None:
    known = [s for s in scores if s is not None]
    return sum(known) / len(known) if known else None


def rounded(score: float | None) -> str:
    """Return a score for people; a dash where there is none."""
    return "-" if score is None else f"{score:.3f}"
