"""Write the page of options from the models that declare them: one place for form, CLI and page."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from napari_unet.data.augment_options import AugmentOptions
from napari_unet.fields import REQUIRED, FieldDescription, fields_of
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
        *map(row, fields_of(model).values()),
    ]
    return "\n".join(rows)


def row(field: FieldDescription) -> str:
    """Return the row of one field."""
    cells = [f"`{field.name}`", f"`{default(field)}`", allowed(field), field.help]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def default(field: FieldDescription) -> str:
    """Return what the field is where nothing is said."""
    value = field.default
    if value is REQUIRED:
        return "required"
    return f"{type(value).__name__}()" if isinstance(value, BaseModel) else repr(value)


def allowed(field: FieldDescription) -> str:
    """Return the limits of a number, or the choices, for people."""
    if field.choices:
        return ", ".join(f"`{choice}`" for choice in field.choices)
    return ", ".join(f"{SIGNS[name]}{limit:g}" for name, limit in field.limits.items())
