"""Write the page of options from the models that declare them: one place for form, CLI and page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from napari_unet.data.augment_options import AugmentOptions
from napari_unet.network.densenet_config import DenseNetConfig
from napari_unet.network.fcn_config import FCNConfig
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.images.options import DenoiseOptions, InpaintOptions, RestoreOptions
from napari_unet.tasks.segmentation.options import SegmentOptions

PAGES: dict[str, type[BaseModel]] = {
    "Segmentation": SegmentOptions,
    "Denoising": DenoiseOptions,
    "Restoration from pairs": RestoreOptions,
    "Filling in": InpaintOptions,
    "Augmentation": AugmentOptions,
    "Network: U-Net": UNetConfig,
    "Network: FC-DenseNet": DenseNetConfig,
    "Network: FCN": FCNConfig,
}
SIGNS = {"gt": "> ", "ge": "≥ ", "lt": "< ", "le": "≤ "}


def write_options(path: Path) -> None:
    """Write one table per model into a Markdown file."""
    parts = ["# Options", "Each is declared once, with its default, its limits and its meaning."]
    for title, model in PAGES.items():
        parts += [f"## {title}", f"Fields of `{model.__module__}.{model.__name__}`.", table(model)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def table(model: type[BaseModel]) -> str:
    """Return a Markdown table with one row per field."""
    rows = [
        "| Option | Default | Allowed | Meaning |",
        "|---|---|---|---|",
        *(row(name, field) for name, field in model.model_fields.items()),
    ]
    return "\n".join(rows)


def row(name: str, field: FieldInfo) -> str:
    """Return the row of one field."""
    cells = [f"`{name}`", f"`{default(field)}`", allowed(field), field.description or ""]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def default(field: FieldInfo) -> Any:
    """Return what the field is where nothing is said."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    return f"{type(value).__name__}()" if isinstance(value, BaseModel) else repr(value)


def allowed(field: FieldInfo) -> str:
    """Return the limits of a number, or the choices, for people."""
    limits = [
        f"{sign}{getattr(part, key):g}"
        for part in field.metadata
        for key, sign in SIGNS.items()
        if getattr(part, key, None) is not None
    ]
    choices = getattr(field.annotation, "__args__", ())
    if choices and all(isinstance(choice, str | int) for choice in choices):
        limits = [f"`{choice}`" for choice in choices]
    return ", ".join(limits)
