"""The prediction that the Predict page runs, and the buttons and the bar that belong to it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from napari import Viewer
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_unet.display import clock
from napari_unet.errors import NapariUnetError
from napari_unet.inference.request import PredictionFinished, PredictionStarted, TileDone
from napari_unet.widgets.layers.provenance import note_time
from napari_unet.widgets.layers.result_history import note_channels
from napari_unet.widgets.layers.results import ImageResults, LabelResults, Results
from napari_unet.widgets.predict.form import PredictionRequest
from napari_unet.widgets.qt.event_thread import EventRunner
from napari_unet.widgets.qt.style import main_button
from napari_unet.workers.jobs import PredictJob
from napari_unet.workers.messages import Readable, Writable
from napari_unet.workers.process import Worker

PROGRESS_STEPS = 1000
"""Steps of the progress bar."""


class PredictionRun(QObject):
    """Runs one prediction after the other; the result grows in the viewer tile by tile.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers of the result go.
    worker : Worker
        What computes.
    parent : QObject
        Its Qt parent, which deletes it.

    Attributes
    ----------
    beginning : Signal(object)
        A prediction of this layer begins; its result comes next.
    discarded : Signal()
        There is no result of it: the prediction failed, or the user removed the layer.
    tileDone : Signal(object)
        A tile is in its place; a `TileDone`.
    finished : Signal(object, object)
        The `Results`, which are complete or were stopped, and the `PredictionFinished`.
    resultRemoved : Signal()
        The user removed the layer of the result, so the prediction was stopped.
    failed : Signal(object)
        The prediction ended with this `NapariUnetError`; its layers were removed.
    ended : Signal()
        The prediction is over, whatever the reason.
    runner : EventRunner
        The thread that waits for the worker.
    tiles : int
        How many tiles there are.
    """

    beginning = Signal(object)
    discarded = Signal()
    tileDone = Signal(object)  # noqa: N815 - Qt's way of naming
    finished = Signal(object, object)
    resultRemoved = Signal()  # noqa: N815 - Qt's way of naming
    failed = Signal(object)
    ended = Signal()

    def __init__(self, viewer: Viewer, worker: Worker, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._worker = worker
        self._results: Results | None = None
        self.tiles = 0
        self.runner = EventRunner(self)
        self.runner.happened.connect(self._take)
        self.runner.failed.connect(self._fail)
        self.runner.ended.connect(self.ended)

    def start(self, asked: PredictionRequest) -> None:
        """Start a prediction."""
        note_channels(asked.channels or (asked.image,))
        self.beginning.emit(asked.image)
        try:
            job = self.prepare(asked)
        except NapariUnetError:
            self.discarded.emit()
            raise
        self.runner.start(partial(self._worker.run, job))

    def prepare(self, asked: PredictionRequest) -> PredictJob:
        """Add the layers of the result to the viewer, and return the job that fills them."""
        model, view = asked.model, asked.view
        request, made_with = asked.request, asked.described()
        results: Results
        if model.target is None:
            shown = asked.probabilities
            results = LabelResults(
                self._viewer,
                asked.image,
                model,
                view,
                probabilities=shown,
                parent=self,
                channels=asked.channels,
                request=made_with,
            )
            if results.kept is not None:
                request = replace(request, output="probabilities")
        else:
            results = ImageResults(
                self._viewer, asked.image, model, view, made_with, self, asked.channels
            )
        results.mainRemoved.connect(self._stop_without_result)
        self._results = results
        mask = None if asked.mask is None else Readable(asked.missing)
        return PredictJob(
            model, Readable(asked.data.data, asked.data.name), request, Writable(results.out), mask
        )

    def release(self) -> None:
        """Stop at once, and disconnect from the viewer."""
        self.runner.abandon()
        if self._results is not None:
            self._results.release()

    def _take(self, event: object) -> None:
        match event:
            case PredictionStarted():
                self.tiles = event.tiles
            case TileDone():
                self.tileDone.emit(event)
                if self._results is not None:
                    self._results.tile_done(event)
            case PredictionFinished() if self._results is not None:
                results, self._results = self._results, None
                results.finish(complete=event.complete)
                note_time(results.layers, event.seconds)
                self.finished.emit(results, event)

    def _fail(self, error: NapariUnetError) -> None:
        self._discard()
        self.failed.emit(error)

    def _stop_without_result(self) -> None:
        self._discard()
        self.runner.stop()
        self.resultRemoved.emit()

    def _discard(self) -> None:
        """Remove the layers of the result."""
        if self._results is not None:
            self._results.discard()
            self._results = None
        self.discarded.emit()


class PredictFooter(QWidget):
    """The buttons that start and cancel a prediction, and how far it is.

    Attributes
    ----------
    predict, cancel : QPushButton
        Only one of them is shown.
    progress : QProgressBar
        How far it is.
    line : QLabel
        The same in words.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.predict = main_button("Predict", "Apply the model to the whole image (Shift+R).")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop now and keep what has been predicted.")
        self.progress = QProgressBar()
        # Never a busy bar: it repaints all the time, and with it the viewer's whole window.
        self.progress.setRange(0, PROGRESS_STEPS)
        self.progress.setTextVisible(False)
        self.line = QLabel()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 6, 10, 8)
        layout.setSpacing(5)
        layout.addWidget(self.progress)
        layout.addWidget(self.line)
        buttons = QHBoxLayout()
        buttons.addWidget(self.predict, 1)
        buttons.addWidget(self.cancel, 1)
        layout.addLayout(buttons)

    def begin(self) -> None:
        """Show that a prediction begins."""
        self.progress.setValue(0)
        self.line.setText("Getting ready …")

    def show_running(self, running: bool) -> None:
        """Show what makes sense while a prediction runs, or while none does."""
        self.predict.setVisible(not running)
        for part in (self.cancel, self.progress, self.line):
            part.setVisible(running)

    def show_tile(self, tile: TileDone, *, stopping: bool) -> None:
        """Show how far it is.

        Parameters
        ----------
        tile : TileDone
            The last tile.
        stopping : bool
            Whether it was asked to stop; then the line goes on saying so.
        """
        self.progress.setValue(round(PROGRESS_STEPS * tile.done / tile.tiles))
        if not stopping:
            left = clock(tile.remaining)
            self.line.setText(f"tile {tile.done:,} of {tile.tiles:,} · {left} left")

    def show_stopping(self) -> None:
        """Show that it was asked to stop."""
        self.line.setText("Stopping …")
