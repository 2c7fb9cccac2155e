"""All kinds of networks, by name. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from napari_unet.errors import InputError
from napari_unet.network.architecture import Architecture
from napari_unet.network.densenet_config import DenseNetConfig
from napari_unet.network.fcn_config import FCNConfig
from napari_unet.network.onnx_config import OnnxConfig
from napari_unet.network.presets import PRESETS
from napari_unet.network.unet_config import UNetConfig

KINDS: dict[str, type[Architecture]] = {
    "unet": UNetConfig,
    "fcdensenet": DenseNetConfig,
    "fcn": FCNConfig,
    "foreign": OnnxConfig,
}
"""Configurations, by the `kind` that files and presets call them."""


def read_config(values: Mapping[str, Any]) -> Architecture:
    """Return the configuration that plain values describe; without a kind, a U-Net's.

    Raises
    ------
    pydantic.ValidationError
        Where a value is out of its range. (It is a `ValueError`.)
    InputError
        Where there is no such kind.
    """
    kind = values.get("kind", "unet") if isinstance(values, Mapping) else None
    if kind not in KINDS:
        raise InputError(
            "There is no such kind of network", got=repr(kind), expected=" or ".join(KINDS)
        )
    return KINDS[kind](**values)


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
    if name not in PRESETS:
        raise InputError(
            "There is no such preset", got=repr(name), expected=" or ".join(sorted(PRESETS))
        )
    return read_config({**PRESETS[name], **changes})


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
