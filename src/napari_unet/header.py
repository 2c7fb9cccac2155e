"""The header of a model file, and its JSON schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

VERSION = 3
"""Version of the format. 1 had only classes; 2 had only U-Nets and mirrored borders."""


class NormalisationEntry(TypedDict):
    """How pixels are normalised: ``(pixel - offset) / scale``, per channel."""

    kind: Literal["percentile", "mean_sd", "none", "photon"]
    offset: list[float]
    scale: Annotated[list[float], Field(description="Greater than 0.")]
    noise: NotRequired[
        Annotated[
            list[tuple[float, float]],
            Field(description="With photon: gain and variance at signal 0, per channel."),
        ]
    ]
    limits: NotRequired[
        Annotated[
            list[tuple[float, float]],
            Field(description="Normalised values that all pixels are cut off at, per channel."),
        ]
    ]
    per_image: NotRequired[
        Annotated[
            bool,
            Field(description="Whether each image is measured, and made like the reference."),
        ]
    ]
    reference: NotRequired[
        Annotated[
            list[tuple[float, float, float, float, float, float]],
            Field(
                description="What was measured of the images of the training, per channel: "
                "percentiles 1, 50 and 99, spread, noise, and share of finite pixels."
            ),
        ]
    ]
    variety: NotRequired[
        Annotated[
            tuple[float, float],
            Field(
                description="How far the images of the training are from that at most: distance "
                "of the percentiles, ratio of the noise."
            ),
        ]
    ]


class ClassEntry(TypedDict):
    """One class, in the order of the network's outputs."""

    value: Annotated[int, Field(ge=0, description="Value in label images.")]
    name: str
    color: Annotated[list[float] | None, Field(description="RGBA, 0 to 1.")]


class InputSpecEntry(TypedDict):
    """How the network reads an image, and what is added to its output."""

    # The keys are older than the names of `napari_unet.model.InputSpec`, see `STORED_AS` there.
    planes: Annotated[
        int, Field(ge=1, description="Neighbouring planes read as channels (2.5D); odd.")
    ]
    wrap: Annotated[list[bool], Field(description="Which spatial axes are periodic; empty: none.")]
    mask: Annotated[bool, Field(description="Whether the network reads a mask of missing pixels.")]
    own: Annotated[
        float, Field(ge=0, le=1, description="Weight of the centre pixel in the result.")
    ]
    border: Literal["mirror", "edge", "zero", "wrap"]
    noise: NotRequired[
        Annotated[
            list[Annotated[float, Field(gt=0)]],
            Field(
                description="Variance of the noise per channel, for a Wiener filter of the result."
            ),
        ]
    ]
    adds: NotRequired[
        Annotated[
            Literal["", "image", "mean"],
            Field(
                description="What is added: nothing, the centre plane, or the mean of the planes."
            ),
        ]
    ]


class Header(TypedDict):
    """Everything of a model but its weights."""

    version: Annotated[int, Field(ge=1, le=VERSION, description="Version of the format.")]
    task: Annotated[str, Field(description="What it was trained for, such as segment.")]
    config: Annotated[
        dict[str, Any], Field(description="Configuration of the network, see the page of options.")
    ]
    classes: Annotated[list[ClassEntry], Field(description="Empty where the output is an image.")]
    normalisation: NormalisationEntry
    spacing: Annotated[
        list[float], Field(description="Distance between voxels in the training data, per axis.")
    ]
    training: Annotated[
        dict[str, Any],
        Field(description="Steps, seconds, seed, options, scores and versions of the training."),
    ]
    target: Annotated[
        NormalisationEntry | None,
        Field(description="Its inverse maps the output to intensities; null for classes."),
    ]
    reading: InputSpecEntry
    channels: NotRequired[
        Annotated[list[str], Field(description="Names of the image's channels; empty: not known.")]
    ]


def header_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the header of a model file.

    Examples
    --------
    >>> header_schema()["properties"]["version"]["description"]
    'Version of the format.'
    """
    return TypeAdapter(Header).json_schema()
