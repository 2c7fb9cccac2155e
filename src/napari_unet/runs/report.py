"""The report of a run: one HTML page without other files, network access or scripts.

All text that a user wrote is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isclose, log10
from typing import Any

from napari_unet._version import __version__
from napari_unet.display import duration, hex_colour, score_text, voxels
from napari_unet.runs.curve import Curve
from napari_unet.runs.pictures import RGB, class_colours, data_url, preview_rgb
from napari_unet.runs.state import RunState, last_scores
from napari_unet.training.metrics import Scores, accuracy, dice, mean, recall

WIDTH = 360
HEIGHT = 236
"""Size of a plot, in units of the SVG."""

LEFT = 48
RIGHT = 10
TOP = 44
BOTTOM = 38
"""Margins around the axes of a plot, in units of the SVG."""

LOG_FROM = 20.0
"""Ratio of the largest to the smallest value from which on a scale is logarithmic."""

MAX_POINTS = 400
"""Greatest number of points of a plotted curve."""

XY = Sequence[tuple[float, float]]
"""Points (x, y) of a curve."""


@dataclass(frozen=True)
class PlotLine:
    """A line of a plot.

    Parameters
    ----------
    name : str
        In the legend; empty for a line that is not listed there.
    colour : str
        A CSS colour.
    points : sequence of (float, float)
        x and y, all finite.
    faint : bool
        Whether it is thin, transparent, and behind the other lines.
    dots : bool
        Whether each point is marked.
    """

    name: str
    colour: str
    points: XY
    faint: bool = False
    dots: bool = False


@dataclass(frozen=True)
class _Scale:
    """Maps values to coordinates along one axis of the SVG."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        if self.log:
            low = log10(self.low)
            fraction = (log10(value) - low) / (log10(self.high) - low)
        else:
            fraction = (value - self.low) / (self.high - self.low)
        return self.start + fraction * (self.stop - self.start)


def plot(
    title: str,
    lines: Sequence[PlotLine],
    x_title: str = "step",
    limits: tuple[float, float] | None = None,
    log: bool = False,
) -> str:
    """Return a plot of lines as SVG.

    Parameters
    ----------
    title : str
        Shown above the plot.
    lines : sequence of PlotLine
        Lines without points are left out.
    x_title : str
        Label of the x axis.
    limits : tuple of float, optional
        Lowest and highest value of the y axis; by default those of the lines.
    log : bool
        Whether the y axis is logarithmic if the ratio of the values exceeds `LOG_FROM`.

    Returns
    -------
    str
        An ``svg`` element, styled by the CSS of the page; empty without any points.
    """
    drawn = [line for line in lines if line.points]
    if not drawn:
        return ""
    x, y = _scales(drawn, limits, log)
    head = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" '
        'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif">'
    )
    parts = [
        head,
        f'<text x="{LEFT}" y="16" class="title">{escape(title)}</text>',
        *_axes(x, y, x_title),
        *(part for line in sorted(drawn, key=lambda line: not line.faint)
          for part in _line(line, x, y)),
        *_legend([line for line in drawn if line.name]),
        "</svg>",
    ]  # fmt: skip
    return "\n".join(parts)


def ticks(low: float, high: float, log: bool = False, most: int = 6) -> list[float]:
    """Return the ticks of an axis: round numbers between two limits.

    Parameters
    ----------
    low, high : float
        Limits of the axis; above 0 if it is logarithmic.
    log : bool
        Whether the axis is logarithmic.
    most : int
        Greatest number of ticks of a linear axis.

    Examples
    --------
    >>> ticks(0, 1), ticks(3, 470)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [100.0, 200.0, 300.0, 400.0])
    >>> ticks(0.02, 3, log=True), ticks(0.002, 30, log=True)
    ([0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0], [0.01, 0.1, 1.0, 10.0])
    """
    if log:
        decades = range(floor(log10(low)), floor(log10(high)) + 1)
        parts = (1, 2, 5) if high / low < 1e3 else (1,)
        found = [float(f"{f}e{k}") for k in decades for f in parts]
        return [value for value in found if low <= value <= high]
    step = 10.0 ** floor(log10((high - low) / (most - 1)))
    step *= next(f for f in (1, 2, 5, 10) if (high - low) / (f * step) <= most - 1 + 1e-9)
    first = ceil(low / step - 1e-9)
    last = floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def _scales(
    lines: Sequence[PlotLine], limits: tuple[float, float] | None, log: bool
) -> tuple[_Scale, _Scale]:
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    low, high = limits or (min(ys), max(ys))
    log = log and limits is None and low > 0 and high / low > LOG_FROM
    if limits is None and not log:
        high += 0.04 * (high - low)
        low = min(low, 0.0)
    x = _Scale(*_with_extent(min(0.0, *xs), max(xs)), LEFT, WIDTH - RIGHT)
    return x, _Scale(*_with_extent(low, high), HEIGHT - BOTTOM, TOP, log)


def _with_extent(low: float, high: float) -> tuple[float, float]:
    """Return limits that differ, also if all values are the same."""
    if high > low and not isclose(low, high, rel_tol=1e-9, abs_tol=1e-300):
        return low, high
    room = abs(high) / 2 or 1.0
    return low - room, high + room


def _axes(x: _Scale, y: _Scale, x_title: str) -> Iterator[str]:
    for value in ticks(y.low, y.high, y.log):
        height = f"{y(value):.1f}"
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height}" y2="{height}" class="grid"/>'
        yield f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" class="tick" text-anchor="end">'
        yield f"{value:g}</text>"
    for value in ticks(x.low, x.high):
        position = f'x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 16}"'
        yield f'<text {position} class="tick" text-anchor="middle">{_tick_label(value)}</text>'
    centre = (LEFT + WIDTH - RIGHT) / 2
    yield f'<text x="{centre}" y="{HEIGHT - 6}" class="tick" text-anchor="middle">'
    yield f"{escape(x_title)}</text>"


def _line(line: PlotLine, x: _Scale, y: _Scale) -> Iterator[str]:
    points = [(x(a), y(min(max(b, y.low), y.high))) for a, b in line.points]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    colour = escape(line.colour)
    opacity = ' opacity="0.3"' if line.faint else ""
    width = 1 if line.faint else 2
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}" '
    yield f'stroke-linejoin="round"{opacity}/>'
    if line.dots or len(points) == 1:
        yield from (f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5" fill="{colour}"/>'
                    for a, b in points)  # fmt: skip


def _legend(lines: Sequence[PlotLine]) -> Iterator[str]:
    """Yield the entries of the legend, in a row below the title, as many as fit."""
    left = float(LEFT)
    for line in lines:
        name = line.name if len(line.name) <= 18 else line.name[:17] + "…"
        width = 6.0 * len(name) + 14
        if left + width > WIDTH:
            return
        yield f'<rect x="{left:.0f}" y="24" width="9" height="9" rx="2" '
        yield f'fill="{escape(line.colour)}"/>'
        yield f'<text x="{left + 13:.0f}" y="32" class="tick">{escape(name)}</text>'
        left += width + 14


def _tick_label(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1 and value == round(value) else f"{value:g}"


_CSS = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6875; --page: #f4f6f8;
  --card: #ffffff; --rule: #dfe4ea; --loss: #2f6fb0; --held-out: #d1661b; --rate: #16866a;
  --good: #16866a; --bad: #b3362b; --warn: #8a5a00; --warn-back: #fdf3dc; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaef; --soft: #9aa6b2; --page: #14181d;
  --card: #1d232a; --rule: #323b45; --loss: #6db3f2; --held-out: #f2a25c; --rate: #4fc3a1;
  --good: #4fc3a1; --bad: #f08072; --warn: #f1cb7a; --warn-back: #352c17; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 32px 20px 60px; }
h1 { font-size: 26px; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 34px 0 10px; }
p { margin: 6px 0; } .soft { color: var(--soft); }
.status { display: inline-block; padding: 1px 10px; border-radius: 99px; font-size: 13px;
  border: 1px solid currentColor; color: var(--soft); }
.status.finished { color: var(--good); } .status.failed { color: var(--bad); }
.figures, .plots, .pictures { display: grid; gap: 14px; }
.figures { grid-template-columns: repeat(auto-fit, minmax(118px, 1fr)); margin-top: 20px; }
.plots { grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); }
.pictures { grid-template-columns: repeat(auto-fill, minmax(380px, 1fr)); }
.card, figure { background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 12px 16px; margin: 0; }
.card b { display: block; font-size: 20px; font-weight: 600; }
.figures .card { font-size: 13px; padding: 10px 12px; color: var(--soft); }
.figures b { color: var(--ink); }
figure img { width: 100%; display: block; border-radius: 4px; }
figcaption { padding-top: 8px; color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; display: block; }
svg .title { fill: var(--ink); font-size: 13px; font-weight: 600; }
svg .tick { fill: var(--soft); font-size: 11px; }
svg .grid { stroke: var(--rule); stroke-width: 1; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 5px 14px 5px 0; vertical-align: top;
  border-bottom: 1px solid var(--rule); overflow-wrap: anywhere; }
th { font-weight: 600; color: var(--soft); font-size: 13px; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.name { width: 190px; color: var(--soft); } tr.mean td { font-weight: 600; }
.swatch { display: inline-block; width: 12px; height: 12px; border-radius: 3px;
  margin-right: 8px; vertical-align: -1px; }
pre { background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 12px 16px; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; }
.warning { background: var(--warn-back); color: var(--warn); border-radius: 8px;
  padding: 8px 14px; margin: 6px 0; }
@media print { body { background: #fff; } .card, figure, pre { break-inside: avoid; } }
"""


TITLES = {
    "segment": "Segmentation", "denoise": "Denoising",
    "restore": "Restoration", "inpaint": "Filling in",
}  # fmt: skip
"""Headings by task."""

Pictures = Sequence[tuple[str, RGB]]
"""Captions and pictures."""


def report(state: RunState, name: str, pictures: Pictures = ()) -> str:
    """Return the report of a run as HTML.

    Parameters
    ----------
    state : RunState
        What is known of the run.
    name : str
        Its name.
    pictures : sequence of (str, ndarray)
        Captions and pictures, uint8 with axes (y, x, 3).

    Returns
    -------
    str
    """
    title = f"{TITLES.get(state.task, state.task)} · {name}"
    parts = (
        *_head(state, name), *_warnings(state), *_key_figures(state), *_plots(state),
        *_class_table(state), *_pictures(state, pictures), *_reproduction(state), *_details(state),
    )  # fmt: skip
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<main>",
            *parts,
            f'<p class="soft">Written by napari-unet-live {escape(__version__)}.</p>',
            "</main>\n</body>\n</html>\n",
        ]
    )


def _head(state: RunState, name: str) -> Iterator[str]:
    kind = state.status.partition(":")[0]
    yield f"<h1>{escape(TITLES.get(state.task, state.task))}</h1>"
    device = f" · {state.started.device}" if state.started else ""
    yield f'<p class="soft">{escape(name)} · {state.began:%d %B %Y, %H:%M:%S} UTC{escape(device)}'
    yield f' <span class="status {escape(kind)}">{escape(state.status)}</span></p>'


def _warnings(state: RunState) -> Iterator[str]:
    for kind, message in state.messages:
        if kind == "warning":
            yield f'<p class="warning">{escape(message)}</p>'


def _key_figures(state: RunState) -> Iterator[str]:
    """Yield the cards with the most important numbers."""
    last = state.last
    figures = {"steps": f"{state.step:,}", "training": duration(state.elapsed)}
    if last is not None:
        figures["held-out loss"] = f"{last.loss:.3g}"
        if last.scores:
            figures[f"mean {last.metric}, held out"] = score_text(last.mean, 3)
        if (correct := accuracy(last.confusion)) is not None:
            figures["pixels right, held out"] = f"{correct:.1%}"
        if last.psnr is not None:
            figures["PSNR, held out"] = f"{last.psnr:.1f} dB"
    if state.counts:
        figures["painted pixels"] = f"{sum(state.counts):,}"
    if state.started:
        figures["parameters"] = f"{state.started.parameters:,}"
    cards = (f'<div class="card"><b>{escape(v)}</b>{escape(k)}</div>' for k, v in figures.items())
    yield f'<div class="figures">{"".join(cards)}</div>'


def _plots(state: RunState) -> Iterator[str]:
    metric = state.last.metric if state.last else ""
    names = [str(c) for c in state.classes] or [metric]
    colours = [hex_colour(c) for c in class_colours(state.classes).values()] or ["var(--rate)"]
    scores = [
        PlotLine(name, colour, _points(curve), dots=True)
        for name, colour, curve in zip(names, colours, state.scores, strict=False)
    ]
    drawn = (
        plot("Loss", [
            PlotLine("", "var(--loss)", _points(state.loss), faint=True),
            PlotLine("training", "var(--loss)", _points(state.loss, smooth=True)),
            PlotLine("held out", "var(--held-out)", _points(state.held_out), dots=True),
        ], log=True),
        plot(f"{metric}, held out", scores, limits=(0.0, 1.0) if state.classes else None),
        plot("Learning rate", [PlotLine("", "var(--rate)", _points(state.rate))]),
    )  # fmt: skip
    cards = [f'<div class="card">{svg}</div>' for svg in drawn if svg]
    if cards:
        yield f'<h2>Course of the training</h2><div class="plots">{"".join(cards)}</div>'


def _points(curve: Curve, smooth: bool = False) -> XY:
    x, y = curve.smooth(MAX_POINTS) if smooth else curve.points(MAX_POINTS)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _class_table(state: RunState) -> Iterator[str]:
    classes = list(last_scores(state))
    last = state.last
    if not classes:
        return
    columns: dict[str, Scores] = {}
    if last is not None:
        columns[last.metric] = tuple(score for *_, score in classes)
        if last.confusion:
            columns |= {"Dice": dice(last.confusion), "found": recall(last.confusion)}
    colours = class_colours(state.classes)
    heads = "".join(f'<th class="number">{escape(h)}</th>' for h in ("painted", *columns))
    yield f"<h2>Classes</h2><table><tr><th>class</th><th>label</th>{heads}</tr>"
    for k, (info, name, count, _) in enumerate(classes):
        swatch = (
            f'<span class="swatch" style="background:{hex_colour(colours[info.value])}"></span>'
        )
        painted = "–" if count is None else f"{count:,}"
        numbers = (painted, *(_score_text(scores, k) for scores in columns.values()))
        cells = "".join(f'<td class="number">{n}</td>' for n in numbers)
        yield f"<tr><td>{swatch}{escape(name)}</td><td>{info.value}</td>{cells}</tr>"
    means = "".join(f'<td class="number">{score_text(mean(c), 3)}</td>' for c in columns.values())
    if columns:
        yield f'<tr class="mean"><td>mean</td><td></td><td></td>{means}</tr>'
    yield "</table>"
    if last is not None:
        yield f'<p class="soft">On {last.pixels:,} held-out pixels, step {last.step:,}.</p>'


def _score_text(scores: Sequence[float | None], k: int) -> str:
    return score_text(scores[k], 3) if k < len(scores) else "–"


def _pictures(state: RunState, pictures: Pictures) -> Iterator[str]:
    shown = list(pictures)
    if state.preview is not None:
        drawn = preview_rgb(state.preview, class_colours(state.classes))
        shown.append((f"preview at step {state.preview.step:,}", drawn))
    if shown:
        yield '<h2>Images</h2><div class="pictures">'
        for caption, picture in shown:
            yield f'<figure><img alt="{escape(caption)}" src="{data_url(picture)}">'
            yield f"<figcaption>{escape(caption)}</figcaption></figure>"
        yield "</div>"


def _reproduction(state: RunState) -> Iterator[str]:
    provenance = state.provenance
    if provenance:
        yield f"<h2>To reproduce it</h2><pre>{escape(provenance['commands'][0])}</pre>"
        yield from (f'<p class="soft">{escape(note)}</p>' for note in provenance["notes"])


def _details(state: RunState) -> Iterator[str]:
    facts = state.facts()
    config = state.config()
    started = state.started
    rows = {
        "network": facts["network"],
        "device": started and f"{started.device}, threads: {started.threads}",
        "patch": started and " × ".join(map(str, started.patch)) + f" {voxels(len(started.patch))}",
        "patches per step": started and started.batch_size,
        "seed": config["seed"],
        "strokes (SHA-256)": config["strokes"],
        "model ID (SHA-256)": facts["fingerprint"],
        "versions": _value_text(config["versions"]),
        "trained on": ", ".join(file for files in config["sources"] for file in files),
        "chosen automatically": " ".join(m for kind, m in state.messages if kind == "note"),
    }
    yield f"<h2>Settings</h2>{_table(rows)}"
    if config["options"]:
        yield f"<details><summary>All options</summary>{_table(config['options'])}</details>"


def _table(rows: Mapping[str, Any]) -> str:
    texts = {
        name: _value_text(value) for name, value in rows.items() if value not in (None, "", {}, [])
    }
    lines = (
        f'<tr><td class="name">{escape(name)}</td><td>{escape(text)}</td></tr>'
        for name, text in texts.items()
    )
    return f"<table>{''.join(lines)}</table>"


def _value_text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_value_text(part)}" for name, part in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
