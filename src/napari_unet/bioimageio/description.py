"""The document of a package: what goes in, what comes out, and what is done with it.

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

SPACE = ("z", "y", "x")

CONFIG = "napari_unet"
"""Our entry in a package's `config`."""

MODEL = "model.safetensors"
"""The very model, attached to the package."""

PADS: dict[str, dict[str, Any]] = {
    "mirror": {"mode": "reflect"},
    "edge": {"mode": "edge"},
    "zero": {"mode": "constant", "value": 0},
}
"""How runners go on beyond an image's border; they know no images that go round."""

PAPERS = {
    2: ("Ronneberger, Fischer and Brox 2015: U-Net", "10.1007/978-3-319-24574-4_28"),
    3: ("Cicek et al. 2016: 3D U-Net", "10.1007/978-3-319-46723-8_49"),
}


def document(model: TrainedModel, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a package, without its files.

    Parameters
    ----------
    model : TrainedModel
        The model.
    facts : dict
        Entries such as name, description, authors and licence, which come first.
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
    """Return a name in the letters that names of packages may have.

    Raises
    ------
    InputError
        Where fewer than five are left.
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
    """Return one name per channel of the output, all different."""
    if model.target is not None:
        return [f"channel {i}" for i in range(model.config.out_channels)]
    names = [str(c) for c in model.classes]
    unlike = len(set(names)) == len(names)
    return names if unlike else [f"{c} ({c.value})" for c in model.classes]


def channel_names(model: TrainedModel) -> list[str]:
    """Return one name per channel of the input; of planes seen together, each one's."""
    planes, each = model.input_spec.context_planes, model.image_channels
    names = [f"channel {i}" for i in range(each)]
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
        {"type": "space", **place, "size": {"min": _smallest(g), "step": g.stride}}
        for place, g in _space(model)
    ]
    return {
        "id": "input",
        "description": "grey values as they are",
        "axes": [{"type": "batch"}, _channels(channel_names(model)), *space],
        "data": {"type": "float32"},
        "pad": PADS.get(model.input_spec.border, PADS["mirror"]),
        "preprocessing": _preprocessing(model),
    }


def _output(model: TrainedModel) -> dict[str, Any]:
    classes = model.target is None
    space = [
        {"type": "space", **place, **_output_size(place["id"], g)} for place, g in _space(model)
    ]
    return {
        "id": "output",
        "description": "probability of each class" if classes else "grey values",
        "axes": [{"type": "batch"}, _channels(class_names(model)), *space],
        "data": {"type": "float32", **({"range": [0.0, 1.0]} if classes else {})},
    }


def _channels(names: list[str]) -> dict[str, Any]:
    return {"type": "channel", "channel_names": names}


def _space(model: TrainedModel) -> list[tuple[dict[str, Any], AxisGeometry]]:
    config = model.config
    spacing = model.spacing or (1.0,) * config.ndim
    places = [
        {"id": name, "scale": float(distance)}
        for name, distance in zip(SPACE[-config.ndim :], spacing, strict=True)
    ]
    return list(zip(places, config.geometry, strict=True))


def _output_size(axis: str, geometry: AxisGeometry) -> dict[str, Any]:
    """Say that the output is as large as the input, and how much of it to crop."""
    size = {"size": {"tensor_id": "input", "axis_id": axis, "offset": 0}}
    return {**size, "halo": halo_of(geometry)} if geometry.context else size


def halo_of(geometry: AxisGeometry) -> int:
    """Return by how much an output is cropped on each side: half of the context, or more.

    What is left of a block should be a multiple of the stride, so that poolings fall on the same
    voxels in every block; that is not possible for every network.
    """
    least = -(-geometry.context // 2)
    wider = range(least, least + geometry.stride)
    return next((h for h in wider if (geometry.grow - 2 * h) % geometry.stride == 0), least)


def _smallest(geometry: AxisGeometry) -> int:
    """Return the smallest input of which something is left when the halo is cropped."""
    return geometry.input_for(2 * halo_of(geometry) - geometry.context + 1)


def _preprocessing(model: TrainedModel) -> list[dict[str, Any]]:
    """Declare the normalisation, which is fixed; one that stabilises noise is in the program.

    Runners add 1e-6 to the standard deviation: little beside 1, much beside the steps of images
    that range from 0 to 1. Such images are scaled.
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
