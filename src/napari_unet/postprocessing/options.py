"""What can be set about how probabilities become labels."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RefineOptions(BaseModel):
    """How probabilities become labels. As it comes: the likeliest class everywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    object_class: int | None = Field(
        None,
        description="Label of the one class that threshold, smallest and holes are about; empty: "
        "all classes are equals.",
    )
    output: Literal["classes", "objects"] = Field(
        "classes", description="One label per class, or one per connected object."
    )
    threshold: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Probability from which a voxel belongs to the class; below it, the likeliest "
        "other class has it.",
    )
    smallest: int = Field(
        0,
        ge=0,
        description="Objects of fewer voxels are removed; where all classes are equals, their "
        "neighbours take them.",
    )
    holes: int = Field(
        0, ge=0, description="Enclosed holes of at most so many voxels are filled with the class."
    )
    split: bool = Field(
        False, description="Split objects that touch, where they are narrow (watershed)."
    )
    distance: float = Field(
        10.0,
        ge=0,
        description="Least distance between the centres of two objects that are split, in voxels "
        "of the finest axis. Larger: fewer pieces.",
    )
    through_planes: bool = Field(
        False,
        description="Connect objects from plane to plane, also where the model looks at single "
        "planes; only if the planes are neighbours in space.",
    )
