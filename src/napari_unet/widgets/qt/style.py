"""Small widgets that all pages use, and their style sheet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, QObject, QPoint, Qt, QTimer, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QLabel,
    QPushButton,
    QScrollArea,
    QTableWidget,
    QVBoxLayout,
    QWidget,
)

from napari_unet.widgets.qt.text import BREAK, breakable


@dataclass(frozen=True)
class Palette:
    """Colours of a theme, as ``#rrggbb``.

    Parameters
    ----------
    background, foreground, primary, secondary, text, warning : str
        The theme's own.
    error, accent, on_accent, contrast : str
        For errors, for the main button and its text, and for curves: napari's themes have none of
        these, so there is one set for dark and one for light themes.
    """

    background: str
    foreground: str
    primary: str
    secondary: str
    text: str
    warning: str
    error: str
    accent: str
    on_accent: str
    contrast: str

    @classmethod
    def of(cls, theme_id: str) -> Palette:
        """Return the colours of one of napari's themes, such as ``"dark"``."""
        theme = get_theme(theme_id)
        names = ("background", "foreground", "primary", "secondary", "text", "warning")
        own = {name: getattr(theme, name).as_hex(format="long") for name in names}
        dark = theme.type == "dark"
        return cls(
            **own,
            error="#e0485e" if dark else "#c4122f",
            accent="#4ea8f0" if dark else "#1a6fb8",
            on_accent="#10161d" if dark else "#ffffff",
            contrast="#f5a742" if dark else "#c26a00",
        )


WIDTH = 330
"""Least width of a page, in pixels, at which nothing is cut off."""


def style_sheet(palette: Palette) -> str:
    """Return the style sheet of this plugin's widgets; all else keeps napari's style."""
    p = palette
    return f"""
        QLabel[unet="heading"] {{ font-weight: bold; padding: 6px 0px 1px 0px; }}
        QLabel[unet="faint"] {{ color: #b0{p.text[1:]}; }}
        QLabel[unet="error"], QLabel[unet="bad"] {{ color: {p.error}; }}
        QLabel[unet="caution"] {{ color: {p.warning}; }}
        QLabel[unet="changed"] {{ font-weight: bold; color: {p.accent}; }}
        QLabel[unet="notice"] {{ padding: 5px 7px; border-left: 3px solid {p.accent};
            background: {p.foreground}; }}
        QLabel[unet="notice"][kind="warning"] {{ border-left-color: {p.warning}; }}
        QLabel[unet="notice"][kind="error"] {{ border-left-color: {p.error}; }}
        QToolButton[unet="menu"] {{ padding-right: 13px; }}
        QPushButton[unet="main"] {{ background: {p.accent}; color: {p.on_accent};
            font-weight: bold; padding: 7px; }}
        QPushButton[unet="main"]:hover {{ background: #d0{p.accent[1:]}; }}
        QPushButton[unet="main"]:disabled {{ background: {p.foreground}; color: #60{p.text[1:]};
            border: 0px; }}
        QPushButton[unet="fold"] {{ text-align: left; background: transparent; padding: 6px 0px;
            font-weight: bold; }}
        QPushButton[unet="fold"]:hover {{ color: {p.accent}; }}
        QPushButton[unet="fold"]:checked {{ background: transparent; }}
        QPushButton[unet="fold"]:disabled {{ background: transparent; border: 0px; }}
        QTabWidget::pane {{ border: 0px; border-top: 1px solid {p.primary}; }}
        QTabBar {{ background: transparent; border: 0px; padding: 0px; }}
        QTabBar::tab {{ background: {p.background}; border-radius: 0px; font-size: 10pt;
            padding: 6px 16px; margin: 0px; border: 0px; color: {p.text};
            border-bottom: 2px solid transparent; }}
        QTabBar::tab:hover {{ background: {p.foreground}; }}
        QTabBar::tab:selected {{ background: {p.background}; font-weight: bold;
            border-bottom: 2px solid {p.accent}; }}
        QProgressBar {{ background: {p.foreground}; border: 0px; border-radius: 3px;
            min-height: 6px; max-height: 6px; }}
        QProgressBar::chunk {{ background: {p.accent}; border-radius: 3px; }}
        QTableWidget {{ background: {p.foreground}; border-radius: 3px; }}
        QTableWidget[unet="small"], QTableWidget[unet="small"] QHeaderView::section {{
            font-size: 8pt; }}
        QTableWidget::item {{ background: {p.foreground}; padding: 0px 4px; }}
    """


def heading(text: str) -> QLabel:
    """Return a label for the heading of a group of fields."""
    label = QLabel(text)
    label.setProperty("unet", "heading")
    return label


def mark(widget: QWidget, kind: str) -> None:
    """Set the kind of a widget, by which the style sheet gives it a colour.

    Parameters
    ----------
    widget : QWidget
        The widget.
    kind : str
        Such as ``"caution"``; any other has the colour of the theme.
    """
    widget.setProperty("unet", kind)
    style = widget.style()
    if style is not None:  # Qt reads the properties only once otherwise
        style.unpolish(widget)
        style.polish(widget)


def main_button(text: str, tip: str) -> QPushButton:
    """Return the most prominent button of a page.

    Parameters
    ----------
    text : str
        Its text.
    tip : str
        Its tooltip.
    """
    button = QPushButton(text)
    button.setProperty("unet", "main")
    button.setToolTip(tip)
    return button


def later(owner: QObject, call: Callable[[], None]) -> None:
    """Call a function once, after the events that are pending now, unless the owner is deleted.

    Parameters
    ----------
    owner : QObject
        The parent of the timer.
    call : callable
        The function, without arguments.
    """
    # Not superqt's qdebounced: each call is of a function of its own, and none may be dropped.
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.timeout.connect(call)
    timer.timeout.connect(timer.deleteLater)
    timer.start(0)


def plain_table(columns: int, row_height: int) -> tuple[QTableWidget, QHeaderView]:
    """Return an empty table without grid, row numbers and selection, and its column header.

    Parameters
    ----------
    columns : int
        Number of columns.
    row_height : int
        Height of a row, in pixels.
    """
    table = QTableWidget(0, columns)
    rows, header = table.verticalHeader(), table.horizontalHeader()
    assert rows is not None
    assert header is not None
    rows.hide()
    rows.setDefaultSectionSize(row_height)
    table.setShowGrid(False)
    table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return table, header


class WrappedLabel(QLabel):
    """Text on several lines that never makes the page wider: long words are broken, too.

    Parameters
    ----------
    parent : QWidget, optional
        The Qt parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)

    def setText(self, text: str | None) -> None:  # noqa: N802 - Qt's name
        """Show another text."""
        super().setText(breakable(text or ""))

    def text(self) -> str:
        """Return the text as it was set."""
        return super().text().replace(BREAK, "")


class Notice(WrappedLabel):
    """Shows sentences until they are replaced; hidden while there are none.

    Parameters
    ----------
    parent : QWidget, optional
        The Qt parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("unet", "notice")
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.hide()

    def say(self, text: str, kind: Literal["info", "warning", "error"] = "info") -> None:
        """Show a text instead of the present one.

        Parameters
        ----------
        text : str
            The text; empty to hide the notice.
        kind : {"info", "warning", "error"}
            Decides its colour.
        """
        self.setProperty("kind", kind)
        self.setText(text)
        self.setVisible(bool(text))
        mark(self, "notice")


class _WheelGuard(QObject):
    """Lets the mouse wheel scroll the panel, unless the editor under it has the focus."""

    def eventFilter(self, target: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        if event is None or event.type() != QEvent.Type.Wheel:
            return False
        if isinstance(target, QWidget) and target.hasFocus():
            return False
        event.ignore()
        return True


def guard_wheel(editor: QWidget) -> None:
    """Keep the mouse wheel from changing a value while the panel is scrolled."""
    editor.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    editor.installEventFilter(_WheelGuard(editor))


class Section(QWidget):
    """A heading that shows and hides the widget below it.

    Parameters
    ----------
    title : str
        The heading.
    content : QWidget
        What is shown and hidden; hidden at first.
    parent : QWidget, optional
        The Qt parent.

    Attributes
    ----------
    opened : Signal()
        The content is shown from now on.
    """

    opened = Signal()

    def __init__(self, title: str, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title, self.content = title, content
        self.button = QPushButton()
        self.button.setProperty("unet", "fold")
        self.button.setCheckable(True)
        self.button.toggled.connect(self._fold)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.button)
        layout.addWidget(content)
        self._fold(False)

    def set_title(self, title: str) -> None:
        """Change the heading."""
        self.title = title
        self.button.setText(("▾ " if self.button.isChecked() else "▸ ") + title)

    def _fold(self, is_open: bool) -> None:
        self.button.setText(("▾ " if is_open else "▸ ") + self.title)
        self.content.setVisible(is_open)
        if is_open:
            self.opened.emit()


class Scroll(QScrollArea):
    """A page that scrolls vertically, and is never narrower than its content.

    Parameters
    ----------
    content : QWidget
        The page.
    parent : QWidget, optional
        The Qt parent.
    """

    def __init__(self, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(WIDTH)
        self.setWidget(content)

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Adapt the least width, which depends on the scroll bar."""
        super().resizeEvent(event)
        self._fit()

    def eventFilter(self, target: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Adapt the least width when the layout of the content changes."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self._fit()
        return super().eventFilter(target, event)

    def show_part(self, part: QWidget) -> None:
        """Scroll to a part of the page, after pending changes of the layout."""
        later(part, lambda: self._scroll_to(part))

    def _scroll_to(self, part: QWidget) -> None:
        content, viewport = self.widget(), self.viewport()
        bar = self.verticalScrollBar()
        if content is None or bar is None or viewport is None:
            return
        top = part.mapTo(content, QPoint(0, 0)).y()
        bottom = top + part.height() + 8
        if bottom > bar.value() + viewport.height():
            bar.setValue(bottom - viewport.height())
        if top < bar.value():
            bar.setValue(top)

    def _fit(self) -> None:
        content, bar = self.widget(), self.verticalScrollBar()
        if content is not None and bar is not None:
            need = content.minimumSizeHint().width() + bar.sizeHint().width()
            self.setMinimumWidth(max(WIDTH, need))
