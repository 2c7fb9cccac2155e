"""Options of the network, and of how images are read, for all tasks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_unet.data.image import Border
from napari_unet.geometry.axes import ChannelAxis
from napari_unet.network.registry import AnyNetwork
from napari_unet.network.unet_config import Padding, Size
from napari_unet.training.options import TrainingOptions


class NetworkOptions(TrainingOptions):
    """Options of network and images, for all tasks."""

    size: Size = Field("medium", description="Size of the network, unless `network` is given.")
    network: AnyNetwork | None = Field(
        None,
        description="The network: a preset's name, or its configuration; the numbers of channels "
        "follow from the image and the classes.",
    )
    fast: bool = Field(
        True,
        title="Compute in blocks of 2",
        description="Compute at half resolution inside the network, in blocks of 2 pixels per "
        "side: two to three times faster.",
    )
    filters: bool = Field(
        True,
        title="Fixed filters",
        description="Add fixed filters on several scales, of each channel; the network then learns "
        "faster from few strokes.",
    )
    padding: Padding = Field(
        "valid",
        json_schema_extra={"labels": {"same": "Same (padded)"}},
        description="Valid convolutions, or padded ones that keep the size.",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Dropout rate in the two deepest blocks, unless `network` is given.",
    )
    border: Border = Field(
        "mirror",
        title="Image border",
        json_schema_extra={
            "labels": {"edge": "Repeat the edge", "zero": "Zeros", "wrap": "Periodic"}
        },
        description="How an image is padded beyond its border: mirrored, with its outermost "
        "pixels, with zeros, or periodically.",
    )
    split: Literal["space", "image"] = Field(
        "space",
        title="Hold out",
        json_schema_extra={"labels": {"space": "Places", "image": "Whole images"}},
        description="What is held out for validation: places in all images, or whole images "
        "if there are several.",
    )
    patch: tuple[int, ...] | None = Field(
        None,
        title="Patch size",
        description="Largest input patch per spatial axis in pixels; automatic: from the "
        "network and the image.",
    )
    channel_axis: ChannelAxis = Field(
        "auto",
        description="Index of the channel axis of the image, or none; auto: found from axis "
        "names and shapes.",
    )
    axes: tuple[str, ...] | None = Field(None, description="Names of the image's axes, in order.")
    channel_names: tuple[str, ...] = Field(
        (),
        description="Names of the image's channels, in order; a prediction finds the channels of "
        "its image by them.",
    )
    region: tuple[int, ...] | None = Field(
        None,
        description="Part of the (first) image to train on: for each axis except the channel "
        "axis, the first pixel and the one after the last.",
    )
    rgb: bool = Field(False, description="Whether the last axis of the image holds colours.")
    spacing: tuple[float, ...] | None = Field(
        None,
        description="Distance between pixels per spatial axis (pixel size); coarse axes are "
        "pooled less.",
    )
