"""How large a training patch is."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from napari_unet.errors import InputError
from napari_unet.network.architecture import Architecture

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
