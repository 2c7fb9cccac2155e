"""Export of models as packages of bioimage.io, for Fiji, ilastik, QuPath and other programs."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet._version import __version__
from napari_unet.bioimageio.archive import need_libraries
from napari_unet.bioimageio.description import MODEL, checked_name, class_names, document
from napari_unet.bioimageio.onnx_export import OPSET, checked_programs, run_onnx
from napari_unet.bioimageio.portable import PortableModel
from napari_unet.data.image import ImageView
from napari_unet.data.writers import write_atomically
from napari_unet.errors import InputError, ModelFileError
from napari_unet.geometry.region import Region
from napari_unet.inference.request import Request, find_view
from napari_unet.model import TrainedModel
from napari_unet.network.onnx_config import OnnxConfig
from napari_unet.noise.variance_stabilising import Stabiliser

EXAMPLE_OUTPUT = {2: (128, 128), 3: (12, 48, 48)}
"""Approximate shape of the example's result in voxels, by the number of spatial axes."""

MAX_SIDE = 300
"""Largest side of either image on the cover, in pixels."""

DOCUMENT = "rdf.yaml"
"""Name of the description in a package."""


def example_shape(model: TrainedModel) -> tuple[int, ...]:
    """Return the spatial shape of the example in a package, an allowed input of the network."""
    return model.config.input_for(EXAMPLE_OUTPUT[model.config.ndim])


def noise_like(model: TrainedModel, shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    """Return random grey values in the range of the training data.

    Parameters
    ----------
    model : TrainedModel
        The model; its normalisation has the range.
    shape : tuple of int
        Spatial shape, in voxels.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    ndarray of float32, shape (channels, *shape)
    """
    n = model.normalisation
    rng = np.random.default_rng(seed)
    spread = rng.normal(0.5 if n.kind == "percentile" else 0, 0.5, (len(n.scale), *shape))
    size = (-1, *(1,) * len(shape))
    values = spread * np.reshape(n.scale, size) + np.reshape(n.offset, size)
    if n.noise:
        pairs = zip(n.noise, values, strict=True)
        values = np.stack([Stabiliser(*noise).algebraic_inverse(v) for noise, v in pairs])
    return np.asarray(values, np.float32)


def cut_from(model: TrainedModel, image: object, request: Request) -> NDArray[np.float32]:
    """Return the centre of an image as the model reads it, not normalised.

    Parameters
    ----------
    model : TrainedModel
        The model that shall read it.
    image : array-like or path
        The image; along looped axes the middle is used.
    request : Request
        The roles of the image's axes.

    Returns
    -------
    ndarray of float32, shape (channels, *example_shape(model))

    Raises
    ------
    InputError
        Where image and model do not fit.
    """
    view: ImageView = find_view(model, image, request)
    shape = example_shape(model)
    start = tuple((have - want) // 2 for have, want in zip(view.spatial_shape, shape, strict=True))
    region = Region.of(start, shape)
    loop = tuple(n // 2 for n in view.loop_shape)
    return np.nan_to_num(view.read(loop, region))


def cover_of(given: NDArray[np.float32], result: NDArray[np.float32], classes: bool) -> bytes:
    """Return a PNG of an input beside its result.

    Parameters
    ----------
    given, result : ndarray, shape (channel, *spatial)
        Of volumes the middle plane is shown, of the input one or three channels, of probabilities
        one minus that of the first class.
    classes : bool
        Whether the result is probabilities of classes.
    """
    from PIL import Image

    left = _plane(given)[: 3 if len(given) >= 3 else 1]
    right = _plane(result)
    right = (1 - right[:1]) if classes else right[: 3 if len(right) >= 3 else 1]
    size = [min(a, b) for a, b in zip(left.shape[1:], right.shape[1:], strict=True)]
    cover = np.concatenate([_grey(_centre(part, size)) for part in (left, right)], axis=1)
    file = io.BytesIO()
    Image.fromarray(cover).save(file, "PNG")
    return file.getvalue()


def _plane(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x if x.ndim == 3 else x[:, x.shape[1] // 2]


def _centre(x: NDArray[np.float32], size: list[int]) -> NDArray[np.float32]:
    """Return the central square of (channel, y, x)."""
    side = min(*size, MAX_SIDE)
    top = (x.shape[1] - side) // 2
    left = (x.shape[2] - side) // 2
    return x[:, top : top + side, left : left + side]


def _grey(x: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return (y, x, 3) bytes, scaled between two percentiles of each channel."""
    low = np.percentile(x, 0.5, axis=(1, 2), keepdims=True)
    high = np.percentile(x, 99.5, axis=(1, 2), keepdims=True)
    grey = np.clip((x - low) / np.maximum(high - low, 1e-12), 0, 1) * 255
    return np.repeat(grey, 3 // len(x), axis=0).transpose(1, 2, 0).astype(np.uint8)


def default_description(model: TrainedModel) -> str:
    """Return a sentence that describes a model."""
    where = f"{model.config.ndim}D images"
    if model.target is None:
        return f"Classifies each voxel of {where} as one of: {', '.join(class_names(model))}."
    verbs = {"denoise": "Denoises", "restore": "Restores"}
    return f"{verbs.get(model.task, 'Predicts an image from')} {where}."


def documentation(model: TrainedModel, name: str, description: str) -> str:
    """Return the documentation of a model in Markdown.

    Parameters
    ----------
    model : TrainedModel
        The model.
    name, description : str
        Its name and what it does, see `PackageFacts`.
    """
    facts = model.training
    known = {
        "Architecture": model.config.title,
        "Steps of training": facts.get("steps"),
        "Seconds of training": facts.get("seconds"),
        "Distance between voxels in the training data": ", ".join(f"{s:g}" for s in model.spacing),
    }
    items = [f"- {what}: {value}" for what, value in known.items() if value not in (None, "")]
    return "\n".join(
        [
            f"# {name}",
            "",
            description,
            "",
            *items,
            "",
            "## Input and output",
            "",
            *_in_and_out(model),
            "",
            "## Validation",
            "",
            _validation(model),
            "",
            f"Made with napari-unet-live {__version__}, which can read this package back.",
            "",
        ]
    )


def _in_and_out(model: TrainedModel) -> list[str]:
    lines = [
        (
            "The input is the grey values of the image, not normalised: the package contains "
            "the normalisation."
        )
    ]
    if model.target is None:
        lines.append("The output is the probabilities of the classes, one channel per class.")
    else:
        lines.append("The output is grey values, in the units of the training data.")
    if model.normalisation.per_image:
        lines.append(
            "The normalisation is that of the images of the training. napari-unet-live measures "
            "each image, which packages cannot describe: those of another exposure differ."
        )
    spec = model.input_spec
    if spec.context_planes > 1:
        lines.append(
            f"Each plane is read together with its neighbours: the input is {spec.context_planes} "
            "planes one after the other along the channels, mirrored at the ends of the stack."
        )
    if spec.noise:
        lines.append(
            "This is the output of the network. napari-unet-live combines it with the pixels in a "
            "Wiener filter, which packages cannot describe: its own result is better."
        )
    if any(spec.periodic_axes) or spec.border == "wrap":
        lines.append("The training data is periodic: pad images periodically.")
    return lines


def _validation(model: TrainedModel) -> str:
    kept = model.training.get("validation")
    if not kept:
        return "No data was held out for validation, so check the results on your own images."
    return f"On voxels that were held out: {kept}."


@dataclass(frozen=True)
class PackageFacts:
    """The texts of a package.

    Parameters
    ----------
    name : str, optional
        At least five letters; task and dimensions when None.
    authors : sequence of str
        Names.
    description : str, optional
        One sentence; `default_description` when None.
    licence : str, optional
        An identifier of https://spdx.org/licenses, such as ``"CC-BY-4.0"``; no licence when None.
    cover : path, optional
        A PNG or JPEG; input and result of the example when None.
    """

    name: str | None = None
    authors: Sequence[str] = ()
    description: str | None = None
    licence: str | None = None
    cover: str | os.PathLike[str] | None = None


def export_bioimageio(
    model: TrainedModel,
    path: str | os.PathLike[str],
    *,
    image: object | None = None,
    request: Request | None = None,
    name: str | None = None,
    authors: Sequence[str] = (),
    description: str | None = None,
    licence: str | None = None,
    cover: str | os.PathLike[str] | None = None,
) -> Path:
    """Write a model as a package of bioimage.io, format 0.5.

    The normalisation is declared as preprocessing that every runner has. All that follows is in the
    program, which is written twice, as ONNX and as TorchScript: the network, blending with the
    centre pixel (blind spots), the residual, softmax over the classes or the conversion to grey
    values. Only variance-stabilising normalisations are in the program too, because runners lack
    them. Context planes become channels.

    Both programs are checked with an input of another size than that of the conversion, and the
    package is read back by the library of bioimage.io. Nothing is downloaded or sent, and the
    programs contain no path of this machine. The model itself is attached: `import_bioimageio`
    returns it without loss.

    Parameters
    ----------
    model : TrainedModel
        The model.
    path : path-like
        Path of the package; the ending ``.zip`` is added where it is missing.
    image : array-like or path, optional
        An image whose centre becomes the example in the package; random noise when None.
    request : Request, optional
        The roles of the image's axes.
    name, authors, description, licence, cover
        See `PackageFacts`.

    Returns
    -------
    Path
        Path of the package, with its ending.

    Raises
    ------
    InputError
        Where a library is missing, a text is not allowed, or the format cannot describe the model:
        inpainting needs a mask, and an imported model is a package already.
    ModelFileError
        Where the package cannot be written.
    """
    need_libraries()
    if isinstance(model.config, OnnxConfig):
        raise InputError(
            "This model was imported from a package",
            got=model.config.title,
            todo="Share that package instead",
        )
    facts = PackageFacts(name, authors, description, licence, cover)
    example = (
        noise_like(model, example_shape(model))
        if image is None
        else cut_from(model, image, request or Request())
    )
    files, entries = _contents(model, example, facts)
    path = Path(path)
    path = path if path.suffix == ".zip" else path.with_name(path.name + ".zip")
    return _write(path, files, entries)


def _contents(
    model: TrainedModel, example: NDArray[np.float32], facts: PackageFacts
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the files of a package by name, and its description."""
    module = PortableModel(model)
    normalised = _normalised(model, example)
    other_shape = model.config.input_for((49,) * model.config.ndim)
    other = _normalised(model, noise_like(model, other_shape, 1))
    programs = checked_programs(module, torch.from_numpy(normalised), torch.from_numpy(other))
    result = run_onnx(programs["onnx"], normalised)
    name = checked_name(facts.name or _name_of(model))
    description = facts.description or default_description(model)
    files = {
        "test_input.npy": _npy(example[None]),
        "test_output.npy": _npy(result),
        "weights.onnx": programs["onnx"],
        "weights.pt": programs["torchscript"],
        "documentation.md": documentation(model, name, description).encode(),
        "cover" + _ending(facts): _cover(model, example, result, facts),
        MODEL: _saved(model),
    }
    texts = {
        "name": name,
        "description": description,
        "authors": [{"name": author} for author in facts.authors],
        **({"license": facts.licence} if facts.licence else {}),
        "timestamp": datetime.now(UTC).replace(microsecond=0).isoformat(),
    }
    return files, _with_files(document(model, texts), files)


def _normalised(model: TrainedModel, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an image as a batch of one, preprocessed as the package declares."""
    return (x if model.normalisation.noise else model.normalisation.apply(x))[None]


def _with_files(entries: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
    """Add the names of the files and their SHA-256 to a description."""

    def at(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}

    entries["inputs"][0]["test_tensor"] = at("test_input.npy")
    entries["outputs"][0]["test_tensor"] = at("test_output.npy")
    version = torch.__version__.partition("+")[0]
    return {
        **entries,
        "documentation": at("documentation.md"),
        "covers": [at(name) for name in files if name.startswith("cover")],
        "attachments": [at(MODEL)],
        "weights": {
            "onnx": {**at("weights.onnx"), "opset_version": OPSET, "parent": "torchscript"},
            "torchscript": {**at("weights.pt"), "pytorch_version": version},
        },
    }


def _name_of(model: TrainedModel) -> str:
    what = "segmentation" if model.target is None else model.task
    return f"{what} in {model.config.ndim}D by napari-unet"


def _npy(x: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, x, allow_pickle=False)
    return file.getvalue()


def _ending(facts: PackageFacts) -> str:
    return ".png" if facts.cover is None else Path(facts.cover).suffix.lower()


def _cover(
    model: TrainedModel,
    given: NDArray[np.float32],
    result: NDArray[np.float32],
    facts: PackageFacts,
) -> bytes:
    if facts.cover is None:
        return cover_of(given, result[0], model.target is None)
    try:
        return Path(facts.cover).read_bytes()
    except OSError as error:
        raise InputError("The cover cannot be read", got=str(facts.cover)) from error


def _saved(model: TrainedModel) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return model.save(Path(folder, MODEL)).read_bytes()


def _write(path: Path, files: dict[str, bytes], entries: dict[str, Any]) -> Path:
    """Write a package once the library of bioimage.io accepts it."""
    import yaml  # type: ignore[import-untyped]

    text = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in {DOCUMENT: text.encode(), **files}.items():
            package.writestr(name, content)
    _check(whole)
    try:
        write_atomically(path, whole.getvalue())
    except OSError as error:
        raise ModelFileError(
            f"The package could not be written to {path}",
            got=error.strerror or str(error),
            todo="Choose a folder that you can write to",
        ) from error
    return path


def _check(whole: io.BytesIO) -> None:
    from bioimageio.spec import InvalidDescr, load_description

    with zipfile.ZipFile(whole) as package:
        found = load_description(package, perform_io_checks=True)
    if isinstance(found, InvalidDescr):
        reasons = " ".join((found.get_reason() or "").split())
        raise InputError("bioimage.io does not accept this package", got=reasons[:500])
