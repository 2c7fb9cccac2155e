"""Models of other programs: from a package to a model that predicts as ours do."""

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
    opened_torchscript,
    run_onnx,
    run_torchscript,
)
from napari_unet.bioimageio.read_description import (
    Before,
    Shapes,
    read_after,
    read_axes,
    read_before,
)
from napari_unet.data.normalisation import Normalisation
from napari_unet.errors import InputError, ModelFileError
from napari_unet.model import ClassInfo, TrainedModel, load_model
from napari_unet.network.onnx import PROGRAM, open_program
from napari_unet.network.onnx_config import OnnxConfig, Step

WHY = (
    "PyTorch treats TorchScript like code from its author, and so do we: allow it "
    "(allow_torchscript=True, --torchscript) only where you trust who made the package"
)


def read_program(package: Package, example: tuple[int, ...], allow_torchscript: bool) -> bytes:
    """Return a package's program as an ONNX file.

    ONNX is preferred: a graph of operations from a fixed set, which is data. TorchScript is a
    program in a language of its own; PyTorch's security policy says to treat it like code of
    unknown origin. So it is loaded only where that is allowed, once, here, to be rewritten as
    ONNX: what a model file of ours holds is never TorchScript.

    Parameters
    ----------
    package : Package
        What is read.
    example : tuple of int
        Shape of an input that fits, with the axes of the program.
    allow_torchscript : bool
        Whether TorchScript may be loaded.

    Raises
    ------
    InputError
        Where there is neither, or only TorchScript and that is not allowed.
    ModelFileError
        Where a file is missing or damaged.
    """
    weights = package.about.weights
    if weights.onnx is not None:
        return _whole(package, weights.onnx)
    if weights.torchscript is None:
        raise InputError(
            "The package has no program that can be run without its author's code",
            got=", ".join(sorted(weights.available_formats)),
            expected="onnx or torchscript",
            todo="Ask its authors for ONNX weights, or convert it with bioimageio.core",
        )
    if not allow_torchscript:
        raise InputError("The package has only TorchScript weights", todo=WHY)
    return _rewritten(package.read(weights.torchscript), example)


def last_operation(program: bytes) -> str:
    """Return the name of the operation that gives a graph's first output, such as "Sigmoid"."""
    import onnx

    graph = onnx.load_model_from_string(program).graph
    output = graph.output[0].name
    return next((node.op_type for node in graph.node if output in node.output), "")


def _whole(package: Package, weights: Any) -> bytes:
    """Return an ONNX file with all of its numbers in it."""
    import onnx
    from onnx.external_data_helper import load_external_data_for_model, uses_external_data

    content = package.read(weights)
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's have no base class that onnx names
        raise ModelFileError("The ONNX file is damaged", got=type(error).__name__) from error
    if not any(map(uses_external_data, model.graph.initializer)):
        return content
    if getattr(weights, "external_data", None) is None:
        raise ModelFileError("The ONNX file lacks its numbers", got="no external_data")
    name = Path(str(getattr(weights.external_data.source, "path", weights.external_data.source)))
    with in_folder({name.name: package.read(weights.external_data)}) as folder:
        try:
            load_external_data_for_model(model, folder)
        except Exception as error:
            raise ModelFileError("The ONNX file lacks its numbers", got=str(error)) from error
    whole: bytes = model.SerializeToString()
    return whole


def _rewritten(program: bytes, example: tuple[int, ...]) -> bytes:
    """Return TorchScript as ONNX, if that computes the same."""
    x = np.random.default_rng(0).normal(size=example).astype(np.float32)
    right = run_torchscript(program, x)
    try:
        found = as_onnx(opened_torchscript(program), torch.from_numpy(x), range(x.ndim))
        same = np.allclose(run_onnx(found, x), right, rtol=1e-3, atol=1e-4 * np.abs(right).max())
    except Exception as error:  # whatever the exporter stumbles over
        raise InputError(
            "The TorchScript program cannot be rewritten as ONNX",
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
        ) from error
    if not same:
        raise InputError("The TorchScript program computes something else when rewritten as ONNX")
    return found


Kind = Literal["auto", "segment", "restore"]
Result = Literal["probability", "probabilities", "logits", "image"]


def import_bioimageio(
    path: str | os.PathLike[str], *, allow_torchscript: bool = False, task: Kind = "auto"
) -> TrainedModel:
    """Read a model from a package of bioimage.io, of format 0.4 or 0.5.

    A package that `export_bioimageio` wrote gives back the very model. Of others the program is
    taken, an ONNX graph, with the sizes, the halo, and the steps before and behind it that the
    package declares. The result is a model like any other: it can be saved and loaded, and
    predicts images of any size in tiles; but it cannot learn.

    Nothing is downloaded, and no code of a package is run. TorchScript is such code, see
    `napari_unet.bioimageio.load.read_program`.

    Parameters
    ----------
    path : path-like
        The .zip, or the folder that it was unpacked to.
    allow_torchscript : bool
        Whether TorchScript may be loaded where there is no ONNX.
    task : {"auto", "segment", "restore"}
        Whether the output are classes or an image. "auto" takes it for classes where channels add
        up to 1, and where one channel is a probability: behind a sigmoid or a threshold.

    Returns
    -------
    TrainedModel
        With a `OnnxConfig`, unless it is one of ours.

    Raises
    ------
    InputError
        Where a library is missing, or the package does something that is not supported here; the
        message says what.
    ModelFileError
        Where a file of it is missing or damaged.
    """
    need_libraries()
    with Package(path) as package:
        return _own(package) or _foreign(package, allow_torchscript, task)


def _own(package: Package) -> TrainedModel | None:
    """Return the model that is attached to a package of ours."""
    about = package.about
    names = {str(getattr(a.source, "path", a.source)): a for a in about.attachments}
    if MODEL not in names or CONFIG not in (about.config.model_extra or {}):
        return None
    with in_folder({MODEL: package.read(names[MODEL])}) as folder:
        return load_model(Path(folder, MODEL))


def _foreign(package: Package, allow_torchscript: bool, task: Kind) -> TrainedModel:
    about = package.about
    if len(about.inputs) != 1 or len(about.outputs) != 1:
        raise InputError(
            "Only packages with one image in and one out are supported",
            got=f"{len(about.inputs)} in, {len(about.outputs)} out",
        )
    given, out = about.inputs[0], about.outputs[0]
    tested = package.array(given.test_tensor), package.array(out.test_tensor)
    try:
        shapes = read_axes(given, out, None if tested[0] is None else tested[0].shape)
        before, after = read_before(given, shapes.in_channels), read_after(out)
        program = read_program(package, _example(shapes), allow_torchscript)
        result = _result(task, after, shapes, program, tested[1])
        config = _config(str(about.name), shapes, before, after, result)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise InputError("The package contradicts itself", got=reason) from error
    open_program(program)
    return _model(config, program, shapes, before, _facts(package))


def _example(shapes: Shapes) -> tuple[int, ...]:
    """Return the shape of an input that fits, with the axes of the program."""
    space = dict(zip("zyx"[-shapes.ndim :], shapes.sizes, strict=True))
    # Larger than the smallest, which may be too small for what a program does to its border.
    side = {a: s.smallest + 4 * s.step for a, s in space.items()}
    return tuple({"b": 1, "c": shapes.in_channels, **side}[a] for a in shapes.inputs)


def _result(
    task: Kind, after: tuple[Step, ...], shapes: Shapes, program: bytes, tested: NDArray[Any] | None
) -> Result:
    """Tell what the output is, from its last step and from the example in the package."""
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
    raise InputError("The output of one channel is no probability", got="values beyond 0 to 1")


def _adds_up(tested: NDArray[Any] | None, shapes: Shapes) -> bool:
    """Tell whether the channels of an example add up to 1."""
    if tested is None or "c" not in shapes.outputs:
        return False
    sums = tested.sum(axis=shapes.outputs.index("c"), dtype=np.float64)
    return bool(np.allclose(sums, 1, atol=1e-3))


def _config(
    name: str, shapes: Shapes, before: Before, after: tuple[Step, ...], result: Result
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
    before: Before,
    facts: dict[str, Any],
) -> TrainedModel:
    names = shapes.channel_names
    names = ("background", "foreground") if config.result == "probability" else names
    image, out = config.result == "image", config.out_channels
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
    """Return where a model comes from, to be kept with it."""
    about = package.about
    return {
        "imported": {
            "name": str(about.name),
            "description": str(about.description or ""),
            "authors": [str(author.name) for author in about.authors],
            "licence": str(about.license or ""),
            "cite": [str(entry.doi or entry.url) for entry in about.cite],
            "version": str(about.version or ""),
        }
    }
