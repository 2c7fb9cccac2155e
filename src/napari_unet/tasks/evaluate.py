"""Evaluation of a model against known labels or images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.annotations import MERGED
from napari_unet.data.image import ImageView
from napari_unet.data.sampling import IGNORED, class_index
from napari_unet.data.source import open_source
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region
from napari_unet.inference.predictor import predict_events
from napari_unet.inference.request import PredictionFinished, Request, find_view
from napari_unet.model import TrainedModel
from napari_unet.noise.metrics import ImageSimilarity, data_range_of, image_similarity
from napari_unet.training import metrics


@dataclass(frozen=True)
class Evaluation:
    """The agreement of a prediction with the truth.

    Parameters
    ----------
    model : TrainedModel
        The model that predicted.
    confusion : tuple of tuple of int
        Number of voxels, truth by rows and prediction by columns, in the order of the model's
        classes; empty where the result is an image.
    likeness : ImageSimilarity, optional
        Where the result is an image: PSNR in dB and SSIM, each the mean over the planes.
    """

    model: TrainedModel
    confusion: tuple[tuple[int, ...], ...] = ()
    likeness: ImageSimilarity | None = None

    @property
    def pixels(self) -> int:
        """Number of voxels with a known class."""
        return int(sum(metrics.truths(self.confusion)))

    @property
    def accuracy(self) -> float | None:
        """Share of the voxels that are predicted correctly."""
        return metrics.accuracy(self.confusion)

    @property
    def iou(self) -> metrics.Scores:
        """Intersection over union per class; None for a class of which too little is known."""
        return metrics.iou(self.confusion)

    @property
    def dice(self) -> metrics.Scores:
        """Dice's coefficient per class; None for a class of which too little is known."""
        return metrics.dice(self.confusion)


def evaluate(
    model: TrainedModel,
    image: object,
    truth: object,
    *,
    mask: object | None = None,
    data_range: float | None = None,
    **request: Any,
) -> Evaluation:
    """Predict an image and compare with the truth.

    Parameters
    ----------
    model : TrainedModel
        From `fit` or `load_model`.
    image : array-like or path
        As in `predict`.
    truth : array-like or path
        Labels of the image's shape without the channel axis, or an image of the result's shape.
        Label 0 does not count, unless it is one of the model's classes.
    mask : array-like or path, optional
        For a model that fills in, as in `predict`.
    data_range : float, optional
        For images, from darkest to brightest; 255 for a truth of bytes, else what it spans.
    **request
        Any other field of `napari_unet.inference.request.Request`.

    Raises
    ------
    InputError
        Where model, image and truth do not fit together.

    Examples
    --------
    >>> import numpy as np, napari_unet
    >>> image = np.random.default_rng(0).normal(size=(96, 96)); image[:, 48:] += 3
    >>> truth = np.where(np.arange(96) < 48, 1, 2) * np.ones((96, 1), int)
    >>> model = napari_unet.fit(image, truth, steps=30, size="small", batch_size=2)
    >>> napari_unet.evaluate(model, image, truth).accuracy > 0.9
    True
    """
    complete = Request(**request).with_output(model)
    view = find_view(model, image, complete)
    known = open_source(truth)
    result = _predicted(model, view, complete, mask)
    if known.shape != result.shape:
        raise InputError(
            "The ground truth has another shape than the prediction",
            got=known.shape,
            expected=result.shape,
        )
    pixels = known.read(Region.whole(known.shape))
    if complete.output == "image":
        return Evaluation(model, likeness=_similarity(pixels, result, view, data_range))
    return Evaluation(model, _confusion(model, pixels, result))


def _predicted(
    model: TrainedModel, view: ImageView, request: Request, mask: object | None
) -> NDArray[Any]:
    events = predict_events(model, view.source, request, mask=mask)
    result = next(e.result for e in events if isinstance(e, PredictionFinished))
    assert isinstance(result, np.ndarray)
    return result


def _confusion(
    model: TrainedModel, truth: NDArray[Any], result: NDArray[Any]
) -> tuple[tuple[int, ...], ...]:
    if truth.dtype.kind not in "biu":
        raise InputError(
            "The ground truth is not a label image", got=f"dtype {truth.dtype}", expected="integers"
        )
    values = tuple(c.value for c in model.classes)
    if model.training.get("options", {}).get("merge_labels"):
        truth = np.where(truth > 0, MERGED, 0)
    unknown = sorted(set(np.unique(truth).tolist()) - {0, *values})
    if unknown:
        raise InputError(
            "The ground truth has labels that the model does not know",
            got=", ".join(map(str, unknown[:8])),
            expected=", ".join(f"{c.value} ({c})" for c in model.classes),
        )
    n = len(values)
    zero = 0 in values
    rows = class_index(truth, values, zero_is_class=zero).ravel()
    columns = class_index(result, values, zero_is_class=zero).ravel()
    seen = rows != IGNORED
    if not seen.any():
        raise InputError("Nothing is labelled in the ground truth", expected="labels other than 0")
    table = np.bincount(rows[seen] * n + columns[seen], minlength=n * n).reshape(n, n)
    return tuple(tuple(row) for row in table.tolist())


def _similarity(
    truth: NDArray[Any], result: NDArray[Any], view: ImageView, data_range: float | None
) -> ImageSimilarity:
    """Compare plane by plane (or volume by volume), with one data range for all."""
    span = data_range_of(truth) if data_range is None else data_range
    # A result has channels where the image has them, or else first, if it has any.
    added = truth.ndim - len(view.source.shape)
    channel = 0 if added else view.layout.channel
    loops = [axis + added for axis in view.layout.loops]
    # Looped axes first, then the channels, if any, then space.
    first = loops if channel is None else [*loops, channel]
    order = first + [axis for axis in range(truth.ndim) if axis not in first]
    shape = [truth.shape[axis] for axis in order[len(loops) :]]
    truths = truth.transpose(order).reshape(-1, *shape)
    results = result.transpose(order).reshape(-1, *shape)
    channel_axis = None if channel is None else 0
    found = [
        image_similarity(one, other, span, channel_axis)
        for one, other in zip(truths, results, strict=True)
    ]
    psnr = float(np.mean([each.psnr for each in found]))
    ssim = float(np.mean([each.ssim for each in found]))
    return ImageSimilarity(psnr, ssim, span)
