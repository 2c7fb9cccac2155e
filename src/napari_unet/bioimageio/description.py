"""The description of a package: input, output and preprocessing.

Format 0.5 of bioimage.io's model descriptions, https://bioimage-io.github.io/spec-bioimage-io.
"""

from __future__ import annotations

import json
import re
from typing import Any

from napari_unet._version import __version__
from napari_unet.errors import InputError
from napari_unet.geometry.unet_shape import AxisGeometry
from napari_unet.model import TrainedModel

FORMAT = "0.5.12"
"""Version of the format of bioimage.io."""

SPACE = ("z", "y", "x")
"""Names of the spatial axes, in their order."""

CONFIG = "napari_unet"
"""Key of our entry in the `config` of a package."""

MODEL = "model.safetensors"
"""Name of the model file that is attached to a package."""

PADS: dict[str, dict[str, Any]] = {
    "mirror": {"mode": "reflect"},
    "edge": {"mode": "edge"},
    "zero": {"mode": "constant", "value": 0},
}
"""Padding at the image's border, by `InputSpec.border`; the format has no periodic padding."""

PAPERS = {
    2: ("Ronneberger, Fischer and Brox 2015: U-Net", "10.1007/978-3-319-24574-4_28"),
    3: ("Cicek et al. 2016: 3D U-Net", "10.1007/978-3-319-46723-8_49"),
}
"""Text and DOI of the papers to cite, by the number of dimensions from which on they apply."""


def document(model: TrainedModel, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a package, without its files.

    Parameters
    ----------
    model : TrainedModel
        The model.
    facts : dict
        Entries of the package such as name, description, authors and licence.
    """
    papers = [PAPERS[n] for n in range(2, model.config.ndim + 1)]
    header = json.loads(json.dumps(model.header()))
    return {
        "type": "model",
        "format_version": FORMAT,
        **facts,
        "cite": [{"text": text, "doi": doi} for text, doi in papers],
        "tags": ["unet", f"{model.config.ndim}d", *_tags(model)],
        "config": {CONFIG: {"version": __version__, "header": header}},
        "inputs": [_input(model)],
        "outputs": [_output(model)],
    }


def checked_name(name: str) -> str:
    """Return a name without the characters that a package's name must not have.

    Raises
    ------
    InputError
        Where fewer than five characters are left.
    """
    clean = " ".join(re.sub(r"[^A-Za-z0-9_+\-() ]+", " ", name).split())[:128]
    if len(clean) < 5:
        raise InputError(
            "The package needs a name",
            got=repr(name),
            expected="at least five letters, digits, spaces or _+-()",
        )
    return clean


def class_names(model: TrainedModel) -> list[str]:
    """Return a unique name for each channel of the output."""
    if model.target is not None:
        return [f"channel {i}" for i in range(model.config.out_channels)]
    names = [str(c) for c in model.classes]
    unique = len(set(names)) == len(names)
    return names if unique else [f"{c} ({c.value})" for c in model.classes]


def channel_names(model: TrainedModel) -> list[str]:
    """Return a name for each channel of the input, plane by plane where it reads several."""
    planes = model.input_spec.context_planes
    names = [f"channel {i}" for i in range(model.image_channels)]
    if planes == 1:
        return names
    steps = range(-(planes // 2), planes // 2 + 1)
    return [f"plane {step:+d} {name}" for step in steps for name in names]


def _tags(model: TrainedModel) -> list[str]:
    if model.target is None:
        return ["semantic-segmentation"]
    return ["denoising" if model.task == "denoise" else "restoration"]


def _input(model: TrainedModel) -> dict[str, Any]:
    space = [
        {"type": "space", **axis, "size": {"min": _smallest(g), "step": g.stride}}
        for axis, g in _space(model)
    ]
    return {
        "id": "input",
        "description": "grey values, not normalised",
        "axes": [{"type": "batch"}, _channels(channel_names(model)), *space],
        "data": {"type": "float32"},
        "pad": PADS.get(model.input_spec.border, PADS["mirror"]),
        "preprocessing": _preprocessing(model),
    }


def _output(model: TrainedModel) -> dict[str, Any]:
    classes = model.target is None
    space = [{"type": "space", **axis, **_output_size(axis["id"], g)} for axis, g in _space(model)]
    return {
        "id": "output",
        "description": "probability of each class" if classes else "grey values",
        "axes": [{"type": "batch"}, _channels(class_names(model)), *space],
        "data": {"type": "float32", **({"range": [0.0, 1.0]} if classes else {})},
    }


def _channels(names: list[str]) -> dict[str, Any]:
    return {"type": "channel", "channel_names": names}


def _space(model: TrainedModel) -> list[tuple[dict[str, Any], AxisGeometry]]:
    """Return name, spacing and geometry of each spatial axis."""
    config = model.config
    spacing = model.spacing or (1.0,) * config.ndim
    axes = [
        {"id": name, "scale": float(distance)}
        for name, distance in zip(SPACE[-config.ndim :], spacing, strict=True)
    ]
    return list(zip(axes, config.geometry, strict=True))


def _output_size(axis: str, geometry: AxisGeometry) -> dict[str, Any]:
    """Declare that the output is as large as the input, and its halo."""
    size = {"size": {"tensor_id": "input", "axis_id": axis, "offset": 0}}
    return {**size, "halo": halo_of(geometry)} if geometry.context else size


def halo_of(geometry: AxisGeometry) -> int:
    """Return the halo, the voxels of an output to crop on each side: half of the context, or more.

    The rest of a block should be a multiple of the stride, so that poolings fall on the same voxels
    in every block; that is not possible for every network.
    """
    least = -(-geometry.context // 2)
    wider = range(least, least + geometry.stride)
    return next((h for h in wider if (geometry.grow - 2 * h) % geometry.stride == 0), least)


def _smallest(geometry: AxisGeometry) -> int:
    """Return the smallest input whose output is larger than its halo."""
    return geometry.input_for(2 * halo_of(geometry) - geometry.context + 1)


def _preprocessing(model: TrainedModel) -> list[dict[str, Any]]:
    """Declare the normalisation, which is fixed; one that stabilises noise is in the program.

    Runners add 1e-6 to the standard deviation. That is negligible beside 1, but not for images that
    range from 0 to 1: for these the same normalisation is declared as a linear scaling.
    """
    n = model.normalisation
    if n.noise or n.kind == "none":
        return []
    if min(n.scale) >= 1:
        step = {"mean": list(n.offset), "std": list(n.scale)}
        name = "fixed_zero_mean_unit_variance"
    else:
        gains = [1 / s for s in n.scale]
        step = {
            "gain": gains,
            "offset": [-o * g for o, g in zip(n.offset, gains, strict=True)],
        }
        name = "scale_linear"
    if len(n.scale) == 1:
        return [{"id": name, "kwargs": {key: values[0] for key, values in step.items()}}]
    return [{"id": name, "kwargs": {"axis": "channel", **step}}]
