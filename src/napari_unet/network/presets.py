"""Architectures as data: the published ones by name, and our U-Nets by size. Knows no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_unet.errors import InputError

SIZES: dict[int, dict[str, tuple[int, int]]] = {
    2: {"small": (16, 2), "medium": (32, 2), "large": (32, 3)},
    # In 3D the cost grows with the third power of the context.
    3: {"small": (16, 1), "medium": (24, 1), "large": (32, 2)},
}
"""Per number of dimensions and size: channels at the full resolution, least number of poolings."""

MOST_POOLINGS = 3
"""Largest number of poolings that coarse axes can bring about."""

SIGMAS = (0.7, 1.4, 2.8, 5.6)
"""Scales of the fixed filters, in the finest axis's voxels."""

_CAMVID = {"in_channels": 3, "out_channels": 11}
"""Channels for colour images and the 11 classes of CamVid."""

_VOC = {"in_channels": 3, "out_channels": 21}
"""Channels for colour images, the 20 classes of PASCAL VOC and background."""

PRESETS: dict[str, dict[str, Any]] = {
    # Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28: 572 -> 388.
    "ronneberger2015": {
        "ndim": 2,
        "encoder": ((64, 64), (128, 128), (256, 256), (512, 512)),
        "bottom": (1024, 1024),
        "decoder": ((512, 512), (256, 256), (128, 128), (64, 64)),
        "up_channels": "halve",
        "norm": "none",
    },
    # Cicek et al. 2016, doi:10.1007/978-3-319-46723-8_49: 132x132x116 -> 44x44x28.
    "cicek2016": {
        "ndim": 3,
        "in_channels": 3,
        "out_channels": 3,
        "encoder": ((32, 64), (64, 128), (128, 256)),
        "bottom": (256, 512),
        "decoder": ((256, 256), (128, 128), (64, 64)),
        "norm": "batch",
    },
    # A 3D U-Net for single neurons: 220 -> 132, every 8 from 92.
    "neurons3d": {
        "ndim": 3,
        "encoder": ((8, 16), (16, 32), (32, 64)),
        "bottom": (64, 128),
        "decoder": ((64, 64), (32, 32), (16, 16)),
        "norm": "none",
    },
    # NDNet's "unet_v3" of depth 3; the size that enters the bottom must be even.
    "ndnet_unetv3": {
        "ndim": 3,
        "out_channels": 1,
        "encoder": ((32, 64, 64), (128, 128)),
        "bottom": (128, 128),
        "decoder": ((64, 64), (32, 32)),
        "up": "nearest",
        "head_kernel": (3, 3, 3),
        "norm": "none",
        "bottom_multiple": 2,
    },
    # A sinogram-restoration U-Net: five slices in, the middle one out.
    "sinogram2019": {
        "ndim": 2,
        "in_channels": 5,
        "out_channels": 1,
        "encoder": ((64,) * 3, (128,) * 3),
        "bottom": (256,) * 8,
        "decoder": ((128,) * 3, (64,) * 4),
        "down": "strided",
        "up_kernel": (4, 4),
        "up_channels": "halve",
        "head_kernel": (3, 3),
        "padding": "same",
        "activation": "leaky_relu",
        "slope": 0.2,
        "biases": False,
        "readout": "softplus",
        "bottom_multiple": 2,
    },
    # A semantic U-Net from integer masks.
    "semantic2d": {
        "ndim": 2,
        "in_channels": 3,
        "out_channels": 23,
        "encoder": ((32, 32), (64, 64), (128, 128), (256, 256)),
        "bottom": (512, 512),
        "decoder": ((256, 256), (128, 128), (64, 64), (32, 32, 32)),
        "up_kernel": (3, 3),
        "up_channels": "halve",
        "padding": "same",
        "norm": "none",
        # On the way down in the two deepest blocks, on the way up nowhere.
        "dropout": (0.0, 0.0, 0.0, 0.3, 0.3, 0.0, 0.0, 0.0, 0.0),
    },
    # Jegou et al. 2017, arXiv:1611.09326, table 1.
    "fcdensenet56": {"kind": "fcdensenet", **_CAMVID},
    "fcdensenet67": {
        "kind": "fcdensenet",
        **_CAMVID,
        "growth": 16,
        "blocks": (5, 5, 5, 5, 5),
        "bottom": 5,
    },
    "fcdensenet103": {
        "kind": "fcdensenet",
        **_CAMVID,
        "growth": 16,
        "blocks": (4, 5, 7, 10, 12),
        "bottom": 15,
    },
    # Long et al. 2015, doi:10.1109/CVPR.2015.7298965.
    "fcn32s": {"kind": "fcn", "finest": 32, **_VOC},
    "fcn16s": {"kind": "fcn", "finest": 16, **_VOC},
    "fcn8s": {"kind": "fcn", "finest": 8, **_VOC},
}
"""Fields of the published architectures, by name; `kind` says which, "unet" where it is missing."""


def preset_fields(name: str) -> dict[str, Any]:
    """Return the fields of a published architecture; without a `kind` it is a U-Net's.

    Raises
    ------
    InputError
        Where there is no preset of that name.
    """
    if name not in PRESETS:
        raise InputError(
            "There is no such preset", got=repr(name), expected=" or ".join(sorted(PRESETS))
        )
    return PRESETS[name]


def sized_fields(size: str, ndim: int, spacing: tuple[float, ...], fast: bool) -> dict[str, Any]:
    """Return the fields of one of our U-Nets, see `UNetConfig.sized`.

    Parameters
    ----------
    size : {"small", "medium", "large"}
        Key in `SIZES`.
    ndim : int
        Spatial dimensions.
    spacing : tuple of float
        Distance between voxels per axis; only ratios matter.
    fast : bool
        Whether there is a stem.
    """
    base, depth = SIZES[ndim][size]
    stem = _fine_axes(spacing, 2) if fast else (1,) * ndim
    spacing_now = tuple(d * f for d, f in zip(spacing, stem, strict=True))
    kernels: list[tuple[int, ...]] = []
    poolings: list[tuple[int, ...]] = []
    # Thick slices: pool within the plane, which is cheap, until voxels are about cubes.
    while len(poolings) < depth or (
        1 in _fine_axes(spacing_now, 2) and len(poolings) < MOST_POOLINGS
    ):
        kernels.append(_fine_axes(spacing_now, 3))
        poolings.append(_fine_axes(spacing_now, 2))
        spacing_now = tuple(d * f for d, f in zip(spacing_now, poolings[-1], strict=True))
    kernels.append((3,) * ndim)  # at the bottom even planes that are far apart are convolved
    channels = [(base * 2**i,) * 2 for i in range(len(poolings) + 1)]
    return {
        "encoder": tuple(channels[:-1]),
        "bottom": channels[-1],
        "decoder": tuple(reversed(channels[:-1])),
        "kernels": tuple(kernels),
        "poolings": tuple(poolings),
        "stem": stem,
        # Transposed convolutions make checkerboards early in a training: Odena et al. 2016,
        # doi:10.23915/distill.00003.
        "up": "nearest",
    }


def filter_scales(spacing: tuple[float, ...]) -> list[tuple[float, ...]]:
    """Return the sigmas of the fixed filters per scale and axis, in voxels.

    They are isotropic in space for voxels `spacing` apart. Along axes that are too coarse for a
    scale its sigma is 0: it filters within the plane.
    """
    finest = min(spacing)
    scales = [tuple(round(s * finest / d, 3) for d in spacing) for s in SIGMAS]
    return [tuple(s if s >= SIGMAS[0] else 0.0 for s in scale) for scale in scales]


def _fine_axes(spacing: Sequence[float], value: int) -> tuple[int, ...]:
    """Return `value` for axes less than twice as coarse as the finest, 1 for the others."""
    finest = min(spacing)
    return tuple(value if d < 2 * finest else 1 for d in spacing)
