"""All architectures by their kind, and the presets by their name. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from napari_unet import network
from napari_unet.errors import InputError
from napari_unet.network.architecture import ARCHITECTURES, Architecture
from napari_unet.network.presets import preset_fields

CONFIG_SUFFIX = "_config"
"""Ending of the modules that define an architecture's configuration."""


@cache
def architectures() -> Mapping[str, type[Architecture]]:
    """Return the configuration class of every architecture, by kind.

    Imports all modules of this folder that end in `CONFIG_SUFFIX`: each registers its class.
    """
    for module in iter_modules(network.__path__, f"{network.__name__}."):
        if module.name.endswith(CONFIG_SUFFIX):
            import_module(module.name)
    return ARCHITECTURES


def read_config(values: Mapping[str, Any]) -> Architecture:
    """Return the configuration that plain values describe; without a kind, a U-Net's.

    Raises
    ------
    pydantic.ValidationError
        Where a value is out of its range. (It is a `ValueError`.)
    InputError
        Where there is no such kind.
    """
    kinds = architectures()
    kind = values.get("kind", "unet") if isinstance(values, Mapping) else None
    if kind not in kinds:
        raise InputError(
            "There is no such kind of network", got=repr(kind), expected=" or ".join(kinds)
        )
    return kinds[kind](**values)


def preset(name: str, **changes: Any) -> Architecture:
    """Return the architecture of a published system.

    Parameters
    ----------
    name : str
        Its name in `PRESETS`.
    **changes
        Fields that shall differ, such as ``in_channels=3``.

    Raises
    ------
    InputError
        Where there is no preset of that name.
    """
    return read_config({**preset_fields(name), **changes})


def _as_config(value: Any) -> Any:
    """Read a preset's name, or plain values; pydantic expects a `ValueError` where that fails."""
    try:
        if isinstance(value, str):
            return preset(value)
        return read_config(value) if isinstance(value, Mapping) else value
    except InputError as error:
        raise ValueError(str(error)) from error


AnyNetwork = Annotated[SerializeAsAny[Architecture], BeforeValidator(_as_config)]
"""A field that holds any kind of network; it may be set by a preset's name."""
