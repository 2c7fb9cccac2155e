"""What can be set about a segmentation. Knows no torch, so that forms and help open at once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from napari_unet.data.augment_options import AugmentOptions
from napari_unet.tasks.network_options import NetworkOptions

Loss = Literal[
    "ce",
    "dice",
    "focal",
    "tversky",
    "ce+dice",
    "ce+tversky",
    "focal+dice",
    "focal+tversky",
]
"""Losses by name, and sums of two."""


class SegmentOptions(NetworkOptions):
    """All that can be set about a segmentation."""

    loss: Loss = Field(
        "ce",
        description="Cross-entropy, Dice, focal, Tversky, or sums; unpainted pixels count zero.",
    )
    focal_gamma: float = Field(
        2.0, ge=0, le=10, description="Focal loss: how much it spares what is sure already."
    )
    tversky_alpha: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Tversky: what wrongly found pixels count; missed ones count the rest to 1.",
    )
    weigh_classes: bool = Field(
        False,
        description="Weigh classes in the loss the more, the fewer pixels are painted of them.",
    )
    class_weights: dict[int, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="What pixels of a class count in the loss, by label value; 1 where not set.",
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
    forest: float = Field(
        2.0,
        ge=0,
        le=20,
        description="What a random forest, grown on the strokes, says of unpainted pixels counts "
        "so much in the loss, less where much is painted; 0: no forest. Needs the fixed filters.",
    )
    image_first: bool = Field(
        False,
        description="Learn the image first, by telling hidden pixels from their surroundings, for "
        "a fifth of the budget (15 s without one). Try it where strokes are few.",
    )
    held_out: float = Field(
        0.2, ge=0, le=0.5, description="Part of the painted places kept for validation."
    )
    normalise: Literal["mean_sd", "percentile", "none"] = Field(
        "mean_sd", description="How pixels are brought to a common range."
    )
    augment: AugmentOptions = Field(
        default_factory=lambda: AugmentOptions(),
        description="Random changes to what is learned from, by name: how strong, and as "
        "chance.NAME how often.",
    )
    class_names: dict[int, str] = Field(
        default_factory=dict, description="Names of the classes, by label value."
    )
    class_colors: dict[int, tuple[float, float, float, float]] = Field(
        default_factory=dict, description="Colours of the classes (RGBA, 0 to 1), by label value."
    )
