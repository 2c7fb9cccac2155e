"""What a package shows of a model: an input, what comes out, and a picture of both."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.image import ImageView
from napari_unet.geometry.region import Region
from napari_unet.inference.request import Request, find_view
from napari_unet.model import TrainedModel
from napari_unet.noise.stabilise import Stabiliser

OUTPUT = {2: (128, 128), 3: (12, 48, 48)}
"""Voxels of the example's result, by the number of spatial axes, about."""

MAX_SIDE = 300
"""Voxels of either picture on the cover."""


def example_shape(model: TrainedModel) -> tuple[int, ...]:
    """Return the spatial shape of an input that fits the network, for an example to be shown."""
    return model.config.input_for(OUTPUT[model.config.ndim])


def noise_like(model: TrainedModel, shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    """Return noise in the range that the model was trained on, in grey values.

    Parameters
    ----------
    model : TrainedModel
        Its normalisation says the range.
    shape : tuple of int
        Spatial.
    seed : int
        Of the noise.

    Returns
    -------
    ndarray of float32, shape (channels, *shape)
    """
    n = model.normalisation
    rng = np.random.default_rng(seed)
    spread = rng.normal(0.5 if n.kind == "percentile" else 0, 0.5, (len(n.scale), *shape))
    size = (-1, *(1,) * len(shape))
    values = spread * np.reshape(n.scale, size) + np.reshape(n.offset, size)
    if n.noise:
        pairs = zip(n.noise, values, strict=True)
        values = np.stack([Stabiliser(*noise).algebraic_inverse(v) for noise, v in pairs])
    return np.asarray(values, np.float32)


def cut_from(model: TrainedModel, image: object, request: Request) -> NDArray[np.float32]:
    """Return the middle of an image as the model reads it, not normalised.

    Parameters
    ----------
    model : TrainedModel
        Whose input it shall be.
    image : array-like or path
        Of several looped pictures the middle one.
    request : Request
        The roles of the image's axes.

    Returns
    -------
    ndarray of float32, shape (channels, *example_shape(model))

    Raises
    ------
    InputError
        Where image and model do not fit.
    """
    view: ImageView = find_view(model, image, request)
    shape = example_shape(model)
    start = tuple((have - want) // 2 for have, want in zip(view.spatial_shape, shape, strict=True))
    region = Region(start, tuple(a + n for a, n in zip(start, shape, strict=True)))
    middle = tuple(n // 2 for n in view.loop_shape)
    return np.nan_to_num(view.read(middle, region))


def cover_of(given: NDArray[np.float32], result: NDArray[np.float32], classes: bool) -> bytes:
    """Return a PNG of an input beside its result.

    Parameters
    ----------
    given, result : ndarray, shape (channel, *spatial)
        Of volumes the middle plane is shown, of the input the first channels, of classes all but
        the first.
    classes : bool
        Whether the result are probabilities.
    """
    from PIL import Image

    left = _plane(given)[: 3 if len(given) >= 3 else 1]
    right = _plane(result)
    right = (1 - right[:1]) if classes else right[: 3 if len(right) >= 3 else 1]
    size = [min(a, b) for a, b in zip(left.shape[1:], right.shape[1:], strict=True)]
    picture = np.concatenate([_grey(_middle(p, size)) for p in (left, right)], axis=1)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def _plane(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x if x.ndim == 3 else x[:, x.shape[1] // 2]


def _middle(x: NDArray[np.float32], size: list[int]) -> NDArray[np.float32]:
    """Cut a square out of the middle of (channel, y, x)."""
    side = min(*size, MAX_SIDE)
    top, left = ((n - side) // 2 for n in x.shape[1:])
    return x[:, top : top + side, left : left + side]


def _grey(x: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return (y, x, 3) bytes, from the darkest to the brightest percentile of each channel."""
    low, high = (np.percentile(x, q, axis=(1, 2), keepdims=True) for q in (0.5, 99.5))
    grey = np.clip((x - low) / np.maximum(high - low, 1e-12), 0, 1) * 255
    return np.repeat(grey, 3 // len(x), axis=0).transpose(1, 2, 0).astype(np.uint8)
