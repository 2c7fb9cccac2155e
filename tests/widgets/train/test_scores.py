"""The scores of a validation: which, on what, and what is taken for what."""

from __future__ import annotations

import pytest
from qtpy.QtGui import QColor

from napari_unet.training.events import Validated
from napari_unet.widgets.qt.style import Palette
from napari_unet.widgets.train.scores import SHARE, ConfusionTable, ScoreBars, ScoreBoard

NAMES, COLORS = ("rim", "core", "rest"), ("#ff0000", "#00ff00", "#0000ff")
TABLE = ((60, 20, 0), (10, 90, 0), (0, 0, 0))
EVENT = Validated(9, 0.4, "IoU", (0.6, 0.75, None), 180, TABLE)


@pytest.fixture
def board(qtbot):
    board = ScoreBoard(Palette.of("dark"))
    qtbot.addWidget(board)
    board.show()
    return board


def values(board):
    return [score.value for score in board.bars.scores]


def texts(table):
    return [
        [table.item(r, c).text() for c in range(table.columnCount())]
        for r in range(table.rowCount())
    ]


def test_scores_pixels_and_what_is_right(board):
    board.show_validation(EVENT, NAMES, COLORS)
    assert values(board) == [60 / 90, 90 / 120, None]
    assert [score.pixels for score in board.bars.scores] == [80, 100, 0]
    assert [score.color for score in board.bars.scores] == list(COLORS)
    assert board.caption.text() == "180 held-out pixels · 83 % correct"


def test_a_single_held_out_pixel_is_too_few_to_tell(board):
    event = Validated(9, 0.4, "IoU", (None, None), 1, ((1, 0), (0, 0)))
    board.show_validation(event, NAMES[:2], COLORS[:2])
    assert values(board) == [None, None]
    said = board.bars.accessibleDescription()
    assert said == "rim too few to tell; core too few to tell"
    assert board.caption.text() == "1 held-out pixel"


def test_dice_is_a_choice(board):
    board.show_validation(EVENT, NAMES, COLORS)
    board.choice.setCurrentText("Dice")
    assert values(board) == pytest.approx([120 / 150, 180 / 210, None])
    board.show_validation(EVENT, NAMES, COLORS)
    assert values(board)[0] == pytest.approx(120 / 150)


def test_without_a_table_the_scores_are_shown_as_they_come(board):
    board.show_validation(EVENT, NAMES, COLORS)
    board.show_validation(Validated(1, 0.4, "IoU", (0.2, None), 7), NAMES[:2], COLORS[:2])
    assert values(board) == [0.2, None]
    assert board.choice.isHidden()
    assert board.confusion.isHidden()
    assert board.caption.text() == "7 held-out pixels"
    board.show_validation(EVENT, NAMES, COLORS)
    assert not board.confusion.isHidden()


def test_a_class_painted_after_the_validation_waits(board):
    board.confusion.button.click()
    board.show_validation(EVENT, (*NAMES, "new"), (*COLORS, "#ffffff"))
    assert [score.name for score in board.bars.scores] == list(NAMES)
    assert board.table.table.rowCount() == 3


def test_the_table_opens_on_demand_and_follows(board):
    board.show_validation(EVENT, NAMES, COLORS)
    assert board.table.table.rowCount() == 0
    board.confusion.button.click()
    assert texts(board.table.table)[:2] == [["75 %", "25 %", "0 %"], ["10 %", "90 %", "0 %"]]
    better = Validated(10, 0.3, "IoU", (1.0, 1.0, None), 180, ((80, 0, 0), (0, 100, 0), (0, 0, 0)))
    board.show_validation(better, NAMES, COLORS)
    assert texts(board.table.table)[0] == ["100 %", "0 %", "0 %"]


def test_clear_shows_nothing(board):
    board.show_validation(EVENT, NAMES, COLORS)
    board.clear()
    assert board.bars.scores == ()
    assert board.caption.text() == ""
    board.choice.setCurrentText("Dice")
    assert board.bars.scores == ()


def test_pixels_are_written_beside_the_bars(board):
    board.show_validation(EVENT, NAMES, COLORS)
    board.bars.resize(300, 60)

    def bar_ends(bars):
        picture = bars.grab().toImage()
        return max(x for x in range(300) if picture.pixelColor(x, 30) == QColor("#00ff00"))

    narrow = bar_ends(board.bars)
    plain = ScoreBars(Palette.of("dark"))
    plain.show_scores([s.__class__(s.name, s.color, s.value) for s in board.bars.scores], "")
    plain.resize(300, 60)
    assert bar_ends(plain) > narrow + 20


@pytest.fixture
def table(qtbot):
    table = ConfusionTable(Palette.of("dark"))
    qtbot.addWidget(table)
    table.show_table(TABLE, NAMES, COLORS)
    return table


def test_rows_are_truth_and_counts_are_in_tooltips(table):
    assert table.table.item(0, 1).toolTip() == "20 of rim predicted as core"
    assert texts(table.table)[2] == ["–"] * 3
    assert table.table.item(1, 1).data(SHARE) == 0.9
    for k, name in enumerate(NAMES):
        for header in (table.table.verticalHeaderItem(k), table.table.horizontalHeaderItem(k)):
            assert header.text() == header.toolTip() == name
            color = header.icon().pixmap(10, 10).toImage().pixelColor(5, 5)
            assert color == QColor(COLORS[k])


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_hits_and_mistakes_have_their_own_colours(table, theme):
    palette = Palette.of(theme)
    table.set_palette(palette)
    table.resize(330, 160)
    table.show()

    def at(row, column):
        place = table.table.visualItemRect(table.table.item(row, column)).topLeft()
        picture = table.table.viewport().grab().toImage()
        return picture.pixelColor(place.x() + 3, place.y() + 3)

    hit, weaker, mistake = at(1, 1), at(0, 0), at(0, 1)
    assert hit.blue() > hit.red()  # the accent is blue, the contrast orange
    assert mistake.red() > mistake.blue()
    assert hit.blue() - hit.red() > weaker.blue() - weaker.red()
    assert at(0, 2) == QColor(palette.foreground)


def test_more_classes_make_a_larger_table(table):
    before = table.table.height()
    table.show_table(((1, 0, 0, 0),) * 4, (*NAMES, "d"), (*COLORS, "#ffffff"))
    assert table.table.height() > before
    assert texts(table.table)[3] == ["100 %", "0 %", "0 %", "0 %"]
