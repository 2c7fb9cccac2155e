"""What makes no sense in a U-Net's configuration, each in one sentence.

All of it raises `ValueError`, which pydantic makes part of its own error.
"""

from __future__ import annotations

from napari_unet.network.config import LEAST_SIGMA, UNetConfig, filter_radius


def check_unet(config: UNetConfig) -> None:
    """Refuse a configuration whose fields do not go together.

    Raises
    ------
    ValueError
        With the first reason.
    """
    _check_lengths(config)
    _check_values(config)
    _check_channels(config)
    _check_padded(config)
    _check_up_kernel(config)
    _check_filters(config)


def _check_lengths(c: UNetConfig) -> None:
    for name, length in {"decoder": c.depth, "poolings": c.depth, "kernels": c.depth + 1}.items():
        if len(getattr(c, name)) != length:
            raise ValueError(
                f"{name} must have {length} entries for {c.depth} levels, "
                f"got {len(getattr(c, name))}"
            )
    if len(c.dropout) not in (c.depth + 1, 2 * c.depth + 1):
        raise ValueError(
            f"dropout must have {c.depth + 1} entries for {c.depth} levels, or {2 * c.depth + 1} "
            f"with those of the decoder, got {len(c.dropout)}"
        )
    for name in ("poolings", "kernels"):
        if any(len(sizes) != c.ndim for sizes in getattr(c, name)):
            raise ValueError(f"{name} must have {c.ndim} sizes per level, one per axis")
    for name in ("head_kernel", "stem", *["up_kernel"] * bool(c.up_kernel)):
        if len(getattr(c, name)) != c.ndim:
            raise ValueError(f"{name} must have {c.ndim} sizes, one per axis")


def _check_values(c: UNetConfig) -> None:
    if any(k < 1 or k % 2 == 0 for ks in (*c.kernels, c.head_kernel) for k in ks):
        raise ValueError("kernel sizes must be odd, so that both sides lose the same")
    if any(f < 1 for fs in (*c.poolings, c.stem) for f in fs):
        raise ValueError("pooling factors and the stem's blocks must be at least 1")
    if any(not 0 <= rate < 1 for rate in c.dropout):
        raise ValueError("dropout rates must be at least 0 and below 1")


def _check_channels(c: UNetConfig) -> None:
    blocks = (*c.encoder, c.bottom, *c.decoder)
    if any(n < 1 for block in blocks for n in block):
        raise ValueError("channels must be at least 1")
    if any(not block for block in blocks):
        raise ValueError("each block needs at least one convolution")
    halved = (c.bottom, *c.decoder[:-1]) if c.up_channels == "halve" else ()
    if c.up == "transposed" and c.depth and any(block[-1] < 2 for block in halved):
        raise ValueError("up_channels 'halve' needs at least 2 channels to halve")
    if c.input_skip and c.in_channels != c.out_channels:
        raise ValueError("input_skip needs as many channels out as in")


def _check_padded(c: UNetConfig) -> None:
    if c.down == "strided" and not c.padded:
        raise ValueError("down 'strided' needs padding 'same'")
    if c.up_kernel and not c.padded:
        raise ValueError("up_kernel needs padding 'same'")


def _check_up_kernel(c: UNetConfig) -> None:
    if c.up_kernel and c.up != "transposed":
        raise ValueError("up_kernel is for up 'transposed' alone")
    for factors in c.poolings if c.up_kernel else ():
        for k, f in zip(c.up_kernel, factors, strict=True):
            if k < f or (f == 1 and k % 2 == 0):
                raise ValueError(
                    "up_kernel must be at least the pooling factor, and odd where that is 1: "
                    f"got {k} for a factor of {f}"
                )


def _check_filters(c: UNetConfig) -> None:
    if c.filters and not c.biases:
        raise ValueError("filters have biases: leave them out, or set biases")
    for sigma in c.filters:
        if len(sigma) != c.ndim:
            raise ValueError(f"filters must have {c.ndim} sigmas per scale, one per axis")
        if not any(sigma) or any(s and not s >= LEAST_SIGMA for s in sigma):
            raise ValueError(
                f"filters must have sigmas of at least {LEAST_SIGMA} voxels, or 0 along axes "
                "that are left out, but not 0 along all of them"
            )
        if not c.can_filter(sigma):
            raise ValueError(
                f"filters of sigma {sigma} reach {tuple(map(filter_radius, sigma))} voxels, "
                f"but the network sees {tuple(g.context // 2 for g in c.geometry)} beyond "
                "its output: choose smaller sigmas, or more poolings or convolutions"
            )
