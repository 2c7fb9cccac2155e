"""The page that predicts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from napari import Viewer
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_error
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_unet.display import clock, count, duration
from napari_unet.errors import InputError, NapariUnetError
from napari_unet.inference.request import (
    PredictionFinished,
    PredictionStarted,
    Request,
    TileDone,
    find_missing,
    find_view,
)
from napari_unet.model import TrainedModel
from napari_unet.widgets.forms.editors import OptionalEdit, SwitchEdit, TextEdit
from napari_unet.widgets.forms.layer_combo import LayerCombo, MaskCombo
from napari_unet.widgets.forms.model_form import form_layout
from napari_unet.widgets.layers.layer_data import LayerData, largest_level
from napari_unet.widgets.layers.provenance import is_result, note_time, origin
from napari_unet.widgets.layers.results import ImageResults, LabelResults, Results
from napari_unet.widgets.layers.view import PredictionPair
from napari_unet.widgets.models import ModelChooser, ModelFiles, NamedModel, Session, describe_model
from napari_unet.widgets.predict.compatibility import CompatibilityNotice, misfits
from napari_unet.widgets.predict.provenance_dialog import show_how
from napari_unet.widgets.predict.quality import QualityChecks
from napari_unet.widgets.predict.refine import RefinePanel
from napari_unet.widgets.qt.event_thread import EventRunner
from napari_unet.widgets.qt.style import Notice, Scroll, Section, heading, main_button
from napari_unet.widgets.qt.text import read_list, write_list
from napari_unet.workers.jobs import ExportJob, PredictJob
from napari_unet.workers.messages import Readable, Writable

FULL = 1000
"""Steps of the progress bar."""

USUAL_TILE = {2: (512, 512), 3: (96, 96, 96)}
"""What a tile that is set by hand begins with."""

TIPS = {
    "Model": "Models that were trained or opened while this viewer is open.",
    "Image": "The layer to predict.",
    "Output": "A Labels layer; and, if you like, an Image layer per class that holds its "
    "probability.",
    "Flips": "Predict the image flipped and turned in eight ways, and take the mean: smoother, and "
    "usually nearer to the truth, but eight times as long.",
    "Missing": "A Labels layer that is not 0 where pixels are missing and shall be filled in. "
    "Pixels that are NaN are missing without it too.",
    "Known": "Off: pixels that are not missing are replaced as well by what the model makes of "
    "them.",
    "Tile": "Largest piece to compute at once, in voxels per axis. Left open, it is chosen from "
    "the free memory; the result does not depend on it.",
}


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
        self._last: Layer | None = None
        self._refines = False
        self._tiles = 0
        self.runner = EventRunner(self)
        self.model = ModelChooser(session)
        self.info = QLabel()
        self.info.setWordWrap(True)
        self.info.setTextFormat(Qt.TextFormat.RichText)
        self.image = LayerCombo(viewer, Image, "Open an image first")
        self.probabilities = SwitchEdit("Probabilities too")
        self.flips = SwitchEdit("Average over flips")
        self.missing = MaskCombo(viewer)
        self.files = ModelFiles(session, self._to_export)
        self.open, self.export = self.files.open, self.files.export
        self.keep_known = SwitchEdit("Keep known pixels")
        self.keep_known.setValue(True)
        self.tile = OptionalEdit(TextEdit(read_list, write_list), USUAL_TILE[2])
        self.fits, self.notice = CompatibilityNotice(), Notice()
        self.refine = RefinePanel(viewer)
        self.refine_section = Section("Refine the result", self.refine)
        self.checks = QualityChecks(viewer)
        self.made = QPushButton("How was this made?")
        self.made.setToolTip(
            "Tell which model, strokes and settings made the selected result, and the commands "
            "that make it again."
        )
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
            job = self._job()
        except NapariUnetError as error:
            self.fits.say("")
            self.show_problem(error)
            return
        self.progress.setValue(0)
        self.line.setText("Getting ready …")
        self.runner.start(partial(self._session.worker.run, job))
        self._show_state()

    def choose(self, model: NamedModel, layer: Any) -> None:
        """Choose a model and an image."""
        self.model.setValue(model)
        self.image.set_layer(layer)

    def open_file(self, path: str) -> None:
        """Read a model's file or a package, elsewhere, and choose it."""
        self.files.open_file(path)

    def show_problem(self, error: NapariUnetError) -> None:
        """Say in the viewer and here what went wrong."""
        show_error(str(error))
        self.notice.say(str(error), "error")

    def release(self) -> None:
        """Stop, and follow the viewer no longer."""
        self.runner.abandon()
        for part in (self.image, self.missing, self.refine, self.checks, self.files):
            part.release()
        if self._results is not None:
            self._results.release()

    def _job(self) -> PredictJob:
        """Check what is set, and make the layers for the result."""
        named, image = self.model.value(), self.image.layer()
        if named is None:
            raise InputError("There is no model", todo="Train one, or open a model file")
        if image is None:
            raise InputError("There is no image to predict", todo="Open one first")
        picture, model = LayerData.of(image), named.model
        request = Request(
            tile=self.tile.value() or None,
            axes=picture.axes,
            rgb=picture.rgb,
            flips=model.target is not None and self.flips.value(),
            keep_known=self.keep_known.value(),
        )
        view = find_view(model, picture.data, request)
        mask = self.missing.layer() if model.input_spec.mask else None
        missing = None if mask is None else largest_level(mask)
        find_missing(model, view, missing)
        self._forget()
        if model.target is None:
            shown = self.probabilities.value()
            labels = LabelResults(
                self._viewer, image, model, view, probabilities=shown, parent=self
            )
            if labels.kept is not None:
                request = replace(request, output="probabilities")
            self._results = labels
        else:
            asked = _asked(request, model, mask)
            self._results = ImageResults(self._viewer, image, model, view, asked, self)
        self._results.mainRemoved.connect(self._result_removed)
        given = None if missing is None else Readable(missing)
        out = Writable(self._results.out)
        return PredictJob(model, Readable(picture.data), request, out, given)

    def _to_export(self, path: str) -> ExportJob | None:
        """Return what is to be written, with the chosen image for an example if it is one."""
        named, image = self.model.value(), self.image.layer()
        if named is None:
            return None
        picture = None if image is None else LayerData.of(image)
        if picture is None or any(m.kind == "error" for m in misfits(named.model, picture)):
            return ExportJob(named.model, path)
        request = Request(axes=picture.axes, rgb=picture.rgb)
        return ExportJob(named.model, path, Readable(picture.data), request)

    def _show_fit(self) -> None:
        """Say what model and image differ in, before anything is computed."""
        named, image, mask = self.model.value(), self.image.layer(), self.missing.layer()
        picture = None if image is None else LayerData.of(image)
        missing = None if mask is None else largest_level(mask)
        self.fits.compare(None if named is None else named.model, picture, missing)

    def _forget(self) -> None:
        """Forget the last result, for there will be another one."""
        self.refine.clear()
        self.checks.clear()
        self._refines = False

    def _arrange(self) -> None:
        content = QWidget()
        inside = QVBoxLayout(content)
        inside.setContentsMargins(10, 4, 10, 8)
        inside.setSpacing(4)
        what, how = form_layout(), form_layout()
        self._how = how
        rows: tuple[tuple[Any, str, str, QWidget], ...] = (
            (what, "Model", "Model", self.model),
            (how, "Image", "Image", self.image),
            (how, "Output", "Output", self.probabilities),
            (how, "Missing", "Missing", self.missing),
            (how, "Known", "", self.keep_known),
            (how, "Flips", "", self.flips),
            (how, "Tile", "Tile", self.tile),
        )
        for form, name, text, editor in rows:
            label = QLabel(text)
            for widget in (label, editor):
                widget.setToolTip(TIPS[name])
            editor.setAccessibleName(name)
            form.addRow(label, editor)
        what.addRow("", self.files)
        inside.addWidget(heading("Apply"))
        inside.addLayout(what)
        inside.addWidget(self.info)
        inside.addWidget(heading("To"))
        inside.addLayout(how)
        for part in (self.fits, self.notice, self.checks, self.refine_section, self.made):
            inside.addWidget(part)
        inside.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        self._scroll = Scroll(content)
        layout.addWidget(self._scroll, 1)
        layout.addWidget(self._footer())

    def _footer(self) -> QWidget:
        footer = QWidget()
        footer.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        layout = QVBoxLayout(footer)
        layout.setContentsMargins(10, 6, 10, 8)
        layout.setSpacing(5)
        # Never a busy bar: it repaints all the time, and with it the viewer's whole window.
        self.progress.setRange(0, FULL)
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
        self.made.clicked.connect(self._made_clicked)
        self.files.opened.connect(self.model.setValue)
        self.files.said.connect(self.notice.say)
        self.files.failed.connect(self.show_problem)
        self.model.valueChanged.connect(self._show_model)
        self.image.layerChanged.connect(self._find_missing)
        self.missing.layerChanged.connect(self._show_fit)
        self.runner.happened.connect(self._show_event)
        self.runner.failed.connect(self._failed)
        self.runner.ended.connect(self._show_state)
        self.checks.trust.runner.happened.connect(lambda _: self._scroll.show_part(self.checks))

    def _show_state(self) -> None:
        running = self.runner.running
        self.predict.setVisible(not running)
        for part in (self.cancel, self.progress, self.line):
            part.setVisible(running)
        self.refine_section.setVisible(self._refines and not running)
        self.made.setVisible(self._last is not None and not running)

    def _show_model(self) -> None:
        named = self.model.value()
        self.info.setText("" if named is None else describe_model(named.model))
        self.info.setVisible(named is not None)
        self.files.set_exportable(named is not None)
        if named is None:
            return
        if self.tile.value() is None:
            self.tile.editor.setValue(USUAL_TILE[named.model.config.ndim])
        fills, makes = named.model.input_spec.mask, named.model.target is not None
        self._how.setRowVisible(self.probabilities, not makes)
        self._how.setRowVisible(self.flips, makes)
        for editor in (self.missing, self.keep_known):
            self._how.setRowVisible(editor, fills)
        self._find_missing()

    def _find_missing(self) -> None:
        """Choose a layer that could be the mask, where one is wanted and none is chosen."""
        named, image = self.model.value(), self.image.layer()
        if named is not None and image is not None and named.model.input_spec.mask:
            self.missing.suit(LayerData.of(image).data.shape)
        self._show_fit()

    def _show_event(self, event: object) -> None:
        match event:
            case PredictionStarted():
                self._tiles = event.tiles
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
        results, self._results = self._results, None
        results.finish(complete=event.complete)
        self._last = results.main
        note_time(results.layers, event.seconds)
        if isinstance(results, ImageResults):
            subject = PredictionPair(results.image, results.picture, results.layout)
            task = results.model.task
            self.checks.set_result(subject, task=task, complete=event.complete)
        elif event.complete and isinstance(results, LabelResults) and results.kept is not None:
            kept, model = getattr(results.kept, "array", results.kept), results.model
            self.refine.set_result(results.labels, kept, model.classes, model.config.ndim)
            self._refines = True
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

    def _made_clicked(self) -> None:
        """Tell of the selected layer, or where that is none of ours of the last result."""
        active = self._viewer.layers.selection.active
        layer = active if active is not None and is_result(active) else self._last
        if layer is not None:
            show_how(self._viewer, layer, self)


def _asked(request: Request, model: TrainedModel, mask: Labels | None) -> dict[str, Any]:
    """Return what was asked for besides the usual, to be told of a result."""
    asked: dict[str, Any] = {"flips": True} if request.flips else {}
    if model.input_spec.mask and not request.keep_known:
        asked["keep_known"] = False
    return asked if mask is None else {**asked, "mask": origin(mask).file}
