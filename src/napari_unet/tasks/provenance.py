"""How a result was made, and what to type to make it again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from napari_unet._version import __version__
from napari_unet.errors import InputError
from napari_unet.fields import fields_of, write_flags
from napari_unet.model import SUFFIX, TrainedModel
from napari_unet.tasks.network_choice import choose_network
from napari_unet.tasks.options import OPTIONS

RESULT = "result.tif"
MODEL_FILE, START_FILE = f"model{SUFFIX}", f"start{SUFFIX}"
"""What the commands call the model, and the one that it went on from."""

SOURCES = "sources"
"""Where a model says what it learned from, among the facts of its training."""

_UNTOLD = {"steps", "seconds", "seed", "open_ended", "keep_history", "make_way", "class_colors"}
"""Options that the command says otherwise, or that change no weight."""

_BY_HAND = {"network"}
"""Options that the command line does not have."""


@dataclass(frozen=True)
class Origin:
    """Where pixels came from: what they are called, and the file they were read from if any."""

    name: str
    path: str | None = None

    @property
    def file(self) -> str:
        """The file, or what to save them as.

        Examples
        --------
        >>> Origin("cells", "/data/cells.zarr").file, Origin("cells – strokes").file
        ('/data/cells.zarr', 'cells-strokes.tif')
        """
        return self.path or (re.sub(r"\W+", "-", self.name).strip("-") or "image") + ".tif"


def with_sources(model: TrainedModel, pairs: Sequence[tuple[Origin, ...]]) -> TrainedModel:
    """Return the same model, which says what it learned from: images, each with what went along."""
    sources = [[asdict(origin) for origin in pair] for pair in pairs]
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
        Fields of `napari_unet.inference.request.Request` that say how to read the image.
    probabilities : bool
        Whether the result is probabilities.
    mask : Origin, optional
        What said which pixels are missing.
    seconds : float, optional
        How long it took.

    Returns
    -------
    dict
        Plain JSON: image, path, task, model and strokes (their digests), seed, classes, versions,
        training (as in the model), prediction_seconds, commands, notes.
    """
    facts = model.training
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
        "commands": [
            train_command(model),
            predict_command(image, request or {}, probabilities, mask),
        ],
        "notes": list(_notes(model, (image,) if mask is None else (image, mask))),
    }


def train_command(model: TrainedModel, output: str = MODEL_FILE) -> str:
    """Return what to type to train such a model: on files, and for as many steps as it took."""
    task = model.task
    pairs = [[o.file for o in pair] for pair in _pairs(model) or (UNKNOWN[task],)]
    told = _settings(model)
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
    return _command(name, *files, output_flag, output, *write_flags(told))


def _settings(model: TrainedModel) -> dict[str, Any]:
    """Return what the command line is told of how a model was trained, by the names of flags."""
    facts = model.training
    fields = fields_of(OPTIONS[model.task], but=_UNTOLD | _BY_HAND)
    given = dict(facts.get("options", {}))
    told = {
        "ndim": model.config.ndim,
        "steps": max(1, int(facts.get("steps", 1))),
        "seed": facts.get("seed", 0),
    }
    if given.get("open_ended"):
        given.setdefault("schedule", "constant")
    if "continued_from" in facts:
        told["start"] = START_FILE
        # Only options that differ from the defaults are stored, and continuing has another one.
        given.setdefault("learning_rate", fields["learning_rate"].default)
    if model.spacing:  # even where it was never said: a file may say otherwise
        given.setdefault("spacing", model.spacing)
    known = {name: value for name, value in given.items() if name in fields}
    return told | {name: v for name, v in known.items() if fields[name].is_readable(v)}


def predict_command(
    image: Origin,
    request: Mapping[str, Any],
    probabilities: bool = False,
    mask: Origin | None = None,
) -> str:
    """Return what to type to predict an image from its file."""
    result = f"{re.sub(r'.*[/]|[.][^./]*$', '', image.file)}-prediction.tif"
    kind = ["--probabilities"] if probabilities else []
    if request.get("flips"):
        kind.append("--flips")
    if mask is not None:
        kind += ["--mask", mask.file]
    flags = write_flags({k: v for k, v in request.items() if k != "flips"})
    return _command("predict", MODEL_FILE, image.file, "--output", result, *kind, *flags)


def rows(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the facts of `provenance` for people: names and texts.

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
        "Method": str(training.get("why", "")),
        "Painted": _listed(training.get("painted", {})),
        "Training": _trained(training),
        "Validation": _validated(training.get("validation", {})),
        "Seed": "" if made.get("seed") is None else str(made["seed"]),
        "Options": _listed(training.get("options", {})),
        "Prediction": "" if took is None else f"{took:.1f} s",
        "Versions": _listed(made.get("versions", {})),
    }
    return [(name, text) for name, text in found.items() if text]


def as_text(made: Mapping[str, Any]) -> str:
    """Return all of it as plain text, to be pasted into notes."""
    known = rows(made)
    width = max((len(name) for name, _ in known), default=0)
    table = [f"{name:<{width}}  {text}" for name, text in known]
    parts = [table, list(made.get("commands", ())), list(made.get("notes", ()))]
    return "\n\n".join("\n".join(part) for part in parts if part)


UNKNOWN = {
    "segment": (Origin("training image"), Origin("strokes")),
    "denoise": (Origin("training image"),),
    "restore": (Origin("training image"), Origin("target")),
    "inpaint": (Origin("training image"), Origin("mask")),
}
"""What a model learned from, where it does not say."""


def _sources(model: TrainedModel) -> tuple[Origin, ...]:
    """Return image, labels, the next image, its labels, and so on; nothing where unknown."""
    return tuple(origin for pair in _pairs(model) for origin in pair)


def _pairs(model: TrainedModel) -> list[tuple[Origin, ...]]:
    """Return images, each with what went along; nothing where unknown."""
    pairs = model.training.get(SOURCES, ())
    return [tuple(Origin(**origin) for origin in pair) for pair in pairs]


def _command(*words: str) -> str:
    return shlex.join(("napari-unet", *words))


def _notes(model: TrainedModel, predicted: Sequence[Origin]) -> Iterator[str]:
    """Say what the commands leave out."""
    options, sources = model.training.get("options", {}), _sources(model)
    if not sources:
        yield "What the model learned from is not known here."
    for origin in dict.fromkeys((*sources, *predicted)):
        if origin.path is None:
            yield f"“{origin.name}” was not read from a file: save it first, as {origin.file}."
    if options.get("open_ended"):
        yield ("It was trained until somebody stopped it; the command takes as many steps.")
    if start := model.training.get("continued_from"):
        yield f"It went on from the model {start[:8]}: save that first, as {START_FILE}."
    if not (start or _is_standard(model)):
        yield (
            "The network was set up in a way that the command line does not know; in Python, give "
            "it to napari_unet.fit as network."
        )
    yield (
        "The same strokes, seed, versions and number of threads give the same bits on a CPU. "
        "Strokes that were painted while it learned do not come at the same step again: then it "
        "is alike, not identical."
    )


def _is_standard(model: TrainedModel) -> bool:
    """Tell whether the network is one that the command line makes with these options."""
    config, given = model.config, model.training.get("options", {})
    try:
        options = OPTIONS[model.task].parse({k: v for k, v in given.items() if k not in _BY_HAND})
    except InputError:  # written by another version
        return False
    channels = config.in_channels, config.out_channels
    made = choose_network(options, config.ndim, channels, model.spacing or None).model_dump()
    have = config.model_dump()
    return made | {"readout": None} == have | {"readout": None}


def _listed(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in facts.items())


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
            parts.append(f"{name} " + " ".join("–" if v is None else f"{v:.2f}" for v in value))
    if "loss" in facts:
        parts.append(f"loss {facts['loss']:.3f}")
    if "pixels" in facts:
        parts.append(f"{facts['pixels']:,} held-out pixels")
    return ", ".join(parts)
