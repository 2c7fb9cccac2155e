"""Sentences for the user, each of which belongs to a condition and goes with it.

One rule for the whole panel: what holds (a setting that does not fit, a training that failed) is
said on the page that it is about, by a `NoticeBoard`, for as long as it holds. What happened in
passing (a file that was saved, or that could not be read) is said by a notification of napari,
which goes by itself. Nothing is said in both places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unet.widgets.qt.style import Notice

NoticeKind = Literal["info", "warning", "error"]
"""What a notice is; it decides its colour."""

ROW = 30
"""Most characters of buttons that stand beside each other; more are too wide for a page."""


@dataclass(frozen=True)
class NoticeAction:
    """A button below a notice.

    Parameters
    ----------
    text : str
        The text of the button.
    call : callable
        What a click does, without arguments.
    tip : str
        The tooltip of the button.
    """

    text: str
    call: Callable[[], object]
    tip: str = ""


@dataclass(eq=False)
class _Said:
    """What is said under one topic: the sentences, their kind, and the widgets that show them."""

    sentences: list[str]
    kind: NoticeKind
    widget: QWidget
    notice: Notice
    buttons: list[QPushButton] = field(default_factory=list)

    def show(self) -> None:
        self.notice.say("\n".join(self.sentences), self.kind)


class NoticeBoard(QWidget):
    """Shows notices below each other, one per topic; hidden while there are none.

    A topic is a condition, such as ``"problem"``: as long as it holds, its notice stands, and
    `end` takes it away. No sentence stands twice.

    Examples
    --------
    A form says what is wrong with it until it is edited::

        board.end_with(form.valueChanged, "problem")
        board.say("problem", "There is no image.", "error")

    Parameters
    ----------
    parent : QWidget, optional
        The Qt parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._said: dict[str, _Said] = {}
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        self.hide()

    def say(
        self,
        topic: str,
        text: str,
        kind: NoticeKind = "info",
        actions: Sequence[NoticeAction] = (),
    ) -> None:
        """Show a text in place of what is said under this topic.

        Parameters
        ----------
        topic : str
            The condition that the text belongs to.
        text : str
            One sentence, or several lines.
        kind : {"info", "warning", "error"}
            Decides its colour.
        actions : sequence of NoticeAction
            Buttons below the text.
        """
        self.end(topic)
        for other in [name for name, said in self._said.items() if said.sentences == [text]]:
            self.end(other)
        said = self._said[topic] = self._new(text, kind, actions)
        self._layout.addWidget(said.widget)
        said.show()
        self.show()

    def add(self, topic: str, text: str, kind: NoticeKind = "warning") -> None:
        """Append a sentence to a topic, unless it stands there; a warning remains a warning.

        Parameters
        ----------
        topic : str
            The condition that the sentence belongs to.
        text : str
            The sentence.
        kind : {"info", "warning", "error"}
            Its kind, if what was said before is no warning.
        """
        said = self._said.get(topic)
        if said is None:
            self.say(topic, text, kind)
        elif text not in said.sentences:
            said.sentences.append(text)
            said.kind = kind if said.kind == "info" else said.kind
            said.show()

    def take_back(self, text: str) -> None:
        """Take a sentence away, whatever its topic, because it is no longer true."""
        for topic, said in list(self._said.items()):
            if text in said.sentences:
                said.sentences.remove(text)
                said.show()
                if not said.sentences:
                    self.end(topic)

    def end(self, *topics: str) -> None:
        """Take away what is said under these topics, if anything is: they hold no longer."""
        for topic in topics:
            said = self._said.pop(topic, None)
            if said is not None:
                said.widget.hide()
                self._layout.removeWidget(said.widget)
                said.widget.deleteLater()
        self.setVisible(bool(self._said))

    def end_with(self, signal: Any, *topics: str) -> None:
        """End topics whenever a signal of Qt is emitted, whose object lives no longer than this.

        Parameters
        ----------
        signal : Signal
            Such as ``form.valueChanged``.
        *topics : str
            What holds no longer then.
        """
        signal.connect(lambda *_: self.end(*topics))

    def text(self, topic: str | None = None) -> str:
        """Return all that is said, or what is said under one topic, as lines."""
        shown = self._said.values() if topic is None else filter(None, [self._said.get(topic)])
        return "\n".join(sentence for said in shown for sentence in said.sentences)

    def kind(self, topic: str) -> NoticeKind | None:
        """Return the kind of what is said under a topic, None where nothing is."""
        said = self._said.get(topic)
        return None if said is None else said.kind

    def buttons(self, topic: str) -> list[QPushButton]:
        """Return the buttons below what is said under a topic."""
        said = self._said.get(topic)
        return [] if said is None else said.buttons

    def _new(self, text: str, kind: NoticeKind, actions: Sequence[NoticeAction]) -> _Said:
        widget = QWidget()
        said = _Said([text], kind, widget, Notice())
        layout = QVBoxLayout(widget)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(said.notice)
        is_short = sum(len(action.text) for action in actions) <= ROW
        row = QHBoxLayout() if is_short else QVBoxLayout()
        for action in actions:
            button = QPushButton(action.text)
            button.setToolTip(action.tip)
            button.clicked.connect(lambda _=False, call=action.call: call())
            said.buttons.append(button)
            row.addWidget(button)
        row.addStretch()
        if actions:
            layout.addLayout(row)
        return said
