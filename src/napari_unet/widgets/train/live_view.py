"""What the Train page shows in the viewer: previews, earlier moments, and where to paint next."""

from __future__ import annotations

from functools import partial
from typing import Any

from napari import Viewer
from napari.layers import Image
from qtpy.QtCore import QObject, QSignalBlocker, Signal

from napari_unet.control import Previewed, PreviewedImage
from napari_unet.inference.request import Request
from napari_unet.model import TrainedModel
from napari_unet.training.events import Snapshot, Started, Suggested
from napari_unet.widgets.layers.compare import CompareBar
from napari_unet.widgets.qt.subscriptions import Subscriptions
from napari_unet.widgets.train.controls import LiveBar
from napari_unet.widgets.train.live_preview import LivePreview, ModelPreview
from napari_unet.widgets.train.request import TrainRequest
from napari_unet.widgets.train.suggestion_marker import SuggestionNavigator
from napari_unet.widgets.train.training import TrainingRun
from napari_unet.workers.process import Worker


class LiveView(QObject):
    """Shows in the viewer what the network makes of an image that it learns from.

    While a training runs, these are its live previews; where the user looks back, they come from
    the weights of that moment; at the end, from the finished model. Where several images are
    learned from, it is the one whose layers the user has selected last.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    training : TrainingRun
        The training; it is asked for previews and for places to paint.
    worker : Worker
        Computes previews of models that are no longer trained.
    parent : QObject
        Its Qt parent, which deletes it.

    Attributes
    ----------
    failed : Signal(object)
        A preview could not be computed; a `NapariUnetError`.
    said : Signal(str)
        A sentence for the user.
    preview : LivePreview
        The layers of the previews.
    model_preview : ModelPreview
        Previews a model that is no longer trained.
    suggestions : SuggestionNavigator
        Leads to places to paint.
    bar : LiveBar
        The widget with the check boxes.
    compare : CompareBar
        The widget that compares an image with what the network makes of it.
    """

    failed = Signal(object)
    said = Signal(str)

    def __init__(
        self, viewer: Viewer, training: TrainingRun, worker: Worker, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._training = training
        self._image_index = 0
        self._moment: Snapshot | None = None
        self._makes_room = False
        self._rests = False
        self.preview = LivePreview(viewer, self)
        self.model_preview = ModelPreview(self.preview, worker, training.colors, self)
        self.suggestions = SuggestionNavigator(
            viewer, partial(training.runner.ask, "suggest"), self
        )
        self.bar = LiveBar(self.suggestions.button, self.suggestions.reason)
        self.compare = CompareBar(viewer)
        self.bar.shown.toggled.connect(self._toggle_preview)
        self.bar.unsure.toggled.connect(self.preview.show_uncertainty)
        self.preview.unsureColoured.connect(self.bar.show_unsure_colour)
        self.preview.noteChanged.connect(self.bar.say)
        self.preview.imageShown.connect(self._offer_to_compare)
        self.preview.eyeMoved.connect(self._follow_eye)
        self.model_preview.failed.connect(self.failed)
        self._subscriptions = Subscriptions()
        self._subscriptions.connect(self._layer_selected, viewer.layers.selection.events.active)

    def begin(self) -> None:
        """Get ready for a training that starts now."""
        self._image_index = 0
        self._moment = None
        if self._makes_room:
            with QSignalBlocker(self.bar.shown):  # shown with the first preview
                self.bar.shown.setChecked(True)
            self._makes_room = False
            self.preview.enabled = not self._rests
        self.preview.reveal()
        request = self._training.request
        self.bar.show_kind(painted=request is not None and request.is_segmentation)
        self.compare.set_layers(None, None)
        self.model_preview.end()

    def recall(self, moment: Snapshot | None) -> None:
        """Get ready to show more of a training that was recalled.

        Parameters
        ----------
        moment : Snapshot, optional
            The moment of it that was chosen last; None for its end.
        """
        training = self._training
        self._moment = moment
        self._image_index = 0
        self.model_preview.end()
        self.compare.set_layers(None, None)
        request = training.request
        self.bar.show_kind(painted=request is not None and request.is_segmentation)
        if training.started is not None:
            self._follow_view()
        self.preview.end()

    def show_event(self, event: object) -> None:
        """Show what an event of the training has to show in the viewer."""
        match event:
            case Started():
                self.suggestions.set_enabled(bool(event.class_names))
                self._follow_view()
            case Previewed() | PreviewedImage() if self._moment is None:
                self.preview.show(event, self._training.colors())
            case Suggested():
                self._show_places(event)

    def show_moment(self, moment: Snapshot | None) -> None:
        """Show an earlier moment of the training; None: the present, or how it ended."""
        self._moment = moment
        if moment is not None:
            self.show_again()
        self._show_chosen()

    def show_result(self) -> None:
        """Show the finished model, unless the user looks at an earlier moment."""
        if self._moment is None and self._training.model is not None:
            self._show_model(self._training.model.model)

    def end(self) -> None:
        """Ask the training for nothing more, for it has ended."""
        self.preview.end()
        self.suggestions.set_enabled(False)

    def make_room(self, image: Image) -> None:
        """Switch off the previews of an image of which a prediction begins.

        The next training, an earlier moment, or `show_again` switches them on again, unless it
        was the user who had switched them off.

        Parameters
        ----------
        image : Image
            The layer that is predicted.
        """
        learned_from = any(image is pair[0] for pair in self._training.pairs)
        if learned_from or self.preview.covers(image):
            self.compare.set_layers(None, None)
            if self.bar.shown.isChecked():
                self.bar.shown.setChecked(False)
                self._makes_room = True

    def show_again(self) -> None:
        """Switch on the previews that were switched off for a prediction."""
        if self._makes_room:
            self.bar.shown.setChecked(True)

    def rest(self) -> None:
        """Take all previews out of the viewer until `wake`; a training that runs goes on."""
        self._rests = True
        self.compare.set_mode("After")
        self.suggestions.clear()
        self.preview.enabled = False
        self.preview.report_view()
        self.model_preview.rest()
        self.preview.remove()

    def wake(self) -> None:
        """Preview again what was previewed before `rest`, unless the box says otherwise."""
        self._rests = False
        self.preview.enabled = self.bar.shown.isChecked()
        self.preview.report_view()

    def release(self) -> None:
        """Stop, and disconnect from the viewer."""
        self._subscriptions.release()
        self.end()
        self.model_preview.end()
        self.model_preview.runner.abandon()
        self.compare.release()
        self.preview.release()

    def _follow_view(self) -> None:
        """Ask for previews of what is in view from now on."""
        training, index = self._training, self._image_index
        image, other = training.pairs[index]
        if image in self._viewer.layers and training.started is not None:
            reference = _reference_layer(training.request, image, other)
            layout = training.layout(index)
            request = training.request
            interest = request.interest if request is not None and index == 0 else None
            look = training.runner.look
            self.preview.begin(image, layout, look, index, reference, interest)

    def _show_chosen(self) -> None:
        """Preview the moment that the user has chosen."""
        if self._moment is not None:
            self._show_model(self._moment.model)
        elif self._training.running:
            self.model_preview.end()
            self._training.runner.ask("preview")
        elif self._training.model is not None:
            self._show_model(self._training.model.model)

    def _show_model(self, model: TrainedModel) -> None:
        """Preview a model that is no longer trained."""
        request, index = self._training.request, self._image_index
        assert request is not None
        data, _ = request.pairs[index]
        asked = Request(
            channel_axis=self._training.layout(index).channel,
            axes=data.axes,
            rgb=data.rgb,
            threads=request.options.threads,
        )
        self.model_preview.follow(model, data, asked, request.mask(index))

    def _offer_to_compare(self) -> None:
        """Offer to compare an image with what the network makes of it."""
        image, _ = self._training.pairs[self._image_index]
        self.compare.set_layers(image, self.preview.output_layer)

    def _show_places(self, event: Suggested) -> None:
        image, labels = self._training.pairs[event.image_index]
        if image not in self._viewer.layers:
            return
        strokes = labels if labels in self._viewer.layers else None
        layout = self._training.layout(event.image_index)
        names = self._training.names()
        if not self.suggestions.show(event, image, layout, strokes, names):
            self.said.emit("The network is confident everywhere it looked.")

    def _follow_eye(self, is_open: bool) -> None:
        """Tick the box, or untick it, after the user has shown or hidden a preview by its eye.

        The next training switches the previews on again.
        """
        if self.compare.mode == "After" and self.bar.shown.isChecked() != is_open:
            self.bar.shown.setChecked(is_open)
            self._makes_room = not is_open

    def _toggle_preview(self, on: bool) -> None:
        self._makes_room = False
        self.compare.set_mode("After")
        self.preview.enabled = on and not self._rests
        self.preview.set_visible(on)
        self.preview.report_view()

    def _layer_selected(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        """Preview the image whose layers the user selects, where several are learned from."""
        layers = self._viewer.layers
        selected = layers.selection.active
        if selected is None:
            return
        for index, pair in enumerate(self._training.pairs):
            meant = pair[0] in layers and any(selected is layer for layer in pair)
            if meant and index != self._image_index:
                self._image_index = index
                self._follow_view()
                if not self._training.running:
                    self.preview.end()
                if self.model_preview.active:
                    self._show_chosen()


def _reference_layer(request: TrainRequest | None, image: Image, other: Any) -> Image | None:
    """Return the layer that previews look like: the target where there is one, else the image.

    None where previews are labels.
    """
    if request is None or request.is_segmentation:
        return None
    return other if request.task == "restore" else image
