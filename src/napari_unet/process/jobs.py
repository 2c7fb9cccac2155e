"""What the panel has done elsewhere. Plain values, and nothing here imports torch at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from napari_unet.control import Control, Previewed, Viewport
from napari_unet.data.annotations import AnnotationStore
from napari_unet.inference.events import PredictionEvent
from napari_unet.model import TrainedModel
from napari_unet.process.wire import Readable, Writable
from napari_unet.training.events import Finished, TrainingEvent


@dataclass(frozen=True, eq=False)
class TrainJob:
    """A training; `options` are all other arguments of `napari_unet.train`."""

    image: Readable | tuple[Readable, ...]
    strokes: AnnotationStore | tuple[AnnotationStore, ...]
    options: dict[str, Any]

    def events(self, control: Control) -> Iterator[TrainingEvent]:
        """Train."""
        from napari_unet.api import train

        given = self.image
        image = given.data if isinstance(given, Readable) else [one.data for one in given]
        for event in train(image, self.strokes, control=control, **self.options):
            if isinstance(event, Finished):
                event.model.digest  # noqa: B018 - computed once, and not in the GUI's thread
            yield event


@dataclass(frozen=True, eq=False)
class PredictJob:
    """A prediction; `request` is a `napari_unet.inference.request.Request`."""

    model: TrainedModel
    image: Readable
    request: Any
    out: Writable

    def events(self, control: Control) -> Iterator[PredictionEvent]:
        """Predict."""
        from napari_unet.inference.predictor import predict_events

        yield from predict_events(
            self.model, self.image.data, self.request, out=self.out.out, control=control
        )


@dataclass(frozen=True, eq=False)
class PreviewJob:
    """What a model says of a part of an image."""

    model: TrainedModel
    image: Readable
    request: Any
    view: Viewport

    def events(self, control: Control) -> Iterator[Previewed]:  # noqa: ARG002 - soon done
        """Predict that part."""
        from napari_unet.inference.viewport import preview_events

        yield from preview_events(self.model, self.image.data, self.request, self.view)
