"""What the panel has done elsewhere. Plain values, and nothing here imports torch at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from napari_unet.control import Control, Previewed, PreviewedImage, Viewport
from napari_unet.data.annotations import AnnotationStore
from napari_unet.inference.events import PredictionEvent
from napari_unet.model import TrainedModel
from napari_unet.process.wire import Readable, Writable
from napari_unet.training.events import Finished, TrainingEvent


@dataclass(frozen=True, eq=False)
class TrainJob:
    """A training; `options` are all other arguments of `napari_unet.train`.

    `labels` is what goes with the image: strokes, good images, or masks; None where nothing does.
    """

    image: Readable | tuple[Readable, ...]
    labels: AnnotationStore | Readable | tuple[AnnotationStore | Readable, ...] | None
    options: dict[str, Any]

    def events(self, control: Control) -> Iterator[TrainingEvent]:
        """Train."""
        from napari_unet.api import train

        image, labels = _content(self.image), _content(self.labels)
        for event in train(image, labels, control=control, **self.options):
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
    mask: Readable | None = None

    def events(self, control: Control) -> Iterator[PredictionEvent]:
        """Predict."""
        from napari_unet.inference.predictor import predict_events

        mask = None if self.mask is None else self.mask.data
        yield from predict_events(
            self.model, self.image.data, self.request, mask=mask, out=self.out.out, control=control
        )


@dataclass(frozen=True, eq=False)
class PreviewJob:
    """What a model says of a part of an image; `mask` is as for `napari_unet.predict`."""

    model: TrainedModel
    image: Readable
    request: Any
    view: Viewport
    mask: Readable | None = None

    def events(self, control: Control) -> Iterator[Previewed | PreviewedImage]:  # noqa: ARG002 - soon done
        """Predict that part."""
        from napari_unet.inference.viewport import preview_events

        mask = _content(self.mask)
        yield from preview_events(self.model, self.image.data, self.request, self.view, mask)


def _content(given: Any) -> Any:
    """Return what is held by what is sent, one by one where it is several."""
    if isinstance(given, tuple):
        return [_content(one) for one in given]
    return given.data if isinstance(given, Readable) else given
