"""Curves as SVG, drawn by ourselves: a page needs no program to show them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isclose, log10

WIDTH, HEIGHT = 360, 236
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 44, 38
"""The picture's size and the margins around what is drawn, in units of the SVG."""

LOG_FROM = 20.0
"""How many times larger than the smallest the largest value is where the scale is logarithmic."""

XY = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
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
    lines: Sequence[Line],
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
    lines: Sequence[Line], limits: tuple[float, float] | None, log: bool
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


def _line(line: Line, x: _Scale, y: _Scale) -> Iterator[str]:
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


def _legend(lines: Sequence[Line]) -> Iterator[str]:
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
