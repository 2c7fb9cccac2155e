"""The page that predicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari import Viewer
from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_unet.control import Control
from napari_unet.errors import InputError, NapariUnetError
from napari_unet.inference.events import (
    PredictionEvent,
    PredictionFinished,
    PredictionStarted,
    TileDone,
)
from napari_unet.model import SUFFIX, TrainedModel, load_model
from napari_unet.widgets.choosers import LayerChooser
from napari_unet.widgets.editors import OptionalEdit, SwitchEdit, TextEdit
from napari_unet.widgets.form import form_layout
from napari_unet.widgets.layers import Picture
from napari_unet.widgets.lists import read_list, write_list
from napari_unet.widgets.model_info import ModelChooser, describe_model
from napari_unet.widgets.parts import Notice, Scroll, heading, main_button
from napari_unet.widgets.results import Results
from napari_unet.widgets.session import NamedModel, Session
from napari_unet.widgets.words import clock, count, duration
from napari_unet.widgets.worker import EventRunner, spare_cores

FULL = 1000
"""Steps of the progress bar."""

USUAL_TILE = {2: (512, 512), 3: (96, 96, 96)}
"""What a tile that is set by hand begins with."""


@dataclass(frozen=True, eq=False)
class PredictRequest:
    """A prediction, as plain values that a thread may hold.

    `request` is a `napari_unet.inference.predictor.Request`, `out` an array to write into.
    """

    model: TrainedModel
    data: Any
    request: Any
    out: Any

    def events(self, control: Control) -> Iterator[PredictionEvent]:
        """Predict; to be iterated in a thread."""
        from napari_unet.inference.predictor import predict_events

        yield from predict_events(
            self.model, self.data, self.request, out=self.out, control=control
        )


class PredictPage(QWidget):
    """Applies a model to an image; the result grows in the viewer tile by tile.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the image is, and where the result goes.
    session : Session
        The models.
    """

    def __init__(self, viewer: Viewer, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._session = viewer, session
        self._results: Results | None = None
        self._tiles = 0
        self.runner, self._loader = EventRunner(self), EventRunner(self)
        self.model = ModelChooser(session)
        self.open = QPushButton("Open model file …")
        self.open.setToolTip("Read a model that was saved before.")
        self.info = QLabel()
        self.info.setWordWrap(True)
        self.info.setTextFormat(Qt.TextFormat.RichText)
        self.image = LayerChooser(viewer, Image, "Open an image first")
        self.probabilities = SwitchEdit("Probabilities too")
        self.tile = OptionalEdit(TextEdit(read_list, write_list), USUAL_TILE[2])
        self.notice = Notice()
        self.predict = main_button("Predict", "Apply the model to the whole image (Shift+R).")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop now and keep what is done.")
        self.progress, self.line = QProgressBar(), QLabel()
        self._arrange()
        self._connect()
        self._show_model()
        self._show_state()

    def start(self) -> None:
        """Predict as set in the form."""
        if self.runner.running:
            return
        self.notice.say("")
        try:
            request = self._request()
        except NapariUnetError as error:
            self.show_problem(error)
            return
        self.progress.setRange(0, 0)  # busy
        self.line.setText("Getting ready …")
        self.runner.start(request.events)
        self._show_state()

    def choose(self, model: NamedModel, layer: Any) -> None:
        """Choose a model and an image."""
        self.model.setValue(model)
        self.image.set_layer(layer)

    def open_file(self, path: str) -> None:
        """Read a model's file, in a thread."""

        def load() -> tuple[str, TrainedModel]:
            model = load_model(path)
            model.digest  # noqa: B018 - computed once, and not in the GUI's thread
            # What a prediction needs, torch above all, is imported here as well.
            import napari_unet.inference.predictor  # noqa: F401

            return Path(path).stem, model

        if not self._loader.running:
            self._loader.start_call(load)

    def show_problem(self, error: NapariUnetError) -> None:
        """Say in the viewer and here what went wrong."""
        show_error(str(error))
        self.notice.say(str(error), "error")

    def let_go(self) -> None:
        """Stop, and follow the viewer no longer."""
        self.runner.abandon()
        self.image.let_go()
        if self._results is not None:
            self._results.let_go()

    def _request(self) -> PredictRequest:
        """Check what is set, and make the layers for the result."""
        named, image = self.model.value(), self.image.layer()
        if named is None:
            raise InputError("There is no model", todo="Train one, or open a model file")
        if image is None:
            raise InputError("There is no image to predict", todo="Open one first")
        from napari_unet.inference.predictor import Request, find_view

        picture, probabilities = Picture.of(image), self.probabilities.value()
        request = Request(
            output="probabilities" if probabilities else "labels",
            tile=self.tile.value() or None,
            axes=picture.axes,
            rgb=picture.rgb,
            threads=spare_cores(),
        )
        model = named.model
        view = find_view(model, picture.data, request)
        self._results = Results(
            self._viewer, image, model, view, probabilities=probabilities, parent=self
        )
        self._results.labelsRemoved.connect(self._result_removed)
        return PredictRequest(model, picture.data, request, self._results.out)

    def _arrange(self) -> None:
        content = QWidget()
        inside = QVBoxLayout(content)
        inside.setContentsMargins(10, 4, 10, 8)
        inside.setSpacing(4)
        what, how = form_layout(), form_layout()
        tips = {
            "Model": "Models that were trained or opened while this viewer is open.",
            "Image": "The layer to predict.",
            "Output": "A Labels layer; and, if you like, an Image layer per class that holds its "
            "probability.",
            "Tile": "Largest piece to compute at once, in voxels per axis. Left open, it is chosen "
            "from the free memory; the result does not depend on it.",
        }
        rows: tuple[tuple[Any, str, QWidget], ...] = (
            (what, "Model", self.model),
            (how, "Image", self.image),
            (how, "Output", self.probabilities),
            (how, "Tile", self.tile),
        )
        for form, text, editor in rows:
            label = QLabel(text)
            for widget in (label, editor):
                widget.setToolTip(tips[text])
            editor.setAccessibleName(text)
            form.addRow(label, editor)
        what.addRow("", self.open)
        inside.addWidget(heading("Apply"))
        inside.addLayout(what)
        inside.addWidget(self.info)
        inside.addWidget(heading("To"))
        inside.addLayout(how)
        inside.addWidget(self.notice)
        inside.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(Scroll(content), 1)
        layout.addWidget(self._footer())

    def _footer(self) -> QWidget:
        footer = QWidget()
        footer.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        layout = QVBoxLayout(footer)
        layout.setContentsMargins(10, 6, 10, 8)
        layout.setSpacing(5)
        self.progress.setTextVisible(False)
        layout.addWidget(self.progress)
        layout.addWidget(self.line)
        row = QHBoxLayout()
        row.addWidget(self.predict, 1)
        row.addWidget(self.cancel, 1)
        layout.addLayout(row)
        return footer

    def _connect(self) -> None:
        self.predict.clicked.connect(self.start)
        self.cancel.clicked.connect(self._cancel_clicked)
        self.open.clicked.connect(self._open_clicked)
        self.model.valueChanged.connect(self._show_model)
        self.runner.happened.connect(self._show_event)
        self.runner.failed.connect(self._failed)
        self.runner.ended.connect(self._show_state)
        self._loader.happened.connect(self._loaded)
        self._loader.failed.connect(self.show_problem)

    def _show_state(self) -> None:
        running = self.runner.running
        self.predict.setVisible(not running)
        for part in (self.cancel, self.progress, self.line):
            part.setVisible(running)

    def _show_model(self) -> None:
        named = self.model.value()
        self.info.setText("" if named is None else describe_model(named.model))
        self.info.setVisible(named is not None)
        if named is not None and self.tile.value() is None:
            self.tile.editor.setValue(USUAL_TILE[named.model.config.ndim])

    def _show_event(self, event: object) -> None:
        match event:
            case PredictionStarted():
                self._tiles = event.tiles
                self.progress.setRange(0, FULL)
            case TileDone():
                self._show_tile(event)
            case PredictionFinished():
                self._finished(event)

    def _show_tile(self, event: TileDone) -> None:
        self.progress.setValue(round(FULL * event.done / event.tiles))
        if not self.runner.stopping:
            left = clock(event.remaining)
            self.line.setText(f"tile {event.done:,} of {event.tiles:,} · {left} left")
        if self._results is not None:
            self._results.tile_done(event)

    def _finished(self, event: PredictionFinished) -> None:
        if self._results is None:
            return
        self._results.finish(complete=event.complete)
        self._results = None
        if event.complete:
            self.notice.say(
                f"Predicted in {duration(event.seconds)}, {count(self._tiles, 'tile')}."
            )
        else:
            self.notice.say("Stopped; what was predicted before is kept.")

    def _failed(self, error: NapariUnetError) -> None:
        if self._results is not None:
            self._results.discard()
            self._results = None
        self.show_problem(error)

    def _cancel_clicked(self) -> None:
        self.runner.stop()
        self.line.setText("Stopping …")

    def _result_removed(self) -> None:
        assert self._results is not None
        self._results.discard()
        self._results = None
        self.runner.stop()
        self.notice.say("The result's layer was removed, so the prediction was stopped.", "warning")

    def _open_clicked(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open model", "", f"Models (*{SUFFIX})")
        if path:
            self.open_file(path)

    def _loaded(self, found: tuple[str, TrainedModel]) -> None:
        self.notice.say("")
        self.model.setValue(self._session.add(*found))
