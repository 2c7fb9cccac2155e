"""The page that trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari import Viewer
from napari.layers import Layer
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.errors import NapariUnetError
from napari_unet.model import TrainedModel
from napari_unet.runs.unfinished import UnfinishedRun
from napari_unet.tasks.options import parse_options
from napari_unet.training.events import (
    Decision,
    Finished,
    Preparing,
    Resolved,
    Snapshot,
    Started,
    Stepped,
    Suggested,
    Warned,
)
from napari_unet.widgets.models import ModelSaver, Session
from napari_unet.widgets.qt.event_thread import EventRunner
from napari_unet.widgets.qt.notices import NoticeBoard
from napari_unet.widgets.qt.style import Palette, Scroll, Section
from napari_unet.widgets.qt.subscriptions import Subscriptions
from napari_unet.widgets.train.controls import TrainFooter
from napari_unet.widgets.train.forms import TaskForm
from napari_unet.widgets.train.image_form import TaskForms
from napari_unet.widgets.train.live_view import LiveView
from napari_unet.widgets.train.progress import TrainingProgress
from napari_unet.widgets.train.runs import RunsBox
from napari_unet.widgets.train.training import TrainingRun
from napari_unet.widgets.train.unfinished import UnfinishedOffer

PROBLEM = "problem"
"""Topic: why no training can start, or why the last one failed."""

TRAINING = "training"
"""Topic: what the training says of itself."""

KEPT = "kept"
"""Topic: where a moment of the training was kept."""

PLACE = "place"
"""Topic: that no place to paint stands out."""

REMOVED = "removed"
"""Topic: that a layer was removed while it was learned from."""


WAY_BACK = "Plugins > U-Net Live > Train shows it."
"""Ends sentences that are said while the panel is closed."""


class TrainPage(QWidget):
    """Sets up a training, runs it, and shows how it goes.

    From top to bottom: the offer to go on with an interrupted training, the form of the chosen
    task, sentences for the user, the check boxes of the live preview, loss and scores, and the
    recorded runs; below them, always in sight, the buttons.

    Parameters
    ----------
    viewer : napari.Viewer
        Where images and strokes are.
    session : Session
        Where trained models go.

    Attributes
    ----------
    predictionWanted : Signal(object, object)
        The user wants this `NamedModel` applied to these layers: an image, or its channels.
    began : Signal()
        A training began.
    tasks : TaskForms
        The form of each task.
    training : TrainingRun
        The training that runs or ran last.
    live : LiveView
        Previews and suggestions in the viewer.
    offer : NoticeBoard
        The offer to go on with an interrupted training.
    footer : TrainFooter
        The buttons.
    runs : RunsBox
        The recorded runs.
    """

    predictionWanted = Signal(object, object)  # noqa: N815 - Qt's way of naming
    began = Signal()

    def __init__(self, viewer: Viewer, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._viewer = viewer
        self._worker = session.worker
        self._subscriptions = Subscriptions()
        self._saver = ModelSaver(self)
        self._rests = False
        self.tasks = TaskForms(viewer, session)
        self.training = TrainingRun(viewer, session, self)
        self.live = LiveView(viewer, self.training, session.worker, self)
        self._palette = Palette.of(viewer.theme)
        self._progress_of: dict[Any, TrainingProgress] = {}
        self._progress_box = QVBoxLayout()
        self._fresh = False
        self.notice = NoticeBoard()
        self.footer = TrainFooter()
        self.runs = RunsBox(viewer, session)
        self.runs_section = Section("Runs", self.runs)
        self.offer = NoticeBoard()
        self.unfinished = UnfinishedOffer(viewer, self.offer, self)
        self._arrange()
        self._connect()
        self._subscriptions.connect(self._layer_removed, viewer.layers.events.removed)
        self._show_state()
        session.worker.warm_up()
        self.unfinished.look(self.runs.folder)

    @property
    def form(self) -> Any:
        """The form of the chosen task."""
        return self.tasks.current

    @property
    def progress(self) -> TrainingProgress:
        """Advice, loss, history and scores of the chosen task."""
        found = self._progress_of.get(self.form)
        if found is None:
            found = TrainingProgress(self._palette, self.training.colors)
            found.history.moved.connect(self.live.show_moment)
            found.history.kept.connect(self._keep)
            found.history.branched.connect(self._branch)
            found.hide()
            self._progress_of[self.form] = found
            self._progress_box.addWidget(found)
        return found

    @property
    def runner(self) -> EventRunner:
        """The thread of the training."""
        return self.training.runner

    def start(self) -> None:
        """Train as set in the form."""
        self._start()

    def _start(self, resumed: Mapping[str, Any] | None = None) -> None:
        """Train as set in the form; `resumed` are fields of `TrainRequest` for what goes on."""
        if self.training.running:
            return
        try:
            self.training.start(self.form, {**self.runs.options(), **(resumed or {})})
        except NapariUnetError as error:
            self.show_problem(error)
            return
        if self.training.request is not None:
            self.form.remember_settings(self.training.request.options)
        self.began.emit()
        self.live.begin()
        self._fresh = True
        self.progress.history.begin()
        self.progress.advice.clear()
        self.footer.begin()
        self._show_state()
        self._scroll.show_part(self.progress.plot)

    def toggle(self) -> None:
        """Start the training, or stop the one that runs."""
        if self.training.running:
            self._stop()
        else:
            self.start()

    def paint_here(self) -> None:
        """Go to the place where the next stroke would help most."""
        self.live.suggestions.go()

    def show_problem(self, error: NapariUnetError) -> None:
        """Say why no training can start, or why it failed, until that may have changed."""
        reading = self.form.reading
        if reading.text() == str(error) and not reading.isHidden():
            self._scroll.show_part(reading)
            return
        self.notice.say(PROBLEM, str(error), "error")
        self._scroll.show_part(self.notice)
        if not self.isVisibleTo(self.window()):
            show_info("The training has failed: the Train page says why.")

    def rest(self) -> None:
        """Take previews out of the viewer until `wake`, for the panel is closed."""
        self._rests = True
        self.live.rest()
        if self.training.running:
            show_info(f"The training goes on. {WAY_BACK}")

    def wake(self) -> None:
        """Show previews again, for the panel is opened again."""
        self._rests = False
        self.live.wake()
        self._worker.warm_up()

    def set_palette(self, palette: Palette) -> None:
        """Take the colours of a theme."""
        self._palette = palette
        for progress in self._progress_of.values():
            progress.set_palette(palette)

    def release(self) -> None:
        """Stop, and disconnect from the viewer."""
        self._subscriptions.release()
        self.live.release()
        self.tasks.release()
        self.runs.release()
        self.unfinished.release()
        self.training.release()

    def _arrange(self) -> None:
        content = QWidget()
        inside = QVBoxLayout(content)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(6)
        self.offer.setContentsMargins(10, 8, 10, 0)
        inside.addWidget(self.offer)
        inside.addWidget(self.tasks)
        results = QVBoxLayout()
        results.setContentsMargins(10, 4, 10, 8)
        for part in (self.notice, self.live.bar, self.live.compare):
            results.addWidget(part)
        results.addLayout(self._progress_box)
        results.addWidget(self.runs_section)
        inside.addLayout(results)
        inside.addStretch()
        self._scroll = Scroll(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._scroll, 1)
        layout.addWidget(self.footer)

    def _connect(self) -> None:
        footer, training = self.footer, self.training
        footer.train.clicked.connect(self.start)
        footer.pause.clicked.connect(lambda: footer.show_paused(training.toggle_pause()))
        footer.stop.clicked.connect(self._stop)
        footer.predict.clicked.connect(self._predict)
        footer.save.clicked.connect(self._save)
        training.happened.connect(self._show_event)
        training.progressed.connect(self._show_step)
        training.ended.connect(self._show_end)
        self.tasks.changed.connect(self._recall)
        self.runs_section.opened.connect(self.runs.refresh)
        self.live.said.connect(lambda text: self.notice.say(PLACE, text))
        for about_setup in (self.tasks.failed, training.failed):
            about_setup.connect(self.show_problem)
        for in_passing in (self.live.failed, self._saver.failed, self.runs.failed):
            in_passing.connect(lambda error: show_error(str(error)))
        self.notice.end_with(self.began, PROBLEM, TRAINING, KEPT)
        self.notice.end_with(self.tasks.edited, PROBLEM, KEPT, PLACE)
        self.notice.end_with(training.ended, PLACE, REMOVED)
        self.tasks.edited.connect(self._forget_last)
        self.tasks.segment.restartWanted.connect(self._restart)
        self.tasks.explained.connect(self.notice.take_back)
        self.began.connect(self.unfinished.end)
        self.unfinished.chosen.connect(self._go_on_with)
        self.unfinished.modelChosen.connect(self._use_unfinished)

    def _show_state(self) -> None:
        """Show the buttons and parts that make sense now."""
        training = self.training
        running, done = training.running, training.model is not None
        self.tasks.show_running(running, waiting=running and training.started is None)
        self.footer.show_state(
            running=running,
            paused=training.runner.paused,
            done=done,
            again=done and training.form is self.form,
        )
        shown = self.progress
        for progress in self._progress_of.values():
            progress.setVisible(progress is shown and training.started is not None)
        self.live.bar.setVisible(running or done)

    def _recall(self) -> None:
        """Show what there is of the latest training of the chosen task."""
        training = self.training
        if not training.running and training.form is not self.form:
            training.recall(self.form)
            self.live.recall(self.progress.history.selected)
            if training.finished is not None:
                self.footer.begin()
                self.footer.show_finished(training.finished, self.progress.scores)
                self._check_image()
        self._show_state()

    def _show_event(self, event: Any) -> None:
        if isinstance(event, Started) and self._fresh:
            self._fresh = False
            self.progress.clear()  # not before: one that fails leaves what was there
        self.progress.show_event(event)
        if isinstance(event, Suggested):
            self.notice.end(PLACE)
        self.live.show_event(event)
        match event:
            case Preparing():
                self.footer.show_preparing(event.message, event.progress)
            case Started():
                self._show_state()
                self.footer.show_preparing("Taking the first step")
            case Snapshot() if len(self.progress.history.history.items) == 2:
                self._worker.warm_up()  # for the preview of an earlier moment
            case Warned():
                if self.training.started is None:
                    self.footer.show_waiting()
                self.notice.add(TRAINING, event.message)
            case Resolved():
                self.notice.take_back(event.message)
            case Decision():
                self.notice.add(TRAINING, event.message, "info")
            case Finished():
                self.footer.show_finished(event, self.progress.scores)

    def _show_step(self, step: Stepped) -> None:
        self.footer.show_step(step, self.training.device, self.progress.scores)

    def _show_end(self) -> None:
        self.live.end()
        self.progress.history.set_live(False)
        self.progress.plot.repaint_now()
        self.runs.refresh()
        self._show_state()
        if not self.training.proceed():
            self.live.show_result()
        if self._rests and self.training.model is not None:
            show_info(f"The training has ended. {WAY_BACK}")

    def _forget_last(self) -> None:
        """Take away what was said of the last training, for what is set up now is another one."""
        if not self.training.running:
            self.notice.end(TRAINING)
            self.progress.advice.dismiss()

    def _restart(self) -> None:
        """Start again a training that waits for strokes, for the labels are read otherwise now."""
        training = self.training
        if training.running and training.started is None and training.form is self.tasks.segment:
            training.stop(then=self.start)
            self.footer.show_stopping()

    def _go_on_with(self, run: UnfinishedRun, layers: list[tuple[Layer, ...]]) -> None:
        """Go on with an interrupted training, with its settings."""
        model = self._restore(run, layers)
        runs = str(run.folder.parent)  # whatever is kept of new ones: it was begun as a record
        self._start({"resume": str(run.path), "ndim": model.config.ndim, "runs": runs})

    def _use_unfinished(self, run: UnfinishedRun) -> None:
        """Choose the model of an interrupted training to start from, and its settings."""
        model = self._restore(run, None)
        run.dismiss()
        name = run.layers[0][0] if run.layers else run.folder.name
        self.form.start.setValue(self._session.add(name, model))

    def _restore(self, run: UnfinishedRun, layers: list[tuple[Layer, ...]] | None) -> TrainedModel:
        """Show the task, the layers and the settings of an interrupted training."""
        model = run.checkpoint.model
        self.tasks.choice.setValue(model.task)
        if layers is not None:
            names = run.checkpoint.options.get("channel_names", ())
            self.form.restore_layers(layers, max(1, len(names)))
        self.form.start.setValue(None)
        options = parse_options(model.task, run.checkpoint.options)
        self.form.restore(options, model.config.ndim)
        return model

    def _keep(self, moment: Snapshot | None) -> None:
        """Add the weights of a moment to the models; None: the present weights."""
        if moment is None:
            self.training.request_snapshot(lambda snapshot: self._add_model(snapshot.model))
        else:
            self._add_model(moment.model)

    def _add_model(self, model: TrainedModel) -> None:
        named = self.training.add_to_session(model)
        self.notice.say(
            KEPT, f"Saved as {named.name}. Choose it on the Predict page, or under “Start from”."
        )

    def _branch(self, moment: Snapshot) -> None:
        """Train on from an earlier moment."""
        form = self.training.form
        assert isinstance(form, TaskForm)
        self.tasks.choice.setValue(form.task)
        form.start.setValue(self.training.add_to_session(moment.model))
        if self.training.running:
            self.training.stop(then=self.start)
            self.footer.show_stopping()
        else:
            self.start()

    def _stop(self) -> None:
        self.training.stop()
        self.footer.show_stopping()

    def _predict(self) -> None:
        self.predictionWanted.emit(self.training.model, self.training.channels[0])

    def _save(self) -> None:
        named, request = self.training.model, self.training.request
        assert named is not None
        assert request is not None
        self._saver.save(request.image.name, named.model)

    def _layer_removed(self, event: Any) -> None:
        pairs, channels = self.training.pairs, self.training.channels
        if not any(event.value is layer for some in (*pairs, *channels) for layer in some):
            return
        name = event.value.name
        if self.training.running:
            self.notice.add(
                REMOVED, f"“{name}” was removed; the training continues with the data that it has."
            )
        if any(event.value is layer for layer in channels[0]):
            self._check_image()

    def _check_image(self) -> None:
        """Offer to predict the image that was learned from only while it is in the viewer."""
        layers = self._viewer.layers
        gone = next((layer for layer in self.training.channels[0] if layer not in layers), None)
        if gone is not None:
            self.footer.predict.setEnabled(False)
            self.footer.predict.setToolTip(f"“{gone.name}” was removed from the viewer.")
