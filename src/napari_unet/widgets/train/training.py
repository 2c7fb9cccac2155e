"""The training that the Train page runs: its request, its thread, and what it has reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from napari import Viewer
from qtpy.QtCore import QObject, Signal
from superqt.utils import qthrottled

from napari_unet.geometry.axes import AxisLayout
from napari_unet.model import TrainedModel
from napari_unet.training.events import Finished, Snapshot, Started, Stepped
from napari_unet.widgets.layers.layer_data import RGBA
from napari_unet.widgets.layers.provenance import layer_sources, with_training_layers
from napari_unet.widgets.layers.result_history import keep_layers, note_channels
from napari_unet.widgets.models import NamedModel, Session
from napari_unet.widgets.qt.event_thread import EventRunner
from napari_unet.widgets.train.annotation_sync import AnnotationSyncGroup
from napari_unet.widgets.train.forms import TaskForm
from napari_unet.widgets.train.request import TrainRequest

REFRESH_MS = 1000
"""Time in milliseconds between two reports of `TrainingRun.progressed`, as long as between two
drawings of the plot: each repaints the whole window of the viewer."""


@dataclass(frozen=True)
class TrainingFacts:
    """What is known of a training: the attributes of `TrainingRun` of the same names."""

    form: TaskForm | None = None
    request: TrainRequest | None = None
    pairs: tuple[tuple[Any, Any], ...] = ()
    channels: tuple[tuple[Any, ...], ...] = ()
    started: Started | None = None
    model: NamedModel | None = None
    finished: Finished | None = None


class TrainingRun(QObject):
    """Runs one training after the other, and knows the facts of the latest one of each form.

    It copies what is painted into the training, and puts the trained model into the session. The
    attributes are those of the training that runs, else of the form that was recalled last.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    session : Session
        Where trained models go, and whose worker trains.
    parent : QObject
        Its Qt parent, which deletes it.

    Attributes
    ----------
    happened : Signal(object)
        The training reported this event.
    progressed : Signal(object)
        The latest `Stepped`, at most once a second, and not while it pauses or stops.
    failed : Signal(object)
        The training ended with this `NapariUnetError`.
    ended : Signal()
        The training is over, whatever the reason.
    runner : EventRunner
        The thread of the training.
    annotations : AnnotationSyncGroup
        Copies what is painted into the training.
    form : TaskForm, optional
        Where the training was set up.
    request : TrainRequest, optional
        What was asked for.
    pairs : list of (Image, Layer or None)
        The images that are learned from, each with the layer that goes with it. Of an image whose
        channels are layers it is the first one.
    channels : list of tuple of Image
        The layers of each image: one, or one for each channel.
    started : Started, optional
        The first event of the training.
    model : NamedModel, optional
        What it ended with.
    finished : Finished, optional
        The last event of the training, if it came to an end.
    """

    happened = Signal(object)
    progressed = Signal(object)
    failed = Signal(object)
    ended = Signal()

    def __init__(self, viewer: Viewer, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self.runner = EventRunner(self)
        self.annotations = AnnotationSyncGroup(viewer, self)
        self.form: TaskForm | None = None
        self.request: TrainRequest | None = None
        self.pairs: list[tuple[Any, Any]] = []
        self.channels: list[tuple[Any, ...]] = []
        self.started: Started | None = None
        self.model: NamedModel | None = None
        self.finished: Finished | None = None
        self._facts_of: dict[TaskForm, TrainingFacts] = {}
        self._latest: Stepped | None = None
        self._after_snapshot: Callable[[Snapshot], None] | None = None
        self._after_end: Callable[[], None] | None = None
        self._report_soon = qthrottled(self._report_progress, timeout=REFRESH_MS, leading=False)
        self.runner.happened.connect(self._take)
        self.runner.failed.connect(self.failed)
        self.runner.ended.connect(self._end)

    def start(self, form: TaskForm, recording: Mapping[str, Any]) -> None:
        """Start the training that is set in a form.

        Parameters
        ----------
        form : TaskForm
            Where it is set up.
        recording : mapping of str to Any
            Fields of `TrainRequest` that say where the run is recorded, and what it resumes.

        Raises
        ------
        InputError
            Where a layer is missing, or a setting is out of its range.
        """
        others = (other for _, other in form.layers())
        sources = tuple(layer_sources(zip(form.channels(), others, strict=True)))
        request = replace(form.request(), sources=sources, **recording)
        self.form = form
        self.pairs = form.layers()
        self.channels = form.channels()
        self.request = request
        for channels in self.channels:
            note_channels(channels)
        keep_layers(layer for layers in (*self.pairs, *self.channels) for layer in layers)
        painted = [x for _, x in self.pairs] if request.is_segmentation else ()
        self.annotations.follow(painted, request.interest)
        self._forget()
        self.runner.start(
            partial(request.events, self._session.worker, opened=self.annotations.open)
        )

    def recall(self, form: TaskForm) -> None:
        """Take up the facts of the latest training of a form, unless a training runs.

        Parameters
        ----------
        form : TaskForm
            One of which nothing may have been trained.
        """
        if not self.running:
            facts = self._facts_of.get(form, TrainingFacts())
            self.form = facts.form
            self.request = facts.request
            self.pairs = list(facts.pairs)
            self.channels = list(facts.channels)
            self.started = facts.started
            self.model = facts.model
            self.finished = facts.finished

    @property
    def running(self) -> bool:
        """Whether a training runs."""
        return self.runner.running

    @property
    def device(self) -> str:
        """The name of the device that it runs on, empty where that is not known yet."""
        return "" if self.started is None else self.started.device

    def stop(self, then: Callable[[], None] | None = None) -> None:
        """End the training early and keep what was learned.

        Parameters
        ----------
        then : callable, optional
            What to do once it has ended: see `proceed`.
        """
        self._after_end = then or self._after_end
        self.runner.stop()

    def toggle_pause(self) -> bool:
        """Pause the training, or resume it; return whether it is paused now."""
        if self.runner.paused:
            self.runner.resume()
        else:
            self.runner.pause()
        return self.runner.paused

    def request_snapshot(self, then: Callable[[Snapshot], None]) -> None:
        """Ask the training for its present weights.

        Parameters
        ----------
        then : callable
            Called once, with the next weights that the training reports.
        """
        self._after_snapshot = then
        self.runner.ask("keep")

    def proceed(self) -> bool:
        """Call what was given to `stop` for after the end; return whether there was anything."""
        action, self._after_end = self._after_end, None
        if action is None:
            return False
        action()
        return True

    def names(self) -> dict[int, str]:
        """Return the names of the classes by label value, as they are set now."""
        return {} if self.form is None else self.form.names()

    def colors(self) -> dict[int, RGBA]:
        """Return the colours of the classes by label value, as they are set now."""
        return {} if self.form is None else self.form.colors()

    def layout(self, image_index: int) -> AxisLayout:
        """Return the roles of the axes of an image that is learned from."""
        assert self.request is not None
        assert self.started is not None
        return self.request.layout(image_index, len(self.started.patch))

    def add_to_session(self, model: TrainedModel) -> NamedModel:
        """Add a model to those of the session, with the names of its classes and its layers."""
        assert self.request is not None
        others = (other for _, other in self.pairs)
        pairs = list(zip(self.channels, others, strict=True))
        model = with_training_layers(model, self.names(), self.colors(), pairs)
        return self._session.add(self.request.image.name, model, datetime.now(UTC))

    def release(self) -> None:
        """Stop at once, and disconnect from the layers."""
        self.annotations.release()
        self.runner.abandon()

    def _forget(self) -> None:
        """Forget the facts of the last training."""
        self.started = self.model = self.finished = self._latest = None
        self._after_snapshot = self._after_end = None

    def _take(self, event: Any) -> None:
        """Take an event of the training, and hand it on."""
        match event:
            case Started():
                self.started = event
            case Stepped():
                self._latest = event
                self._report_soon()
            case Finished():
                self.model = self.add_to_session(event.model)
                self.finished = event
        self.happened.emit(event)
        if isinstance(event, Snapshot) and self._after_snapshot is not None:
            action, self._after_snapshot = self._after_snapshot, None
            action(event)

    def _report_progress(self) -> None:
        runner = self.runner
        if self._latest is not None and runner.running and not (runner.paused or runner.stopping):
            self.progressed.emit(self._latest)

    def _end(self) -> None:
        """Keep the facts; where it has not even started, take up those of the one before."""
        self.annotations.release()
        form = self.form
        if form is not None and self.started is not None:
            self._facts_of[form] = TrainingFacts(
                form,
                self.request,
                tuple(self.pairs),
                tuple(self.channels),
                self.started,
                self.model,
                self.finished,
            )
        elif form is not None:
            self.recall(form)
        self.ended.emit()
