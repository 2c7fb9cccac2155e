"""Options of a segmentation. Imports no torch, so that forms and help open at once."""

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
    """All options of a segmentation."""

    loss: Loss = Field(
        "ce",
        description="Cross-entropy, Dice, focal, Tversky, or sums of two; unpainted pixels "
        "are ignored.",
    )
    focal_gamma: float = Field(
        2.0,
        ge=0,
        le=10,
        title="Focal loss: gamma",
        description="Focal loss: how much it reduces the weight of confident pixels.",
    )
    tversky_alpha: float = Field(
        0.3,
        ge=0,
        le=1,
        title="Tversky loss: alpha",
        description="Tversky loss: weight of false positives; false negatives have 1 minus "
        "this weight.",
    )
    weigh_classes: bool = Field(
        False,
        title="Weight by frequency",
        description="Weight classes in the loss inversely to their number of painted pixels.",
    )
    class_weights: dict[int, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="Weight of each class in the loss, by label value; 1 where not set.",
    )
    zero: Literal["unpainted", "background"] = Field(
        "unpainted",
        description="What label 0 means: unlabelled (ignored), or background (finished masks).",
    )
    merge_labels: bool = Field(
        False,
        description="Treat all labels above 0 as one class: for masks in which each object has a "
        "number of its own.",
    )
    balance: float = Field(
        1.0,
        ge=0,
        le=1,
        title="Class balance",
        description="How often patches of each class are drawn; 1: all classes equally often, "
        "0: in proportion to their painted pixels.",
    )
    calibrate: bool = Field(
        True,
        title="Calibrate class sizes",
        description="Estimate how frequent the classes are from the image, not from the "
        "strokes; only if label 0 is unlabelled.",
    )
    forest: float = Field(
        2.0,
        ge=0,
        le=20,
        title="Random forest weight",
        description="Weight in the loss of a random forest that is trained on the strokes and "
        "predicts the unpainted pixels; the weight falls as more is painted; 0: no "
        "forest. Needs the fixed filters.",
    )
    image_first: bool = Field(
        False,
        title="Pretrain on the image",
        description="Pretrain the network on the image, by predicting hidden pixels from their "
        "surroundings, for a fifth of the budget (15 s without one). Useful with few strokes.",
    )
    held_out: float = Field(
        0.2,
        ge=0,
        le=0.5,
        title="Held-out fraction",
        description="Fraction of the painted places held out for validation.",
    )
    normalise: Literal["mean_sd", "percentile", "none"] = Field(
        "mean_sd", title="Normalisation", description="How intensities are normalised."
    )
    intensities: Literal["per_image", "comparable"] = Field(
        "per_image",
        description="Whether background and contrast are measured in each image, so that exposure "
        "and staining may differ; or intensities are comparable between images, so that a "
        "brightness means the same in all of them.",
    )
    augment: AugmentOptions = Field(
        default_factory=lambda: AugmentOptions(),
        title="Random changes",
        description="Random changes of the training patches, by name: how strong, and as "
        "chance.NAME how often.",
    )
    class_names: dict[int, str] = Field(
        default_factory=dict, description="Names of the classes, by label value."
    )
    class_colors: dict[int, tuple[float, float, float, float]] = Field(
        default_factory=dict, description="Colours of the classes (RGBA, 0 to 1), by label value."
    )
