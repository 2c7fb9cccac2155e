"""The part of the Train page that shows how a training goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.display import hex_colour, rgb8
from napari_unet.model import ClassInfo
from napari_unet.training.advice import Adviser
from napari_unet.training.events import (
    ClassesGrew,
    Finished,
    Snapshot,
    Started,
    Stepped,
    TrainingEvent,
    Validated,
)
from napari_unet.widgets.layers.layer_data import RGBA, class_colour
from napari_unet.widgets.qt.style import Palette
from napari_unet.widgets.train.controls import AdviceLine
from napari_unet.widgets.train.history import HistorySlider
from napari_unet.widgets.train.plots import LossPlot
from napari_unet.widgets.train.scores import ScoreBoard


class TrainingProgress(QWidget):
    """Shows advice, loss, history and scores of one training after the other.

    Parameters
    ----------
    palette : Palette
        The colours of the theme.
    colors : callable
        Returns the colours of the painted classes, by label value.

    Attributes
    ----------
    names, values : tuple
        Names and label values of the classes.
    scores : Validated, optional
        The latest validation.
    """

    def __init__(
        self,
        palette: Palette,
        colors: Callable[[], Mapping[int, RGBA]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._colors = colors
        self._adviser = Adviser()
        self.names: tuple[str, ...] = ()
        self.values: tuple[int, ...] = ()
        self.scores: Validated | None = None
        self.advice = AdviceLine(palette)
        self.plot = LossPlot(palette)
        self.history = HistorySlider(palette)
        self.board = ScoreBoard(palette)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        for part in (self.advice, self.plot, self.history, self.board):
            layout.addWidget(part)
        self.board.hide()
        self.history.moved.connect(self._mark)

    def clear(self) -> None:
        """Forget the last training, for a new one."""
        self._adviser = Adviser()
        self.scores = None
        for part in (self.plot, self.history, self.advice, self.board):
            part.clear()
        self.history.set_live(True)
        self.board.hide()

    def show_event(self, event: TrainingEvent) -> None:
        """Show what an event says of the training."""
        match event:
            case Started() | ClassesGrew():
                self.names, self.values = event.class_names, event.class_values
            case Stepped():
                self.plot.add_step(event.step, event.loss, event.learning_rate)
            case Validated():
                self._show_scores(event)
            case Snapshot():
                self.history.add(event)
            case Finished():
                self._offer_best(event)
                self.history.set_end(event.model)
        for advice in self._adviser.feed(event):
            self.advice.show_advice(advice, dict(zip(self.names, self.hex_colors(), strict=False)))
        self.advice.keep(self._adviser.standing)

    def hex_colors(self) -> list[str]:
        """Return the colours of the classes, as ``#rrggbb``."""
        painted = self._colors()
        colours = (class_colour(ClassInfo(v, color=painted.get(v))) for v in self.values)
        return [hex_colour(rgb8(colour)) for colour in colours]

    def set_palette(self, palette: Palette) -> None:
        """Take the colours of a theme."""
        for part in (self.plot, self.history, self.advice, self.board):
            part.set_palette(palette)

    def _mark(self, selected: Snapshot | None) -> None:
        self.plot.mark(None if selected is None else selected.step)

    def _offer_best(self, event: Finished) -> None:
        """Add the weights with the least loss to the history, unless they are the last ones."""
        facts = {} if event.best is None else event.best.training
        if event.best is not None and facts["steps"] not in (0, event.step):
            self.history.add_least(Snapshot(facts["steps"], facts["seconds"], event.best))

    def _show_scores(self, event: Validated) -> None:
        self.scores = event
        self.plot.add_validation(event.step, event.loss)
        if event.scores:  # where the result is an image there are none
            self.board.show_validation(event, self.names, self.hex_colors())
            self.board.show()
