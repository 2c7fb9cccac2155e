"""The page that trains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from napari import Viewer
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_unet.errors import NapariUnetError
from napari_unet.geometry.axes import find_layout
from napari_unet.model import SUFFIX, ClassInfo
from napari_unet.training.events import (
    ClassesGrew,
    Finished,
    Previewed,
    Started,
    Stepped,
    Validated,
    Warned,
)
from napari_unet.widgets.layers import class_color, hex_color
from napari_unet.widgets.live import LivePreview, StrokesFeed
from napari_unet.widgets.parts import Notice, Scroll, main_button
from napari_unet.widgets.plot import LossPlot
from napari_unet.widgets.request import TrainRequest
from napari_unet.widgets.scores import Score, ScoreBars
from napari_unet.widgets.session import NamedModel, Session
from napari_unet.widgets.theme import Palette
from napari_unet.widgets.train_form import TrainForm
from napari_unet.widgets.words import clock, count, duration
from napari_unet.widgets.worker import EventRunner

FULL = 1000
"""Steps of the progress bar."""

REFRESH_MS = 100
"""A small network takes hundreds of steps a second: too many to write about each."""

PREDICT_TIP = "Apply the model to the whole image that it learned from."


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
        self._layers: tuple[Any, ...] = ()
        self._started: Started | None = None
        self._latest: Stepped | None = None
        self._scores: Validated | None = None
        self._model: NamedModel | None = None
        self.runner, self._saver = EventRunner(self), EventRunner(self)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REFRESH_MS)
        palette = Palette.of(viewer.theme)
        self.form = TrainForm(viewer)
        self.feed, self.preview = StrokesFeed(viewer, self), LivePreview(viewer, self)
        self.live = QCheckBox("Live preview of the plane in view")
        self.live.setToolTip("Show what the network says of what you look at, while it learns.")
        self.live.setChecked(True)
        self.plot, self.scores = LossPlot(palette), ScoreBars(palette)
        self.notice, self.summary = Notice(), QLabel()
        self.summary.setWordWrap(True)
        self.train = main_button("Train", "Learn from what is painted (Shift+T).")
        self.pause, self.stop = QPushButton("Pause"), QPushButton("Stop")
        self.pause.setToolTip("Wait, and go on later; the time does not count.")
        self.stop.setToolTip("End the training now and keep what was learned (Shift+T).")
        self.predict = QPushButton("Predict this image")
        self.predict.setToolTip(PREDICT_TIP)
        self.save = QPushButton("Save model …")
        self.save.setToolTip("Keep the model in a file, for other images and other days.")
        self.progress, self.line = QProgressBar(), QLabel()
        self._arrange()
        self._connect()
        self._show_state()

    def start(self) -> None:
        """Train as set in the form."""
        if self.runner.running:
            return
        try:
            request = self.form.request()
        except NapariUnetError as error:
            self.show_problem(error)
            return
        self._request = request = replace(request, opened=self.feed.open)
        self._started = self._latest = self._scores = self._model = None
        self._layers = (self.form.image.layer(), self.form.labels.layer())
        self.predict.setEnabled(True)
        self.predict.setToolTip(PREDICT_TIP)
        self.notice.say("")
        self.plot.clear()
        self.scores.show_scores((), "")
        self.progress.setRange(0, 0)  # busy
        self.line.setText("Getting ready …")
        self.feed.follow(self._layers[1])
        self.runner.start(request.events)
        self._show_state()
        self._scroll.show_part(self.plot)

    def toggle(self) -> None:
        """Start the training, or stop the one that runs."""
        if self.runner.running:
            self._stop_clicked()
        else:
            self.start()

    def show_problem(self, error: NapariUnetError) -> None:
        """Say in the viewer and here what went wrong."""
        show_error(str(error))
        self.notice.say(str(error), "error")
        self._scroll.show_part(self.notice)

    def set_palette(self, palette: Palette) -> None:
        """Take the colours of a theme."""
        self.plot.set_palette(palette)
        self.scores.set_palette(palette)

    def let_go(self) -> None:
        """Stop, and follow the viewer no longer."""
        self._viewer.layers.events.removed.disconnect(self._layer_removed)
        self.feed.let_go()
        self.preview.end()
        self.form.let_go()
        self.runner.abandon()

    def _arrange(self) -> None:
        content = QWidget()
        inside = QVBoxLayout(content)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(6)
        inside.addWidget(self.form)
        results = QVBoxLayout()
        results.setContentsMargins(10, 4, 10, 8)
        for part in (self.notice, self.live, self.plot, self.scores, self.summary):
            results.addWidget(part)
        inside.addLayout(results)
        inside.addStretch()
        self._scroll = Scroll(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._scroll, 1)
        layout.addWidget(self._footer())

    def _footer(self) -> QWidget:
        """Return what never scrolls away: progress and buttons."""
        footer = QWidget()
        footer.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        layout = QVBoxLayout(footer)
        layout.setContentsMargins(10, 6, 10, 8)
        layout.setSpacing(5)
        self.progress.setTextVisible(False)
        self.line.setWordWrap(True)
        layout.addWidget(self.progress)
        layout.addWidget(self.line)
        for buttons in ((self.train,), (self.pause, self.stop), (self.predict, self.save)):
            row = QHBoxLayout()
            for button in buttons:
                row.addWidget(button, 1)
            layout.addLayout(row)
        return footer

    def _connect(self) -> None:
        self.train.clicked.connect(self.start)
        self.live.toggled.connect(self._live_toggled)
        self.pause.clicked.connect(self._pause_clicked)
        self.stop.clicked.connect(self._stop_clicked)
        self.predict.clicked.connect(self._predict_clicked)
        self.save.clicked.connect(self._save_clicked)
        self.form.failed.connect(self.show_problem)
        self.runner.happened.connect(self._show_event)
        self.runner.failed.connect(self.show_problem)
        self.runner.ended.connect(self._ended)
        self._timer.timeout.connect(self._show_progress)
        self._saver.happened.connect(self._saved)
        self._saver.failed.connect(self.show_problem)
        self._viewer.layers.events.removed.connect(self._layer_removed)

    def _show_state(self) -> None:
        """Show the buttons and parts that make sense now."""
        running, done = self.runner.running, self._model is not None
        self.form.setEnabled(not running)
        self.train.setVisible(not running)
        self.train.setText("Train again" if done else "Train")
        for part in (self.pause, self.stop, self.progress):
            part.setVisible(running)
        self.pause.setText("Resume" if self.runner.paused else "Pause")
        self.line.setVisible(running)
        for button in (self.predict, self.save):
            button.setVisible(done and not running)
        seen = running or self._started is not None
        self.plot.setVisible(seen)
        self.live.setVisible(running)
        self.scores.setVisible(seen and self._scores is not None)
        self.summary.setVisible(done)

    def _show_event(self, event: object) -> None:
        match event:
            case Started():
                self._started = event
                self._follow_view()
            case ClassesGrew():
                self._grown(event)
            case Previewed():
                self.preview.show(event, self.form.strokes.colors())
            case Stepped():
                self._show_step(event)
            case Validated():
                self._show_scores(event)
            case Warned():
                self.notice.add(event.message)
            case Finished():
                self._finished(event)

    def _follow_view(self) -> None:
        """Ask for previews of what is in view from now on."""
        assert self._request is not None
        assert self._started is not None
        image, picture, options = self._layers[0], self._request.picture, self._request.options
        if image not in self._viewer.layers:
            return
        layout = find_layout(
            picture.data.shape,
            len(self._started.patch),
            channel_axis=options.get("channel_axis", "auto"),
            names=picture.axes,
            labels_shape=tuple(self._request.labels.shape),
            rgb=picture.rgb,
        )
        self.preview.begin(image, layout, self.runner.look)

    def _grown(self, event: ClassesGrew) -> None:
        """Take a new class."""
        assert self._started is not None
        self._started = replace(self._started, class_names=event.class_names, counts=event.counts)

    def _show_step(self, event: Stepped) -> None:
        self.plot.add_step(event.step, event.loss)
        self._latest = event
        if not self._timer.isActive():
            self._timer.start()

    def _show_progress(self) -> None:
        event = self._latest
        if event is None or not self.runner.running:
            return
        known = event.progress is not None
        self.progress.setRange(0, FULL if known else 0)
        self.progress.setValue(round(FULL * (event.progress or 0)))
        parts = [f"step {event.step:,}", f"{clock(event.elapsed)} gone"]
        if event.remaining is not None:
            parts.append(f"{clock(event.remaining)} left")
        if self._started is not None:
            parts.append(f"{self._started.device}, {count(self._started.threads, 'thread')}")
        if not (self.runner.paused or self.runner.stopping):
            self.line.setText(" · ".join(parts))

    def _show_scores(self, event: Validated) -> None:
        first, self._scores = self._scores is None, event
        self.plot.add_validation(event.step, event.loss)
        caption = f"{event.metric} · validation rests on {count(event.pixels, 'pixel')}"
        self.scores.show_scores(self._scores_of(event), caption)
        self.scores.show()
        if first:
            self._scroll.show_part(self.scores)

    def _scores_of(self, event: Validated) -> list[Score]:
        assert self._request is not None
        assert self._started is not None
        names, values = self._started.class_names, self._request.classes
        if len(names) != len(values):  # painted on in the very last moment
            values = tuple(range(1, len(names) + 1))
        given = self._request.options["class_colors"]
        colors = [hex_color(class_color(ClassInfo(v, color=given.get(v)))) for v in values]
        return [Score(*row) for row in zip(names, colors, event.scores, strict=True)]

    def _finished(self, event: Finished) -> None:
        assert self._request is not None
        self._model = self._session.add(self._request.picture.name, event.model)
        early = ", stopped" if event.reason == "stopped" else ""
        text = f"Learned in {count(event.step, 'step')}, {duration(event.elapsed)}{early}."
        if self._scores is not None and self._scores.mean is not None:
            text += f" Mean {self._scores.metric} {self._scores.mean:.2f}."
        self.summary.setText(text)

    def _ended(self) -> None:
        self.feed.let_go()
        self.preview.end()
        self.plot.repaint_now()
        self._show_state()
        if self._model is not None:
            self._scroll.show_part(self.summary)

    def _live_toggled(self, on: bool) -> None:
        self.preview.enabled = on
        self.preview.look()

    def _pause_clicked(self) -> None:
        if self.runner.paused:
            self.runner.resume()
        else:
            self.runner.pause()
            self.line.setText("Paused · " + self.line.text())
        self.pause.setText("Resume" if self.runner.paused else "Pause")

    def _stop_clicked(self) -> None:
        self.runner.stop()
        self.line.setText("Stopping …")

    def _predict_clicked(self) -> None:
        self.preview.hide()
        self.predictionWanted.emit(self._model, self._layers[0])

    def _save_clicked(self) -> None:
        assert self._model is not None
        assert self._request is not None
        name, model = f"{self._request.picture.name}{SUFFIX}", self._model.model
        path, _ = QFileDialog.getSaveFileName(self, "Save model", name, f"Models (*{SUFFIX})")
        if path:
            self._saver.start_call(lambda: model.save(path))

    def _saved(self, path: Path) -> None:
        show_info(f"Saved {path}")
        self.notice.say(f"Saved {path.name}")

    def _layer_removed(self, event: Any) -> None:
        if event.value not in self._layers:
            return
        name = event.value.name
        if self.runner.running:
            self.notice.add(f"“{name}” was removed; the training goes on with what it had.")
        if event.value is self._layers[0]:
            self.predict.setEnabled(False)
            self.predict.setToolTip(f"“{name}” was removed from the viewer.")
