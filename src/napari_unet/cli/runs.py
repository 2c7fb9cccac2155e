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
"""Columns that are aligned to the right."""

MAX_WIDTH = 10_000
"""Width of the table, in characters."""

MAX_CELL = 40
"""Width of a cell, in characters."""


@app.command()
def runs(
    folder: Annotated[
        Path, typer.Argument(help="The folder that was passed to the trainings as --runs.")
    ],
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Write CSV with all digits, for a spreadsheet.")
    ] = False,
    differ: Annotated[
        bool, typer.Option("--differ", help="Show only the settings that differ between runs.")
    ] = False,
) -> None:
    """Compare the trainings that were recorded in a folder, the oldest first."""
    summaries = list_runs(folder)
    if not summaries:
        say(f"There are no runs in {folder}.", "yellow")
        return
    rows = differing_rows(summaries) if differ else summary_rows(summaries, exact=as_csv)
    if as_csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
    else:
        # Not wrapped at the width of the terminal, because a wrapped table is unreadable.
        Console(highlight=False, width=MAX_WIDTH).print(runs_table(rows))


def runs_table(rows: Sequence[Sequence[str]]) -> Table:
    """Return a table for the terminal; the first row is the header."""
    table = Table(box=None)
    for title in rows[0]:
        number = title in NUMBERS or title.startswith("score")
        table.add_column(Text(title), justify="right" if number else "left", no_wrap=True)
    for row in rows[1:]:
        cells = (c if len(c) <= MAX_CELL else c[: MAX_CELL - 1] + "…" for c in row)
        table.add_row(*map(Text, cells))
    return table


def summary_rows(summaries: Sequence[RunSummary], exact: bool = False) -> list[list[str]]:
    """Return the results of runs as rows, the first of which is the header.

    Parameters
    ----------
    summaries : sequence of RunSummary
        The runs.
    exact : bool
        Whether numbers have all digits, and the hash of the strokes is complete.
    """
    classes = list(dict.fromkeys(name for run in summaries for name in run.scores))
    header = ["run", "task", "status", "steps", "seconds", "network", "parameters"]
    header += ["held-out loss", "metric", "mean", *(f"score: {name}" for name in classes)]
    header += ["seed", "strokes"]
    return [header, *(_summary_row(run, classes, exact) for run in summaries)]


def differing_rows(summaries: Sequence[RunSummary]) -> list[list[str]]:
    """Return the settings that differ as rows, the first of which is the header."""
    settings = differing(summaries)
    columns = [[_value_text(value) for value in values] for values in settings.values()]
    lines = zip([run.name for run in summaries], *columns, strict=True)
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
        run.score if isinstance(run.score, str) else number(run.score, 3),
        *scores,
        _value_text(run.seed),
        strokes if exact else strokes[:8],
    ]


def _value_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value_text, value))
    return "" if value is None else str(value)
