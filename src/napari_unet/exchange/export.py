"""A model as a package for other programs: Fiji, ilastik, QuPath, and all that read bioimage.io."""

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

from napari_unet.data.whole_file import write_whole
from napari_unet.errors import InputError, ModelFileError
from napari_unet.exchange.describe import MODEL, checked_name, document
from napari_unet.exchange.example import cover_of, cut_from, example_shape, noise_like
from napari_unet.exchange.libraries import need_libraries
from napari_unet.exchange.portable import PortableModel
from napari_unet.exchange.programs import OPSET, run_onnx, written
from napari_unet.exchange.texts import described, documentation
from napari_unet.inference.request import Request
from napari_unet.model import TrainedModel
from napari_unet.network.foreign_config import ForeignConfig

DOCUMENT = "rdf.yaml"


@dataclass(frozen=True)
class PackageFacts:
    """What a package says of itself.

    Parameters
    ----------
    name : str, optional
        At least five letters; one that tells task and dimensions when None.
    authors : sequence of str
        Names.
    description : str, optional
        One sentence; what the model does when None.
    licence : str, optional
        An identifier of https://spdx.org/licenses, such as ``"CC-BY-4.0"``; none is given when
        None.
    cover : path, optional
        A PNG or JPEG; the example's input beside its result when None.
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

    The normalisation is declared as a step of the package, in words that every runner knows. All
    that follows is in the program, written twice, as ONNX and as TorchScript: the network, the
    share of the pixel itself of networks with blind spots, softmax over the classes, the way back
    to grey values. So the program cannot be run wrongly, and gives what it says. Only where noise
    is stabilised is the normalisation in the program too, for no runner knows that step. Planes
    that are seen together become channels.

    Both programs are run here on an input of another size than they were written at, and the
    package is read back by bioimage.io's own library. Nothing is downloaded or sent. The model
    itself is attached: `import_bioimageio` gives it back without loss.

    Parameters
    ----------
    model : TrainedModel
        What is exported.
    path : path-like
        Where to; the ending ``.zip`` is added where it is missing.
    image : array-like or path, optional
        Its middle is the example in the package; random noise when None.
    request : Request, optional
        The roles of the image's axes.
    name, authors, description, licence, cover
        See `PackageFacts`.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    InputError
        Where a library is missing, an entry is not allowed, or a package cannot say how the model
        works: one that fills in needs a mask, one that was imported is a package already.
    ModelFileError
        Where it cannot be written.
    """
    need_libraries()
    if isinstance(model.config, ForeignConfig):
        raise InputError(
            "This model was imported from a package",
            got=model.config.title,
            todo="Hand that package on",
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
    """Return the files of a package by name, and its document."""
    module = PortableModel(model)
    normalised = _normalised(model, example)
    other = model.config.input_for([n + 9 for n in (40, 40, 40)[: model.config.ndim]])
    unseen = _normalised(model, noise_like(model, other, 1))
    programs = written(module, torch.from_numpy(normalised), torch.from_numpy(unseen))
    result = run_onnx(programs["onnx"], normalised)
    name = checked_name(facts.name or _name_of(model))
    description = facts.description or described(model)
    files = {
        "test_input.npy": _npy(example[None]),
        "test_output.npy": _npy(result),
        "weights.onnx": programs["onnx"],
        "weights.pt": programs["torchscript"],
        "documentation.md": documentation(model, name, description).encode(),
        "cover" + _ending(facts): _cover(model, example, result, facts),
        MODEL: _saved(model),
    }
    said = {
        "name": name,
        "description": description,
        "authors": [{"name": author} for author in facts.authors],
        **({"license": facts.licence} if facts.licence else {}),
        "timestamp": datetime.now(UTC).replace(microsecond=0).isoformat(),
    }
    return files, _with_files(document(model, said), files)


def _normalised(model: TrainedModel, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a batch of one as the program gets it."""
    return (x if model.normalisation.noise else model.normalisation.apply(x))[None]


def _with_files(entries: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
    """Say in a document where its files are, and their sums."""

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
    """Write a package when bioimage.io's library has read it."""
    import yaml  # type: ignore[import-untyped]

    text = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in {DOCUMENT: text.encode(), **files}.items():
            package.writestr(name, content)
    _check(whole)
    try:
        write_whole(path, whole.getvalue())
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
