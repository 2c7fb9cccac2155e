"""Options of the augmentation: range and probability of each random change."""

from __future__ import annotations

from math import floor
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

Change = Literal[
    "flip",
    "rotate_degrees",
    "scale",
    "jitter",
    "elastic",
    "intensity",
    "brightness",
    "gamma",
    "noise",
    "blur",
]

Unit = Literal["", "°", "%", "pixels", "units"]
"""Unit of the range of a change; "%": of 1, "units": of normalised pixels, "": on or off."""

CHANGES: tuple[Change, ...] = get_args(Change)
"""All changes, in the order in which a form shows them."""

LARGEST_MARGIN = 0.25
"""Greatest share by which patches are read larger for rotations; the rest is mirrored."""


def _change(
    default: Any, *, name: str, unit: Unit, usual: float, text: str, most: float | None = None
) -> Any:
    """Return a field with a title, a unit, and a usual range that a form suggests."""
    limits: dict[str, Any] = {} if most is None else {"ge": 0, "le": most}
    extra: dict[str, Any] = {"unit": unit, "try": usual}
    return Field(default, title=name, description=text, json_schema_extra=extra, **limits)


class AugmentOptions(BaseModel):
    """How strongly, and how often, training patches are changed at random.

    A change that is 0 or off is not made. Shift, deformation, gamma, noise and blur are off by
    default: in training from few strokes on electron micrographs they slowed learning down.

    Raises
    ------
    pydantic.ValidationError
        If a change is unknown, or a range or a probability is outside its limits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    flip: bool = _change(
        True,
        name="Mirror",
        unit="",
        usual=1,
        text="Flip patches along each spatial axis at random.",
    )
    rotate_degrees: float = _change(
        180.0,
        name="Rotate",
        unit="°",
        usual=180,
        most=180,
        text="Largest rotation in both directions, in degrees; 180: any angle. In 3D with "
        "coarse z only within the plane.",
    )
    scale: float = _change(
        0.25,
        name="Zoom",
        unit="%",
        usual=0.25,
        most=1,
        text="Largest zoom factor minus 1: 0.25 means factors from 1/1.25 to 1.25.",
    )
    jitter: float = _change(
        0.0,
        name="Shift",
        unit="pixels",
        usual=8,
        most=64,
        text="Largest shift along each axis, in pixels of the finest one.",
    )
    elastic: float = _change(
        0.0,
        name="Deform",
        unit="pixels",
        usual=3,
        most=10,
        text="Largest displacement of smooth deformations, in pixels.",
    )
    intensity: float = _change(
        0.25,
        name="Contrast",
        unit="%",
        usual=0.25,
        most=1,
        text="Largest factor of the contrast minus 1: 0.25 means factors from 1/1.25 to 1.25.",
    )
    brightness: float = _change(
        0.25,
        name="Brightness",
        unit="units",
        usual=0.25,
        most=2,
        text="Largest change of brightness, in normalised units.",
    )
    gamma: float = _change(
        0.0,
        name="Gamma",
        unit="%",
        usual=0.5,
        most=2,
        text="Largest exponent of the gamma curve minus 1, applied to the brightness range of "
        "each patch: 0.5 means exponents from 1/1.5 to 1.5.",
    )
    noise: float = _change(
        0.0,
        name="Noise",
        unit="units",
        usual=0.2,
        most=2,
        text="Largest standard deviation of added noise, in normalised units.",
    )
    blur: float = _change(
        0.0,
        name="Blur",
        unit="pixels",
        usual=1,
        most=5,
        text="Largest standard deviation of Gaussian blur, in pixels.",
    )
    chance: dict[Change, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict,
        description="Fraction of the patches that get a change, by the name of the change; 1 "
        "where not set.",
    )
    per_channel: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Contrast and brightness per channel",
        description="Fraction of the patches in which contrast and brightness change in each "
        "channel on its own, so that colours change, too; the others change in all channels "
        "alike. It has no effect on images of one channel.",
    )

    @field_validator("chance")
    @classmethod
    def _less_than_always(cls, chance: dict[Change, float]) -> dict[Change, float]:
        """Leave out probabilities of 1, so that options with the same effect compare equal."""
        return {name: chance[name] for name in CHANGES if chance.get(name, 1.0) != 1.0}

    @classmethod
    def off(cls) -> Self:
        """Return options that change nothing."""
        return cls.model_validate(dict.fromkeys(CHANGES, 0))

    def effective(self) -> Self:
        """Return options without the changes whose probability is 0."""
        never = {name: 0 for name, part in self.chance.items() if not part}
        left = {name: part for name, part in self.chance.items() if part}
        return self.model_validate({**self.model_dump(), **never, "chance": left})


def largest_margin(size: int) -> int:
    """Return the largest margin of an axis, in voxels of both sides together: an even number.

    Examples
    --------
    >>> largest_margin(100), largest_margin(101)
    (24, 24)
    """
    return 2 * floor(LARGEST_MARGIN * size / 2)
