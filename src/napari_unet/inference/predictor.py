"""Prediction of whole images, tile by tile."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_unet.control import Control
from napari_unet.data.image import ImageView
from napari_unet.device import choose_device, describe_device, is_out_of_memory, using_threads
from napari_unet.errors import InputError, OutOfMemoryError
from napari_unet.geometry.axes import AxisLayout
from napari_unet.geometry.region import Region
from napari_unet.geometry.tiling import Tile, choose_tile, plan_tiles
from napari_unet.inference.events import (
    PredictionEvent,
    PredictionFinished,
    PredictionStarted,
    TileDone,
)
from napari_unet.inference.memory import max_tile_voxels
from napari_unet.inference.request import Output, Request, allocated, find_view
from napari_unet.model import TrainedModel
from napari_unet.network.blocks import centre_crop
from napari_unet.network.optimise import as_input, for_inference

PLAIN = Request()
"""Labels, with everything chosen."""


def predict_events(
    model: TrainedModel,
    image: object,
    request: Request = PLAIN,
    *,
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
    view = find_view(model, image, request)
    expected = allocated(model, view, request.output)
    if out is None:
        out = np.zeros(*expected)
    elif tuple(out.shape) != expected[0]:
        raise InputError(
            "out has another shape than the result", got=out.shape, expected=expected[0]
        )
    device = choose_device(request.device)
    network = for_inference(model.network(), device)
    spatial, geometry = view.spatial_shape, model.config.geometry
    tile = _check_tile(request.tile, model) or choose_tile(
        spatial, geometry, max_tile_voxels(model.config, device)
    )
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
            result = _predict_tile(model, network, view, index, piece, device)
            _write(out, view.layout.labels, model, request.output, index, piece.write, result)
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


@torch.inference_mode()
def _predict_tile(
    model: TrainedModel,
    network: torch.nn.Module,
    view: ImageView,
    index: tuple[int, ...],
    tile: Tile,
    device: torch.device,
) -> Tensor:
    """Return the logits (channel, *spatial) that belong at ``tile.write``."""
    pixels = model.normalisation.apply(view.read_raw(index, tile.read))
    try:
        outputs = network(as_input(torch.from_numpy(pixels)[None], device))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            "Memory ran out in the prediction",
            got=f"a tile of {tile.read.shape} voxels",
            todo="Set a smaller tile",
        ) from error
    logits = centre_crop(outputs, model.config.output_for(tile.read.shape))[0]
    return logits[(slice(None), *tile.keep.slices)].cpu()


def _write(
    out: Any,
    layout: AxisLayout,
    model: TrainedModel,
    output: Output,
    index: tuple[int, ...],
    region: Region,
    logits: Tensor,
) -> None:
    """Put one tile's result where it belongs."""
    where: list[int | slice] = [slice(None)] * (len(layout.loops) + len(layout.spatial))
    for axis, i in zip(layout.loops, index, strict=True):
        where[axis] = i
    for axis, part in zip(layout.spatial, region.slices, strict=True):
        where[axis] = part
    if output == "probabilities":
        out[(slice(None), *where)] = torch.softmax(logits, 0).numpy()
    else:
        values = np.array([c.value for c in model.classes], out.dtype)
        out[tuple(where)] = values[logits.argmax(0).numpy()]
