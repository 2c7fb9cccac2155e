"""A line of advice that can be waved away."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from napari_unet.training.advice import Advice
from napari_unet.widgets.theme import Palette

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
