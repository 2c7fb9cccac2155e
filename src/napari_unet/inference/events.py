"""What a prediction tells whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_unet.geometry.region import Region


@dataclass(frozen=True, slots=True)
class PredictionStarted:
    """The plan: how many tiles of which input shape (voxels), where, and what comes out."""

    tiles: int
    tile_shape: tuple[int, ...]
    device: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class TileDone:
    """One more piece of the result is there; times in seconds.

    `index` is where along the looped axes, `region` which voxels of the spatial axes.
    """

    done: int
    tiles: int
    index: tuple[int, ...]
    region: Region
    elapsed: float
    remaining: float


@dataclass(frozen=True, slots=True)
class PredictionFinished:
    """The prediction ended; unless `complete`, it was stopped and the rest is still empty."""

    result: Any
    seconds: float
    complete: bool


PredictionEvent = PredictionStarted | TileDone | PredictionFinished
