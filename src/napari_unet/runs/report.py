"""A run as one page to show to somebody: no other file, no network, no program in it.

Everything that a user wrote is escaped; nothing on the page is executed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isclose, log10
from typing import Any

from napari_unet._version import __version__
from napari_unet.runs.pictures import RGB, colours_of, data_url, hex_of, preview_rgb
from napari_unet.runs.state import Curve, RunState, last_scores, smoothed
from napari_unet.training.metrics import Scores, accuracy, dice, mean, recall

WIDTH, HEIGHT = 360, 236
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 44, 38
"""The picture's size and the margins around what is drawn, in units of the SVG."""

LOG_FROM = 20.0
"""How many times larger than the smallest the largest value is where the scale is logarithmic."""

XY = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class PlotLine:
    """One curve: its name (empty: not in the legend), a CSS colour, and points (x, y).

    `faint` lines lie behind the others; `dots` marks each point.
    """

    name: str
    colour: str
    points: XY
    faint: bool = False
    dots: bool = False


@dataclass(frozen=True)
class _Scale:
    """From values to places along one axis."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        if self.log:
            low = log10(self.low)
            part = (log10(value) - low) / (log10(self.high) - low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.stop - self.start)


def plot(
    title: str,
    lines: Sequence[PlotLine],
    x_title: str = "step",
    limits: tuple[float, float] | None = None,
    log: bool = False,
) -> str:
    """Return curves as an SVG.

    Parameters
    ----------
    title : str
        Above it.
    lines : sequence of Line
        What is drawn; values are finite.
    x_title : str
        Below it.
    limits : tuple of float, optional
        Lowest and highest value of the y axis; by default what the lines need.
    log : bool
        Whether the y axis is logarithmic where the values span more than `LOG_FROM`.

    Returns
    -------
    str
        An ``svg`` element that takes its colours from the page; empty without any points.
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
        *_grid(x, y, x_title),
        *(part for line in sorted(drawn, key=lambda line: not line.faint)
          for part in _line(line, x, y)),
        *_legend([line for line in drawn if line.name]),
        "</svg>",
    ]  # fmt: skip
    return "\n".join(parts)


def ticks(low: float, high: float, log: bool = False, most: int = 6) -> list[float]:
    """Return round numbers between two numbers.

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
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def _scales(
    lines: Sequence[PlotLine], limits: tuple[float, float] | None, log: bool
) -> tuple[_Scale, _Scale]:
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    low, high = limits or (min(ys), max(ys))
    log = log and limits is None and low > 0 and high / low > LOG_FROM
    if limits is None and not log:
        low, high = min(low, 0.0 if low >= 0 else low), high + 0.04 * (high - low)
    x = _Scale(*_apart(min(0.0, *xs), max(xs)), LEFT, WIDTH - RIGHT)
    return x, _Scale(*_apart(low, high), HEIGHT - BOTTOM, TOP, log)


def _apart(low: float, high: float) -> tuple[float, float]:
    """Give a single value some room."""
    if high > low and not isclose(low, high, rel_tol=1e-9, abs_tol=1e-300):
        return low, high
    room = abs(high) / 2 or 1.0
    return low - room, high + room


def _grid(x: _Scale, y: _Scale, x_title: str) -> Iterator[str]:
    for value in ticks(y.low, y.high, y.log):
        at = f"{y(value):.1f}"
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}" class="grid"/>'
        yield f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" class="tick" text-anchor="end">'
        yield f"{value:g}</text>"
    for value in ticks(x.low, x.high):
        place = f'x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 16}"'
        yield f'<text {place} class="tick" text-anchor="middle">{_short(value)}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 6}" class="tick" text-anchor="middle">'
    yield f"{escape(x_title)}</text>"


def _line(line: PlotLine, x: _Scale, y: _Scale) -> Iterator[str]:
    places = [(x(a), y(min(max(b, y.low), y.high))) for a, b in line.points]
    way = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    colour = escape(line.colour)
    opacity = ' opacity="0.3"' if line.faint else ""
    width = 1 if line.faint else 2
    yield f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="{width}" '
    yield f'stroke-linejoin="round"{opacity}/>'
    if line.dots or len(places) == 1:
        yield from (f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5" fill="{colour}"/>'
                    for a, b in places)  # fmt: skip


def _legend(lines: Sequence[PlotLine]) -> Iterator[str]:
    """Name the lines in a row below the title, as many as fit."""
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


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1 and value == round(value) else f"{value:g}"


CSS = """
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

Pictures = Sequence[tuple[str, RGB]]


def report(story: RunState, name: str, pictures: Pictures = ()) -> str:
    """Return the page.

    Parameters
    ----------
    story : Story
        What happened.
    name : str
        The run's name.
    pictures : sequence of (str, ndarray)
        Captions and pictures (y, x, 3) of uint8.
    """
    title = f"{TITLES.get(story.task, story.task)} · {name}"
    parts = (
        *_head(story, name), *_warnings(story), *_figures(story), *_plots(story),
        *_classes(story), *_pictures(story, pictures), *_reproduction(story), *_details(story),
    )  # fmt: skip
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>",
            *parts,
            f'<p class="soft">Written by napari-unet-live {escape(__version__)}.</p>',
            "</main>\n</body>\n</html>\n",
        ]
    )


def duration(seconds: float) -> str:
    """Return how long something took.

    Examples
    --------
    >>> duration(0.44), duration(59.6), duration(3723)
    ('0.4 s', '60 s', '1:02:03 h')
    """
    if seconds < 100:  # below that nobody counts in minutes
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def _head(story: RunState, name: str) -> Iterator[str]:
    kind = story.status.partition(":")[0]
    yield f"<h1>{escape(TITLES.get(story.task, story.task))}</h1>"
    device = f" · {story.started.device}" if story.started else ""
    yield f'<p class="soft">{escape(name)} · {story.began:%d %B %Y, %H:%M:%S} UTC{escape(device)}'
    yield f' <span class="status {escape(kind)}">{escape(story.status)}</span></p>'


def _warnings(story: RunState) -> Iterator[str]:
    for kind, message in story.said:
        if kind == "warning":
            yield f'<p class="warning">{escape(message)}</p>'


def _figures(story: RunState) -> Iterator[str]:
    """Show the few numbers that are asked for first."""
    last = story.last
    figures = {"steps": f"{story.step:,}", "training": duration(story.elapsed)}
    if last is not None:
        figures["held-out loss"] = f"{last.loss:.3g}"
        if last.mean is not None:
            figures[f"mean {last.metric}, held out"] = f"{last.mean:.3f}"
        if (right := accuracy(last.confusion)) is not None:
            figures["pixels right, held out"] = f"{right:.1%}"
        if last.psnr is not None:
            figures["PSNR, held out"] = f"{last.psnr:.1f} dB"
    if story.counts:
        figures["painted pixels"] = f"{sum(story.counts):,}"
    if story.started:
        figures["parameters"] = f"{story.started.parameters:,}"
    cards = (f'<div class="card"><b>{escape(v)}</b>{escape(k)}</div>' for k, v in figures.items())
    yield f'<div class="figures">{"".join(cards)}</div>'


def _plots(story: RunState) -> Iterator[str]:
    metric = story.last.metric if story.last else ""
    names = [str(c) for c in story.classes] or [metric]
    colours = [hex_of(c) for c in colours_of(story.classes).values()] or ["var(--rate)"]
    scores = [
        PlotLine(name, colour, _xy(curve), dots=True)
        for name, colour, curve in zip(names, colours, story.scores, strict=False)
    ]
    loss = story.loss.points
    drawn = (
        plot("Loss", [
            PlotLine("", "var(--loss)", _xy(story.loss), faint=True),
            PlotLine("training", "var(--loss)", smoothed(loss)),
            PlotLine("held out", "var(--held-out)", _xy(story.held_out), dots=True),
        ], log=True),
        plot(f"{metric}, held out", scores, limits=(0.0, 1.0) if story.classes else None),
        plot("Learning rate", [PlotLine("", "var(--rate)", _xy(story.rate))]),
    )  # fmt: skip
    cards = [f'<div class="card">{svg}</div>' for svg in drawn if svg]
    if cards:
        yield f'<h2>Course of the training</h2><div class="plots">{"".join(cards)}</div>'


def _xy(curve: Curve) -> XY:
    return [(point.x, point.y) for point in curve.points]


def _classes(story: RunState) -> Iterator[str]:
    found, last = list(last_scores(story)), story.last
    if not found:
        return
    columns: dict[str, Scores] = {}
    if last is not None:
        columns[last.metric] = tuple(score for *_, score in found)
        if last.confusion:
            columns |= {"Dice": dice(last.confusion), "found": recall(last.confusion)}
    colours = colours_of(story.classes)
    heads = "".join(f'<th class="number">{escape(h)}</th>' for h in ("painted", *columns))
    yield f"<h2>Classes</h2><table><tr><th>class</th><th>label</th>{heads}</tr>"
    for k, (info, name, count, _) in enumerate(found):
        swatch = f'<span class="swatch" style="background:{hex_of(colours[info.value])}"></span>'
        painted = "–" if count is None else f"{count:,}"
        numbers = (painted, *(_score(scores, k) for scores in columns.values()))
        cells = "".join(f'<td class="number">{n}</td>' for n in numbers)
        yield f"<tr><td>{swatch}{escape(name)}</td><td>{info.value}</td>{cells}</tr>"
    means = "".join(f'<td class="number">{_score([mean(c)], 0)}</td>' for c in columns.values())
    yield f'<tr class="mean"><td>mean</td><td></td><td></td>{means}</tr></table>' * bool(columns)
    yield "</table>" * (not columns)
    if last is not None:
        yield f'<p class="soft">On {last.pixels:,} held-out pixels, step {last.step:,}.</p>'


def _score(scores: Sequence[float | None], k: int) -> str:
    score = scores[k] if k < len(scores) else None
    return "–" if score is None else f"{score:.3f}"


def _pictures(story: RunState, pictures: Pictures) -> Iterator[str]:
    shown = list(pictures)
    if story.preview is not None:
        drawn = preview_rgb(story.preview, colours_of(story.classes))
        shown.append((f"preview at step {story.preview.step:,}", drawn))
    if shown:
        yield '<h2>Pictures</h2><div class="pictures">'
        for caption, picture in shown:
            yield f'<figure><img alt="{escape(caption)}" src="{data_url(picture)}">'
            yield f"<figcaption>{escape(caption)}</figcaption></figure>"
        yield "</div>"


def _reproduction(story: RunState) -> Iterator[str]:
    made = story.made
    if made:
        yield f"<h2>To make it again</h2><pre>{escape(made['commands'][0])}</pre>"
        yield from (f'<p class="soft">{escape(note)}</p>' for note in made["notes"])


def _details(story: RunState) -> Iterator[str]:
    facts, config = story.facts(), story.config()
    began = story.started
    rows = {
        "network": facts["network"],
        "device": began and f"{began.device}, threads: {began.threads}",
        "patch": began and " × ".join(map(str, began.patch)) + " voxels",
        "patches per step": began and began.batch_size,
        "seed": config["seed"],
        "strokes (SHA-256)": config["strokes"],
        "model (fingerprint)": facts["fingerprint"],
        "versions": _told(config["versions"]),
        "learned from": ", ".join(f for pair in config["sources"] for f in pair),
        "decided by itself": " ".join(m for kind, m in story.said if kind == "note"),
    }
    yield f"<h2>Settings</h2>{_table(rows)}"
    if config["options"]:
        yield f"<details><summary>All options</summary>{_table(config['options'])}</details>"


def _table(rows: Mapping[str, Any]) -> str:
    told = ((name, _told(value)) for name, value in rows.items() if value not in (None, "", {}, []))
    lines = (
        f'<tr><td class="name">{escape(name)}</td><td>{escape(text)}</td></tr>'
        for name, text in told
    )
    return f"<table>{''.join(lines)}</table>"


def _told(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_told(part)}" for name, part in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
