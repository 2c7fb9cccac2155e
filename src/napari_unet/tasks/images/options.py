"""Options of the tasks whose result is an image. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic.config import JsonDict

from napari_unet.tasks.network_options import NetworkOptions

_TURNS = (
    "Training patches are flipped, or also rotated by 90°, at random. None: where the "
    "orientation matters."
)

_TURN_LABELS: JsonDict = {"all": "Flips and rotations", "mirror": "Flips"}

LossName = Literal["l1", "l2", "ssim", "ms_ssim"]
Method = Literal["auto", "blind_spot", "lines_x", "lines_y", "neighbours"]


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd, so that there is a middle plane")
    return value


def _some(losses: dict[LossName, float]) -> dict[LossName, float]:
    if not losses or min(losses.values()) <= 0:
        raise ValueError("needs at least one loss, and weights above 0")
    return losses


Losses = Annotated[dict[LossName, float], AfterValidator(_some)]


def _l1() -> dict[LossName, float]:
    return {"l1": 1.0}


class ImageOptions(NetworkOptions):
    """Options of all trainings whose result is an image."""

    filters: bool = Field(
        False, title="Fixed filters", description="Add fixed filters on several scales."
    )
    padding: Literal["valid", "same"] = Field(
        "same",
        json_schema_extra={"labels": {"same": "Same (padded)"}},
        description="Valid convolutions, or padded ones that keep the size.",
    )
    learning_rate: float = Field(
        3e-3, gt=0, le=1, description="Highest learning rate of the schedule."
    )
    planes: Annotated[int, Field(ge=1, le=15), AfterValidator(_odd)] | None = Field(
        None,
        title="Planes read together",
        examples=[3],
        description="Number of neighbouring planes that a 2D network reads to predict the "
        "middle one (2.5D); odd. Automatic: 1; for denoising, chosen from the image.",
    )
    wrap: tuple[Literal["z", "y", "x"], ...] = Field(
        (),
        title="Periodic axes",
        description="Axes along which the image is periodic, such as an angle; for the other "
        "axes see the image border.",
    )
    turns: Literal["all", "mirror", "none"] = Field(
        "all",
        title="Flips and rotations",
        json_schema_extra={"labels": _TURN_LABELS},
        description=_TURNS,
    )
    held_out: float = Field(
        0.05,
        ge=0,
        le=0.5,
        title="Held-out fraction",
        description="Fraction of the pixels, or of the images, held out for validation.",
    )


class DenoiseOptions(ImageOptions):
    """All options of denoising from noisy images alone."""

    method: Method = Field(
        "auto",
        description="Blind spots: predicts each pixel from its surroundings. Lines: for noise "
        "that is correlated along x or y. Neighbours: predicts each plane or frame "
        "from the next, if they show the same scene. Auto measures the image and "
        "reports its choice.",
    )
    normalise: Literal["auto", "photon", "mean_sd", "percentile", "none"] = Field(
        "auto",
        title="Normalisation",
        description="How intensities are normalised. Photon: a variance-stabilising transform "
        "for noise that grows with brightness; auto uses it for such images.",
    )
    hidden: float = Field(
        0.05,
        gt=0,
        le=0.5,
        title="Hidden pixels",
        description="Fraction of pixels hidden in each step (blind spots).",
    )
    replacement: Literal["neighbour", "median"] = Field(
        "neighbour",
        title="Hidden pixels become",
        json_schema_extra={
            "labels": {"neighbour": "A random neighbour", "median": "Median nearby"}
        },
        description="What replaces hidden pixels: a random neighbour (Noise2Void), or the "
        "neighbours' median (N2V2).",
    )
    own_share: float | Literal["auto"] = Field(
        "auto",
        title="Weight of the pixel itself",
        description="Weight of the pixel itself in the result, which blind spots do not see; "
        "auto: from the measured noise, for each spatial frequency.",
    )


class RestoreOptions(ImageOptions):
    """All options of restoration, learned from pairs of images."""

    normalise: Literal["mean_sd", "percentile", "none"] = Field(
        "mean_sd", title="Normalisation", description="How intensities are normalised."
    )
    loss: Losses = Field(
        default_factory=_l1,
        description="Losses and their weights: l1, l2, ssim, ms_ssim.",
    )
    readout: Literal["linear", "softplus"] = Field(
        "linear",
        title="Last layer",
        json_schema_extra={"labels": {"softplus": "Softplus (not negative)"}},
        description="Last layer of the network; softplus: the result is never negative.",
    )
    turns: Literal["all", "mirror", "none"] = Field(
        "mirror",
        title="Flips and rotations",
        json_schema_extra={"labels": _TURN_LABELS},
        description=_TURNS,
    )
    align: bool = Field(
        True,
        title="Check alignment",
        description="Measure whether the images of a pair are shifted, and warn if so.",
    )


class InpaintOptions(ImageOptions):
    """All options of filling in missing pixels."""

    normalise: Literal["mean_sd", "percentile", "none"] = Field(
        "mean_sd", title="Normalisation", description="How intensities are normalised."
    )
    loss: Losses = Field(
        default_factory=_l1,
        description="Losses and their weights: l1, l2, ssim, ms_ssim.",
    )
    turns: Literal["all", "mirror", "none"] = Field(
        "mirror",
        title="Flips and rotations",
        json_schema_extra={"labels": _TURN_LABELS},
        description=_TURNS,
    )
