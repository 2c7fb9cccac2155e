"""Which network a training trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from napari_unet._version import __version__
from napari_unet.errors import InputError
from napari_unet.model import TrainedModel
from napari_unet.network.architecture import Architecture
from napari_unet.network.onnx_config import OnnxConfig
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.network_options import NetworkOptions


def choose_network(
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
    if isinstance(config, OnnxConfig):
        raise InputError(
            "An imported model predicts, but it cannot learn",
            got=config.title,
            todo="Start from a model that was trained here, or from a fresh network",
        )


_ELSEWHERE = {"network", "checkpoint", "checkpoint_seconds"}
"""Options that a model tells otherwise, or that are nobody's business: files of this computer."""


def options_metadata(options: NetworkOptions) -> dict[str, Any]:
    """Return seed, options that are not the usual ones, and versions, as plain JSON."""
    import torch  # in the process that trains alone: the viewer reads this module too

    return {
        "seed": options.seed,
        "options": options.model_dump(mode="json", exclude_defaults=True, exclude=_ELSEWHERE),
        "versions": {
            "napari-unet-live": __version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
        },
    }


def preview_warning(problem: str) -> Iterator[str]:
    """Say why a training shows nothing meanwhile, and what its model will do on this computer."""
    if problem:
        yield (
            f"There is no preview: {problem}. It learns all the same; what fits into memory as a "
            "whole can be predicted in one piece."
        )


INPUT_VOXELS = {2: 144**2, 3: 2**17}
"""About as many voxels go into the network per patch."""

LEAST_SEEN = {2: 0.1, 3: 0.02}
"""Smaller parts of a patch than this are not worth their context: rather a larger patch."""


def choose_patch(
    config: Architecture, image: Sequence[int], wished: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Return the input's spatial shape for training, no larger than the image needs.

    Valid convolutions need their context. Padded networks learn from whatever passes: their
    receptive field may be wider than any patch.

    Parameters
    ----------
    config : Architecture
        The network.
    image : sequence of int
        The image's spatial shape.
    wished : sequence of int, optional
        The largest patch that is wanted, per axis.

    Raises
    ------
    InputError
        Where `wished` has another number of axes than the network.
    """
    whole = [g.input_for(n) for g, n in zip(config.passing, image, strict=True)]
    if wished is not None and len(wished) != config.ndim:
        raise InputError("patch needs one size per spatial axis", got=wished)
    most = [min(a, b) for a, b in zip(wished or whole, whole, strict=True)]
    patch = [
        g.largest_input(max(n, g.smallest_input)) for g, n in zip(config.passing, most, strict=True)
    ]
    return tuple(patch if wished else _shrink(patch, config))


def trained_part(config: Architecture, patch: Sequence[int]) -> tuple[int, ...]:
    """Return the spatial shape of the network's output in training."""
    return tuple(patch) if config.padded else config.output_for(patch)


def _shrink(patch: list[int], config: Architecture) -> list[int]:
    """Shorten a patch, stride by stride, so that as much as can be of it is not mere context."""
    axes = config.passing

    def shorter(axis: int) -> list[int]:
        return [n - axes[a].stride * (a == axis) for a, n in enumerate(patch)]

    def seen(shape: list[int]) -> float:
        return prod(g.output_for(n) for g, n in zip(axes, shape, strict=True)) / prod(shape)

    limit = INPUT_VOXELS[config.ndim]
    while prod(patch) > limit:
        able = [a for a, g in enumerate(axes) if g.is_allowed(patch[a] - g.stride)]
        # Where nothing is mere context, all axes are alike: shorten the longest.
        best = max(map(shorter, able), key=lambda s: (seen(s), -max(s)), default=patch)
        wasteful = seen(best) < LEAST_SEEN[config.ndim] and prod(best) < 8 * limit
        if not able or wasteful:
            break
        patch = best
    return patch
