"""The line of advice."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_unet.training.advice import Advice
from napari_unet.widgets.qt.style import Palette
from napari_unet.widgets.train.controls import AdviceLine

FEW = Advice("few:a<b", "“a<b” has few strokes (3 pixels): paint more of it.", "info", ("a<b",))
GAIN = Advice("no gain", "No gain for 2 min: more training brings nothing.")
WRONG = Advice("contradict:c", "Strokes of “c” contradict the image.", "warning", ("c",))


@pytest.fixture
def line(qtbot):
    line = AdviceLine(Palette.of("dark"))
    qtbot.addWidget(line)
    return line


def test_it_shows_one_line_and_remembers_the_others(line):
    assert line.isHidden()
    line.show_advice(FEW)
    line.show_advice(GAIN)
    assert not line.isHidden()
    assert line.text.text() == GAIN.message
    assert line.toolTip() == f"{GAIN.message}\n{FEW.message}"
    assert line.accessibleDescription() == GAIN.message


def test_a_newer_line_of_the_same_kind_replaces_the_older(line):
    line.show_advice(GAIN)
    line.show_advice(Advice("no gain", "No gain for 4 min."))
    assert line.toolTip() == "No gain for 4 min."


def test_it_can_be_waved_away_and_comes_back_with_the_next(line, qtbot):
    line.show_advice(FEW)
    qtbot.mouseClick(line.close_button, Qt.MouseButton.LeftButton)
    assert line.isHidden()
    assert line.shown is None
    line.show_advice(GAIN)
    assert not line.isHidden()
    line.clear()
    assert line.isHidden()
    line.show_advice(FEW)
    assert line.toolTip() == FEW.message


def test_classes_wear_their_colours_and_names_are_not_markup(line):
    line.show_advice(FEW, {"a<b": "#123456"})
    assert '<span style="color:#123456">■</span>&nbsp;“a&lt;b”' in line.text.text()
    line.show_advice(WRONG)
    assert "■" not in line.text.text()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_warning_looks_like_one(line, theme):
    palette = Palette.of(theme)
    line.set_palette(palette)
    line.show_advice(WRONG)
    assert palette.contrast in line.styleSheet()
    assert line.icon.text() == "!"
    line.show_advice(GAIN)
    assert palette.contrast not in line.styleSheet()
    assert palette.accent in line.styleSheet()
    assert line.icon.text() == "i"
