"""Check boxes, buttons and advice of the Train page."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from html import escape

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.display import clock, count, duration, score_text
from napari_unet.training.advice import Advice
from napari_unet.training.events import Finished, Stepped, Validated
from napari_unet.widgets.qt.style import Palette, WrappedLabel, main_button
from napari_unet.widgets.train.scores import swatch

FULL = 1000
"""Steps of the progress bar."""

SECOND = 1000
"""Time in milliseconds between two changes of the line while a training is prepared."""

PREDICT_TIP = "Apply the model to the whole image that it was trained on."
"""Tooltip of the button that predicts."""


class LiveBar(QWidget):
    """Check boxes for the live preview, a line about it, and the button for suggestions.

    Parameters
    ----------
    suggestion : QPushButton
        The button that leads to where the next stroke would help most.
    reason : QLabel
        Why that place was chosen.

    Attributes
    ----------
    shown, unsure : QCheckBox
        Whether to show the preview, and how unsure the network is.
    note : QLabel
        Which part of the view is previewed; hidden where it is all of it.
    """

    def __init__(
        self, suggestion: QPushButton, reason: QLabel, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.shown = QCheckBox("Live preview")
        self.shown.setToolTip("Show the output of the network for the part of the image in view.")
        self.shown.setChecked(True)
        self.unsure = QCheckBox("Where unsure")
        self.unsure.setToolTip(
            "Show where two classes are nearly as likely, in a colour that no class has and that "
            "differs from the image."
        )
        self._suggestion = suggestion
        self.note = WrappedLabel()
        self.note.setProperty("unet", "faint")
        self.note.hide()
        row = QHBoxLayout()
        row.addWidget(self.shown)
        row.addWidget(self.unsure)
        row.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.note)
        layout.addWidget(suggestion)
        layout.addWidget(reason)

    def show_kind(self, *, painted: bool) -> None:
        """Show or hide what only makes sense where the user paints strokes."""
        for part in (self.unsure, self._suggestion):
            part.setVisible(painted)

    def show_unsure_colour(self, colour: str) -> None:
        """Show in which colour (``#rrggbb``) unsure places are drawn."""
        self.unsure.setIcon(swatch(colour))

    def say(self, note: str) -> None:
        """Show which part of the view is previewed; empty where it is all of it."""
        self.note.setText(note)
        self.note.setVisible(bool(note))


class TrainFooter(QWidget):
    """How far the training is, how it ended, and the buttons that never scroll away.

    Before a training there is only "Train"; while one runs there are a bar, a line, "Pause" and
    "Stop"; afterwards there are a summary, "Train again", "Predict this image" and "Save model".
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.train = main_button("Train", "Train with the settings above (Shift+T).")
        self.pause = QPushButton("Pause")
        self.pause.setToolTip("Pause the training. Pauses do not count as training time.")
        self.stop = QPushButton("Stop")
        self.stop.setToolTip("End the training now and keep what was learned (Shift+T).")
        self.predict = QPushButton("Predict this image")
        self.predict.setToolTip(PREDICT_TIP)
        self.save = QPushButton("Save model …")
        self.save.setToolTip("Save the model in a file, to use it again later.")
        self.line = QLabel()
        self.summary = QLabel()
        self.progress = QProgressBar()
        self.progress.setRange(0, FULL)
        self.progress.setTextVisible(False)
        self._preparing = ""
        self._since = 0.0
        self._seconds = QTimer(self)
        self._seconds.setInterval(SECOND)
        self._seconds.timeout.connect(self._show_seconds)
        for label in (self.line, self.summary):
            label.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 6, 10, 8)
        layout.setSpacing(5)
        for part in (self.progress, self.line, self.summary):
            layout.addWidget(part)
        for buttons in ((self.train,), (self.pause, self.stop), (self.predict, self.save)):
            row = QHBoxLayout()
            for button in buttons:
                row.addWidget(button, 1)
            layout.addLayout(row)

    def begin(self) -> None:
        """Show that a training begins."""
        self.progress.setValue(0)
        self._preparing = ""
        self.line.setText("Getting ready …")
        self.predict.setEnabled(True)
        self.predict.setToolTip(PREDICT_TIP)

    def show_state(self, *, running: bool, paused: bool, done: bool, again: bool) -> None:
        """Show the buttons that make sense.

        Parameters
        ----------
        running : bool
            Whether a training runs.
        paused : bool
            Whether it is paused.
        done : bool
            Whether a training has left a model.
        again : bool
            Whether that was one of the task that is chosen now.
        """
        self.train.setVisible(not running)
        self.train.setText("Train again" if again else "Train")
        self.pause.setText("Resume" if paused else "Pause")
        for part in (self.pause, self.stop, self.line):
            part.setVisible(running)
        if not running:
            self._seconds.stop()
        self.progress.hide()  # until it is known how far it is
        for part in (self.predict, self.save, self.summary):
            part.setVisible(done and not running)

    def show_preparing(self, message: str, progress: float | None = None) -> None:
        """Show what is done before the first step, and from the first second on for how long.

        Parameters
        ----------
        message : str
            What is done.
        progress : float, optional
            How much of it is done, from 0 to 1; None where that is not known.
        """
        self.show_progress(progress, f"{message} …")
        if message != self._preparing:
            self._preparing = message
            self._since = time.monotonic()
        self._seconds.start()

    def show_waiting(self) -> None:
        """Show that the training waits for the user."""
        self.show_progress(None, "Waiting …")

    def _show_seconds(self) -> None:
        self.line.setText(f"{self._preparing} … {clock(time.monotonic() - self._since)}")

    def show_progress(self, progress: float | None, text: str) -> None:
        """Show how far it is.

        There is no busy bar: it repaints all the time, and with it the viewer's whole window.

        Parameters
        ----------
        progress : float, optional
            From 0 to 1; None where it is not known.
        text : str
            The line below the bar.
        """
        self._seconds.stop()
        self.progress.setVisible(progress is not None)
        self.progress.setValue(round(FULL * (progress or 0)))
        self.line.setText(text)

    def show_step(self, event: Stepped, device: str, scores: Validated | None = None) -> None:
        """Show how far it is after a step.

        Parameters
        ----------
        event : Stepped
            The step.
        device : str
            What it runs on.
        scores : Validated, optional
            The latest validation; its PSNR is shown where it has one.
        """
        parts = [f"step {event.step:,}", f"{clock(event.elapsed)} elapsed"]
        if event.remaining is not None:
            parts.append(f"{clock(event.remaining)} left")
        if scores is not None and scores.psnr is not None:
            parts.append(f"PSNR {scores.psnr:.1f} dB")
        self.show_progress(event.progress, " · ".join(filter(None, (*parts, device))))

    def show_finished(self, event: Finished, scores: Validated | None) -> None:
        """Show how long it trained, and how good the model is.

        Parameters
        ----------
        event : Finished
            The end.
        scores : Validated, optional
            The latest validation.
        """
        early = {"stopped": ", stopped", "no gain": ", no further improvement"}.get(
            event.reason, ""
        )
        text = f"Trained for {count(event.step, 'step')}, {duration(event.elapsed)}{early}."
        if scores is not None and scores.scores:
            text += f" Mean {scores.metric}: {score_text(scores.mean)}."
        if scores is not None and scores.psnr is not None:
            text += f" PSNR {scores.psnr:.1f} dB on {count(scores.pixels, 'held-out pixel')}."
        self.summary.setText(text)

    def show_stopping(self) -> None:
        """Show that the training was asked to stop."""
        self._seconds.stop()
        self.line.setText("Stopping …")

    def show_paused(self, paused: bool) -> None:
        """Show whether it is paused."""
        self.pause.setText("Resume" if paused else "Pause")
        if paused:
            self._seconds.stop()
            self.line.setText("Paused · " + self.line.text())


ICONS = {"info": "i", "warning": "!"}
"""Text of the icon, by the kind of advice."""

SIDE = 16
"""Side of the icon, in pixels."""


class AdviceLine(QFrame):
    """Shows the latest advice, with earlier advice in its tooltip. Hidden where there is none."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("advice")
        self.said: list[Advice] = []
        self.shown: Advice | None = None
        self._colors: dict[str, str] = {}
        self.icon = QLabel()
        self.text = WrappedLabel()
        self.close_button = QToolButton()
        self.icon.setObjectName("icon")
        self.icon.setFixedSize(SIDE, SIDE)
        self.icon.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.text.setTextFormat(Qt.TextFormat.RichText)
        self.text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.close_button.setText("×")
        self.close_button.setAccessibleName("Dismiss")
        self.close_button.setToolTip("Dismiss this advice.")
        self.close_button.clicked.connect(self.dismiss)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 5, 4, 5)
        layout.setSpacing(7)
        top = Qt.AlignmentFlag.AlignTop
        layout.addWidget(self.icon, alignment=top)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.close_button, alignment=top)
        self.set_palette(palette)
        self.hide()

    def show_advice(self, advice: Advice, colors: Mapping[str, str] | None = None) -> None:
        """Show advice in place of the last one.

        Parameters
        ----------
        advice : Advice
            Advice of an `Adviser`.
        colors : mapping of str to str, optional
            The colours of the classes by name, as ``#rrggbb``.
        """
        self._colors.update(colors or {})
        self.said = [line for line in self.said if line.key != advice.key] + [advice]
        self.shown = advice
        self.icon.setText(ICONS[advice.kind])
        self.text.setText(self._rich(advice))
        self.setToolTip("\n".join(line.message for line in reversed(self.said)))
        self.setAccessibleDescription(advice.message)
        self._dress()
        self.show()

    def keep(self, keys: Collection[str]) -> None:
        """Forget advice whose cause has disappeared.

        Parameters
        ----------
        keys : collection of str
            The keys of the advice that still holds.
        """
        self.said = [advice for advice in self.said if advice.key in keys]
        if self.shown is not None and self.shown.key not in keys:
            self.dismiss()

    def dismiss(self) -> None:
        """Hide the line until there is new advice."""
        self.shown = None
        self.hide()

    def clear(self) -> None:
        """Forget all advice, for a new training."""
        self.said.clear()
        self._colors.clear()
        self.dismiss()

    def set_palette(self, palette: Palette) -> None:
        """Take the colours of a theme."""
        self.palette_ = palette
        self._dress()

    def _rich(self, advice: Advice) -> str:
        """Return the message with a swatch before each class that it names."""
        text = escape(advice.message)
        for name in advice.classes:
            if name in self._colors:
                quoted = f"“{escape(name)}”"
                mark = f'<span style="color:{self._colors[name]}">■</span>&nbsp;{quoted}'
                text = text.replace(quoted, mark)
        return text

    def _dress(self) -> None:
        p = self.palette_
        warns = self.shown is not None and self.shown.kind == "warning"
        color, ink = (p.contrast, p.background) if warns else (p.accent, p.on_accent)
        self.setStyleSheet(f"""
            QFrame#advice {{ background: {p.foreground}; border: 0px;
                border-left: 3px solid {color}; }}
            QFrame#advice QLabel {{ background: transparent; }}
            QFrame#advice QLabel#icon {{ background: {color}; color: {ink}; font-weight: bold;
                border-radius: {SIDE // 2}px; font-size: 8pt; padding: 0px; }}
            QFrame#advice QToolButton {{ background: transparent; border: 0px; padding: 0px 4px;
                color: {p.text}; font-size: 12pt; }}
            QFrame#advice QToolButton:hover, QFrame#advice QToolButton:focus {{
                color: {color}; }}
        """)
