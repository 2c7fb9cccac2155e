"""A run as one page to show to somebody: no other file, no network, no program in it.

Everything that a user wrote is escaped; nothing on the page is executed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from napari_unet._version import __version__
from napari_unet.runs.curve import Curve, smoothed
from napari_unet.runs.pictures import RGB, colours_of, data_url, hex_of, preview_rgb
from napari_unet.runs.plot import XY, Line, plot
from napari_unet.runs.story import Story, last_scores
from napari_unet.runs.style import CSS
from napari_unet.training.metrics import Scores, accuracy, dice, mean, recall

TITLES = {
    "segment": "Segmentation", "denoise": "Denoising",
    "restore": "Restoration", "inpaint": "Filling in",
}  # fmt: skip

Pictures = Sequence[tuple[str, RGB]]


def report(story: Story, name: str, pictures: Pictures = ()) -> str:
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


def _head(story: Story, name: str) -> Iterator[str]:
    kind = story.status.partition(":")[0]
    yield f"<h1>{escape(TITLES.get(story.task, story.task))}</h1>"
    device = f" · {story.started.device}" if story.started else ""
    yield f'<p class="soft">{escape(name)} · {story.began:%d %B %Y, %H:%M:%S} UTC{escape(device)}'
    yield f' <span class="status {escape(kind)}">{escape(story.status)}</span></p>'


def _warnings(story: Story) -> Iterator[str]:
    for kind, message in story.said:
        if kind == "warning":
            yield f'<p class="warning">{escape(message)}</p>'


def _figures(story: Story) -> Iterator[str]:
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


def _plots(story: Story) -> Iterator[str]:
    metric = story.last.metric if story.last else ""
    names = [str(c) for c in story.classes] or [metric]
    colours = [hex_of(c) for c in colours_of(story.classes).values()] or ["var(--rate)"]
    scores = [
        Line(name, colour, _xy(curve), dots=True)
        for name, colour, curve in zip(names, colours, story.scores, strict=False)
    ]
    loss = story.loss.points
    drawn = (
        plot("Loss", [
            Line("", "var(--loss)", _xy(story.loss), faint=True),
            Line("training", "var(--loss)", smoothed(loss)),
            Line("held out", "var(--held-out)", _xy(story.held_out), dots=True),
        ], log=True),
        plot(f"{metric}, held out", scores, limits=(0.0, 1.0) if story.classes else None),
        plot("Learning rate", [Line("", "var(--rate)", _xy(story.rate))]),
    )  # fmt: skip
    cards = [f'<div class="card">{svg}</div>' for svg in drawn if svg]
    if cards:
        yield f'<h2>Course of the training</h2><div class="plots">{"".join(cards)}</div>'


def _xy(curve: Curve) -> XY:
    return [(point.x, point.y) for point in curve.points]


def _classes(story: Story) -> Iterator[str]:
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


def _pictures(story: Story, pictures: Pictures) -> Iterator[str]:
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


def _reproduction(story: Story) -> Iterator[str]:
    made = story.made
    if made:
        yield f"<h2>To make it again</h2><pre>{escape(made['commands'][0])}</pre>"
        yield from (f'<p class="soft">{escape(note)}</p>' for note in made["notes"])


def _details(story: Story) -> Iterator[str]:
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
