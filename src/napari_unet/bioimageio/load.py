"""Packages of bioimage.io as models that predict like ours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_unet.bioimageio.archive import Package, in_folder, need_libraries
from napari_unet.bioimageio.description import CONFIG, MODEL
from napari_unet.bioimageio.onnx_export import (
    as_onnx,
    load_torchscript,
    run_onnx,
    run_torchscript,
)
from napari_unet.bioimageio.read_description import (
    Preprocessing,
    Shapes,
    read_axes,
    read_postprocessing,
    read_preprocessing,
)
from napari_unet.data.normalisation import Normalisation
from napari_unet.errors import InputError, ModelFileError
from napari_unet.model import ClassInfo, TrainedModel, load_model
from napari_unet.network.onnx import PROGRAM, open_program
from napari_unet.network.onnx_config import OnnxConfig, Step

TRUST = (
    "A TorchScript file can run code of its author: allow it (allow_torchscript=True, "
    "--torchscript) only if you trust the author of the package"
)
"""What users are told about TorchScript before they allow it."""


def read_program(package: Package, example: tuple[int, ...], allow_torchscript: bool) -> bytes:
    """Return the program of a package as an ONNX file.

    ONNX is preferred: a graph of operations from a fixed set, which is data. TorchScript is a
    programming language; the security policy of PyTorch treats it like code of unknown origin.
    Hence it is loaded only where that is allowed, and only here, where it is converted to ONNX: our
    model files never contain TorchScript.

    Parameters
    ----------
    package : Package
        The package.
    example : tuple of int
        Shape of an allowed input, with the axes of the program.
    allow_torchscript : bool
        Whether TorchScript may be loaded.

    Raises
    ------
    InputError
        Where there is neither, or only TorchScript, which is not allowed.
    ModelFileError
        Where a file is missing or damaged.
    """
    weights = package.description.weights
    if weights.onnx is not None:
        return _whole(package, weights.onnx)
    if weights.torchscript is None:
        raise InputError(
            "The package has no weights that can be used without the code of its author",
            got=", ".join(sorted(weights.available_formats)),
            expected="onnx or torchscript",
            todo="Ask its authors for ONNX weights, or convert it with bioimageio.core",
        )
    if not allow_torchscript:
        raise InputError("The package has only TorchScript weights", todo=TRUST)
    return _converted(package.read(weights.torchscript), example)


def last_operation(program: bytes) -> str:
    """Return the name of the operation that gives a graph's first output, such as "Sigmoid"."""
    import onnx

    graph = onnx.load_model_from_string(program).graph
    output = graph.output[0].name
    return next((node.op_type for node in graph.node if output in node.output), "")


def _whole(package: Package, weights: Any) -> bytes:
    """Return an ONNX file that contains its weights, which may lie in another file."""
    import onnx
    from onnx.external_data_helper import load_external_data_for_model, uses_external_data

    content = package.read(weights)
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # the exceptions of protobuf have no base class that onnx names
        raise ModelFileError("The ONNX file is damaged", got=type(error).__name__) from error
    if not any(map(uses_external_data, model.graph.initializer)):
        return content
    if getattr(weights, "external_data", None) is None:
        raise ModelFileError("The ONNX file does not contain its weights", got="no external_data")
    name = Path(str(getattr(weights.external_data.source, "path", weights.external_data.source)))
    with in_folder({name.name: package.read(weights.external_data)}) as folder:
        try:
            load_external_data_for_model(model, folder)
        except Exception as error:
            raise ModelFileError(
                "The ONNX file does not contain its weights", got=str(error)
            ) from error
    whole: bytes = model.SerializeToString()
    return whole


def _converted(program: bytes, example: tuple[int, ...]) -> bytes:
    """Convert TorchScript to ONNX, and check that it computes the same."""
    x = np.random.default_rng(0).normal(size=example).astype(np.float32)
    right = run_torchscript(program, x)
    try:
        found = as_onnx(load_torchscript(program), torch.from_numpy(x), range(x.ndim))
        same = np.allclose(run_onnx(found, x), right, rtol=1e-3, atol=1e-4 * np.abs(right).max())
    except Exception as error:  # the exporter raises exceptions of many kinds
        raise InputError(
            "The TorchScript model cannot be converted to ONNX",
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
        ) from error
    if not same:
        raise InputError("The TorchScript model gives other results after conversion to ONNX")
    return found


Kind = Literal["auto", "segment", "restore"]
"""Task of an imported model, see `import_bioimageio`."""

Result = Literal["probability", "probabilities", "logits", "image"]
"""See `OnnxConfig.result`."""


def import_bioimageio(
    path: str | os.PathLike[str], *, allow_torchscript: bool = False, task: Kind = "auto"
) -> TrainedModel:
    """Read a model from a package of bioimage.io, of format 0.4 or 0.5.

    A package that `export_bioimageio` wrote contains the original model, which is returned. Of
    others the program is imported, an ONNX graph, with the sizes, the halo, the pre- and the
    postprocessing that the package declares. The result is a model like any other: it can be saved
    and loaded, and predicts images of any size in tiles; but it cannot be trained.

    Nothing is downloaded, and no code of a package is executed. TorchScript is such code, see
    `napari_unet.bioimageio.load.read_program`.

    Parameters
    ----------
    path : path-like
        The .zip, or the folder with its content.
    allow_torchscript : bool
        Whether TorchScript may be loaded where there is no ONNX.
    task : {"auto", "segment", "restore"}
        Whether the output is classes or an image. "auto" means classes where the channels add up
        to 1, and where the only channel is a probability: after a sigmoid or a threshold.

    Returns
    -------
    TrainedModel
        With an `OnnxConfig`, unless the package contains a model of ours.

    Raises
    ------
    InputError
        Where a library is missing, or the package needs something that is not supported; the
        message says what.
    ModelFileError
        Where a file of the package is missing or damaged.
    """
    need_libraries()
    with Package(path) as package:
        return _attached_model(package) or _imported_model(package, allow_torchscript, task)


def _attached_model(package: Package) -> TrainedModel | None:
    """Return the model that is attached to a package of ours."""
    description = package.description
    names = {str(getattr(a.source, "path", a.source)): a for a in description.attachments}
    if MODEL not in names or CONFIG not in (description.config.model_extra or {}):
        return None
    with in_folder({MODEL: package.read(names[MODEL])}) as folder:
        return load_model(Path(folder, MODEL))


def _imported_model(package: Package, allow_torchscript: bool, task: Kind) -> TrainedModel:
    """Return a model of the program in a package."""
    description = package.description
    if len(description.inputs) != 1 or len(description.outputs) != 1:
        raise InputError(
            "Only packages with one image in and one out are supported",
            got=f"{len(description.inputs)} in, {len(description.outputs)} out",
        )
    given = description.inputs[0]
    out = description.outputs[0]
    test_input = package.array(given.test_tensor)
    test_output = package.array(out.test_tensor)
    try:
        shapes = read_axes(given, out, None if test_input is None else test_input.shape)
        before = read_preprocessing(given, shapes.in_channels)
        after = read_postprocessing(out)
        program = read_program(package, _example(shapes), allow_torchscript)
        result = _result(task, after, shapes, program, test_output)
        config = _config(str(description.name), shapes, before, after, result)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise InputError("The package contradicts itself", got=reason) from error
    open_program(program)
    return _model(config, program, shapes, before, _facts(package))


def _example(shapes: Shapes) -> tuple[int, ...]:
    """Return the shape of an allowed input, with the axes of the program."""
    space = dict(zip("zyx"[-shapes.ndim :], shapes.sizes, strict=True))
    # Larger than the smallest, which may be too small for the padding inside a program.
    side = {a: s.smallest + 4 * s.step for a, s in space.items()}
    return tuple({"b": 1, "c": shapes.in_channels, **side}[a] for a in shapes.inputs)


def _result(
    task: Kind, after: tuple[Step, ...], shapes: Shapes, program: bytes, tested: NDArray[Any] | None
) -> Result:
    """Tell what the output is, from the last operation and from the test output of the package."""
    if task == "restore":
        return "image"
    many = len(shapes.channel_names) > 1
    steps = [s.name for s in after if s.name != "clip"]
    last = steps[-1] if steps else last_operation(program).lower()
    fractions = tested is not None and bool((tested >= 0).all() and (tested <= 1).all())
    if many and (last == "softmax" or (fractions and _adds_up(tested, shapes))):
        return "probabilities"
    if not many and last in ("sigmoid", "binarize"):
        return "probability"
    if task == "auto":
        return "image"
    if many:
        known = fractions or last in ("sigmoid", "binarize")
        return "probabilities" if known else "logits"
    if fractions:
        return "probability"
    raise InputError("The single output channel is not a probability", got="values beyond 0 to 1")


def _adds_up(tested: NDArray[Any] | None, shapes: Shapes) -> bool:
    """Tell whether the channels of the test output add up to 1."""
    if tested is None or "c" not in shapes.outputs:
        return False
    sums = tested.sum(axis=shapes.outputs.index("c"), dtype=np.float64)
    return bool(np.allclose(sums, 1, atol=1e-3))


def _config(
    name: str, shapes: Shapes, before: Preprocessing, after: tuple[Step, ...], result: Result
) -> OnnxConfig:
    channels = len(shapes.channel_names)
    return OnnxConfig(
        name=name,
        ndim=shapes.ndim,
        in_channels=shapes.in_channels,
        out_channels=2 if result == "probability" else channels,
        sizes=shapes.sizes,
        inputs=shapes.inputs,
        outputs=shapes.outputs,
        before=before.steps,
        after=after,
        result=result,
        fit=before.fit,
    )


def _model(
    config: OnnxConfig,
    program: bytes,
    shapes: Shapes,
    before: Preprocessing,
    facts: dict[str, Any],
) -> TrainedModel:
    names = shapes.channel_names
    names = ("background", "foreground") if config.result == "probability" else names
    image = config.result == "image"
    out = config.out_channels
    return TrainedModel(
        config=config,
        weights={PROGRAM: np.frombuffer(program, np.uint8)},
        normalisation=before.normalisation,
        task="restore" if image else "segment",
        classes=() if image else tuple(ClassInfo(i, n) for i, n in enumerate(names, 1)),
        spacing=shapes.spacing,
        training=facts,
        target=Normalisation("none", (0.0,) * out, (1.0,) * out) if image else None,
    )


def _facts(package: Package) -> dict[str, Any]:
    """Return the origin of a model, which is saved with it."""
    description = package.description
    return {
        "imported": {
            "name": str(description.name),
            "description": str(description.description or ""),
            "authors": [str(author.name) for author in description.authors],
            "licence": str(description.license or ""),
            "cite": [str(entry.doi or entry.url) for entry in description.cite],
            "version": str(description.version or ""),
        }
    }
