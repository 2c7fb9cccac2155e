"""Options for making labels from probabilities."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RefineOptions(BaseModel):
    """How labels are made from probabilities; by default the most probable class everywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    object_class: int | None = Field(
        None,
        description="Class that the threshold, the smallest size and the filling of holes "
        "apply to; none: all classes are treated equally.",
    )
    output: Literal["classes", "objects"] = Field(
        "classes", description="One label per class, or one per connected object."
    )
    threshold: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Probability from which a pixel belongs to the class; below it, it belongs to "
        "the most probable other class.",
    )
    smallest: int = Field(
        0,
        ge=0,
        title="Remove objects below",
        description="Objects of fewer pixels (in 3D: voxels) are removed; if all classes are "
        "treated equally, they are merged into their neighbours.",
    )
    holes: int = Field(
        0,
        ge=0,
        title="Fill holes up to",
        description="Enclosed holes of at most this many pixels (in 3D: voxels) are filled with "
        "the class.",
    )
    split: bool = Field(
        False,
        title="Separate touching objects",
        description="Separate touching objects where they are narrow (watershed).",
    )
    distance: float = Field(
        10.0,
        ge=0,
        title="Minimum distance",
        description="Minimum distance between the centres of two separated objects, in pixels of "
        "the finest axis. Larger values give fewer, larger objects.",
    )
    through_planes: bool = Field(
        False,
        description="Connect objects from plane to plane, even if the model predicts single "
        "planes; only for planes that are neighbours in space, not in time.",
    )
