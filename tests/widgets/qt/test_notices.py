"""Notices: each belongs to a topic and goes with it."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QLineEdit, QVBoxLayout, QWidget

from napari_unet.widgets.qt.notices import NoticeAction, NoticeBoard


@pytest.fixture
def window(qtbot):
    window = QWidget()
    qtbot.addWidget(window)
    window.board, window.form = NoticeBoard(), QLineEdit()
    layout = QVBoxLayout(window)
    layout.addWidget(window.board)
    layout.addWidget(window.form)
    window.show()
    return window


def test_each_topic_has_one_notice_and_ends_alone(window):
    board = window.board
    assert board.isHidden()
    board.say("problem", "There is no image.", "error")
    board.say("kept", "Kept.")
    board.say("problem", "There are no strokes.", "error")
    assert board.text() == "Kept.\nThere are no strokes."
    assert (board.kind("problem"), board.kind("kept")) == ("error", "info")
    board.end("problem", "nothing")
    assert board.text() == board.text("kept") == "Kept."
    assert board.text("problem") == ""
    assert board.kind("problem") is None
    board.end("kept")
    assert board.isHidden()


def test_no_sentence_stands_twice(window):
    board = window.board
    board.say("one", "The same.")
    board.say("other", "The same.", "error")
    assert board.text() == "The same."
    assert board.kind("one") is None
    board.add("training", "Few pixels.", "info")
    board.add("training", "No validation.")
    board.add("training", "Few pixels.")
    board.add("training", "Decided.", "info")
    assert board.text("training") == "Few pixels.\nNo validation.\nDecided."
    assert board.kind("training") == "warning"


def test_a_sentence_that_is_no_longer_true_is_taken_back(window):
    board = window.board
    board.add("training", "Few pixels.")
    board.add("training", "No validation.")
    board.take_back("Few pixels.")
    assert board.text() == "No validation."
    board.take_back("What was never said.")
    board.take_back("No validation.")
    assert board.isHidden()


def test_a_topic_ends_with_the_signal_that_ends_its_condition(window):
    board = window.board
    board.end_with(window.form.textChanged, "problem", "kept")
    for topic in ("problem", "kept", "other"):
        board.say(topic, topic)
    window.form.setText("edited")
    assert board.text() == "other"


def test_a_notice_may_have_buttons(window, qtbot):
    board, pressed = window.board, []
    actions = [
        NoticeAction("Go on", lambda: pressed.append("go"), "Goes on."),
        NoticeAction("Dismiss", lambda: board.end("offer")),
    ]
    board.say("offer", "Yesterday's training.", actions=actions)
    first, second = board.buttons("offer")
    assert (first.text(), first.toolTip(), second.text()) == ("Go on", "Goes on.", "Dismiss")
    first.click()
    assert pressed == ["go"]
    second.click()
    assert board.isHidden()
    assert board.buttons("offer") == []
