"""The trained model: all that a prediction needs, in one object and one safe file.

The file is a `.safetensors`: the weights, and a readable JSON header. It is data; nothing in it is
executed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.data.image import Border
from napari_unet.data.normalisation import Normalisation
from napari_unet.data.writers import write_atomically
from napari_unet.errors import InputError, ModelFileError
from napari_unet.header import VERSION
from napari_unet.network.architecture import Architecture
from napari_unet.network.registry import read_config

if TYPE_CHECKING:
    from torch import nn

Weights = Mapping[str, NDArray[Any]]
"""Arrays by the names of a network's ``state_dict``; they are no tensors, so that a model needs no
torch."""

HEADER = "napari_unet"
"""Key of the model's header in the metadata of its file."""

NOTES = "napari_unet_notes"
"""Key of further notes in the metadata, such as those of a checkpoint."""

SUFFIX = ".safetensors"
"""Ending of model files."""

EXTRA_PREFIX = "beside/"
"""Beginning of the names of arrays in a file that do not belong to the model itself."""


@dataclass(frozen=True)
class ClassInfo:
    """One class of a segmentation.

    Parameters
    ----------
    value : int
        Its value in label images.
    name : str
        Its name, which may be empty.
    color : tuple of float, optional
        RGBA, from 0 to 1.
    """

    value: int
    name: str = ""
    color: tuple[float, float, float, float] | None = None

    def __str__(self) -> str:
        return self.name or f"class {self.value}"


ResidualMode = Literal["", "image", "mean"]
"""See `InputSpec.residual`."""

STORED_AS = {
    "context_planes": "planes",
    "periodic_axes": "wrap",
    "blend": "own",
    "residual": "adds",
}
"""Keys in the header of model files, where they differ from the attributes of `InputSpec`."""


@dataclass(frozen=True)
class InputSpec:
    """How a network reads an image, and what is added to its output; see `ImageView`.

    Parameters
    ----------
    context_planes : int
        Odd number of neighbouring planes along the last looped axis that are read as channels
        (2.5D).
    periodic_axes : tuple of bool
        Per spatial axis, whether its end is followed by its beginning; empty: no axis is
        periodic.
    mask : bool
        Whether the network also reads a mask of missing pixels. It then has one more channel for
        each channel of the image: 1 where the pixel is known, 0 where it is missing.
    blend : float
        Weight of the centre pixel in the result, from 0 to 1:
        ``blend * pixel + (1 - blend) * output``. Used by blind-spot networks, which do not see
        the centre pixel.
    border : {"mirror", "edge", "zero", "wrap"}
        How an image is continued beyond its border along axes that are not periodic.
    noise : tuple of float
        Variance of the noise per channel of the result, in normalised units squared. The result
        is then combined with the pixels by a Wiener filter. Empty: no filter.
    residual : {"", "image", "mean"}
        What is added to the network's output: nothing, the centre plane of the input, or the mean
        of its planes. With a mask, missing pixels of the input are first filled in smoothly.
    """

    context_planes: int = 1
    periodic_axes: tuple[bool, ...] = ()
    mask: bool = False
    blend: float = 0.0
    border: Border = "mirror"
    noise: tuple[float, ...] = ()
    residual: ResidualMode = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of a model file's header, see `InputSpecEntry`."""
        return {STORED_AS.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> InputSpec:
        """Read the entry of a header; older ones have neither "noise" nor "adds"."""
        names = {stored: name for name, stored in STORED_AS.items()}
        lists = {"wrap": tuple(entry["wrap"]), "noise": tuple(entry.get("noise", ()))}
        values = {**entry, **lists}
        return cls(**{names.get(stored, stored): value for stored, value in values.items()})


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network with its weights and everything that a prediction needs.

    Parameters
    ----------
    config : Architecture
        The architecture.
    weights : mapping of str to ndarray
        The network's state.
    normalisation : Normalisation
        Maps pixels to the input of the network.
    task : str
        What it was trained for: "segment", "denoise", "restore" or "inpaint".
    classes : tuple of ClassInfo
        In the order of the output's channels; empty where the output is an image.
    spacing : tuple of float
        Distance between voxels per spatial axis in the training data.
    training : dict
        Steps, seconds, seed, metrics, digests and versions of its training, as plain JSON.
    target : Normalisation, optional
        Its inverse maps the output of the network to intensities; None for classes.
    input_spec : InputSpec
        How the network reads an image.
    channel_names : tuple of str
        Names of the image's channels, in order; empty where they are not known.
    """

    config: Architecture
    weights: Weights
    normalisation: Normalisation
    task: str = "segment"
    classes: tuple[ClassInfo, ...] = ()
    spacing: tuple[float, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    target: Normalisation | None = None
    input_spec: InputSpec = InputSpec()
    channel_names: tuple[str, ...] = ()

    @property
    def image_channels(self) -> int:
        """Channels of the image; those of neighbouring planes and masks are not counted."""
        return self.config.in_channels // (
            self.input_spec.context_planes * (1 + self.input_spec.mask)
        )

    def network(self) -> nn.Module:
        """Build the network with its weights, in evaluation mode, on the CPU, see `load_network`.

        Raises
        ------
        ModelFileError
            Where the weights are those of another architecture.
        """
        from napari_unet.network.build import load_network  # it imports torch

        return load_network(self.config, self.weights)

    @cached_property
    def digest(self) -> str:
        """Model ID: hexadecimal SHA-256 of the architecture and the weights."""
        sha = hashlib.sha256(self.config.model_dump_json(exclude_defaults=True).encode())
        for name in sorted(self.weights):
            sha.update(name.encode())
            sha.update(self.weights[name].tobytes())
        return sha.hexdigest()

    def with_facts(self, **facts: Any) -> TrainedModel:
        """Return a copy with other fields, but the same `config` and `weights`.

        The model ID, which depends on these two alone, is not computed again.
        """
        again = replace(self, **facts)
        if "digest" in self.__dict__:
            again.__dict__["digest"] = self.digest
        return again

    def header(self) -> dict[str, Any]:
        """Return everything but the weights as plain JSON, see `napari_unet.header.Header`."""
        return {
            "version": VERSION,
            "task": self.task,
            "config": self.config.model_dump(mode="json"),
            "classes": [asdict(c) for c in self.classes],
            "normalisation": self.normalisation.to_dict(),
            "spacing": list(self.spacing),
            "training": self.training,
            "target": None if self.target is None else self.target.to_dict(),
            "reading": self.input_spec.to_dict(),
            "channels": list(self.channel_names),
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model to one `.safetensors` file.

        An existing file is replaced in one step: at any time the path holds a complete model,
        the old one or the new one.

        Parameters
        ----------
        path : path-like
            Path of the file; the ending `.safetensors` is added where it is missing.

        Returns
        -------
        Path
            Path of the file, with its ending.

        Raises
        ------
        ModelFileError
            Where the file cannot be written.
        """
        return write_model_file(path, self)


def weights_of(network: nn.Module) -> Weights:
    """Return a copy of a network's state as arrays."""
    return {name: tensor.cpu().numpy().copy() for name, tensor in network.state_dict().items()}


def load_model(path: str | os.PathLike[str]) -> TrainedModel:
    """Read a model from its `.safetensors` file.

    Parameters
    ----------
    path : path-like
        A file that `TrainedModel.save` wrote.

    Raises
    ------
    ModelFileError
        Where there is no such file, or it is no model of napari-unet, or damaged, or its format
        is newer than `VERSION`.
    """
    return read_model_file(path)[0]


def write_model_file(
    path: str | os.PathLike[str],
    model: TrainedModel,
    extra: Weights | None = None,
    notes: dict[str, Any] | None = None,
) -> Path:
    """Write a model with further arrays and notes, such as those of a checkpoint.

    Parameters
    ----------
    path : path-like
        Path of the file; the ending is added where it is missing.
    model : TrainedModel
        The model.
    extra : mapping of str to ndarray, optional
        Further arrays, which `load_model` ignores.
    notes : dict, optional
        Further notes, as plain JSON.

    Raises
    ------
    ModelFileError
        Where the file cannot be written.
    """
    from safetensors.numpy import save

    path = Path(path)
    path = path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
    named = dict(model.weights) | {
        EXTRA_PREFIX + name: array for name, array in (extra or {}).items()
    }
    # safetensors writes the memory of an array in order, whatever its strides are.
    arrays = {name: np.asarray(array, order="C") for name, array in named.items()}
    metadata = {HEADER: json.dumps(model.header())}
    if notes is not None:
        metadata[NOTES] = json.dumps(notes)
    try:
        write_atomically(path, save(arrays, metadata))
    except OSError as error:
        raise ModelFileError(
            f"The model could not be saved to {path}",
            got=error.strerror or str(error),
            todo="Choose a folder that you can write to",
        ) from error
    return path


def read_model_file(
    path: str | os.PathLike[str],
) -> tuple[TrainedModel, Weights, dict[str, Any] | None]:
    """Read a file that `write_model_file` wrote.

    Returns
    -------
    model : TrainedModel
        The model.
    extra : mapping of str to ndarray
        Further arrays.
    notes : dict or None
        Further notes, if there are any.

    Raises
    ------
    ModelFileError
        As `load_model`.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise ModelFileError("There is no such model file", got=str(path))
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelFileError(
            f"{path.name} is not a model of napari-unet, or it is damaged",
            got=str(error),
            expected=f"a {SUFFIX} file that napari-unet saved",
            todo="Packages are imported: napari-unet import" if path.suffix == ".zip" else "",
        ) from error
    if HEADER not in metadata:
        raise ModelFileError(
            f"{path.name} contains weights but is not a model of napari-unet",
            expected=f"a {SUFFIX} file that napari-unet saved",
        )
    extra = {
        name.removeprefix(EXTRA_PREFIX): arrays.pop(name)
        for name in list(arrays)
        if name.startswith(EXTRA_PREFIX)
    }
    model = _from_header(path.name, metadata[HEADER], arrays)
    try:
        notes = json.loads(metadata[NOTES]) if NOTES in metadata else None
    except ValueError as error:
        raise ModelFileError(f"The metadata of {path.name} is damaged", got=str(error)) from error
    return model, extra, notes


def _from_header(name: str, text: str, weights: Weights) -> TrainedModel:
    try:
        header = json.loads(text)
        if header["version"] > VERSION:
            raise ModelFileError(
                f"{name} was written by a newer napari-unet",
                got=f"format {header['version']}",
                expected=f"format {VERSION} or older",
                todo="Update napari-unet-live",
            )
        return TrainedModel(
            config=read_config(header["config"]),
            weights=weights,
            normalisation=Normalisation.from_dict(header["normalisation"]),
            task=header["task"],
            classes=tuple(_class_info(c) for c in header["classes"]),
            spacing=tuple(header["spacing"]),
            training=header["training"],
            channel_names=tuple(header.get("channels", ())),
            **_image_part(header),
        )
    except (KeyError, TypeError, ValueError, InputError) as error:
        missing = f"no entry {error}" if isinstance(error, KeyError) else ""
        reason = missing or " ".join(str(error).split())  # the messages of pydantic have many lines
        raise ModelFileError(f"The header of {name} is damaged", got=reason) from error


def _image_part(header: dict[str, Any]) -> dict[str, Any]:
    """Read the entries that format 1, which had only classes, does not have."""
    if header["version"] < 2:
        return {}
    target = header["target"]
    return {
        "target": None if target is None else Normalisation.from_dict(target),
        "input_spec": InputSpec.from_dict(header["reading"]),
    }


def _class_info(entry: dict[str, Any]) -> ClassInfo:
    color = entry["color"]
    return ClassInfo(entry["value"], entry["name"], None if color is None else tuple(color))
