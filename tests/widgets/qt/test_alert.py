"""The end of a long job, while another window is in front."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QApplication

from napari_unet.widgets.panel import UNetPanel
from napari_unet.widgets.qt import alert
from napari_unet.widgets.train import runs


@pytest.fixture
def noticed(monkeypatch):
    """What the desktop is told, with any job taken for a long one in a window behind others."""
    told = []
    monkeypatch.setattr(QApplication, "beep", lambda: told.append("beep"))
    monkeypatch.setattr(QApplication, "alert", lambda window: told.append("alert"))
    monkeypatch.setattr(alert, "is_in_background", lambda: True)
    monkeypatch.setattr(alert, "LONG_SECONDS", 0.0)
    return told


def test_a_training_and_a_prediction_are_told_once_each(painted, noticed):
    for expected in (1, 3):
        painted.panel.show_page("train")
        painted.train(2)
        assert noticed == ["alert"] * expected
        painted.click(painted.panel.train.footer.predict)
        painted.idle()
        assert noticed == ["alert"] * (expected + 1)


def test_the_sound_is_off_until_it_is_wanted_and_then_remembered(painted, noticed):
    button = painted.panel.alert.button
    assert not button.isChecked()
    assert "off" in button.toolTip()
    painted.click(button)
    assert noticed == ["beep"]  # so that one hears it
    assert "on" in button.toolTip().split(":")[0]
    painted.train(2)
    assert noticed == ["beep", "alert", "beep"]
    assert runs.store().value("alert/sound") == "yes"
    again = UNetPanel(painted.viewer)
    painted.qtbot.addWidget(again)
    assert again.alert.button.isChecked()
    again.release()


@pytest.mark.parametrize("why", ["in front", "short"])
def test_who_watches_is_not_disturbed(painted, noticed, monkeypatch, why):
    if why == "in front":
        monkeypatch.setattr(alert, "is_in_background", lambda: False)
    else:
        monkeypatch.setattr(alert, "LONG_SECONDS", 1e9)
    painted.panel.alert.button.setChecked(True)
    noticed.clear()
    painted.train(2)
    assert noticed == []


def test_the_window_in_front_is_not_in_the_background(room, monkeypatch):
    monkeypatch.setattr(QApplication, "activeWindow", lambda: room.panel)
    assert not alert.is_in_background()
    monkeypatch.setattr(QApplication, "activeWindow", lambda: None)
    assert alert.is_in_background()


def test_the_desktop_shows_a_message_where_it_can(painted, noticed, monkeypatch):
    shown = []
    tray = alert.QSystemTrayIcon
    monkeypatch.setattr(tray, "isSystemTrayAvailable", lambda: True)
    monkeypatch.setattr(tray, "supportsMessages", lambda: True)
    monkeypatch.setattr(tray, "showMessage", lambda self, *said: shown.append(said[1]))
    monkeypatch.setattr(tray, "show", lambda self: None)
    painted.train(2)
    assert shown == ["Training has ended"]
    assert noticed == ["alert"]
