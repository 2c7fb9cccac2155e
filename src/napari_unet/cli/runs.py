"""The command that compares the runs of a folder."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from napari_unet.cli.commands import app
from napari_unet.cli.output import say
from napari_unet.runs.listing import RunSummary, differing, list_runs

NUMBERS = {"steps", "seconds", "parameters", "held-out loss", "mean", "seed"}
"""Columns that are aligned at the right."""

WIDEST, LONGEST = 10_000, 40
"""Characters of a table, and of one cell in it."""


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(help="What was given as --runs to the trainings.")],
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Write it as CSV, with all digits, for a spreadsheet.")
    ] = False,
    differ: Annotated[
        bool, typer.Option("--differ", help="Only the settings that differ between the runs.")
    ] = False,
) -> None:
    """Compare the trainings that were kept in a folder, the oldest first."""
    found = list_runs(folder)
    if not found:
        say(f"There are no runs in {folder}.", "yellow")
        return
    rows = differing_rows(found) if differ else summary_rows(found, exact=as_csv)
    if as_csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
    else:
        # As it is, whatever the width of the terminal: a table that is wrapped cannot be read.
        Console(highlight=False, width=WIDEST).print(runs_table(rows))


def runs_table(rows: Sequence[Sequence[str]]) -> Table:
    """Return rows, the first of them the heads, as a table for the terminal."""
    table = Table(box=None)
    for head in rows[0]:
        number = head in NUMBERS or head.startswith("score")
        table.add_column(Text(head), justify="right" if number else "left", no_wrap=True)
    for row in rows[1:]:
        cells = (c if len(c) <= LONGEST else c[: LONGEST - 1] + "…" for c in row)
        table.add_row(*map(Text, cells))
    return table


def summary_rows(found: Sequence[RunSummary], exact: bool = False) -> list[list[str]]:
    """Return what came of each run, heads first; `exact` with all digits and digests."""
    classes = list(dict.fromkeys(name for run in found for name in run.scores))
    heads = ["run", "task", "status", "steps", "seconds", "network", "parameters"]
    heads += ["held-out loss", "metric", "mean", *(f"score: {name}" for name in classes)]
    heads += ["seed", "strokes"]
    return [heads, *(_summary_row(run, classes, exact) for run in found)]


def differing_rows(found: Sequence[RunSummary]) -> list[list[str]]:
    """Return the settings that differ, a column for each, heads first."""
    settings = differing(found)
    columns = [[_plain(value) for value in values] for values in settings.values()]
    lines = zip([run.name for run in found], *columns, strict=True)
    return [["run", *settings], *map(list, lines)]


def _summary_row(run: RunSummary, classes: Sequence[str], exact: bool) -> list[str]:
    def number(value: float | None, digits: int) -> str:
        if value is None:
            return ""
        return f"{value!r}" if exact else f"{value:,.{digits}f}"

    scores = [number(run.scores.get(name), 3) for name in classes]
    strokes = run.strokes or ""
    return [
        run.name,
        run.task,
        run.status,
        number(run.steps, 0),
        number(run.seconds, 1),
        run.network,
        number(run.parameters, 0),
        number(run.held_out_loss, 4),
        run.metric,
        number(run.mean_score, 3),
        *scores,
        _plain(run.seed),
        strokes if exact else strokes[:8],
    ]


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return "" if value is None else str(value)
