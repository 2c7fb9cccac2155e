"""Models of other programs: from a package to a model that predicts as ours do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_unet.data.normalisation import Normalisation
from napari_unet.errors import InputError
from napari_unet.exchange.describe import CONFIG, MODEL
from napari_unet.exchange.libraries import need_libraries
from napari_unet.exchange.package import Package, in_folder
from napari_unet.exchange.read_axes import Shapes, read_axes
from napari_unet.exchange.read_program import last_operation, read_program
from napari_unet.exchange.read_steps import Before, read_after, read_before
from napari_unet.model import ClassInfo, TrainedModel, load_model
from napari_unet.network.foreign import PROGRAM, open_program
from napari_unet.network.foreign_config import ForeignConfig, Step

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
    `napari_unet.exchange.read_program.read_program`.

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
        With a `ForeignConfig`, unless it is one of ours.

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
) -> ForeignConfig:
    channels = len(shapes.channel_names)
    return ForeignConfig(
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
    config: ForeignConfig,
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
