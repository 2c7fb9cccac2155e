"""The page that predicts."""

from __future__ import annotations

from typing import Any, Literal

from napari import Viewer
from napari.layers import Layer
from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_unet.display import count, duration
from napari_unet.errors import NapariUnetError
from napari_unet.inference.request import PredictionFinished, TileDone
from napari_unet.widgets.layers.provenance import is_result
from napari_unet.widgets.layers.results import ImageResults, LabelResults, Results
from napari_unet.widgets.layers.view import PredictionPair
from napari_unet.widgets.models import NamedModel, Session
from napari_unet.widgets.predict.form import PredictForm
from napari_unet.widgets.predict.prediction import PredictFooter, PredictionRun
from napari_unet.widgets.predict.provenance_dialog import show_how
from napari_unet.widgets.predict.quality import QualityChecks
from napari_unet.widgets.predict.refine import RefinePanel
from napari_unet.widgets.qt.event_thread import EventRunner
from napari_unet.widgets.qt.notices import NoticeBoard
from napari_unet.widgets.qt.style import Scroll, Section

PROBLEM = "problem"
"""Topic: why nothing can be predicted, or why the last prediction failed."""

RESULT_SAID = "result"
"""Topic: how the last prediction ended."""

FILES = "files"
"""Topic: that a model is being read or exported."""


class PredictPage(QWidget):
    """Applies a model to an image, and says how good the result is and how it was made.

    From top to bottom: the form, sentences for the user, quality checks of a predicted image,
    settings that refine predicted labels; below them, always in sight, the buttons.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the image is, and where the result goes.
    session : Session
        The models.

    Attributes
    ----------
    form : PredictForm
        Model, image and settings.
    prediction : PredictionRun
        The prediction that runs or ran last.
    quality : QualityChecks
        Checks of a predicted image.
    refine : RefinePanel
        Refines predicted labels.
    provenance : QPushButton
        Shows how a result was made.
    footer : PredictFooter
        The buttons.
    """

    def __init__(self, viewer: Viewer, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._last: Layer | None = None
        self._can_refine = False
        self.form = PredictForm(viewer, session)
        self.prediction = PredictionRun(viewer, session.worker, self)
        self.notice = NoticeBoard()
        self.quality = QualityChecks(viewer)
        self.refine = RefinePanel(viewer)
        self.refine_section = Section("Refine the result", self.refine)
        self.provenance = QPushButton("How was this made?")
        self.provenance.setToolTip(
            "Show the model, strokes and settings that made the selected result, and the "
            "commands that reproduce it."
        )
        self.footer = PredictFooter()
        self._arrange()
        self._connect()
        self._show_state()

    @property
    def runner(self) -> EventRunner:
        """The thread of the prediction."""
        return self.prediction.runner

    def start(self) -> None:
        """Predict as set in the form."""
        if self.runner.running:
            return
        self.notice.end(PROBLEM, RESULT_SAID)
        try:
            asked = self.form.request()
            self._forget_result()
            self.prediction.start(asked)
        except NapariUnetError as error:
            self.form.compatibility.say("")
            self.show_problem(error)
            return
        self.footer.begin()
        self._show_state()

    def choose(self, model: NamedModel, *layers: Any) -> None:
        """Choose what to predict.

        Parameters
        ----------
        model : NamedModel
            One of the session's models.
        *layers : Image
            The layer to predict, or the layers that are its channels, in the order of the model's.
        """
        self.form.model.setValue(model)
        self.form.image.set_layers(layers)

    def open_file(self, path: str) -> None:
        """Read a model file or a package in another process, and choose the model."""
        self.form.files.open_file(path)

    def end_comparison(self) -> None:
        """Show the layers that are compared as they were before."""
        self.quality.compare.set_mode("After")

    def show_problem(self, error: NapariUnetError) -> None:
        """Say why nothing can be predicted, or why it failed, until that may have changed."""
        self.notice.say(PROBLEM, str(error), "error")
        if not self.isVisibleTo(self.window()):
            show_info("The prediction failed: the Predict page says why.")

    def rest(self) -> None:
        """Take previews out of the viewer until `wake`; a prediction that runs goes on."""
        self.end_comparison()
        self.refine.rest()

    def wake(self) -> None:
        """Show previews again, for the panel is opened again."""
        self.refine.preview.update_soon()

    def release(self) -> None:
        """Stop, and disconnect from the viewer."""
        for part in (self.prediction, self.form, self.refine, self.quality):
            part.release()

    def _forget_result(self) -> None:
        """Forget the last result, for there will be another one."""
        self.refine.clear()
        self.quality.clear()
        self._can_refine = False

    def _arrange(self) -> None:
        content = QWidget()
        inside = QVBoxLayout(content)
        inside.setContentsMargins(10, 4, 10, 8)
        inside.setSpacing(4)
        for part in (self.form, self.notice, self.quality, self.refine_section, self.provenance):
            inside.addWidget(part)
        inside.addStretch()
        self._scroll = Scroll(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._scroll, 1)
        layout.addWidget(self.footer)

    def _connect(self) -> None:
        self.footer.predict.clicked.connect(self.start)
        self.footer.cancel.clicked.connect(self._cancel)
        self.provenance.clicked.connect(self._show_provenance)
        self.form.files.said.connect(self._say_files)
        self.form.files.failed.connect(lambda error: show_error(str(error)))
        self.notice.end_with(self.form.edited, PROBLEM, RESULT_SAID)
        self.prediction.tileDone.connect(self._show_tile)
        self.prediction.finished.connect(self._take_result)
        self.prediction.resultRemoved.connect(self._say_removed)
        self.prediction.failed.connect(self.show_problem)
        self.prediction.ended.connect(self._show_state)
        self.quality.residual.runner.happened.connect(
            lambda _: self._scroll.show_part(self.quality)
        )

    def _show_state(self) -> None:
        """Show the parts that make sense now."""
        running = self.runner.running
        self.footer.show_running(running)
        self.refine_section.setVisible(self._can_refine and not running)
        self.provenance.setVisible(self._last is not None and not running)

    def _show_tile(self, tile: TileDone) -> None:
        self.footer.show_tile(tile, stopping=self.runner.stopping)

    def _take_result(self, results: Results, event: PredictionFinished) -> None:
        """Offer what can be done with a result."""
        self._last = results.main
        if isinstance(results, ImageResults):
            pair = PredictionPair(results.image, results.picture, results.layout)
            self.quality.set_result(pair, task=results.model.task, complete=event.complete)
        elif event.complete and isinstance(results, LabelResults) and results.kept is not None:
            probabilities = getattr(results.kept, "array", results.kept)
            model = results.model
            self.refine.set_result(results.labels, probabilities, model.classes, model.config.ndim)
            self._can_refine = True
        if event.complete:
            tiles = count(self.prediction.tiles, "tile")
            said = f"Predicted in {duration(event.seconds)}, {tiles}."
            kind: Literal["info", "warning"] = "warning" if event.warnings else "info"
            self.notice.say(RESULT_SAID, " ".join((said, *event.warnings)), kind)
        else:
            self.notice.say(RESULT_SAID, "Stopped; the part that was predicted is kept.")

    def _say_removed(self) -> None:
        text = "The result's layer was removed, so the prediction was stopped."
        self.notice.say(RESULT_SAID, text, "warning")

    def _say_files(self, text: str) -> None:
        self.notice.end(FILES)
        if text:
            self.notice.say(FILES, text)

    def _cancel(self) -> None:
        self.runner.stop()
        self.footer.show_stopping()

    def _show_provenance(self) -> None:
        """Show how the selected layer was made, or the last result where none of ours is."""
        active = self._viewer.layers.selection.active
        layer = active if active is not None and is_result(active) else self._last
        if layer is not None:
            show_how(self._viewer, layer, self)
