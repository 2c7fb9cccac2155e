"""Which network a training trains, and on patches of which shape. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

from pydantic import ValidationError

from napari_unet.errors import InputError
from napari_unet.model import TrainedModel
from napari_unet.network.architecture import Architecture
from napari_unet.network.onnx_config import OnnxConfig
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.images.options import RestoreOptions
from napari_unet.tasks.network_options import NetworkOptions

IMAGE_OUTPUT_SIDE = {2: 64, 3: 24}
"""Side of the output in voxels where the result is an image, by spatial dimensions.

It is small, since every voxel is an example.
"""

INPUT_VOXELS = {2: 144**2, 3: 2**17}
"""Number of input voxels that a chosen patch stays below where it can, by dimensions."""

LEAST_OUTPUT_SHARE = {2: 0.1, 3: 0.02}
"""Least ratio of output to input voxels; a patch that would fall below stays larger."""

OVERSIZE = 8
"""A patch larger than so many times `INPUT_VOXELS` is shortened whatever its output share."""


def choose_network(
    options: NetworkOptions,
    ndim: Literal[2, 3],
    channels: tuple[int, int],
    spacing: Sequence[float] | None,
    start: TrainedModel | None = None,
) -> Architecture:
    """Return the network of the model to start from, the one given, or one of the size set.

    Parameters
    ----------
    options : NetworkOptions
        Those of the task.
    ndim : {2, 3}
        Spatial dimensions.
    channels : tuple of int
        Channels in, and classes or channels out.
    spacing : sequence of float, optional
        Distance between voxels per spatial axis.
    start : TrainedModel, optional
        The model that the training goes on from.

    Raises
    ------
    InputError
        Where the given network does not fit.
    """
    in_channels, out_channels = channels
    if start is not None:
        check_trainable(start.config)
        update = {"in_channels": in_channels, "out_channels": out_channels}
        return start.config.model_copy(update=update)
    if options.network is None:
        network: Architecture = _sized_network(options, ndim, channels, spacing)
    else:
        network = _given_network(options.network, ndim, channels)
    if not isinstance(options, RestoreOptions):
        return network
    # A network that is given in full keeps its own readout, unless another is asked for.
    if options.network is not None and options.readout == "linear":
        return network
    return network.model_copy(update={"readout": options.readout})


def _sized_network(
    options: NetworkOptions,
    ndim: Literal[2, 3],
    channels: tuple[int, int],
    spacing: Sequence[float] | None,
) -> UNetConfig:
    in_channels, out_channels = channels
    config = UNetConfig.sized(
        options.size,
        ndim,
        in_channels=in_channels,
        out_channels=out_channels,
        spacing=spacing,
        fast=options.fast,
        filters=options.filters,
        padding=options.padding,
    )
    deepest = min(2, config.depth + 1)
    rates = (0.0,) * (config.depth + 1 - deepest) + (options.dropout,) * deepest
    return config.model_copy(update={"dropout": rates})


def _given_network(
    network: Architecture, ndim: Literal[2, 3], channels: tuple[int, int]
) -> Architecture:
    check_trainable(network)
    if network.ndim != ndim:
        raise InputError(
            "The network does not fit the number of dimensions",
            got=f"a {network.ndim}D network",
            expected=f"a {ndim}D one",
        )
    in_channels, out_channels = channels
    try:
        return network.with_channels(in_channels, out_channels)
    except ValidationError as error:
        raise InputError(
            "The channels of the network do not fit the image and the task",
            got=error.errors()[0]["msg"],
            expected=f"{in_channels} channels in, {out_channels} out",
        ) from error


def check_trainable(network: Architecture) -> None:
    """Check that a network can be trained.

    Raises
    ------
    InputError
        Where it is an imported ONNX program.
    """
    if isinstance(network, OnnxConfig):
        raise InputError(
            "An imported model can predict, but it cannot be trained",
            got=network.title,
            todo="Start from a model that was trained here, or from scratch",
        )


def check_start(
    start: TrainedModel, task: str, ndim: int, channels: tuple[int, int] | None = None
) -> None:
    """Check that a training can go on from a model.

    Parameters
    ----------
    start : TrainedModel
        The model.
    task : str
        What is to be learned.
    ndim : int
        Spatial dimensions of the images.
    channels : tuple of int, optional
        Channels in and out. A segmentation may have more classes than the model.

    Raises
    ------
    InputError
        Naming what differs.
    """
    if task == "segment":
        _check_segmentation_start(start, ndim, channels)
        return
    check_trainable(start.config)
    have = (start.config.in_channels, start.config.out_channels)
    if start.task != task or (channels is not None and have != channels):
        wanted = "" if channels is None else f", {channels[0]} in and {channels[1]} out"
        raise InputError(
            "The model to start from does not fit",
            got=f"a model of task {start.task}, {have[0]} channels in and {have[1]} out",
            expected=f"task {task}{wanted}",
            todo="Start from another model, or from scratch",
        )


def _check_segmentation_start(
    start: TrainedModel, ndim: int, channels: tuple[int, int] | None
) -> None:
    if start.task != "segment" or not start.classes:
        raise InputError(
            "This model cannot be continued as a segmentation",
            got=f"a model of task {start.task}",
        )
    check_trainable(start.config)
    found: list[str] = []
    needed: list[str] = []
    if start.config.ndim != ndim:
        found.append(f"a {start.config.ndim}D model")
        needed.append(f"a {ndim}D one")
    if channels is not None and start.config.in_channels != channels[0]:
        found.append(f"a model of {start.config.in_channels} channels")
        needed.append(f"one of {channels[0]}, as the image has")
    if found:
        raise InputError(
            "The model to start from does not fit",
            got=", ".join(found),
            expected=", ".join(needed),
            todo="Start from another model, or from scratch",
        )


def choose_input_shape(
    task: str, network: Architecture, image: Sequence[int], max_shape: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Return the spatial shape of the network's input in training.

    It is no larger than the largest image needs. Valid convolutions need their context; padded
    networks learn from whatever shape passes them: their receptive field may be wider than any
    patch. A segmentation learns from large patches, since few of their voxels are annotated; where
    every voxel is an example small ones suffice.

    Parameters
    ----------
    task : str
        What is learned.
    network : Architecture
        The network.
    image : sequence of int
        The largest image's spatial shape, in voxels.
    max_shape : sequence of int, optional
        The largest patch that is wanted, per spatial axis.

    Raises
    ------
    InputError
        Where `max_shape` has another number of axes than the network.
    """
    if task == "segment":
        return fitting_input_shape(network, image, max_shape)
    side = IMAGE_OUTPUT_SIDE[network.ndim]
    output = (side,) * network.ndim
    if max_shape or not network.padded:
        return fitting_input_shape(network, image, max_shape or network.input_for(output))
    return tuple(
        max(1, min(side, -(-n // axis.stride) * axis.stride) // axis.stride) * axis.stride
        for n, axis in zip(image, network.geometry, strict=True)
    )


def fitting_input_shape(
    network: Architecture, image: Sequence[int], max_shape: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Return the largest shape allowed, or a chosen one, made such that it passes the network.

    Parameters
    ----------
    network : Architecture
        The network.
    image : sequence of int
        The largest image's spatial shape, in voxels.
    max_shape : sequence of int, optional
        The largest patch that is wanted, per spatial axis; None: of about `INPUT_VOXELS`.

    Raises
    ------
    InputError
        Where `max_shape` has another number of axes than the network.
    """
    whole = [g.input_for(n) for g, n in zip(network.passing, image, strict=True)]
    if max_shape is not None and len(max_shape) != network.ndim:
        raise InputError("patch needs one size per spatial axis", got=max_shape)
    most = [min(a, b) for a, b in zip(max_shape or whole, whole, strict=True)]
    shape = [
        g.largest_input(max(n, g.smallest_input))
        for g, n in zip(network.passing, most, strict=True)
    ]
    return tuple(shape if max_shape else _shortened(shape, network))


def output_shape_of(network: Architecture, input_shape: Sequence[int]) -> tuple[int, ...]:
    """Return the spatial shape of the network's output in training.

    Parameters
    ----------
    network : Architecture
        The network.
    input_shape : sequence of int
        Spatial shape of its input.
    """
    return tuple(input_shape) if network.padded else network.output_for(input_shape)


def _shortened(shape: list[int], network: Architecture) -> list[int]:
    """Shorten a patch, stride by stride, such that the output share stays as large as it can."""
    axes = network.passing

    def shorter(axis: int) -> list[int]:
        return [*shape[:axis], shape[axis] - axes[axis].stride, *shape[axis + 1 :]]

    def output_share(sides: list[int]) -> float:
        return prod(g.output_for(n) for g, n in zip(axes, sides, strict=True)) / prod(sides)

    limit = INPUT_VOXELS[network.ndim]
    while prod(shape) > limit:
        able = [a for a, g in enumerate(axes) if g.is_allowed(shape[a] - g.stride)]
        # Where the share does not depend on the axis, the longest one is shortened.
        best = max(map(shorter, able), key=lambda s: (output_share(s), -max(s)), default=shape)
        too_little = output_share(best) < LEAST_OUTPUT_SHARE[network.ndim]
        if not able or (too_little and prod(best) < OVERSIZE * limit):
            break
        shape = best
    return shape
