"""What can be set about a segmentation. Knows no torch, so that forms and help open at once."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_unet.data.augment_options import AugmentOptions
from napari_unet.geometry.axes import ChannelAxis
from napari_unet.network.config import Padding, Size, UNetConfig
from napari_unet.training.options import TrainingOptions


class SegmentOptions(TrainingOptions):
    """All that can be set about a segmentation."""

    size: Size = Field("medium", description="Size of the network, where none is given in full.")
    network: UNetConfig | None = Field(
        None, description="The network in full; channels are set to fit the image and the classes."
    )
    fast: bool = Field(
        True, description="Compute in blocks of 2 voxels a side: two to three times faster."
    )
    filters: bool = Field(
        True,
        description="Add fixed filters on several scales, where the image has one channel: "
        "it learns faster from few strokes.",
    )
    padding: Padding = Field(
        "valid", description="Valid convolutions, or padded ones that keep the size."
    )
    patch: tuple[int, ...] | None = Field(
        None, description="Largest input patch per spatial axis in voxels; empty: chosen."
    )
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
    channel_axis: ChannelAxis = Field(
        "auto", description="The image's axis of channels; auto: found from names and shapes."
    )
    axes: tuple[str, ...] | None = Field(None, description="Names of the image's axes, in order.")
    rgb: bool = Field(False, description="Whether the image's last axis holds colours.")
    spacing: tuple[float, ...] | None = Field(
        None, description="Distance between voxels per spatial axis; coarse axes are spared."
    )
    class_names: dict[int, str] = Field(
        default_factory=dict, description="Names of the classes, by label value."
    )
    class_colors: dict[int, tuple[float, float, float, float]] = Field(
        default_factory=dict, description="Colours of the classes (RGBA, 0 to 1), by label value."
    )
