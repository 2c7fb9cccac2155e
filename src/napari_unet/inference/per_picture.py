"""The normalisation of a picture, where a model fits it to each picture anew."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.image import ImageView
from napari_unet.data.normalisation import Normalisation, picture_pixels
from napari_unet.errors import InputError
from napari_unet.model import TrainedModel
from napari_unet.network.foreign_config import ForeignConfig, PictureFit


def normalisation_of(model: TrainedModel, view: ImageView, index: tuple[int, ...]) -> Normalisation:
    """Return how the pixels of one picture become a model's input.

    For most models that is the same for all pictures. Programs that were made elsewhere may want
    each picture's own mean or percentiles: those of the whole picture, whatever tiles it is
    predicted in; of a large picture those of an even sample.

    Parameters
    ----------
    model : TrainedModel
        What predicts.
    view : ImageView
        The image.
    index : tuple of int
        Which of its pictures.

    Raises
    ------
    InputError
        Where a channel that is to be measured has no finite pixel.
    """
    config = model.config
    if not isinstance(config, ForeignConfig) or config.fit is None:
        return model.normalisation
    channels = picture_pixels(view, index)
    if not all(len(values) for values in channels):
        raise InputError("The picture holds no finite pixel", todo="Choose another picture")
    if config.fit.together:
        channels = [np.concatenate(channels)] * len(channels)
    offset, scale = zip(*(_fitted(config.fit, values) for values in channels), strict=True)
    return Normalisation(config.fit.kind, offset, scale)


def _fitted(fit: PictureFit, values: NDArray[np.float64]) -> tuple[float, float]:
    if fit.kind == "mean_sd":
        return float(values.mean()), float(values.std()) + fit.eps
    low, high = np.percentile(values, (fit.low, fit.high))
    return float(low), float(high - low) + fit.eps
