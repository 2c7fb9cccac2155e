"""What can be set about a segmentation. Knows no torch, so that forms and help open at once."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_unet.data.augment_options import AugmentOptions
from napari_unet.tasks.network_options import NetworkOptions


class SegmentOptions(NetworkOptions):
    """All that can be set about a segmentation."""

    loss: Literal["ce", "dice", "ce+dice"] = Field(
        "ce", description="Cross-entropy, Dice, or their sum; unpainted pixels count zero."
    )
    zero: Literal["unpainted", "background"] = Field(
        "unpainted",
        description="What 0 means in the labels: not painted, or background (finished masks).",
    )
    balance: float = Field(
        1.0, ge=0, le=1, description="1: every class is drawn equally often; 0: as painted."
    )
    calibrate: bool = Field(
        True,
        description="Let the image, not the strokes, say how frequent the classes are; only "
        "where 0 means not painted.",
    )
    image_first: bool = Field(
        False,
        description="Learn the image first, by telling hidden pixels from their surroundings, for "
        "a fifth of the budget (15 s without one). Try it where strokes are few.",
    )
    held_out: float = Field(
        1 / 6, ge=0, le=0.5, description="Part of the painted places kept for validation."
    )
    normalise: Literal["mean_sd", "percentile", "none"] = Field(
        "mean_sd", description="How pixels are brought to a common range."
    )
    augment: AugmentOptions = Field(
        default_factory=lambda: AugmentOptions(),
        description="Random changes to what is learned from.",
    )
    class_names: dict[int, str] = Field(
        default_factory=dict, description="Names of the classes, by label value."
    )
    class_colors: dict[int, tuple[float, float, float, float]] = Field(
        default_factory=dict, description="Colours of the classes (RGBA, 0 to 1), by label value."
    )
