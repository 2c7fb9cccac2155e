"""The dialog that shows how a layer was made, with the commands that make it again."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtGui import QFontDatabase, QIcon, QTextOption
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QFrame,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from napari_unet.tasks.provenance import as_text, rows
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.layers.result_history import is_edited
from napari_unet.widgets.qt.style import Palette, heading, style_sheet

WIDTH = 680
"""Width of the dialog, in pixels."""

COMMANDS = 164
"""Height of the commands, in pixels."""

TALLEST = 340
"""Largest height of the table of facts, in pixels."""

STRANGER = "This layer was not made by napari-unet, so there is no information about it."
"""Text for a layer of another program."""

PREVIEW = (
    "This is the live preview, which changes during the training and is not kept. Predict the "
    "image to get a result that records how it was made."
)
"""Text for a live preview."""


EDITED = "This layer was changed by hand afterwards, which no command repeats."
"""Note for a result that somebody has painted on."""


class ProvenanceDialog(QDialog):
    """Shows how a layer was made.

    Parameters
    ----------
    title : str
        The layer's name.
    provenance : mapping
        What `napari_unet.tasks.provenance.provenance` returned; empty for a layer of another
        program.
    palette : Palette
        The colours of the theme.
    """

    def __init__(
        self,
        title: str,
        provenance: Mapping[str, Any],
        palette: Palette,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"How was “{title}” made?")
        self.setStyleSheet(
            style_sheet(palette) + f"QDialog {{ background: {palette.background}; }}"
            f"QLabel {{ color: {palette.text}; }}"
            f"QPlainTextEdit {{ background: {palette.foreground}; color: {palette.text};"
            " padding: 4px; }"
        )
        self.setMinimumWidth(WIDTH)
        self.text = as_text(provenance) or (PREVIEW if provenance else STRANGER)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 12, 14, 12)
        layout.setSpacing(8)
        if rows(provenance):
            self._add_facts(layout, provenance, palette)
        else:
            layout.addWidget(_wrapped(self.text))
        layout.addStretch()
        layout.addWidget(self._buttons(bool(rows(provenance))))

    def _add_facts(
        self, layout: QVBoxLayout, provenance: Mapping[str, Any], palette: Palette
    ) -> None:
        facts = _facts(rows(provenance), palette)
        layout.addWidget(facts)
        _fit(facts)
        layout.addWidget(heading("To reproduce it"))
        self.commands = QPlainTextEdit("\n\n".join(provenance.get("commands", ())))
        self.commands.setReadOnly(True)
        self.commands.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.commands.setFixedHeight(COMMANDS)
        self.commands.setAccessibleName("Commands")
        layout.addWidget(self.commands)
        for note in provenance.get("notes", ()):
            label = _wrapped(note)
            label.setProperty("unet", "faint")
            layout.addWidget(label)

    def _buttons(self, copies: bool) -> QDialogButtonBox:
        box = QDialogButtonBox()
        self.copy = QPushButton("Copy")
        self.copy.setToolTip("Copy all of this as text to the clipboard.")
        self.copy.clicked.connect(self._copy)
        close = box.addButton(QDialogButtonBox.StandardButton.Close)
        assert close is not None
        close.setIcon(QIcon())
        close.clicked.connect(self.close)
        if copies:
            box.addButton(self.copy, QDialogButtonBox.ButtonRole.ActionRole)
        return box

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        assert clipboard is not None
        clipboard.setText(self.text)
        self.copy.setText("Copied")


def show_how(viewer: ViewerModel, layer: Layer, parent: QWidget) -> ProvenanceDialog:
    """Open the dialog for a layer of any kind; it does not block the viewer.

    Parameters
    ----------
    viewer : ViewerModel
        Its theme is that of the dialog.
    layer : Layer
        The layer.
    parent : QWidget
        The Qt parent of the dialog, which keeps it alive.

    Returns
    -------
    ProvenanceDialog
        It deletes itself when it is closed.
    """
    made = dict(layer.metadata.get(RESULT, {}))
    if is_edited(layer):
        made["notes"] = [EDITED, *made.get("notes", ())]
    dialog = ProvenanceDialog(layer.name, made, Palette.of(viewer.theme), parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.show()
    layout = dialog.layout()
    if layout is not None:  # Qt takes at most two thirds of the screen, and squeezes what is in it
        dialog.resize(dialog.width(), layout.totalHeightForWidth(dialog.width()))
    return dialog


def _facts(known: list[tuple[str, str]], palette: Palette) -> QTextEdit:
    """Return a table whose text can be selected, and which breaks long words, such as digests."""
    cells = "".join(
        f'<tr><td style="color:{palette.text}; padding-right:14px; white-space:nowrap">'
        f"<b>{escape(name)}</b></td><td>{escape(text).replace(chr(10), '<br>')}</td></tr>"
        for name, text in known
    )
    view = QTextEdit()
    view.setReadOnly(True)
    view.setFrameShape(QFrame.Shape.NoFrame)
    view.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    view.setHtml(f"<table cellspacing=0 cellpadding=2>{cells}</table>")
    view.setStyleSheet(f"QTextEdit {{ background: {palette.background}; color: {palette.text}; }}")
    view.setAccessibleName("Facts")
    return view


def _fit(view: QTextEdit) -> None:
    """Make a table as high as its text; its font is known once it is in the dialog."""
    view.ensurePolished()
    document = view.document()
    assert document is not None
    document.setDefaultFont(view.font())
    document.setTextWidth(WIDTH - 48)
    view.setFixedHeight(min(TALLEST, round(document.size().height()) + 8))


def _wrapped(text: str) -> QLabel:
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
