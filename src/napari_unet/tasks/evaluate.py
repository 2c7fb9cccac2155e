"""How good a model's prediction is, where the truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """A prediction beside the truth.

    Parameters
    ----------
    model : TrainedModel
        What predicted.
    confusion : tuple of tuple of int
        Voxels, truth by rows and answers by columns, in the order of the model's classes; empty
        where the result is an image.
    likeness : Likeness, optional
        Where the result is an image: PSNR in dB and SSIM, each the mean over the pictures.
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
        """Part of the voxels that is right."""
        return metrics.accuracy(self.confusion)

    @property
    def iou(self) -> metrics.Scores:
        """Intersection over union per class; None for a class that is not in the truth."""
        return metrics.iou(self.confusion)

    @property
    def dice(self) -> metrics.Scores:
        """Dice's coefficient per class; None for a class that is not in the truth."""
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
    settled = Request(**request).with_output(model)
    view, known = find_view(model, image, settled), open_source(truth)
    result = _predicted(model, view, settled, mask)
    if known.shape != result.shape:
        raise InputError(
            "The truth has another shape than the prediction",
            got=known.shape,
            expected=result.shape,
        )
    wanted = known.read(Region.whole(known.shape))
    if settled.output == "image":
        return Evaluation(model, likeness=_likeness(wanted, result, view, data_range))
    return Evaluation(model, _confusion(model, wanted, result))


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
        raise InputError("The truth is no labels", got=f"dtype {truth.dtype}", expected="integers")
    values = tuple(c.value for c in model.classes)
    unknown = sorted(set(np.unique(truth).tolist()) - {0, *values})
    if unknown:
        raise InputError(
            "The truth holds labels that the model does not know",
            got=", ".join(map(str, unknown[:8])),
            expected=", ".join(f"{c.value} ({c})" for c in model.classes),
        )
    n, zero = len(values), 0 in values
    rows, columns = (class_index(a, values, zero_is_class=zero).ravel() for a in (truth, result))
    seen = rows != IGNORED
    if not seen.any():
        raise InputError("Nothing is labelled in the truth", expected="labels other than 0")
    table = np.bincount(rows[seen] * n + columns[seen], minlength=n * n).reshape(n, n)
    return tuple(tuple(row) for row in table.tolist())


def _likeness(
    truth: NDArray[Any], result: NDArray[Any], view: ImageView, data_range: float | None
) -> ImageSimilarity:
    """Compare picture by picture, with one data range for all."""
    span = data_range_of(truth) if data_range is None else data_range
    # A result has channels where the image has them, or else first, if it has any.
    added = truth.ndim - len(view.source.shape)
    channel = 0 if added else view.layout.channel
    loops = [axis + added for axis in view.layout.loops]
    # Looped axes first, then the channels, if any, then space.
    order = loops + ([] if channel is None else [channel])
    order += [axis for axis in range(truth.ndim) if axis not in order]
    shape = [truth.shape[axis] for axis in order[len(loops) :]]
    pairs = zip(*(a.transpose(order).reshape(-1, *shape) for a in (truth, result)), strict=True)
    found = [image_similarity(t, r, span, None if channel is None else 0) for t, r in pairs]
    psnr, ssim = (float(np.mean(v)) for v in zip(*((f.psnr, f.ssim) for f in found), strict=True))
    return ImageSimilarity(psnr, ssim, span)
