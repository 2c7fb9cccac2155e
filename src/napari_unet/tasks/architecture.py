"""Which network a training trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import ValidationError

from napari_unet.errors import InputError
from napari_unet.model import TrainedModel
from napari_unet.network.architecture import Architecture
from napari_unet.network.config import UNetConfig
from napari_unet.network.foreign_config import ForeignConfig
from napari_unet.tasks.network_options import NetworkOptions


def choose_config(
    options: NetworkOptions,
    ndim: Literal[2, 3],
    channels: tuple[int, int],
    spacing: Sequence[float] | None,
    start: TrainedModel | None = None,
) -> Architecture:
    """Return the model's network, the given one, or one of the size that is set.

    Parameters
    ----------
    options : NetworkOptions
        What is set.
    ndim : {2, 3}
        Spatial dimensions.
    channels : tuple of int
        Channels in, and classes or channels out.
    spacing : sequence of float, optional
        Distance between voxels per spatial axis.
    start : TrainedModel, optional
        Where the training goes on from.

    Raises
    ------
    InputError
        Where the given network does not fit.
    """
    into, out = channels
    if start is not None:
        check_learns(start.config)
        return start.config.model_copy(update={"in_channels": into, "out_channels": out})
    given = options.network
    if given is None:
        config = UNetConfig.sized(
            options.size,
            ndim,
            in_channels=into,
            out_channels=out,
            spacing=spacing,
            fast=options.fast,
            # In colours, brightness alone tells so much that they get in the network's way.
            filters=options.filters and into == 1,
            padding=options.padding,
        )
        deepest = min(2, config.depth + 1)
        rates = (0.0,) * (config.depth + 1 - deepest) + (options.dropout,) * deepest
        return config.model_copy(update={"dropout": rates})
    check_learns(given)
    if given.ndim != ndim:
        raise InputError(
            "The network does not fit the number of dimensions",
            got=f"a {given.ndim}D network",
            expected=f"a {ndim}D one",
        )
    try:
        return given.with_channels(into, out)
    except ValidationError as error:
        raise InputError(
            "The network does not fit the image and what is learned",
            got=error.errors()[0]["msg"],
            expected=f"{into} channels in, {out} out",
        ) from error


def check_learns(config: Architecture) -> None:
    """Check that a network can be trained.

    Raises
    ------
    InputError
        Where it is a program that was made elsewhere.
    """
    if isinstance(config, ForeignConfig):
        raise InputError(
            "An imported model predicts, but it cannot learn",
            got=config.title,
            todo="Start from a model that was trained here, or from a fresh network",
        )
