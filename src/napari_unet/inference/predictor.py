"""Prediction of whole images, tile by tile."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.control import Control
from napari_unet.data.flips import IDENTITY
from napari_unet.data.image import ImageView
from napari_unet.data.inputs import read_inputs
from napari_unet.data.normalisation import Normalisation
from napari_unet.data.pixel_statistics import BOXES, finite_samples, measure_image
from napari_unet.device import choose_device, describe_device, is_out_of_memory, using_threads
from napari_unet.display import voxels
from napari_unet.errors import InputError, OutOfMemoryError
from napari_unet.geometry.axes import AxisLayout
from napari_unet.geometry.region import Region
from napari_unet.geometry.tiling import Tile, choose_tile, plan_tiles, plan_tiles_in
from napari_unet.inference.image_checks import ImageChecks
from napari_unet.inference.memory import max_tile_voxels, tiling_geometry
from napari_unet.inference.output_transforms import (
    allowed_flips,
    combine_with_input,
    mean_over_flips,
    to_grey_values,
    with_filter_margin,
)
from napari_unet.inference.request import (
    Output,
    PredictionEvent,
    PredictionFinished,
    PredictionStarted,
    Request,
    TileDone,
    find_missing,
    find_view,
    region_of,
    result_shape_and_dtype,
)
from napari_unet.model import TrainedModel
from napari_unet.network.blocks import centre_crop
from napari_unet.network.build import load_network
from napari_unet.network.inference import as_input, for_inference
from napari_unet.network.onnx_config import OnnxConfig, PerImageNormalisation

FEWEST_VOXELS = 16
"""Smaller images are not checked: their statistics mean nothing."""

FITTED_VOXELS = 4_000_000
"""Number of pixels of an image that an imported network's normalisation is fitted to, at most."""


def image_normalisation(
    model: TrainedModel, view: ImageView, index: tuple[int, ...], *, comparable: bool = False
) -> Normalisation:
    """Return the normalisation of an image for a model.

    Where a model was trained so, the background and the contrast of each image are measured.
    Imported networks may require the mean or the percentiles of each image. All these are those
    of the whole image and independent of the tiles; of a large image those of evenly distributed
    samples. For other models it is the same for all images.

    Parameters
    ----------
    model : TrainedModel
        The model.
    view : ImageView
        The images.
    index : tuple of int
        Index along the loop axes.
    comparable : bool
        Whether intensities mean the same in all images: then they are not measured, unless the
        model is an imported one.

    Raises
    ------
    InputError
        If a channel has no finite pixel to measure, and the model is an imported one.
    """
    config = model.config
    if not isinstance(config, OnnxConfig) or config.fit is None:
        if comparable or not model.normalisation.per_image:
            return model.normalisation
        return model.normalisation.for_image(measure_image(view, index))
    channels = finite_samples([view], BOXES[0], 0, FITTED_VOXELS, index)[0]
    if not all(len(values) for values in channels):
        raise InputError("The image has no finite pixels", todo="Choose another image")
    if config.fit.together:
        channels = [np.concatenate(channels)] * len(channels)
    offset, scale = zip(
        *(_offset_and_scale(config.fit, values) for values in channels), strict=True
    )
    return Normalisation(config.fit.kind, offset, scale)


def _offset_and_scale(
    fit: PerImageNormalisation, values: NDArray[np.float64]
) -> tuple[float, float]:
    if fit.kind == "mean_sd":
        return float(values.mean()), float(values.std()) + fit.eps
    low, high = np.percentile(values, (fit.low, fit.high))
    return float(low), float(high - low) + fit.eps


DEFAULT_REQUEST = Request()
"""Labels or an image, with default settings."""


def predict_events(
    model: TrainedModel,
    image: object,
    request: Request = DEFAULT_REQUEST,
    *,
    mask: object | None = None,
    out: Any = None,
    control: Control | None = None,
) -> Iterator[PredictionEvent]:
    """Predict an image tile by tile, and yield an event for each.

    Parameters
    ----------
    model : TrainedModel
        The model.
    image : array-like or path
        A numpy, dask or zarr array, or the path of a TIFF or OME-Zarr. Axes as in the training:
        loop axes first, then (y, x) or (z, y, x); a channel axis anywhere.
    request : Request
        Kind of the output, tile size, roles of the axes, device.
    mask : array-like or path, optional
        For a model that fills in missing pixels: shape of the image without channels, not 0 where
        pixels are missing. Pixels that are not finite are missing, too.
    out : array-like, optional
        Array for the result, of the shape that `allocate_result` returns, such as a zarr array.
    control : Control, optional
        Stops or pauses the prediction between tiles; finished tiles are kept.

    Yields
    ------
    PredictionEvent
        `PredictionStarted`, a `TileDone` per tile, and `PredictionFinished` with the result.

    Raises
    ------
    InputError
        If the image does not fit the model.
    OutOfMemoryError
        If the memory is not sufficient for the smallest tile.
    """
    control = control or Control()
    request = request.with_output(model)
    view = find_view(model, image, request)
    missing = find_missing(model, view, mask)
    region = region_of(view, request)
    out = _checked_result(out, *result_shape_and_dtype(model, view, request.output))
    device = choose_device(request.device)
    predictor = _TilePredictor(model, request, view, missing, region, device)
    tiles = predictor.plan()
    layout = view.layout.labels
    loops = list(product(*(range(region.start[a], region.stop[a]) for a in layout.loops)))
    total = len(loops) * len(tiles)
    done = 0
    began = time.monotonic()
    tile_shape = tiles[0].read.shape
    predictor.checks.add_tiles(len(tiles))
    yield PredictionStarted(total, tile_shape, describe_device(device), out.shape, str(out.dtype))
    with using_threads(request.threads):
        predictor.write_around(out)
        for index, tile in product(loops, tiles):
            began += control.wait()  # pauses do not count
            if control.stopped:
                break
            predictor.predict(out, index, tile)
            done += 1
            elapsed = time.monotonic() - began
            remaining = elapsed / done * (total - done)
            yield TileDone(done, total, index, tile.write, elapsed, remaining)
    seconds = time.monotonic() - began
    yield PredictionFinished(out, seconds, done == total, predictor.checks.messages)


def _checked_result(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Return the array for the result: the given one if it fits, or a new one of zeros."""
    if out is None:
        return np.zeros(shape, dtype)
    if tuple(out.shape) != shape:
        raise InputError("out has another shape than the result", got=out.shape, expected=shape)
    return out


def _check_tile(tile: Sequence[int] | None, model: TrainedModel) -> tuple[int, ...] | None:
    if tile is None:
        return None
    if len(tile) != model.config.ndim:
        raise InputError(
            "tile needs one size per spatial axis",
            got=tile,
            expected=f"{model.config.ndim} sizes",
        )
    least = tuple(axis.smallest_input for axis in model.config.geometry)
    if any(size < smallest for size, smallest in zip(tile, least, strict=True)):
        raise InputError(
            "The tile is too small for the network",
            got=tuple(tile),
            expected=f"at least {least} voxels",
            todo="Set a larger tile, or none: then it is chosen by the free memory",
        )
    return tuple(tile)


class _TilePredictor:
    """Predicts the tiles of an image.

    `_geometry` is that of the network, without the margin of the filter.
    """

    def __init__(
        self,
        model: TrainedModel,
        request: Request,
        view: ImageView,
        missing: ImageView | None,
        region: Region,
        device: torch.device,
    ) -> None:
        self._region = region
        self._model = model
        self._request = request
        self._view = view
        self._missing = missing
        self._geometry = tiling_geometry(model.config, device, view.spatial_shape)
        self._network = for_inference(load_network(model.config, model.weights), device)
        self._device = device
        self._flips = allowed_flips(model) if request.flips else (IDENTITY,)
        self._fitted: tuple[tuple[int, ...], Normalisation] | None = None
        self.checks = ImageChecks(model, request.spacing)

    def plan(self) -> list[Tile]:
        """Return the tiles of one image, or of its part that is to be predicted."""
        config = self._model.config
        axes = self._view.layout.labels.spatial
        ends = (self._region.start, self._region.stop)
        part = Region(*(tuple(end[a] for a in axes) for end in ends))
        geometry = with_filter_margin(self._geometry, self._model.input_spec.noise)
        if self._geometry == config.geometry:
            most = max_tile_voxels(config, self._device)
            tile = _check_tile(self._request.tile, self._model)
            return list(
                plan_tiles_in(part, geometry, tile or choose_tile(part.shape, geometry, most))
            )
        shape = self._view.spatial_shape  # in one piece
        tile = tuple(g.input_for(n) for g, n in zip(geometry, shape, strict=True))
        return [one.clip(part) for one in plan_tiles(shape, geometry, tile)]

    @torch.inference_mode()
    def predict(self, out: Any, index: tuple[int, ...], tile: Tile) -> None:
        """Predict a tile of the image with this loop index, and write it into `out`."""
        model = self._model
        view = self._view
        normalisation = self._normalisation(index)
        smooth = bool(model.input_spec.residual)
        inputs = torch.from_numpy(
            read_inputs(view, normalisation, index, tile.read, self._missing, smooth=smooth)
        )
        try:
            outputs = mean_over_flips(self._flips, inputs, self._apply)
            outputs = combine_with_input(outputs, inputs, view, model.input_spec, self._geometry)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemoryError(
                "The prediction ran out of memory",
                got=f"a tile of {tile.read.shape} {voxels(len(tile.read.shape))}",
                todo="Set a smaller tile",
            ) from error
        outputs = outputs[(slice(None), *tile.keep.slices)].cpu()
        if self._request.output == "image":
            kept = self._missing if self._request.keep_known else None
            assert model.target is not None
            image = to_grey_values(model.target, outputs, view, kept, index, tile.write)
            outside = self._outside(index, tile.write)
            if outside is not None:
                image[:, outside] = self._original(index, tile.write)[:, outside]
            _write_image(out, view.layout, index, tile.write, image)
        else:
            outside = self._outside(index, tile.write)
            _write(
                out,
                view.layout.labels,
                model,
                self._request.output,
                index,
                tile.write,
                outputs,
                outside,
            )

    def write_around(self, out: Any) -> None:
        """Write the image itself into a result that is an image and predicted only in part."""
        whole = Region.whole(self._view.spatial_shape)
        if self._request.output != "image" or self._request.region is None:
            return
        for index in product(*map(range, self._view.loop_shape)):
            _write_image(out, self._view.layout, index, whole, self._original(index, whole))

    def _original(self, index: tuple[int, ...], region: Region) -> NDArray[Any]:
        """Return the image (channel, *spatial) itself, 0 where it is not finite.

        Where the result has other channels than the image, all of it is 0.
        """
        channels = self._model.config.out_channels
        pixels = self._view.read_raw(index, region)[self._view.centre_channels]
        if len(pixels) != channels:
            return np.zeros((channels, *region.shape), np.float32)
        return np.where(np.isfinite(pixels), pixels, 0)

    def _outside(self, index: tuple[int, ...], region: Region) -> NDArray[np.bool_] | None:
        """Return which pixels of a tile are not to be predicted; None where all are."""
        inside = self._request.inside
        if inside is None:
            return None
        wanted = np.broadcast_to(inside, self._region.shape)
        layout = self._view.layout.labels
        start = tuple(self._region.start[a] for a in layout.spatial)
        place = region.shift(tuple(-a for a in start))
        loop = tuple(i - self._region.start[a] for a, i in zip(layout.loops, index, strict=True))
        return ~wanted[tuple(_tile_key(layout, loop, place))]

    def _normalisation(self, index: tuple[int, ...]) -> Normalisation:
        """Return the normalisation of an image; it is kept for all of its tiles."""
        if self._fitted is None or self._fitted[0] != index:
            self._fitted = index, self._measured_normalisation(index)
        return self._fitted[1]

    def _measured_normalisation(self, index: tuple[int, ...]) -> Normalisation:
        """Return the normalisation of an image, and check it against those of the training."""
        model = self._model
        if not model.classes or isinstance(model.config, OnnxConfig):
            return image_normalisation(model, self._view, index)
        statistics = measure_image(self._view, index)
        trained = model.normalisation
        used = trained if self._request.comparable else trained.for_image(statistics)
        if prod(self._view.spatial_shape) >= FEWEST_VOXELS:
            self.checks.add(index, statistics, used)
        return used

    def _apply(self, inputs: Tensor) -> Tensor:
        """Return the output of the network (channel, *spatial) for an input (channel, *spatial)."""
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
    outside: NDArray[np.bool_] | None = None,
) -> None:
    """Write the labels or probabilities of a tile into the result, 0 outside of the region."""
    key = _tile_key(layout, index, region)
    if output == "probabilities":
        found = torch.softmax(logits, 0).numpy()
        key.insert(0, slice(None))
    else:
        values = np.array([c.value for c in model.classes], out.dtype)
        found = values[logits.argmax(0).numpy()]
    if outside is not None:
        found[..., outside] = 0
    out[tuple(key)] = found


def _write_image(
    out: Any,
    layout: AxisLayout,
    index: tuple[int, ...],
    region: Region,
    image: NDArray[Any],
) -> None:
    """Write the image (channel, *spatial) of a tile into the result."""
    key = _tile_key(layout.labels, index, region)
    if len(key) == len(out.shape):
        out[tuple(key)] = image[0]
        return
    channel = layout.channel or 0
    key.insert(channel, slice(None))
    # The assigned array lacks the loop axes; the others are in the order of the result.
    before = sum(isinstance(part, slice) for part in key[:channel])
    out[tuple(key)] = np.moveaxis(image, 0, before)


def _tile_key(layout: AxisLayout, index: tuple[int, ...], region: Region) -> list[int | slice]:
    """Return integers and slices that select a tile in an array without channels."""
    key: list[int | slice] = [slice(None)] * (len(layout.loops) + len(layout.spatial))
    for axis, i in zip(layout.loops, index, strict=True):
        key[axis] = i
    for axis, part in zip(layout.spatial, region.slices, strict=True):
        key[axis] = part
    return key
