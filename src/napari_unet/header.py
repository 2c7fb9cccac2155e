"""What the header of a model file says, and the schema that says so."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

VERSION = 3
"""Of the format. 1 knew only classes; 2 knew only U-Nets, and no borders but mirrored ones."""


class NormalisationEntry(TypedDict):
    """How pixels are normalised: ``(pixel - offset) / scale``, per channel."""

    kind: Literal["percentile", "mean_sd", "none", "photon"]
    offset: list[float]
    scale: Annotated[list[float], Field(description="Above 0.")]
    noise: NotRequired[
        Annotated[
            list[tuple[float, float]],
            Field(description="With photon: gain and variance at signal 0, per channel."),
        ]
    ]


class ClassEntry(TypedDict):
    """One class, in the order of the network's outputs."""

    value: Annotated[int, Field(ge=0, description="In label layers.")]
    name: str
    color: Annotated[list[float] | None, Field(description="RGBA, 0 to 1.")]


class InputSpecEntry(TypedDict):
    """How an image is read, beyond its channels."""

    planes: Annotated[int, Field(ge=1, description="Neighbouring planes seen together; odd.")]
    wrap: Annotated[list[bool], Field(description="Spatial axes that go round; empty: none.")]
    mask: Annotated[bool, Field(description="Whether a mask says which pixels are missing.")]
    own: Annotated[float, Field(ge=0, le=1, description="A pixel's own share of the result.")]
    border: Literal["mirror", "edge", "zero", "wrap"]
    noise: NotRequired[
        Annotated[
            list[Annotated[float, Field(gt=0)]],
            Field(description="Variance of the noise per channel, where the result is filtered."),
        ]
    ]
    adds: NotRequired[
        Annotated[
            Literal["", "image", "mean"], Field(description="What the output is to be added to.")
        ]
    ]


class Header(TypedDict):
    """Everything of a model but its weights."""

    version: Annotated[int, Field(ge=1, le=VERSION, description="Of this format.")]
    task: Annotated[str, Field(description="What it was trained for, such as segment.")]
    config: Annotated[dict[str, Any], Field(description="The network, see the page of options.")]
    classes: Annotated[list[ClassEntry], Field(description="Empty where the output is an image.")]
    normalisation: NormalisationEntry
    spacing: Annotated[list[float], Field(description="Of the voxels it learned from, per axis.")]
    training: Annotated[
        dict[str, Any],
        Field(description="How it was made: steps, seconds, seed, options, scores, versions."),
    ]
    target: Annotated[
        NormalisationEntry | None,
        Field(description="How the output becomes intensities; null where it is classes."),
    ]
    reading: InputSpecEntry


def header_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the header of a model file.

    Examples
    --------
    >>> header_schema()["properties"]["version"]["description"]
    'Of this format.'
    """
    return TypeAdapter(Header).json_schema()
