"""Architectures with a name: published ones, and our sizes."""

from __future__ import annotations

from typing import Any

SIZES: dict[int, dict[str, tuple[int, int]]] = {
    2: {"small": (16, 2), "medium": (32, 2), "large": (32, 3)},
    # Context costs its third power here.
    3: {"small": (16, 1), "medium": (24, 1), "large": (32, 2)},
}
"""Channels at the highest resolution, and least number of poolings, per number of dimensions."""

MOST_POOLINGS = 3

SIGMAS = (0.7, 1.4, 2.8, 5.6)
"""Scales of the fixed filters, in the finest axis's voxels."""

_CAMVID = {"in_channels": 3, "out_channels": 11}
_VOC = {"in_channels": 3, "out_channels": 21}

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
    # Jegou et al. 2017, arXiv:1611.09326, table 1; the 11 classes of CamVid.
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
    # Long et al. 2015, doi:10.1109/CVPR.2015.7298965; PASCAL VOC's 20 classes and background.
    "fcn32s": {"kind": "fcn", "finest": 32, **_VOC},
    "fcn16s": {"kind": "fcn", "finest": 16, **_VOC},
    "fcn8s": {"kind": "fcn", "finest": 8, **_VOC},
}


def sized(size: str, ndim: int, spacing: tuple[float, ...], fast: bool) -> dict[str, Any]:
    """Return the fields of a network of ours for voxels `spacing` apart."""
    base, depth = SIZES[ndim][size]
    spacing_now = list(spacing)
    stem = _fine_axes(spacing_now, 2) if fast else (1,) * ndim
    spacing_now = [d * f for d, f in zip(spacing_now, stem, strict=True)]
    kernels: list[tuple[int, ...]] = []
    poolings: list[tuple[int, ...]] = []
    # Thick slices: pool in the plane, where it is cheap, until voxels are about cubes.
    while len(poolings) < depth or (
        1 in _fine_axes(spacing_now, 2) and len(poolings) < MOST_POOLINGS
    ):
        kernels.append(_fine_axes(spacing_now, 3))
        poolings.append(_fine_axes(spacing_now, 2))
        spacing_now = [d * f for d, f in zip(spacing_now, poolings[-1], strict=True)]
    kernels.append((3,) * ndim)  # here at the latest, planes far apart see each other
    channels = [(base * 2**i,) * 2 for i in range(len(poolings) + 1)]
    return {
        "encoder": tuple(channels[:-1]),
        "bottom": channels[-1],
        "decoder": tuple(reversed(channels[:-1])),
        "kernels": tuple(kernels),
        "poolings": tuple(poolings),
        "stem": stem,
        # A transposed convolution shows as a checkerboard until it has learned not to: Odena et
        # al. 2016, doi:10.23915/distill.00003.
        "up": "nearest",
    }


def filter_scales(spacing: tuple[float, ...]) -> list[tuple[float, ...]]:
    """Return the filters' sigmas in voxels, alike in space, for voxels `spacing` apart.

    Where planes are so far apart that the filters would hardly see from one to the next, they
    keep to the plane.
    """
    finest = min(spacing)
    scales = [tuple(round(s * finest / d, 3) for d in spacing) for s in SIGMAS]
    return [tuple(s if s >= SIGMAS[0] else 0.0 for s in scale) for scale in scales]


def _fine_axes(spacing: list[float], value: int) -> tuple[int, ...]:
    """Return `value` for axes less than twice as coarse as the finest, 1 for the others."""
    finest = min(spacing)
    return tuple(value if d < 2 * finest else 1 for d in spacing)
