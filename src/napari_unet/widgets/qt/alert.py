"""Tells the user, who is working in another window, that something long has ended."""

from __future__ import annotations

import time
from typing import Protocol

from qtpy.QtCore import QObject
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QApplication, QSystemTrayIcon, QToolButton, QWidget
from superqt.utils import qdebounced

LONG_SECONDS = 10.0
"""Seconds from which on somebody may have turned to something else."""

MESSAGE_MS = 10_000
"""How long a message of the desktop is shown, in milliseconds."""


def is_in_background() -> bool:
    """Tell whether no window of this program is the one that is worked in."""
    return QApplication.activeWindow() is None


class Remembered(Protocol):
    """A choice of the user that is kept for the next time."""

    def is_on(self, default: bool) -> bool:
        """Return the choice, or what it is as long as there is none."""

    def remember(self, value: bool) -> None:
        """Keep another choice."""


class JobAlert(QObject):
    """Draws attention when a long job ends while the window is in the background.

    The entry of the window in the task bar is marked, the desktop shows a message where it can,
    and, if the user wants that, there is a sound.

    Parameters
    ----------
    owner : QWidget
        Its window is marked; also the Qt parent.
    sound : Remembered
        Whether there is a sound.

    Attributes
    ----------
    button : QToolButton
        Switches the sound on and off.
    """

    def __init__(self, owner: QWidget, sound: Remembered) -> None:
        super().__init__(owner)
        self._owner, self._sound = owner, sound
        self._started: dict[str, float] = {}
        self._tray: QSystemTrayIcon | None = None
        self._hide_later = qdebounced(self._hide, timeout=MESSAGE_MS)
        self.button = QToolButton()
        self.button.setCheckable(True)
        self.button.setAutoRaise(True)
        self.button.setAccessibleName("Sound at the end")
        self.button.setChecked(sound.is_on(False))
        self.button.toggled.connect(self._remember)
        self._show_state()

    def begin(self, job: str) -> None:
        """Note that a job begins, which is called so in messages, such as "Training"."""
        self._started[job] = time.monotonic()

    def end(self, job: str) -> None:
        """Tell that a job has ended, if that is worth it."""
        started = self._started.pop(job, None)
        if started is None or time.monotonic() - started < LONG_SECONDS or not is_in_background():
            return
        QApplication.alert(self._owner.window())
        self._show_message(f"{job} has ended")
        if self.button.isChecked():
            QApplication.beep()

    def _show_message(self, text: str) -> None:
        """Show a message of the desktop, where there are any."""
        if not QSystemTrayIcon.isSystemTrayAvailable() or not QSystemTrayIcon.supportsMessages():
            return
        window = self._owner.window()
        icon = QIcon() if window is None else window.windowIcon()
        if self._tray is None:
            self._tray = QSystemTrayIcon(icon, self)
        self._tray.show()
        self._tray.showMessage("napari", text, icon, MESSAGE_MS)
        self._hide_later()

    def _hide(self) -> None:
        if self._tray is not None:
            self._tray.hide()

    def _remember(self, on: bool) -> None:
        self._sound.remember(on)
        self._show_state()
        if on:
            QApplication.beep()  # so that it is known, and whether it can be heard

    def _show_state(self) -> None:
        sound = "on" if self.button.isChecked() else "off"
        self.button.setText(f"♪ {sound}")
        self.button.setToolTip(
            f"Sound {sound}: whether there is a sound when a training or a prediction of more than "
            f"{LONG_SECONDS:.0f} s ends while another window is in front."
        )
