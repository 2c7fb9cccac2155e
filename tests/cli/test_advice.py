"""Advice on the command line: said as it shows, beside the progress bar."""

from __future__ import annotations

from napari_unet.cli.output import follow
from napari_unet.training.events import Started, Stepped, Warned


def test_advice_is_said_once_and_the_events_pass_by(capsys):
    started = Started("CPU", 1, 9, 500, None, 2, (8, 8), (4, 4), ("rim", "core"), (7, 900))
    steps = [Stepped(t, 0.5, 1e-3, t / 10, 1.0, 0.5) for t in range(1, 400)]
    bad = [Warned("The loss or its gradient was not finite; this step was skipped.")] * 3
    events = [started, *steps, *bad]
    assert list(follow("Training", events)) == events
    said = capsys.readouterr().err
    assert said.count("“rim” has few strokes (7 pixels): paint more of it.") == 1
    assert said.count("choose a lower learning rate") == 1
    assert "core" not in said.replace("score", "")


def test_without_cause_nothing_is_said(capsys):
    started = Started("CPU", 1, 9, 500, None, 2, (8, 8), (4, 4), ("rim", "core"), (700, 900))
    list(follow("Training", [started, *(Stepped(t, 0.5, 1, t / 10, 1, 0.5) for t in range(400))]))
    assert "strokes" not in capsys.readouterr().err
