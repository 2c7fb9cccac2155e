"""The page that trains."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from napari import Viewer
from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.control import Previewed, PreviewedImage
from napari_unet.errors import NapariUnetError
from napari_unet.geometry.axes import AxisLayout
from napari_unet.inference.request import Request
from napari_unet.model import TrainedModel
from napari_unet.training.events import (
    Decision,
    Finished,
    Snapshot,
    Started,
    Stepped,
    Suggested,
    Warned,
)
from napari_unet.widgets.layers.compare import CompareBar
from napari_unet.widgets.layers.layer_data import RGBA
from napari_unet.widgets.layers.provenance import with_training_layers
from napari_unet.widgets.models import ModelSaver, NamedModel, Session
from napari_unet.widgets.qt.event_thread import EventRunner
from napari_unet.widgets.qt.style import Notice, Palette, Scroll, Section
from napari_unet.widgets.train.annotation_sync import AnnotationSyncGroup
from napari_unet.widgets.train.controls import LiveBar, TrainFooter
from napari_unet.widgets.train.forms import TaskForm
from napari_unet.widgets.train.image_form import TaskForms
from napari_unet.widgets.train.live_preview import LivePreview, ModelPreview, like_of
from napari_unet.widgets.train.progress import TrainingProgress
from napari_unet.widgets.train.request import TrainRequest
from napari_unet.widgets.train.runs import RunsBox
from napari_unet.widgets.train.suggestion_marker import SuggestionNavigator

REFRESH_MS = 1000
"""How often the line of progress is written, together with the plot: whatever is repainted, Qt
puts the whole window together anew, picture and all."""


class TrainPage(QWidget):
    """Trains a network on what is painted, and shows how it goes.

    Parameters
    ----------
    viewer : napari.Viewer
        Where image and strokes are.
    session : Session
        Where the model goes.

    Attributes
    ----------
    predictionWanted : Signal(object, object)
        The user wants this `NamedModel` applied to this layer.
    """

    predictionWanted = Signal(object, object)  # noqa: N815 - Qt's way of naming

    def __init__(self, viewer: Viewer, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._session = viewer, session
        self._request: TrainRequest | None = None
        self._pairs: list[tuple[Any, Any]] = []
        self._pair = 0
        self._started: Started | None = None
        self._latest: Stepped | None = None
        self._model: NamedModel | None = None
        self._then_branch = self._then_keep = False
        self.runner, self._saver = EventRunner(self), ModelSaver(self)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REFRESH_MS)
        palette = Palette.of(viewer.theme)
        self.tasks = TaskForms(viewer, session)
        self._form: TaskForm = self.tasks.current
        self.feeds = AnnotationSyncGroup(viewer, self)
        self.preview = LivePreview(viewer, self)
        self.peek = ModelPreview(self.preview, session.worker, self._colors, self)
        self.guide = SuggestionNavigator(viewer, partial(self.runner.ask, "suggest"), self)
        self.live, self.compare = LiveBar(self.guide.button), CompareBar(viewer)
        self.view, self.notice = TrainingProgress(palette, self._colors), Notice()
        self.footer, self.runs = TrainFooter(), RunsBox(viewer, session)
        self.runs_section = Section("Runs", self.runs)
        self._arrange()
        self._connect()
        self._show_state()
        session.worker.warm_up()

    @property
    def form(self) -> Any:
        """The form of the chosen task."""
        return self.tasks.current

    def start(self) -> None:
        """Train as set in the form."""
        if self.runner.running:
            return
        try:
            request: TrainRequest = self.form.request()
        except NapariUnetError as error:
            self.show_problem(error)
            return
        self._form, self._pairs, self._pair = self.form, self.form.layers(), 0
        self._request = request = replace(request, **self.runs.options())
        painted = request.is_segmentation
        self.feeds.follow([labels for _, labels in self._pairs] if painted else ())
        self.live.show_kind(painted=painted)
        self.compare.set_layers(None, None)
        self._started = self._latest = self._model = None
        self._then_branch = self._then_keep = False
        self.notice.say("")
        self.view.clear()
        self.peek.end()
        self.footer.begin()
        self.runner.start(partial(request.events, self._session.worker, opened=self.feeds.open))
        self._show_state()
        self._scroll.show_part(self.view.plot)

    def toggle(self) -> None:
        """Start the training, or stop the one that runs."""
        if self.runner.running:
            self._stop_clicked()
        else:
            self.start()

    def paint_here(self) -> None:
        """Go to the place where the next stroke would help most."""
        self.guide.go()

    def show_problem(self, error: NapariUnetError) -> None:
        """Say in the viewer and here what went wrong."""
        show_error(str(error))
        self.notice.say(str(error), "error")
        self._scroll.show_part(self.notice)

    def set_palette(self, palette: Palette) -> None:
        """Take the colours of a theme."""
        self.view.set_palette(palette)

    def release(self) -> None:
        """Stop, and follow the viewer no longer."""
        self._viewer.layers.events.removed.disconnect(self._layer_removed)
        self._viewer.layers.selection.events.active.disconnect(self._layer_selected)
        self.feeds.release()
        self.preview.end()
        self.peek.end()
        self.peek.runner.abandon()
        self.guide.enabled(False)
        self.compare.release()
        self.tasks.release()
        self.runs.release()
        self.runner.abandon()

    def _arrange(self) -> None:
        content = QWidget()
        inside = QVBoxLayout(content)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(6)
        inside.addWidget(self.tasks)
        results = QVBoxLayout()
        results.setContentsMargins(10, 4, 10, 8)
        for part in (self.notice, self.live, self.compare, self.view, self.runs_section):
            results.addWidget(part)
        inside.addLayout(results)
        inside.addStretch()
        self._scroll = Scroll(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._scroll, 1)
        layout.addWidget(self.footer)

    def _connect(self) -> None:
        footer, history, layers = self.footer, self.view.history, self._viewer.layers
        footer.train.clicked.connect(self.start)
        footer.pause.clicked.connect(self._pause_clicked)
        footer.stop.clicked.connect(self._stop_clicked)
        footer.predict.clicked.connect(self._predict_clicked)
        footer.save.clicked.connect(self._save_clicked)
        self.live.shown.toggled.connect(self._live_toggled)
        self.live.unsure.toggled.connect(self._unsure_toggled)
        self.preview.noteChanged.connect(self.live.say)
        self.preview.imageShown.connect(self._offer_to_compare)
        history.moved.connect(self._look_back)
        history.kept.connect(self._keep)
        history.branched.connect(self._branch)
        self.tasks.failed.connect(self.show_problem)
        self.tasks.changed.connect(self._show_state)
        self.peek.failed.connect(self.show_problem)
        self.runner.happened.connect(self._show_event)
        self.runner.failed.connect(self.show_problem)
        self.runner.ended.connect(self._ended)
        self._timer.timeout.connect(self._show_progress)
        self._saver.said.connect(self.notice.say)
        self.runs_section.opened.connect(self.runs.refresh)
        for part in (self._saver, self.runs):
            part.failed.connect(self.show_problem)
        layers.events.removed.connect(self._layer_removed)
        layers.selection.events.active.connect(self._layer_selected)

    def _colors(self) -> dict[int, RGBA]:
        """Return the colours of the classes of the training that runs, or ran last."""
        return self._form.colors()

    def _show_state(self) -> None:
        """Show the buttons and parts that make sense now."""
        running, done = self.runner.running, self._model is not None
        self.tasks.show_running(running)
        again = done and self._form is self.form
        self.footer.show_state(running=running, paused=self.runner.paused, done=done, again=again)
        self.view.setVisible(self._started is not None)
        self.live.setVisible(running or done)

    def _show_event(self, event: Any) -> None:
        self.view.show_event(event)
        match event:
            case Started():
                self._started = event
                self.notice.say("")
                self.guide.enabled(bool(event.class_names))
                self._follow_view()
                self._show_state()
            case Previewed() | PreviewedImage() if self.view.history.selected is None:
                self.preview.show(event, self._colors())
            case Stepped():
                self._latest = event
                if not self._timer.isActive():
                    self._timer.start()
            case Snapshot():
                self._was_kept(event)
            case Suggested():
                self._show_places(event)
            case Warned():
                self.notice.add(event.message)
            case Decision():
                self.notice.add(event.message, "info")
            case Finished():
                self._model = self._store(event.model)
                self.footer.show_finished(event, self.view.scores)

    def _follow_view(self) -> None:
        """Ask for previews of what is in view from now on."""
        image = self._pairs[self._pair][0]
        if image in self._viewer.layers and self._started is not None:
            like = like_of(self._request, *self._pairs[self._pair])
            layout = self._layout(self._pair)
            self.preview.begin(image, layout, self.runner.look, self._pair, like)

    def _offer_to_compare(self) -> None:
        """Offer to compare an image with what the network makes of it."""
        self.compare.set_layers(self._pairs[self._pair][0], self.preview.picture)

    def _layout(self, pair: int) -> AxisLayout:
        """Return the roles of the axes of an image that is trained on."""
        assert self._request is not None
        assert self._started is not None
        return self._request.layout(pair, len(self._started.patch))

    def _show_places(self, event: Suggested) -> None:
        image, labels = self._pairs[event.image_index]
        if image not in self._viewer.layers:
            return
        strokes = labels if labels in self._viewer.layers else None
        if not self.guide.show(event, image, self._layout(event.image_index), strokes):
            self.notice.say("No place stands out at the moment.")

    def _look_back(self, kept: Snapshot | None) -> None:
        """Show an earlier moment in place of the present, or the present again."""
        if kept is not None:
            self._peek_at(kept.model)
        elif self.runner.running:
            self.peek.end()
            self.runner.ask("preview")
        elif self._model is not None:
            self._peek_at(self._model.model)

    def _peek_at(self, model: TrainedModel) -> None:
        assert self._request is not None
        asked, pair = self._request, self._pair
        picture, _ = asked.pairs[pair]
        channel, threads = self._layout(pair).channel, asked.options.threads
        request = Request(channel_axis=channel, axes=picture.axes, rgb=picture.rgb, threads=threads)
        self.peek.follow(model, picture, request, asked.mask(pair))

    def _keep(self, kept: Snapshot | None) -> None:
        """Put a moment among the models; the present has to be asked for first."""
        if kept is not None:
            self._add_model(kept.model)
        else:
            self._then_keep = True
            self.runner.ask("keep")

    def _was_kept(self, kept: Snapshot) -> None:
        if len(self.view.history.history.items) == 2:
            self._session.worker.warm_up()  # who looks back wants to see it at once
        if self._then_keep:
            self._then_keep = False
            self._add_model(kept.model)

    def _store(self, model: TrainedModel) -> NamedModel:
        """Put a model among those of the session, with what the panel knows of it."""
        assert self._request is not None
        model = with_training_layers(model, self._form.names(), self._form.colors(), self._pairs)
        return self._session.add(self._request.image.name, model)

    def _add_model(self, model: TrainedModel) -> None:
        named = self._store(model)
        self.notice.say(f"Kept as {named.name}: choose it on the Predict page, or to start from.")

    def _branch(self, kept: Snapshot) -> None:
        """Train on from an earlier moment."""
        self.tasks.choice.setValue(self._form.task)
        self._form.start.setValue(self._store(kept.model))
        if self.runner.running:
            self._then_branch = True
            self._stop_clicked()
        else:
            self.start()

    def _show_progress(self) -> None:
        event = self._latest
        runner, device = self.runner, self._started.device if self._started is not None else ""
        if event is not None and runner.running and not (runner.paused or runner.stopping):
            self.footer.show_step(event, device, self.view.scores)

    def _ended(self) -> None:
        self.feeds.release()
        self.preview.end()
        self.guide.enabled(False)
        self.view.history.set_live(False)
        self.view.plot.repaint_now()
        self.runs.refresh()
        self._show_state()
        if self._then_branch:
            self._then_branch = False
            self.start()
        elif self._model is not None and self.view.history.selected is None:
            self._peek_at(self._model.model)

    def _live_toggled(self, on: bool) -> None:
        self.compare.set_mode("After")
        self.preview.enabled = on
        self.preview.set_visible(on)
        self.preview.look()

    def _unsure_toggled(self, on: bool) -> None:
        self.preview.unsure_wanted = on

    def _pause_clicked(self) -> None:
        if self.runner.paused:
            self.runner.resume()
        else:
            self.runner.pause()
        self.footer.show_paused(self.runner.paused)

    def _stop_clicked(self) -> None:
        self.runner.stop()
        self.footer.line.setText("Stopping …")

    def _predict_clicked(self) -> None:
        self.peek.end()
        self.compare.set_layers(None, None)
        self.preview.set_visible(False)
        self.predictionWanted.emit(self._model, self._pairs[0][0])

    def _save_clicked(self) -> None:
        assert self._model is not None
        assert self._request is not None
        self._saver.save(self._request.image.name, self._model.model)

    def _layer_selected(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        """Preview the image that the user turns to, where several are learned from."""
        layers = self._viewer.layers
        for number, pair in enumerate(self._pairs):
            chosen = layers.selection.active
            meant = chosen is not None and pair[0] in layers and any(chosen is x for x in pair)
            if meant and number != self._pair:
                self._pair = number
                self._follow_view()
                if not self.runner.running:
                    self.preview.end()
                if self.peek.active:
                    self._look_back(self.view.history.selected)

    def _layer_removed(self, event: Any) -> None:
        if not any(event.value is layer for pair in self._pairs for layer in pair):
            return
        name = event.value.name
        if self.runner.running:
            self.notice.add(f"“{name}” was removed; the training goes on with what it had.")
        if event.value is self._pairs[0][0]:
            self.footer.predict.setEnabled(False)
            self.footer.predict.setToolTip(f"“{name}” was removed from the viewer.")
