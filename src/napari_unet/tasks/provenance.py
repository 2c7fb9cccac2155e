"""How a result was made, and the commands that make it again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from napari_unet._version import __version__
from napari_unet.data.source import JOINT
from napari_unet.display import score_text
from napari_unet.errors import InputError
from napari_unet.fields import fields_of, write_flags
from napari_unet.model import SUFFIX, TrainedModel
from napari_unet.postprocessing.options import RefineOptions
from napari_unet.tasks.network_choice import choose_network
from napari_unet.tasks.options import OPTIONS

RESULT = "result.tif"
"""Name of the result in commands that write one."""

MODEL_FILE = f"model{SUFFIX}"
"""Name of the model in the commands."""

START_FILE = f"start{SUFFIX}"
"""Name, in the commands, of the model that the training continued from."""

TRAIN = "Train"
"""Name of the step from images to a model."""

PREDICT = "Predict"
"""Name of the step from a model and an image to a result."""

REFINE = "Refine"
"""Name of the step from probabilities to other labels."""

SOURCES = "sources"
"""Key, in a model's `training`, of the images and labels that it was trained on."""

SHAPE_NOTE = (
    "Only a shape in the region was predicted; the command predicts the whole of the box around it."
)
"""What is told where the region of interest is no box."""

_SAID_OTHERWISE = {
    "steps",
    "seconds",
    "seed",
    "open_ended",
    "keep_history",
    "make_way",
    "class_colors",
}
"""Options that commands set in another way, or that change no weight."""

_TOLD = {"steps", "seed", "class_names", "class_colors"}
"""Options that the table for people shows in rows of their own, or not at all."""

_PYTHON_ONLY = {"network"}
"""Options that are not reproduced by commands."""


@dataclass(frozen=True)
class Origin:
    """Where pixels came from: a name, and the file they were read from, if any.

    Parameters
    ----------
    name : str
        Name of the layer or file.
    path : str, optional
        The file.
    channels : tuple of Origin
        Where the channels of the image came from, if they are images of their own.
    """

    name: str
    path: str | None = None
    channels: tuple[Origin, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON, as it is kept in a model."""
        entry: dict[str, Any] = {"name": self.name, "path": self.path}
        if self.channels:
            entry["channels"] = [channel.to_dict() for channel in self.channels]
        return entry

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Origin:
        """Read what `to_dict` returned."""
        channels = tuple(cls.from_dict(part) for part in entry.get("channels", ()))
        return cls(entry["name"], entry.get("path"), channels)

    @classmethod
    def of_channels(cls, channels: Sequence[Origin]) -> Origin:
        """Return that of an image whose channels are images of their own; one is returned as is.

        Channels that were all read from one file are that file.
        """
        if len(channels) == 1:
            return channels[0]
        paths = {channel.path for channel in channels}
        path = paths.pop() if len(paths) == 1 else None
        return cls(" + ".join(channel.name for channel in channels), path, tuple(channels))

    @property
    def file(self) -> str:
        """The file, or the name of one to save the pixels in; of several channels joined by "+".

        Examples
        --------
        >>> Origin("cells", "/data/cells.zarr").file, Origin("cells – strokes").file
        ('/data/cells.zarr', 'cells-strokes.tif')
        >>> Origin.of_channels([Origin("DAPI"), Origin("GFP", "/data/gfp.tif")]).file
        'DAPI.tif+/data/gfp.tif'
        """
        if self.path is None and self.channels:
            return JOINT.join(channel.file for channel in self.channels)
        return self.path or (re.sub(r"\W+", "-", self.name).strip("-") or "image") + ".tif"

    @property
    def files(self) -> tuple[Origin, ...]:
        """The origins that are files of their own: itself, or its channels."""
        return (self,) if self.path is not None or not self.channels else self.channels


def with_sources(model: TrainedModel, pairs: Sequence[tuple[Origin, ...]]) -> TrainedModel:
    """Return the same model with the images that it was trained on in its `training`.

    Parameters
    ----------
    model : TrainedModel
        The model.
    pairs : sequence of tuple of Origin
        The images, each with the labels, target or mask that went with it, if any.
    """
    sources = [[origin.to_dict() for origin in pair] for pair in pairs]
    return model.with_facts(training={**model.training, SOURCES: sources})


def provenance(
    model: TrainedModel,
    image: Origin,
    *,
    request: Mapping[str, Any] | None = None,
    probabilities: bool = False,
    mask: Origin | None = None,
    seconds: float | None = None,
) -> dict[str, Any]:
    """Return how a prediction was made.

    Parameters
    ----------
    model : TrainedModel
        What predicted.
    image : Origin
        What was predicted.
    request : mapping, optional
        Fields of `napari_unet.inference.request.Request`: how the image was read.
    probabilities : bool
        Whether the result is probabilities.
    mask : Origin, optional
        The mask of missing pixels.
    seconds : float, optional
        Duration of the prediction.

    Returns
    -------
    dict
        Plain JSON: image, path, task, model and strokes (their digests), seed, classes, versions,
        training (as in the model), prediction_seconds, steps, commands, notes.
    """
    facts = model.training
    made: dict[str, Any] = {}
    for name, command in (
        (TRAIN, train_command(model)),
        (PREDICT, predict_command(image, request or {}, probabilities, mask)),
    ):
        made = with_step(made, name, command)
    return {
        "image": image.name,
        "path": image.path,
        "task": model.task,
        "model": model.digest,
        "strokes": facts.get("strokes"),
        "seed": facts.get("seed"),
        "classes": {c.value: str(c) for c in model.classes},
        "versions": {**facts.get("versions", {}), "predicted with": __version__},
        "training": dict(facts),
        "prediction_seconds": seconds,
        **made,
        "notes": [
            *_notes(model, (image,) if mask is None else (image, mask)),
            *([SHAPE_NOTE] if request and request.get("inside") else ()),
        ],
    }


def with_step(made: Mapping[str, Any], name: str, command: str) -> dict[str, Any]:
    """Return how a layer was made with one more step, which begins from the step before.

    Parameters
    ----------
    made : mapping
        What `provenance` returned. Its "steps" lead from the pixels to the layer, in order;
        "commands" are theirs.
    name : str
        What is done, in a word; a step of that name is replaced where it is.
    command : str
        The command that does it.
    """
    steps = {step["name"]: step["command"] for step in made.get("steps", ())} | {name: command}
    return {
        **made,
        "steps": [{"name": name, "command": command} for name, command in steps.items()],
        "commands": list(steps.values()),
    }


def without_step(made: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return how a layer was made without the step of that name, if there is one."""
    left = {**made, "steps": [], "commands": []}
    for step in made.get("steps", ()):
        if step["name"] != name:
            left = with_step(left, step["name"], step["command"])
    return left


def refined(
    made: Mapping[str, Any], options: Mapping[str, Any] | None, **arguments: Any
) -> dict[str, Any]:
    """Return how a layer was made after its labels were refined, or are as predicted again.

    Parameters
    ----------
    made : mapping
        How the result was made.
    options : mapping, optional
        The fields of `napari_unet.RefineOptions` that differ from their defaults; None where the
        labels are as predicted.
    **arguments
        Further arguments of `napari_unet.refine`: values, spacing, spatial_ndim.
    """
    commands = {step["name"]: step["command"] for step in made.get("steps", ())}
    left = {name: fact for name, fact in made.items() if name != "refined"}
    if PREDICT not in commands:  # it is not known how it was predicted
        return left if options is None else {**left, "refined": dict(options)}
    left = without_step(left, REFINE)
    words = [word for word in shlex.split(commands[PREDICT]) if word != "--probabilities"]
    place = words.index("--output") + 1
    stem = re.sub("-(prediction|probabilities)[.]tif$", "", words[place])
    words[place] = f"{stem}-prediction.tif"
    if options is None:
        return with_step(left, PREDICT, shlex.join(words))
    words[place : place + 1] = [f"{stem}-probabilities.tif", "--probabilities"]
    left = with_step(left, PREDICT, shlex.join(words))
    settings = {name: value for name, value in options.items() if name != "output"}
    kind = ["--objects"] if options.get("output") == "objects" else []
    flags = write_flags({**settings, **arguments})
    command = _command("refine", words[place], "--output", f"{stem}-refined.tif", *kind, *flags)
    return {**with_step(left, REFINE, command), "refined": dict(options)}


def train_command(model: TrainedModel, output: str = MODEL_FILE) -> str:
    """Return the command that trains such a model, from files and for as many steps.

    Parameters
    ----------
    model : TrainedModel
        The model.
    output : str
        File that the command writes the model to.
    """
    task = model.task
    pairs = [[o.file for o in pair] for pair in _pairs(model) or (UNKNOWN[task],)]
    settings = _settings(model)
    if task in ("denoise", "inpaint"):  # they write a result for each image at once
        named = [RESULT, *(f"result-{k}.tif" for k in range(2, len(pairs) + 1))]
        for pair, result in zip(pairs, named, strict=True):
            if task == "inpaint" and len(pair) == 1:
                pair.append("none")  # in place of a mask
            pair.append(result)
        output_flag = "--model"
    else:
        output_flag = "--output"
    name = "train" if task == "segment" else task
    files = [file for pair in pairs for file in pair]
    return _command(name, *files, output_flag, output, *write_flags(settings))


def _settings(model: TrainedModel) -> dict[str, Any]:
    """Return the settings of the training that the command gives, by option."""
    facts = model.training
    fields = fields_of(OPTIONS[model.task], but=_SAID_OTHERWISE | _PYTHON_ONLY)
    given = dict(facts.get("options", {}))
    settings = {
        "ndim": model.config.ndim,
        "steps": max(1, int(facts.get("steps", 1))),
        "seed": facts.get("seed", 0),
    }
    if any(origin.channels and origin.path for origin in _sources(model)):
        given.pop("axes", None)  # those of the layers: the file has all channels
    if given.get("open_ended"):
        given.setdefault("schedule", "constant")
    if "continued_from" in facts:
        settings["start"] = START_FILE
        # Only options that differ from the defaults are stored, and continuing has another one.
        given.setdefault("learning_rate", fields["learning_rate"].default)
    if model.spacing:  # even where it was never said: a file may say otherwise
        given.setdefault("spacing", model.spacing)
    known = {name: value for name, value in given.items() if name in fields}
    return settings | {name: v for name, v in known.items() if fields[name].is_readable(v)}


def predict_command(
    image: Origin,
    request: Mapping[str, Any],
    probabilities: bool = False,
    mask: Origin | None = None,
) -> str:
    """Return the command that predicts an image from its file.

    Parameters
    ----------
    image : Origin
        The image.
    request : mapping
        Fields of `napari_unet.inference.request.Request`: how the image was read.
    probabilities : bool
        Whether the result is probabilities.
    mask : Origin, optional
        The mask of missing pixels.
    """
    result = f"{re.sub(r'.*[/]|[.][^./]*$', '', image.files[0].file)}-prediction.tif"
    kind = ["--probabilities"] if probabilities else []
    switches = [name for name in ("flips", "comparable") if request.get(name)]
    kind += [f"--{name}" for name in switches]
    if mask is not None:
        kind += ["--mask", mask.file]
    flags = write_flags({k: v for k, v in request.items() if k not in (*switches, "inside")})
    return _command("predict", MODEL_FILE, image.file, "--output", result, *kind, *flags)


def rows(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the content of `provenance` as a table for people: names and texts.

    Parameters
    ----------
    made : mapping
        What `provenance` returned; parts may be missing.
    """
    training = made.get("training", {})
    took = made.get("prediction_seconds")
    found = {
        "Image": " · ".join(filter(None, (made.get("image"), made.get("path")))),
        "Task": str(made.get("task", "")),
        "Classes": ", ".join(f"{v} {name}" for v, name in made.get("classes", {}).items()),
        "Model": str(made.get("model", "")),
        "Strokes": str(made.get("strokes") or ""),
        "Method": str(training.get("why", "")).removeprefix("Method: "),
        "Painted": _listed(training.get("painted", {})),
        "Training": _trained(training),
        "Validation": _validated(training.get("validation", {})),
        "Seed": "" if made.get("seed") is None else str(made["seed"]),
        "Changed settings": _one_per_line(
            OPTIONS.get(str(made.get("task"))),
            {k: v for k, v in training.get("options", {}).items() if k not in _TOLD},
        ),
        "Prediction": "" if took is None else f"{took:.1f} s",
        "Refinement": _one_per_line(RefineOptions, made.get("refined", {})),
        "Versions": _listed(made.get("versions", {})),
    }
    return [(name, text) for name, text in found.items() if text]


def as_text(made: Mapping[str, Any]) -> str:
    """Return the content of `provenance` as plain text, to be pasted into notes."""
    known = rows(made)
    width = max((len(name) for name, _ in known), default=0)
    indent = "\n" + " " * (width + 2)
    table = [f"{name:<{width}}  {text.replace(chr(10), indent)}" for name, text in known]
    parts = [table, list(made.get("commands", ())), list(made.get("notes", ()))]
    return "\n\n".join("\n".join(part) for part in parts if part)


UNKNOWN = {
    "segment": (Origin("training image"), Origin("strokes")),
    "denoise": (Origin("training image"),),
    "restore": (Origin("training image"), Origin("target")),
    "inpaint": (Origin("training image"), Origin("mask")),
}
"""Names of the files in a command if the model does not hold them."""


def _sources(model: TrainedModel) -> tuple[Origin, ...]:
    """Return image, labels, the next image, its labels, and so on; empty if unknown."""
    return tuple(origin for pair in _pairs(model) for origin in pair)


def _pairs(model: TrainedModel) -> list[tuple[Origin, ...]]:
    """Return the images, each with what went with it; empty if unknown."""
    pairs = model.training.get(SOURCES, ())
    return [tuple(map(Origin.from_dict, pair)) for pair in pairs]


def _command(*words: str) -> str:
    return shlex.join(("napari-unet", *words))


def _notes(model: TrainedModel, predicted: Sequence[Origin]) -> Iterator[str]:
    """Yield what the commands do not reproduce."""
    options, sources = model.training.get("options", {}), _sources(model)
    if not sources:
        yield "The images that the model was trained on are not known here."
    for origin in dict.fromkeys((*sources, *predicted)):
        if origin.channels and origin.path is not None:
            yield (
                f"The channels {origin.name} are of one file, {origin.path}: the commands read all "
                "channels of that file, in its order."
            )
    for origin in dict.fromkeys(part for one in (*sources, *predicted) for part in one.files):
        if origin.path is None:
            yield f"“{origin.name}” was not read from a file: save it first, as {origin.file}."
    if options.get("open_ended"):
        yield ("The training was stopped by hand; the command trains for the same number of steps.")
    if start := model.training.get("continued_from"):
        yield (
            f"The training started from the model {start[:8]}: save that model first, as "
            f"{START_FILE}."
        )
    if not (start or _is_standard(model)):
        yield (
            "The network was set up in a way that the command does not reproduce; in Python, pass "
            "it to napari_unet.fit as network."
        )
    yield _how_near(options)


def _how_near(options: Mapping[str, Any]) -> str:
    """Return how near the commands come to the layer."""
    if options.get("threads") and not options.get("make_way"):
        again = (
            "Trained again with the same strokes, seed and versions on the same computer, the "
            "model has the same weights on a CPU. With strokes that were painted during the "
            "training it is alike, not identical, for they do not come at the same step again."
        )
    else:
        again = (
            "The number of threads was not fixed, and it decides in which order numbers are added: "
            "trained again, the model is alike, not identical, and labels differ in places where "
            "it is unsure."
        )
    return (
        f"{again} To get this very layer, save this model as {MODEL_FILE} and leave the first "
        "command out: on the same computer the others give the same labels, elsewhere all but "
        "single pixels where two classes are equally likely."
    )


def _is_standard(model: TrainedModel) -> bool:
    """Tell whether the command line builds the same network from these options."""
    config, given = model.config, model.training.get("options", {})
    try:
        options = OPTIONS[model.task].parse(
            {k: v for k, v in given.items() if k not in _PYTHON_ONLY}
        )
    except InputError:  # written by another version
        return False
    channels = config.in_channels, config.out_channels
    made = choose_network(options, config.ndim, channels, model.spacing or None).model_dump()
    have = config.model_dump()
    return made | {"readout": None} == have | {"readout": None}


def _listed(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in facts.items())


def _one_per_line(options: type[BaseModel] | None, given: Mapping[str, Any]) -> str:
    """Return settings with the titles of their fields, one per line."""
    fields = {} if options is None else fields_of(options)
    lines = []
    for name, value in given.items():
        field = fields.get(name)
        plain = name.replace("_", " ")
        title = (field and field.title) or plain[:1].upper() + plain[1:]
        if isinstance(value, bool):
            said = "yes" if value else "no"
        else:
            said = str(field.labels.get(value, "")) if field and isinstance(value, str) else ""
        lines.append(f"{title}: {said or _short(value)}")
    return "\n".join(lines)


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "(" + _listed(value) + ")"
    if isinstance(value, list | tuple):
        return " × ".join(map(_short, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _trained(training: Mapping[str, Any]) -> str:
    parts = (
        f"{training['steps']:,} steps" if "steps" in training else "",
        f"{training['seconds']:.0f} s" if "seconds" in training else "",
    )
    return ", ".join(filter(None, parts))


def _validated(facts: Mapping[str, Any]) -> str:
    parts = []
    for name, value in facts.items():
        if isinstance(value, list | tuple):
            parts.append(f"{name} " + " · ".join(map(score_text, value)))
    if "loss" in facts:
        parts.append(f"loss {facts['loss']:.3f}")
    if "pixels" in facts:
        parts.append(f"{facts['pixels']:,} held-out pixels")
    return ", ".join(parts)
