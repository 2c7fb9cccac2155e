"""The jobs that the panel gives to a worker: plain values; importing them imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.control import Control, Previewed, PreviewedImage, Viewport
from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.augment_options import AugmentOptions
from napari_unet.inference.request import PredictionEvent
from napari_unet.model import TrainedModel
from napari_unet.tasks.network_options import NetworkOptions
from napari_unet.tasks.options import Task
from napari_unet.tasks.provenance import Origin
from napari_unet.training.events import Finished, TrainingEvent
from napari_unet.workers.messages import Readable, Writable


@dataclass(frozen=True, eq=False)
class TrainJob:
    """A training.

    Parameters
    ----------
    task : {"segment", "denoise", "restore", "inpaint"}
        What is learned.
    image : Readable or tuple of Readable
        The images.
    labels : AnnotationStore, Readable, a tuple of them, or None
        What goes with the images: strokes, good images, or masks; None where nothing does.
    options : NetworkOptions
        All options of the task, as they are to be used.
    ndim : {2, 3}, optional
        Spatial dimensions of the network, as for `napari_unet.train`.
    start : TrainedModel, optional
        A model to go on from.
    runs : str, optional
        Folder in which the training is recorded.
    tensorboard : bool
        Whether TensorBoard's files are written there, too.
    sources : tuple
        Origins of the training data, for the record.
    resume : str, optional
        The checkpoint of an interrupted training to go on with; the options are its own.
    """

    task: Task
    image: Readable | tuple[Readable, ...]
    labels: AnnotationStore | Readable | tuple[AnnotationStore | Readable | None, ...] | None
    options: NetworkOptions
    ndim: Literal[2, 3] | None = None
    start: TrainedModel | None = None
    runs: str | None = None
    tensorboard: bool = False
    sources: tuple[tuple[Origin, ...], ...] = ()
    resume: str | None = None

    def events(self, control: Control) -> Iterator[TrainingEvent]:
        """Train."""
        for event in self._events(control):
            if isinstance(event, Finished):
                event.model.digest  # noqa: B018 - computed once, and not in the GUI's thread
            yield event

    def _events(self, control: Control) -> Iterator[TrainingEvent]:
        from napari_unet.api import resume, train_task

        image, labels = _content(self.image), _content(self.labels)
        how: dict[str, Any] = {
            "control": control,
            "runs": self.runs,
            "tensorboard": self.tensorboard,
            "sources": self.sources,
        }
        if self.resume is not None:
            return resume(self.resume, image, labels, **how)
        return train_task(
            self.task, image, labels, self.options, ndim=self.ndim, start=self.start, **how
        )


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

        mask = None if self.mask is None else self.mask.content
        yield from predict_events(
            self.model,
            self.image.content,
            self.request,
            mask=mask,
            out=self.out.out,
            control=control,
        )


@dataclass(frozen=True, eq=False)
class PreviewJob:
    """A prediction of the visible part of an image; `mask` is as for `napari_unet.predict`."""

    model: TrainedModel
    image: Readable
    request: Any
    view: Viewport
    mask: Readable | None = None

    def events(self, control: Control) -> Iterator[Previewed | PreviewedImage]:  # noqa: ARG002 - soon done
        """Predict that part."""
        from napari_unet.inference.preview import preview_events

        mask = _content(self.mask)
        yield from preview_events(self.model, self.image.content, self.request, self.view, mask)


@dataclass(frozen=True, eq=False)
class AugmentJob:
    """Random augmentations of one patch, to be shown.

    Parameters
    ----------
    image : ndarray of float32, shape (channels, *read)
        Normalised.
    labels : ndarray of int64, shape read
        Class indices, -1 where nothing is painted.
    shape : tuple of int
        Spatial shape of the network's input, at most `read`.
    spacing : tuple of float
        Size of a voxel per axis.
    options : AugmentOptions
        Which augmentations, and how strong.
    seed : int
        Seed of the random numbers.
    count : int
        Number of augmented patches.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.int64]
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    options: AugmentOptions
    seed: int = 0
    count: int = 8

    def events(self, control: Control) -> Iterator[Augmented]:  # noqa: ARG002 - soon done
        """Augment the patch."""
        import torch

        from napari_unet.data.augment import Augmenter
        from napari_unet.device import using_threads

        augmenter = Augmenter(self.options, len(self.shape), self.spacing, self.seed)
        image, labels = (
            torch.from_numpy(np.stack([x] * self.count)) for x in (self.image, self.labels)
        )
        # It is little to compute, and several threads wait long for each other on busy cores.
        with using_threads(1):
            image, labels = augmenter(image, labels, self.shape, self.shape)
        yield Augmented(image.numpy(), labels.numpy())


@dataclass(frozen=True, eq=False)
class Augmented:
    """Augmented patches: pixels (count, channels, *shape) and class indices (count, *shape)."""

    image: NDArray[np.float32]
    labels: NDArray[np.int64]


def _content(given: Any) -> Any:
    """Return the arrays that are sent; several as a list."""
    if isinstance(given, tuple):
        return [_content(one) for one in given]
    return given.content if isinstance(given, Readable) else given


PACKAGE = ".zip"
"""Suffix of BioImage.IO packages."""


@dataclass(frozen=True)
class ImportJob:
    """Read a model from a BioImage.IO package."""

    path: str

    def events(self, control: Control) -> Iterator[tuple[str, TrainedModel]]:  # noqa: ARG002
        """Read it; yield the name of the package and the model."""
        from napari_unet.bioimageio.load import import_bioimageio

        model = import_bioimageio(self.path)
        model.digest  # noqa: B018 - computed once, and not in the GUI's thread
        yield Path(self.path).stem, model


@dataclass(frozen=True, eq=False)
class ExportJob:
    """Write a model as a BioImage.IO package.

    Parameters
    ----------
    model : TrainedModel
        The model.
    path : str
        File to write.
    image : Readable, optional
        An image whose middle becomes the example in the package.
    request : Request, optional
        How that image is read.
    """

    model: TrainedModel
    path: str
    image: Readable | None = None
    request: Any = None

    def events(self, control: Control) -> Iterator[Path]:  # noqa: ARG002 - not to be stopped
        """Write it; yield the file."""
        from napari_unet.bioimageio.export import export_bioimageio

        image = None if self.image is None else self.image.content
        yield export_bioimageio(self.model, self.path, image=image, request=self.request)
