"""The buttons of the Train page: what is shown live, and what never scrolls away."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from qtpy.QtCore import Qt
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

from napari_unet.display import clock, count, duration
from napari_unet.training.advice import Advice
from napari_unet.training.events import Finished, Stepped, Validated
from napari_unet.widgets.qt.style import Palette, main_button

FULL = 1000
"""Steps of the progress bar."""

PREDICT_TIP = "Apply the model to the whole image that it learned from."


class LiveBar(QWidget):
    """What is shown of the network while it learns.

    Parameters
    ----------
    guide : QPushButton
        Leads to where the next stroke would help most.
    """

    def __init__(self, guide: QPushButton, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.shown, self.unsure = QCheckBox("Live preview"), QCheckBox("Where unsure")
        self.shown.setToolTip("Show what the network says of what you look at.")
        self.shown.setChecked(True)
        self.unsure.setToolTip("Show in red where the network can hardly decide.")
        self._guide = guide
        self.note = QLabel()
        self.note.setProperty("unet", "faint")
        self.note.setWordWrap(True)
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
        layout.addWidget(guide)

    def show_kind(self, *, painted: bool) -> None:
        """Offer what only makes sense where something is painted, or do not."""
        for part in (self.unsure, self._guide):
            part.setVisible(painted)

    def say(self, note: str) -> None:
        """Say which part of the view is shown; nothing where it is all."""
        self.note.setText(note)
        self.note.setVisible(bool(note))


class TrainFooter(QWidget):
    """Progress and buttons."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.train = main_button("Train", "Learn as it is set above (Shift+T).")
        self.pause, self.stop = QPushButton("Pause"), QPushButton("Stop")
        self.pause.setToolTip("Wait, and go on later; the time does not count.")
        self.stop.setToolTip("End the training now and keep what was learned (Shift+T).")
        self.predict = QPushButton("Predict this image")
        self.predict.setToolTip(PREDICT_TIP)
        self.save = QPushButton("Save model …")
        self.save.setToolTip("Keep the model in a file, for other images and other days.")
        self.progress, self.line, self.summary = QProgressBar(), QLabel(), QLabel()
        self.progress.setRange(0, FULL)
        self.progress.setTextVisible(False)
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
        """Say that it begins."""
        self.progress.setValue(0)
        self.line.setText("Getting ready …")
        self.predict.setEnabled(True)
        self.predict.setToolTip(PREDICT_TIP)

    def show_state(self, *, running: bool, paused: bool, done: bool, again: bool) -> None:
        """Show the buttons that make sense: `done` with a model, `again` of the same task."""
        self.train.setVisible(not running)
        self.train.setText("Train again" if again else "Train")
        self.pause.setText("Resume" if paused else "Pause")
        for part in (self.pause, self.stop, self.line):
            part.setVisible(running)
        self.progress.hide()  # until it is known how far it is
        for part in (self.predict, self.save, self.summary):
            part.setVisible(done and not running)

    def show_progress(self, progress: float | None, text: str) -> None:
        """Show how far it is, 0 to 1, where that is known.

        There is no busy bar: it repaints all the time, and with it the viewer's whole window.
        """
        self.progress.setVisible(progress is not None)
        self.progress.setValue(round(FULL * (progress or 0)))
        self.line.setText(text)

    def show_step(self, event: Stepped, device: str, scores: Validated | None = None) -> None:
        """Show how far it is after a step, and how like the good images its results are."""
        parts = [f"step {event.step:,}", f"{clock(event.elapsed)} gone"]
        if event.remaining is not None:
            parts.append(f"{clock(event.remaining)} left")
        if scores is not None and scores.psnr is not None:
            parts.append(f"PSNR {scores.psnr:.1f} dB")
        self.show_progress(event.progress, " · ".join(filter(None, (*parts, device))))

    def show_finished(self, event: Finished, scores: Validated | None) -> None:
        """Say how long it learned, and how well."""
        early = {"stopped": ", stopped", "no gain": ", no more gain"}.get(event.reason, "")
        text = f"Learned in {count(event.step, 'step')}, {duration(event.elapsed)}{early}."
        if scores is not None and scores.mean is not None:
            text += f" Mean {scores.metric} {scores.mean:.2f}."
        if scores is not None and scores.psnr is not None:
            text += f" PSNR {scores.psnr:.1f} dB on {count(scores.pixels, 'held-out pixel')}."
        self.summary.setText(text)

    def show_paused(self, paused: bool) -> None:
        """Show whether it waits."""
        self.pause.setText("Resume" if paused else "Pause")
        if paused:
            self.line.setText("Paused · " + self.line.text())


ICONS = {"info": "i", "warning": "!"}
SIDE = 16


class AdviceLine(QFrame):
    """Shows the latest advice; what was said before is in its tooltip. Hidden without any."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("advice")
        self.said: list[Advice] = []
        self.shown: Advice | None = None
        self._colors: dict[str, str] = {}
        self.icon, self.text, self.close_button = QLabel(), QLabel(), QToolButton()
        self.icon.setObjectName("icon")
        self.icon.setFixedSize(SIDE, SIDE)
        self.icon.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.text.setWordWrap(True)
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
        """Show advice in place of the line before.

        Parameters
        ----------
        advice : Advice
            What an `Adviser` said.
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

    def dismiss(self) -> None:
        """Hide the line until there is other advice."""
        self.shown = None
        self.hide()

    def clear(self) -> None:
        """Forget all that was said, as a new training begins."""
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
