"""Prediction of whole images, tile by tile."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.control import Control
from napari_unet.data.flips import IDENTITY
from napari_unet.data.image import ImageView
from napari_unet.data.inputs import read_inputs
from napari_unet.data.normalisation import Normalisation, image_pixels
from napari_unet.device import choose_device, describe_device, is_out_of_memory, using_threads
from napari_unet.errors import InputError, OutOfMemoryError
from napari_unet.geometry.axes import AxisLayout
from napari_unet.geometry.region import Region
from napari_unet.geometry.tiling import Tile, choose_tile, plan_tiles
from napari_unet.geometry.unet_shape import AxisGeometry
from napari_unet.inference.memory import max_tile_voxels, tiling_geometry
from napari_unet.inference.output_transforms import (
    in_units,
    mean_over,
    turns_of,
    widened,
    with_pixels,
)
from napari_unet.inference.request import (
    Output,
    PredictionEvent,
    PredictionFinished,
    PredictionStarted,
    Request,
    TileDone,
    allocated,
    find_missing,
    find_view,
)
from napari_unet.model import TrainedModel
from napari_unet.network.blocks import centre_crop
from napari_unet.network.build import load_network
from napari_unet.network.inference import as_input, for_inference
from napari_unet.network.onnx_config import OnnxConfig, PictureFit


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
    if not isinstance(config, OnnxConfig) or config.fit is None:
        return model.normalisation
    channels = image_pixels(view, index)
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


PLAIN = Request()
"""Labels or an image, with everything chosen."""


def predict_events(
    model: TrainedModel,
    image: object,
    request: Request = PLAIN,
    *,
    mask: object | None = None,
    out: Any = None,
    control: Control | None = None,
) -> Iterator[PredictionEvent]:
    """Predict an image tile by tile; yield what happens.

    Parameters
    ----------
    model : TrainedModel
        What predicts.
    image : array-like or path
        numpy, dask or zarr array, or a TIFF or OME-Zarr path. Axes as the model was trained:
        looped ones first, then (y, x) or (z, y, x); a channel axis anywhere.
    request : Request
        What is asked.
    mask : array-like or path, optional
        For a model that fills in: of the image's shape without channels, not 0 where pixels are
        missing. Pixels that are not finite are missing without a mask too.
    out : array-like, optional
        Where the result goes, of the shape and kind that `allocate` gives (a zarr array will do).
    control : Control, optional
        Stops or pauses between tiles; a stopped prediction keeps what is done.

    Yields
    ------
    PredictionEvent
        `PredictionStarted`, a `TileDone` for each tile, `PredictionFinished` with the result.

    Raises
    ------
    InputError
        Where image and model do not fit.
    OutOfMemoryError
        Where memory does not suffice for the smallest tile.
    """
    control = control or Control()
    request = request.settled(model)
    view = find_view(model, image, request)
    missing = find_missing(model, view, mask)
    expected = allocated(model, view, request.output)
    if out is None:
        out = np.zeros(*expected)
    elif tuple(out.shape) != expected[0]:
        raise InputError(
            "out has another shape than the result", got=out.shape, expected=expected[0]
        )
    device = choose_device(request.device)
    spatial = view.spatial_shape
    own = tiling_geometry(model.config, device, spatial)
    work = _Work(model, request, view, missing, device, own)
    geometry = widened(own, model.input_spec.noise)
    if own == model.config.geometry:
        most = max_tile_voxels(model.config, device)
        tile = _check_tile(request.tile, model) or choose_tile(spatial, geometry, most)
    else:
        tile = tuple(g.input_for(n) for g, n in zip(geometry, spatial, strict=True))
    loops = list(product(*map(range, view.loop_shape)))
    tiles = list(plan_tiles(spatial, geometry, tile))
    total, done, began = len(loops) * len(tiles), 0, time.monotonic()
    shape = tiles[0].read.shape
    yield PredictionStarted(total, shape, describe_device(device), out.shape, str(out.dtype))
    with using_threads(request.threads):
        for index, piece in product(loops, tiles):
            began += control.wait()
            if control.stopped:
                break
            work.do(out, index, piece)
            done += 1
            elapsed = time.monotonic() - began
            left = elapsed / done * (total - done)
            yield TileDone(done, total, index, piece.write, elapsed, left)
    yield PredictionFinished(out, time.monotonic() - began, done == total)


def _check_tile(tile: Sequence[int] | None, model: TrainedModel) -> tuple[int, ...] | None:
    if tile is None:
        return None
    if len(tile) != model.config.ndim:
        raise InputError(
            "tile needs one size per spatial axis", got=tile, expected=f"{model.config.ndim} sizes"
        )
    for size, axis in zip(tile, model.config.geometry, strict=True):
        axis.largest_input(size)
    return tuple(tile)


class _Work:
    """What is done to each tile."""

    def __init__(
        self,
        model: TrainedModel,
        request: Request,
        view: ImageView,
        missing: ImageView | None,
        device: torch.device,
        geometry: tuple[AxisGeometry, ...],
    ) -> None:
        self._model, self._request, self._view, self._missing = model, request, view, missing
        self._geometry = geometry
        self._network = for_inference(load_network(model.config, model.weights), device)
        self._device = device
        self._turns = turns_of(model) if request.flips else (IDENTITY,)
        self._fitted: tuple[tuple[int, ...], Normalisation] | None = None

    @torch.inference_mode()
    def do(self, out: Any, index: tuple[int, ...], tile: Tile) -> None:
        """Predict a tile, and put the result where it belongs."""
        model, view = self._model, self._view
        normalisation, smooth = self._normalisation(index), bool(model.input_spec.residual)
        inputs = torch.from_numpy(
            read_inputs(view, normalisation, index, tile.read, self._missing, smooth=smooth)
        )
        try:
            outputs = mean_over(self._turns, inputs, self._apply)
            outputs = with_pixels(outputs, inputs, view, model.input_spec, self._geometry)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemoryError(
                "Memory ran out in the prediction",
                got=f"a tile of {tile.read.shape} voxels",
                todo="Set a smaller tile",
            ) from error
        outputs = outputs[(slice(None), *tile.keep.slices)].cpu()
        if self._request.output == "image":
            kept = self._missing if self._request.keep_known else None
            assert model.target is not None
            image = in_units(model.target, outputs, view, kept, index, tile.write)
            _write_image(out, view.layout, index, tile.write, image)
        else:
            _write(out, view.layout.labels, model, self._request.output, index, tile.write, outputs)

    def _normalisation(self, index: tuple[int, ...]) -> Normalisation:
        """Return the normalisation of one picture; all of its tiles come one after the other."""
        if self._fitted is None or self._fitted[0] != index:
            self._fitted = index, normalisation_of(self._model, self._view, index)
        return self._fitted[1]

    def _apply(self, inputs: Tensor) -> Tensor:
        """Return the network's outputs (channel, *spatial) for inputs of the same kind."""
        outputs = self._network(as_input(inputs[None], self._device))
        sizes = zip(self._geometry, inputs.shape[1:], strict=True)
        return centre_crop(outputs, [g.output_for(n) for g, n in sizes])[0]


def _write(
    out: Any,
    layout: AxisLayout,
    model: TrainedModel,
    output: Output,
    index: tuple[int, ...],
    region: Region,
    logits: Tensor,
) -> None:
    """Put one tile's classes where they belong."""
    where = _where(layout, index, region)
    if output == "probabilities":
        out[(slice(None), *where)] = torch.softmax(logits, 0).numpy()
    else:
        values = np.array([c.value for c in model.classes], out.dtype)
        out[tuple(where)] = values[logits.argmax(0).numpy()]


def _write_image(
    out: Any,
    layout: AxisLayout,
    index: tuple[int, ...],
    region: Region,
    image: NDArray[Any],
) -> None:
    """Put one tile's image (channel, *spatial) where it belongs."""
    where = _where(layout.labels, index, region)
    if len(where) == len(out.shape):
        out[tuple(where)] = image[0]
        return
    place = layout.channel or 0
    where.insert(place, slice(None))
    # What is assigned has the axes that are not looped over, in the order of the result.
    before = sum(isinstance(part, slice) for part in where[:place])
    out[tuple(where)] = np.moveaxis(image, 0, before)


def _where(layout: AxisLayout, index: tuple[int, ...], region: Region) -> list[int | slice]:
    """Return which part of an array without channels a tile is."""
    where: list[int | slice] = [slice(None)] * (len(layout.loops) + len(layout.spatial))
    for axis, i in zip(layout.loops, index, strict=True):
        where[axis] = i
    for axis, part in zip(layout.spatial, region.slices, strict=True):
        where[axis] = part
    return where
