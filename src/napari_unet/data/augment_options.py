"""What random changes training patches go through."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class AugmentOptions(BaseModel):
    """How strongly training patches are changed at random. All zero or off: not at all.

    Deformation, noise and blur are off unless asked for: from few strokes on electron micrographs
    they slowed learning down.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    flip: bool = Field(True, description="Mirror patches along each spatial axis at random.")
    rotate_degrees: float = Field(
        180.0,
        ge=0,
        le=180,
        description="Largest rotation either way, in degrees; 180 is the full circle. In 3D with "
        "coarse z only within the plane.",
    )
    scale: float = Field(
        0.25, ge=0, le=1, description="Largest zoom, less 1: 0.25 is from 1/1.25 to 1.25."
    )
    elastic: float = Field(
        0.0, ge=0, le=10, description="Largest displacement of smooth deformations, in voxels."
    )
    intensity: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Largest change of contrast, less 1: 0.25 is 1/1.25 to 1.25.",
    )
    brightness: float = Field(
        0.25, ge=0, le=2, description="Largest change of brightness, in normalised units."
    )
    noise: float = Field(
        0.0,
        ge=0,
        le=2,
        description="Largest standard deviation of added noise, in normalised units.",
    )
    blur: float = Field(
        0.0, ge=0, le=5, description="Largest standard deviation of Gaussian blur, in voxels."
    )

    @classmethod
    def off(cls) -> AugmentOptions:
        """Return options that change nothing."""
        return cls(
            flip=False,
            rotate_degrees=0,
            scale=0,
            elastic=0,
            intensity=0,
            brightness=0,
            noise=0,
            blur=0,
        )
