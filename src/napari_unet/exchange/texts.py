"""What a package says in words."""

from __future__ import annotations

from napari_unet._version import __version__
from napari_unet.exchange.describe import class_names
from napari_unet.model import TrainedModel


def described(model: TrainedModel) -> str:
    """Return what a model does in one sentence."""
    where = f"{model.config.ndim}D images"
    if model.target is None:
        return f"Tells {', '.join(class_names(model))} apart in {where}, voxel by voxel."
    verbs = {"denoise": "Denoises", "restore": "Restores"}
    return f"{verbs.get(model.task, 'Predicts an image from')} {where}."


def documentation(model: TrainedModel, name: str, description: str) -> str:
    """Return the page about a model, in Markdown."""
    facts = model.training
    known = {
        "Architecture": model.config.title,
        "Steps of training": facts.get("steps"),
        "Seconds of training": facts.get("seconds"),
        "Spacing of the voxels it learned from": ", ".join(f"{s:g}" for s in model.spacing),
    }
    rows = [f"- {what}: {value}" for what, value in known.items() if value not in (None, "")]
    return "\n".join(
        [
            f"# {name}",
            "",
            description,
            "",
            *rows,
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
    lines = ["Grey values go in as they are: their normalisation is part of the package."]
    if model.target is None:
        lines.append("Probabilities of the classes come out, in the order of the channels.")
    else:
        lines.append("Grey values come out, in the units of the images it learned from.")
    if model.reading.planes > 1:
        lines.append(
            f"Each plane is seen together with its neighbours: {model.reading.planes} planes lie "
            "one behind the other along the channels, mirrored at the ends of the stack."
        )
    if model.reading.noise:
        lines.append(
            "This is what the network says. napari-unet-live filters it once more together with "
            "the pixels themselves, which packages have no word for: its own result is better."
        )
    if any(model.reading.wrap) or model.reading.border == "wrap":
        lines.append("The images it learned from go round: continue them periodically.")
    return lines


def _validation(model: TrainedModel) -> str:
    kept = model.training.get("validation")
    if not kept:
        return "Nothing was held out, so try it on images of yours before you trust it."
    return f"On voxels that were held out: {kept}."
