"""What can be set about the network of any task, and about how it reads an image."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_unet.data.image import Border
from napari_unet.geometry.axes import ChannelAxis
from napari_unet.network.registry import AnyNetwork
from napari_unet.network.unet_config import Padding, Size
from napari_unet.training.options import TrainingOptions


class NetworkOptions(TrainingOptions):
    """Options of network and image, whatever is learned."""

    size: Size = Field("medium", description="Size of the network, where none is given in full.")
    network: AnyNetwork | None = Field(
        None,
        description="The network: a preset's name, or all of it; channels are set to fit the "
        "image and the classes.",
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
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Dropout rate in the two deepest blocks, where no network is given in full.",
    )
    border: Border = Field(
        "mirror",
        description="How an image goes on beyond its border: mirrored, with its outermost pixels, "
        "with zeros, or from its other end.",
    )
    split: Literal["space", "image"] = Field(
        "space",
        description="What is held out for validation: places in all images, or whole images "
        "where there are several.",
    )
    patch: tuple[int, ...] | None = Field(
        None, description="Largest input patch per spatial axis in voxels; empty: chosen."
    )
    channel_axis: ChannelAxis = Field(
        "auto", description="The image's axis of channels; auto: found from names and shapes."
    )
    axes: tuple[str, ...] | None = Field(None, description="Names of the image's axes, in order.")
    rgb: bool = Field(False, description="Whether the image's last axis holds colours.")
    spacing: tuple[float, ...] | None = Field(
        None, description="Distance between voxels per spatial axis; coarse axes are spared."
    )
